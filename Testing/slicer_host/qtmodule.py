"""Slicer's modules `qt` and `ctk`, and what of the package `slicer` slicer-core lacks."""

import ctypes
import importlib
import os
import sys
from types import ModuleType
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

from slicer_host import application, dialogs, names, pythonqt, style, uiloader, widgets

KITS = (QtCore, QtGui, QtWidgets, QtNetwork, QtUiTools)
# Modules that stand in for Slicer's of that name; those of Slicer's package are its attributes too.
STAND_INS = {
    "slicer.ScriptedLoadableModule": "scripted",
    "slicer.parameterNodeWrapper": "parameters",
    "SampleData": "sampledata",
}


class Qt(ModuleType):
    """`qt`: the names of PythonQt's Core, Gui, Network and UiTools, flat; nothing of Svg, Xml, Test or PySide6."""

    def __getattr__(self, name: str) -> Any:
        found: Any = next((getattr(kit, name) for kit in KITS if hasattr(kit, name)), None)
        if not name.startswith("Q") or not isinstance(found, type) or not names.isClass(name):
            raise AttributeError(f"module 'qt' has no attribute '{name}'")
        return pythonqt.classOf(uiloader.QUiLoader if found is QtUiTools.QUiLoader else found)


def install() -> Any:
    """Puts them where code of Slicer imports them from, once; PySide6's application comes back."""
    running = QtWidgets.QApplication.instance()
    if running is not None:
        return running
    _keep_constants()
    QtCore.qInstallMessageHandler(_tell)
    made = application.qSlicerApplication()
    made.setStyle(style.SlicerStyle())
    made.setPalette(style.palette(style.LIGHT))
    style.give_font(made)
    slicer.app = pythonqt.wrap(made)
    sys.modules["qt"] = Qt("qt", Qt.__doc__)
    kind: Any
    ctk = ModuleType("ctk", "Slicer's module `ctk`: the widgets that the panel uses.")
    for kind in (*widgets.CTK, dialogs.ctkMessageBox):
        setattr(ctk, kind.__name__, pythonqt.classOf(kind))
    sys.modules["ctk"] = ctk
    for kind in widgets.MRML:
        setattr(slicer, kind.__name__, pythonqt.classOf(kind))
    for name, ours in STAND_INS.items():
        sys.modules[name] = importlib.import_module(f"slicer_host.{ours}")
        if name.startswith("slicer."):
            setattr(slicer, name.removeprefix("slicer."), sys.modules[name])
    return made


def _keep_constants() -> None:
    """PySide6 6.12 gives away a reference to None, True or False in every call that returns one.

    From Python 3.12 on these objects are immortal; before, the process would end after some 20 000 calls.
    """
    if sys.version_info < (3, 12):
        for one in (None, True, False):
            ctypes.c_ssize_t.from_address(id(one)).value += 1 << 40


def _tell(kind: Any, context: Any, text: str) -> None:
    """Qt's messages, less what the offscreen platform cannot do."""
    if not text.startswith("This plugin does not support"):
        print(text, file=sys.stderr)
