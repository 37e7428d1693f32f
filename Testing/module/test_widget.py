"""The module's widget in its host: scene, parameter node, reload, first use. No engine is started here."""

from typing import Any

import numpy as np
import pytest
import slicer


@pytest.fixture(autouse=True)
def unstarted(monkeypatch: pytest.MonkeyPatch) -> None:
    from MediRoundSlicerLib.EngineProcess import EngineProcess

    monkeypatch.setattr(EngineProcess, "startQuietly", lambda self: None)


@pytest.fixture
def widget(host: Any) -> Any:
    return host.openModule()


def load(host: Any, name: str = "CT chest") -> Any:
    """A volume in every slice view."""
    volume = slicer.util.addVolumeFromArray(np.zeros((6, 8, 10), np.int16), name=name)
    volume.CreateDefaultDisplayNodes()
    host.show(volume)
    return volume


def test_the_place_follows_the_view(host: Any, widget: Any) -> None:
    assert widget.ui.contextLabel.text == "The Red view shows no volume; load a study, or choose a volume for the view."
    load(host)
    host.wait(lambda: widget.ui.placeLabel.text.startswith("CT chest · Axial"), 2, "the place")
    before = widget.ui.placeLabel.text
    host.sliceLogics["Red"].SetSliceOffset(1.0)
    host.wait(lambda: widget.ui.placeLabel.text != before, 2, "the place of another slice")


def test_the_chosen_view_is_saved_with_the_scene(host: Any, widget: Any, tmp_path: Any) -> None:
    load(host)
    host.select(widget.ui.viewSelector, "Yellow")
    assert widget.logic.getParameterNode().viewName == "Yellow"
    assert "Sagittal" in widget.ui.placeLabel.text
    path = str(tmp_path / "scene.mrml")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(0)
    host.wait(lambda: widget.ui.viewSelector.currentText == "Red", 2, "the first view")
    slicer.util.loadScene(path)
    host.wait(lambda: widget.ui.viewSelector.currentText == "Yellow", 2, "the chosen view")


def test_a_chosen_segmentation_is_used(host: Any, widget: Any) -> None:
    load(host)
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    assert widget.logic.conversation.segmentationNode is None
    widget.ui.segmentationSelector.setCurrentNode(mine)
    assert widget.logic.getParameterNode().segmentation is mine
    assert widget.logic.conversation.segmentationNode is mine
    slicer.mrmlScene.RemoveNode(mine)
    assert widget.logic.conversation.segmentationNode is None


def test_a_closed_scene_leaves_an_empty_panel(host: Any, widget: Any) -> None:
    load(host)
    host.wait(lambda: widget.ui.placeLabel.text.startswith("CT"), 2, "the place")
    slicer.mrmlScene.Clear(0)
    host.wait(lambda: widget.ui.placeLabel.text == "No volume in this view", 2, "an empty panel")
    load(host, "MR head")
    host.wait(lambda: widget.ui.placeLabel.text.startswith("MR head"), 2, "the place")


def test_a_scene_closed_while_another_module_is_shown(host: Any, widget: Any) -> None:
    load(host)
    host.leaveModule()
    slicer.mrmlScene.Clear(0)
    load(host, "MR head")
    host.enterModule()
    host.wait(lambda: widget.ui.placeLabel.text.startswith("MR head"), 2, "the place")
    assert widget.ui.queryEdit.hasFocus()


def test_a_reloaded_module_leaves_nothing_behind(host: Any, widget: Any) -> None:
    load(host)
    conversation, settings = widget.logic.conversation, widget.logic.settings
    again = host.reload()
    assert again is not widget
    assert widget.panel is None
    engine = conversation.engine
    signals = [one for owner in (conversation, engine, settings) for one in vars(owner).values()]
    left = [one._slots for one in signals if type(one).__name__ == "Signal" and one._slots]
    assert left == []
    host.wait(lambda: again.ui.placeLabel.text.startswith("CT chest"), 2, "the place")


def test_the_devices_are_looked_for_when_the_settings_are_opened(host: Any, widget: Any, monkeypatch: Any) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(widget.logic.engine, "listDevices", lambda: asked.append(True))
    widget.ui.settingsCollapsibleButton.collapsed = False
    host.turn()
    assert asked == [True]
    assert widget.settingsPanel.widget.visible


def test_first_use_shows_the_installation_and_then_the_chat(host: Any, monkeypatch: Any) -> None:
    from MediRoundSlicerLib.Packages import TORCH, Packages

    missing = [TORCH]
    monkeypatch.setattr(Packages, "missing", lambda self: tuple(missing))
    widget = host.openModule()
    assert widget.ui.installArea.visible
    assert not widget.ui.inputArea.visible
    started: list[bool] = []
    monkeypatch.setattr(widget.logic.engine, "start", lambda: started.append(True))
    missing.clear()
    widget.firstUse._panel.installed.emit()
    assert not widget.ui.installArea.visible
    assert widget.ui.inputArea.visible
    assert started == [True]


def test_another_python_takes_the_place_of_an_installation(host: Any, monkeypatch: Any, tmp_path: Any) -> None:
    from MediRoundSlicerLib.Packages import TORCH, Packages

    monkeypatch.setattr(Packages, "missing", lambda self: () if self._store.values.python else (TORCH,))
    widget = host.openModule()
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    widget.firstUse._panel.pythonChosen.emit(str(python))
    assert widget.logic.settings.values.python == str(python)
    assert widget.logic.engine.settings.python == str(python)
    assert not widget.ui.installArea.visible
    # Its process tells what it lacks.
    widget.logic.engine.packagesMissing.emit(["torch"])
    assert widget.ui.installArea.visible
    started: list[bool] = []
    monkeypatch.setattr(widget.logic.engine, "start", lambda: started.append(True))
    widget.firstUse._panel.pythonChosen.emit(str(python))
    assert started == [True]
    assert not widget.ui.installArea.visible
    # Slicer's own again: it lacks the packages as before.
    widget.firstUse._panel.pythonChosen.emit("")
    assert widget.ui.installArea.visible


def test_the_logic_needs_no_panel(scene: Any) -> None:
    from MediRoundSlicer import MediRoundSlicerLogic

    logic = MediRoundSlicerLogic()
    logic.conversation.setView("Red")
    load(scene)
    assert logic.conversation.place.startswith("CT chest")
    logic.close()


def test_the_view_that_a_dialogue_or_the_layout_chose_is_kept(host: Any, widget: Any) -> None:
    load(host)
    slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed").SetMappedInLayout(0)
    host.wait(lambda: widget.ui.viewSelector.currentText == "Green", 2, "a view on the screen")
    assert widget.logic.getParameterNode().viewName == "Green"
    widget.ui.segmentationSelector.setCurrentNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
    assert widget.logic.conversation.viewName == "Green"
