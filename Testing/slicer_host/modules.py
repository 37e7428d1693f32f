"""A scripted module in the host: loaded from its file, entered, left and reloaded as Slicer does it."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from slicer_host import widgets
from slicer_host.pythonqt import wrap

kept = widgets.kept


class qSlicerScriptedLoadableModule(QtCore.QObject):
    """What the module's own class gets as `parent`, and `slicer.modules.<name>` is."""

    name = kept(str, "name", "")
    path = kept(str, "path", "")
    title = kept(str, "title", "")
    categories = kept("QStringList", "categories", [])
    dependencies = kept("QStringList", "dependencies", [])
    contributors = kept("QStringList", "contributors", [])
    helpText = kept(str, "helpText", "")
    acknowledgementText = kept(str, "acknowledgementText", "")
    icon = kept(QtGui.QIcon, "icon", QtGui.QIcon())
    hidden = kept(bool, "hidden", False)
    index = kept(int, "index", -1)
    widgetRepresentationCreationEnabled = kept(bool, "widgetRepresentationCreationEnabled", True)

    def __init__(self) -> None:
        super().__init__()
        self._panel: Any = None

    def widgetRepresentation(self) -> Any:
        """The panel, made on the first call."""
        if self._panel is None:
            self._panel = qSlicerScriptedLoadableModuleWidget(self)
            self._panel.reload()
        return self._panel

    def release(self) -> None:
        """The host's: the panel goes away."""
        panel, self._panel = self._panel, None
        if panel is not None:
            panel.setParent(None)
            panel.deleteLater()


class qSlicerScriptedLoadableModuleWidget(widgets.qMRMLWidget):
    """What the module's widget class gets as `parent`: the panel, with a layout."""

    def __init__(self, module: qSlicerScriptedLoadableModule) -> None:
        super().__init__()
        self._module = module
        self._entered = False
        self._python: Any = None
        QtWidgets.QVBoxLayout(self)
        self.setMRMLScene(slicer.mrmlScene)

    isEntered = QtCore.Property(bool, lambda self: self._entered)

    def self(self) -> Any:
        """The module's widget object."""
        return self._python

    def reload(self) -> None:
        """Makes the widget object of the class that the module's file has now, and sets it up."""
        name = f"{self._module.name}Widget"
        self._python = getattr(sys.modules[self._module.name], name)(wrap(self))
        setattr(slicer.modules, name, self._python)
        self._python.setup()

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._python, "enter"):
            self._python.enter()

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._python, "exit"):
            self._python.exit()


def load(path: Path) -> Any:
    """Registers the module of a file, as Slicer does at its start; `slicer.modules.<name>` comes back."""
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    python = importlib.util.module_from_spec(spec)
    sys.modules[name] = python
    spec.loader.exec_module(python)
    module = qSlicerScriptedLoadableModule()
    module.setObjectName(name)
    module.setProperty("name", name)
    module.setProperty("path", str(path))
    module.python = getattr(python, name)(wrap(module))  # type: ignore[attr-defined]
    manager = QtWidgets.QApplication.instance().moduleManager()
    manager._modules[name] = module
    setattr(slicer.modules, name.lower(), wrap(module))
    manager.moduleLoaded.emit(name)
    return module


def unload(module: qSlicerScriptedLoadableModule) -> None:
    """Takes it away again: its widget cleans up."""
    name = module.property("name")
    manager = QtWidgets.QApplication.instance().moduleManager()
    manager.moduleAboutToBeUnloaded.emit(name)
    manager._modules.pop(name, None)
    module.release()
    for attribute in (name.lower(), f"{name}Widget"):
        if hasattr(slicer.modules, attribute):
            delattr(slicer.modules, attribute)
    slicer.selfTests.pop(name, None)
    sys.modules.pop(name, None)
    manager.moduleUnloaded.emit(name)
