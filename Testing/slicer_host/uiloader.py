"""Loads .ui files with Slicer's widgets, and makes the connections in them that carry a scene or a node."""

from typing import Any
from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools

from slicer_host import widgets


class QUiLoader(QtUiTools.QUiLoader):
    """PySide6's, which knows nothing of signals with a vtkMRMLScene* or a vtkMRMLNode*: those are connected here."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        for kind in (*widgets.CTK, *widgets.MRML):
            self.registerCustomWidget(kind)

    def load(self, device: Any, parent: Any = None) -> Any:
        form = ElementTree.fromstring(device.readAll().data())
        wanted = []
        for group in form.findall("connections"):
            for one in group.findall("connection"):
                if "vtkMRML" in one.findtext("signal", ""):
                    wanted.append([one.findtext(part, "") for part in ("sender", "signal", "receiver", "slot")])
                    group.remove(one)
        data = QtCore.QByteArray(ElementTree.tostring(form))
        buffer = QtCore.QBuffer(data)
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        made = super().load(buffer, parent)
        for sender, signal, receiver, slot in wanted:
            self._connect(_named(made, sender), signal, _named(made, receiver), slot)
        return made

    def _connect(self, sender: Any, signal: str, receiver: Any, slot: str) -> None:
        if signal not in sender.signalNames:
            raise RuntimeError(f"No such signal {sender.metaObject().className()}::{signal}")
        getattr(sender, signal.partition("(")[0]).connect(getattr(receiver, slot.partition("(")[0]))


def _named(root: Any, name: str) -> Any:
    return root if root.objectName() == name else root.findChild(QtCore.QObject, name)
