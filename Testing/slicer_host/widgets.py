"""Slicer's own widgets that the panel is made of, on PySide6: as much of each as the panel and its tests use."""

from collections.abc import Callable
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

Property, Signal = QtCore.Property, QtCore.Signal
HEADER = 26


def kept(kind: Any, name: str, value: Any) -> Any:
    """A Qt property that keeps what it is set to."""
    return Property(
        kind,
        lambda self: self.__dict__.get(f"_{name}", value),
        lambda self, given: self.__dict__.__setitem__(f"_{name}", given),
    )


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A header that a click folds the content under away with; what is in its layout is the content."""

    contentsCollapsed = Signal(bool)

    def __init__(self, *arguments: Any) -> None:
        parents = [one for one in arguments if isinstance(one, QtWidgets.QWidget)]
        super().__init__(*parents)
        self.setText(next((one for one in arguments if isinstance(one, str)), ""))
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, HEADER, 0, 0)
        self.toggled.connect(self._fold)
        self._folded: list[QtWidgets.QWidget] = []

    def _is_collapsed(self) -> bool:
        return not self.isChecked()

    def setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, _is_collapsed, setCollapsed, notify=contentsCollapsed)

    def _fold(self, opened: bool) -> None:
        if opened:
            for child in self._folded:
                child.show()
            self._folded = []
        else:
            self._hide_content()
        self.setMaximumHeight(16777215 if opened else HEADER)
        self.contentsCollapsed.emit(not opened)

    def _hide_content(self) -> None:
        children = [one for one in self.children() if isinstance(one, QtWidgets.QWidget) and not one.isHidden()]
        self._folded += children
        for child in children:
            child.hide()

    def showEvent(self, event: Any) -> None:
        # What was put in meanwhile.
        if not self.isChecked():
            self._hide_content()
        super().showEvent(event)

    def hitButton(self, place: Any) -> bool:
        return place.y() < HEADER

    def sizeHint(self) -> Any:
        content = self.layout().totalSizeHint() if self.layout() is not None else QtCore.QSize(0, HEADER)
        return (
            content.expandedTo(QtCore.QSize(0, HEADER)) if self.isChecked() else QtCore.QSize(content.width(), HEADER)
        )

    def minimumSizeHint(self) -> Any:
        return self.sizeHint()

    def paintEvent(self, event: Any) -> None:
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width(), HEADER)
        painter = QtGui.QPainter(self)
        self.style().drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option, painter, self)
        text = ("▾  " if self.isChecked() else "▸  ") + self.text()
        painter.setPen(self.palette().buttonText().color())
        painter.drawText(option.rect.adjusted(8, 0, -8, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, text)
        painter.end()


class qMRMLWidget(QtWidgets.QWidget):
    """A widget that knows the scene."""

    mrmlSceneChanged = Signal(object)
    signalNames = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged(PyObject)"}  # noqa: RUF012

    def mrmlScene(self) -> Any:
        return getattr(self, "_scene", None)

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Chooses a node of the scene by its name."""

    currentNodeChanged = Signal((object,), (bool,))  # type: ignore[arg-type]
    currentNodeIDChanged = Signal(str)
    signalNames = {"currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged(PyObject)"}  # noqa: RUF012

    nodeTypes = kept("QStringList", "nodeTypes", [])
    addEnabled = kept(bool, "addEnabled", True)
    removeEnabled = kept(bool, "removeEnabled", True)
    renameEnabled = kept(bool, "renameEnabled", False)
    editEnabled = kept(bool, "editEnabled", False)
    showHidden = kept(bool, "showHidden", False)
    selectNodeUponCreation = kept(bool, "selectNodeUponCreation", True)
    baseName = kept(str, "baseName", "")
    noneEnabled = kept(bool, "noneEnabled", False)
    noneDisplay = kept(str, "noneDisplay", "None")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._observers: list[tuple[Any, int]] = []
        self._current: str | None = None
        self._filling = False
        self._combo = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.currentIndexChanged.connect(self._on_index)
        self.destroyed.connect(_remover(self._observers))

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        _remover(self._observers)()
        self._scene = scene
        if scene is not None:
            for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndBatchProcessEvent):
                self._observers.append((scene, scene.AddObserver(event, lambda *_event: self._fill())))
        self._fill()

    def nodeCount(self) -> int:
        return len(self._nodes())

    def currentNode(self) -> Any:
        return None if self._scene is None or self._current is None else self._scene.GetNodeByID(self._current)

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(None if node is None else node.GetID())

    def _get_id(self) -> str:
        return self._current or ""

    def setCurrentNodeID(self, nodeID: str | None) -> None:
        wanted = nodeID if nodeID and self._scene is not None and self._scene.GetNodeByID(nodeID) else None
        self._choose(wanted)

    currentNodeID = Property(str, _get_id, setCurrentNodeID)

    def _nodes(self) -> list[Any]:
        if self._scene is None:
            return []
        found = [node for kind in self.nodeTypes for node in slicer.util.getNodesByClass(kind, self._scene)]
        return [node for node in found if self.showHidden or not node.GetHideFromEditors()]

    def _fill(self) -> None:
        if self._scene is None or self._scene.IsBatchProcessing():
            return
        nodes = self._nodes()
        ids = [node.GetID() for node in nodes]
        current = self._current if self._current in ids else None
        if current is None and not self.noneEnabled and ids:
            current = ids[0]
        self._filling = True
        self._combo.clear()
        if self.noneEnabled or not ids:
            self._combo.addItem(self.noneDisplay, None)
        for node in nodes:
            self._combo.addItem(node.GetName(), node.GetID())
        self._filling = False
        self._choose(current)

    def _choose(self, nodeID: str | None) -> None:
        changed, self._current = nodeID != self._current, nodeID
        self._filling = True
        self._combo.setCurrentIndex(max(self._combo.findData(nodeID), 0 if nodeID is None else -1))
        self._filling = False
        if changed:
            self.currentNodeChanged[object].emit(self.currentNode())
            self.currentNodeChanged[bool].emit(nodeID is not None)
            self.currentNodeIDChanged.emit(nodeID or "")

    def _on_index(self, index: int) -> None:
        if not self._filling:
            self._choose(self._combo.itemData(index))


def _remover(observers: list[tuple[Any, int]]) -> Callable[..., None]:
    def remove(*_destroyed: Any) -> None:
        for subject, tag in observers:
            subject.RemoveObserver(tag)
        observers.clear()

    return remove


CTK = (ctkCollapsibleButton,)
MRML = (qMRMLWidget, qMRMLNodeComboBox)
