"""A scripted module as Slicer's template has it, with one of each widget: the tests of the host open it."""

from typing import Annotated, Any

import qt
import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

started: list[str] = []


class HostSample(ScriptedLoadableModule):
    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Host sample")
        self.parent.categories = ["Examples"]
        slicer.app.connect("startupCompleted()", lambda: started.append("startup"))


@parameterNodeWrapper
class HostSampleParameterNode:
    text: str = "first"
    flag: bool
    share: Annotated[float, WithinRange(0, 1)] = 0.6
    mode: Annotated[str, Choice(["a", "b", "c"]), Default("b")]
    volume: vtkMRMLScalarVolumeNode


class HostSampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.log: list[str] = []

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/HostSample.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = HostSampleLogic()
        wrapped: Any = HostSampleParameterNode
        self.node = wrapped(self.logic.getParameterNode())
        self.tag = self.node.connectGui(self.ui)
        menu = qt.QMenu(self.ui.menuButton)
        menu.addAction("One").connect("triggered()", lambda: self.log.append("one"))
        menu.addMenu("More").addAction("Two").connect("triggered()", lambda: self.log.append("two"))
        self.ui.menuButton.setMenu(menu)
        self.ui.menuButton.setPopupMode(qt.QToolButton.InstantPopup)
        self.ui.save.connect("clicked()", self.onSave)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)

    def onSave(self) -> None:
        with slicer.util.tryWithErrorDisplay("Failed."):
            if slicer.util.confirmYesNoDisplay("Overwrite?"):
                self.log.append(qt.QFileDialog.getSaveFileName(self.parent, "Save", "", "*.html"))
            else:
                raise ValueError("refused")

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        self.log.append("close")

    def enter(self) -> None:
        self.log.append("enter")

    def exit(self) -> None:
        self.log.append("exit")

    def cleanup(self) -> None:
        self.log.append("cleanup")
        self.node.disconnectGui(self.tag)
        self.removeObservers()


class HostSampleLogic(ScriptedLoadableModuleLogic):
    pass


class HostSampleTest(ScriptedLoadableModuleTest):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def test_one(self) -> None:
        self.delayDisplay("one")
        started.append("test_one")
