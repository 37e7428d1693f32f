import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from slicer import vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# The engine's library lies beside the module where the extension is installed, and one folder up in a clone. That one
# belongs to this module, whatever else is installed in Slicer's Python.
_here = Path(__file__).resolve().parent
_library = next((str(folder) for folder in (_here, _here.parent) if (folder / "MediRoundLib").is_dir()), None)
if _library is not None and _library not in sys.path:
    sys.path.insert(0, _library)

# The other rooms of MediRoundSlicerLib are imported where they are first used: this file is read at every start of
# Slicer, by everyone who has the extension.
from MediRoundSlicerLib.SampleStudies import registerSampleData  # noqa: E402

#
# MediRoundSlicer
#


class MediRoundSlicer(ScriptedLoadableModule):
    """What Slicer shows of the module in its list."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("MediRound")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Segmentations"]
        self.parent.contributors = ["MediRoundSlicer contributors"]
        self.parent.helpText = _(
            "Talk to a slice, round by round: <i>segment the left kidney</i>, then <i>the other kidney</i> or <i>the "
            "tumour in instance 1</i>. Every answer becomes a named segment that later queries can refer to. Images "
            "and dialogues stay on this computer.<br><b>For education and research, not for diagnosis.</b>"
        )
        self.parent.acknowledgementText = _(
            "MediRound is described in arXiv 2511.12110. The engine stands on PyTorch, Transformers and "
            "segment-anything; the licences of a checkpoint are shown in the settings."
        )
        # Additional initialization step after application startup is complete
        slicer.app.connect("startupCompleted()", registerSampleData)


#
# MediRoundSlicerParameterNode
#


@parameterNodeWrapper
class MediRoundSlicerParameterNode:
    """
    viewName - The slice view that is asked about.
    segmentation - Where new dialogues put their segments, or none for one of each volume's own.
    """

    viewName: str = "Red"
    segmentation: vtkMRMLSegmentationNode


#
# MediRoundSlicerWidget
#


class MediRoundSlicerWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel of the module; what is on it is ChatPanel's."""

    def __init__(self, parent: Any = None) -> None:
        """Called when the user opens the module the first time and the widget is initialized."""
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)  # needed for parameter node observation
        self.logic: Any = None
        self.panel: Any = None
        self._parameterNode: Any = None
        self._parameterNodeGuiTag: Any = None

    def setup(self) -> None:
        """Called when the user opens the module the first time and the widget is initialized."""
        ScriptedLoadableModuleWidget.setup(self)

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MediRoundSlicer.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)

        from MediRoundSlicerLib.Ahead import REST_MS, Ahead
        from MediRoundSlicerLib.ChatPanel import ChatPanel
        from MediRoundSlicerLib.FirstUse import FirstUse
        from MediRoundSlicerLib.Later import Later
        from MediRoundSlicerLib.SettingsPanel import SettingsPanel

        # Create logic class. It is usable without this widget; here a timer gathers the many events of a scrolled view.
        self.later = Later(uiWidget)
        self.logic = MediRoundSlicerLogic(self.later)
        self.panel = ChatPanel(uiWidget, self.ui, self.logic.conversation)
        self.settingsPanel = SettingsPanel(self.logic.settings, self.logic.engine)
        self.ui.settingsCollapsibleButton.layout().addWidget(self.settingsPanel.widget)
        self.firstUse = FirstUse(self.logic.settings, self.logic.engine)
        self.ui.installArea.layout().addWidget(self.firstUse.widget)
        self.ui.installArea.layout().addStretch(1)
        self.resting = Later(uiWidget, REST_MS, rests=True)
        self.ahead = Ahead(self.logic.conversation, self.resting)

        self.logic.conversation.placeChanged.connect(self.onPlaceChanged)
        self.firstUse.wanted.connect(self.panel.showInstall)
        self.ui.settingsCollapsibleButton.connect("contentsCollapsed(bool)", self.onSettingsCollapsed)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)

        # Make sure parameter node is initialized (needed for module reload)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Called when the application closes and the module widget is destroyed."""
        self.setParameterNode(None)
        self.removeObservers()
        if self.panel is not None:
            self.later.stop()
            self.resting.stop()
            self.ahead.close()
            self.firstUse.close()
            self.settingsPanel.close()
            self.logic.conversation.placeChanged.disconnect(self.onPlaceChanged)
            self.panel.close()
            self.logic.close()
            self.panel = None

    def onReload(self) -> None:
        """Called by the developer's Reload button, which knows of this file alone."""
        for name in [known for known in sys.modules if known.partition(".")[0] == "MediRoundSlicerLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()
        self.panel.refresh()
        self.ahead.begin(self.firstUse.look())
        self.panel.input.focus()

    def exit(self) -> None:
        """Called each time the user opens a different module."""
        self.ahead.end()
        self.setParameterNode(None)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """Called just before the scene is closed."""
        self.setParameterNode(None)

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """Called just after the scene is closed."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Ensure parameter node exists and observed."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, inputParameterNode: MediRoundSlicerParameterNode | None) -> None:
        """Set and observe parameter node: when it is changed then the GUI must be updated immediately."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self._parameterNode = inputParameterNode
        if self._parameterNode:
            # The chooser of the segmentation has the property "SlicerParameterName"; the views' is the panel's own.
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
            self.onParameterNodeModified()

    def onParameterNodeModified(self, caller: Any = None, event: Any = None) -> None:
        """A scene was opened, or the user chose a segmentation."""
        conversation = self.logic.conversation
        if self._parameterNode.viewName != conversation.viewName:
            conversation.setView(self._parameterNode.viewName)
        conversation.setSegmentation(self._parameterNode.segmentation)

    def onPlaceChanged(self) -> None:
        """The user chose another view, or the layout or a dialogue did."""
        name = self.logic.conversation.viewName
        if self._parameterNode and self._parameterNode.viewName != name:
            self._parameterNode.viewName = name

    def onSettingsCollapsed(self, collapsed: bool) -> None:
        if not collapsed:
            self.settingsPanel.lookForDevices()


#
# MediRoundSlicerLogic
#


class MediRoundSlicerLogic(ScriptedLoadableModuleLogic):
    """Everything but the panel; usable without it.

    ```
    logic = MediRoundSlicerLogic()
    logic.conversation.setView("Red")
    logic.conversation.ask("Segment the left kidney.")      # returns at once; dialogueChanged comes with the answer
    logic.close()
    ```

    Args:
        later: calls a function soon, once for many calls in a row; None calls it now.
    """

    def __init__(self, later: Callable[[Callable[[], None]], None] | None = None) -> None:
        """Called when the logic class is instantiated. The first query starts the engine at the latest."""
        from MediRoundSlicerLib.Conversation import Conversation
        from MediRoundSlicerLib.EngineProcess import EngineProcess
        from MediRoundSlicerLib.SettingsStore import SettingsStore

        ScriptedLoadableModuleLogic.__init__(self)
        self.settings = SettingsStore()
        self.engine = EngineProcess()
        self.engine.configure(self.settings.engineSettings())
        self.conversation = Conversation(self.engine, later)

    def getParameterNode(self) -> MediRoundSlicerParameterNode:
        node = super().getParameterNode()
        return MediRoundSlicerParameterNode(node)  # type: ignore[call-arg]  # the decorator adds it

    def close(self) -> None:
        """End the engine's process and stop observing the scene."""
        self.conversation.close()


#
# MediRoundSlicerTest
#


class MediRoundSlicerTest(ScriptedLoadableModuleTest):
    """The module's test case, run by Reload and Test, by CTest and by the tests of the repository."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def test_logicFollowsTheView(self) -> None:
        """The logic says what the slice view shows, and why nothing can be asked where it shows nothing."""
        logic = MediRoundSlicerLogic()
        logic.conversation.setView("Red")
        assert (logic.conversation.place, bool(logic.conversation.hint)) == ("", True)
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Study")
        slicer.util.updateVolumeFromArray(volume, np.zeros((4, 8, 8), np.int16))
        volume.CreateDefaultDisplayNodes()
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        assert "Study" in logic.conversation.place
        logic.close()

    def test_traineesPath(self) -> None:
        """Rounds on two slices, an edit, undo, saving, reopening, exports: through the panel, with the real engine."""
        sys.path.append(str(_here / "Testing" / "Python"))
        from MediRoundSlicerHand import Hand
        from MediRoundSlicerJourney import Journey
        from MediRoundSlicerLib.SampleStudies import STUDIES, showInWindow

        volume = slicer.util.loadVolume(str(STUDIES[0].path))
        showInWindow(volume)
        slicer.util.selectModule("MediRoundSlicer")
        with tempfile.TemporaryDirectory() as folder:
            Journey(slicer.modules.MediRoundSlicerWidget, volume, Path(folder), Hand()).walk()
