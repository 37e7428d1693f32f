"""Which dialogue is in view: layouts, several volumes, scenes that are added, and what the user does meanwhile."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from MediRoundSlicerLib import SliceCapture
from MediRoundSlicerLib.Conversation import Conversation
from MediRoundSlicerLib.DialogueStore import PARAMETER
from talk import LUNG


def node(talk: Any, k: int = 0) -> Any:
    """The node of the k-th dialogue."""
    return talk.conversation.stored()[k].node


def test_a_view_that_leaves_the_screen_is_followed_no_more(talk: Any) -> None:
    SliceCapture.sliceNode("Red").SetMappedInLayout(0)
    assert talk.conversation.viewName == "Green"
    assert "Coronal" in talk.conversation.place
    SliceCapture.sliceNode("Red").SetMappedInLayout(1)
    assert talk.conversation.viewName == "Green"


def test_a_view_that_comes_anew_is_followed(talk: Any) -> None:
    for name in ("Red", "Green", "Yellow"):
        slicer.mrmlScene.RemoveNode(SliceCapture.sliceNode(name))
    assert talk.conversation.place == ""
    view = slicer.vtkMRMLSliceNode()
    view.SetLayoutName("Red")
    view.SetMappedInLayout(1)
    slicer.mrmlScene.AddNode(view)
    composite = slicer.vtkMRMLSliceLogic.GetSliceCompositeNode(view)
    composite.SetBackgroundVolumeID(talk.volume.GetID())
    assert talk.conversation.place.startswith("CT chest")


def test_another_name_of_the_volume_is_shown(talk: Any) -> None:
    talk.volume.SetName("Case 7")
    assert talk.conversation.place == "Case 7 · Axial 3"


def test_a_dialogue_is_shown_in_its_own_view(talk: Any) -> None:
    talk.round(LUNG)
    axial = talk.conversation.current
    talk.conversation.setView("Yellow")
    orientation = SliceCapture.sliceNode("Yellow").GetOrientation()
    talk.conversation.select(axial.id)
    assert talk.conversation.viewName == "Red"
    assert talk.conversation.current == axial
    assert SliceCapture.sliceNode("Yellow").GetOrientation() == orientation


def test_a_new_dialogue_is_for_the_slice_where_it_was_wanted(talk: Any) -> None:
    talk.round(LUNG)
    talk.slice(4)
    talk.round("Segment the heart.", 1)
    talk.conversation.newDialogue()
    assert talk.rounds == []
    talk.slice(2)
    assert [done.name for done in talk.rounds] == ["left lung"]


def test_an_answer_does_not_call_back_who_went_to_another_dialogue(talk: Any) -> None:
    talk.round(LUNG)
    first = talk.conversation.current
    talk.conversation.ask("Segment the heart.")
    talk.conversation.newDialogue()
    talk.engine.reply()
    assert talk.rounds == []
    assert "Axial 3" in talk.notices[-1]
    talk.round("Segment the aorta.", 2)
    talk.conversation.ask("Segment the vein.")
    talk.conversation.select(first.id)
    talk.engine.reply()
    assert [done.name for done in talk.rounds] == ["left lung", "heart"]


def test_a_dialogue_whose_volume_is_gone_can_be_read(talk: Any) -> None:
    talk.round(LUNG)
    slicer.mrmlScene.RemoveNode(talk.volume)
    assert talk.rounds == []
    talk.conversation.select(talk.conversation.dialogues()[0].id)
    assert "was deleted" in talk.failures[-1]
    assert [done.query for done in talk.rounds] == [LUNG]
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
    assert [done.query for done in talk.rounds] == [LUNG]
    other = slicer.util.addVolumeFromArray(np.zeros((6, 40, 60), np.int16), name="MR")
    other.CreateDefaultDisplayNodes()
    talk.host.show(other)
    assert talk.rounds == []


def test_an_answer_about_another_volume_says_which(talk: Any) -> None:
    talk.conversation.ask(LUNG)
    other = slicer.util.addVolumeFromArray(np.zeros((6, 40, 60), np.int16), name="MR")
    talk.host.show(other)
    talk.engine.reply()
    assert talk.rounds == []
    assert talk.notices[-1] == "The answer is on CT chest · Axial 3."


def test_a_dialogue_about_an_oblique_slice(talk: Any) -> None:
    view = SliceCapture.sliceNode("Red")
    view.SetSliceToRASByNTP(0.3, 0.2, 0.93, 1, 0, 0, 60, 40, 12, 0)
    view.UpdateMatrices()
    first = talk.round(LUNG)
    second = talk.round("Segment the other lung.", 1)
    assert talk.rounds == [first, second]
    assert talk.conversation.current.plane.pixelToIJK is None
    assert talk.conversation.dialogues() == [talk.conversation.current]


def test_a_slab_is_captured_in_every_round(talk: Any) -> None:
    view = SliceCapture.sliceNode("Red")
    view.SlabReconstructionEnabledOn()
    view.SetSlabReconstructionThickness(15.0)
    talk.round(LUNG)
    talk.round("Segment the heart.", 1)
    first, second = talk.engine.requests
    assert first.imageKey == second.imageKey


def test_segments_that_come_back_are_shown(talk: Any) -> None:
    talk.round(LUNG)
    segmentation = talk.conversation.segmentationNode.GetSegmentation()
    changes: list[bool] = []
    talk.conversation.dialogueChanged.connect(lambda: changes.append(True))
    segmentation.AddEmptySegment("drawn", "drawn")
    assert changes


def test_a_segmentation_moves_with_its_volume(talk: Any) -> None:
    talk.round(LUNG)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    talk.volume.SetAndObserveTransformNodeID(transform.GetID())
    assert talk.conversation.segmentationNode.GetParentTransformNode() is transform
    assert [done.query for done in talk.rounds] == [LUNG]


def test_a_scene_that_is_added_twice_has_two_dialogues(talk: Any, tmp_path: Path) -> None:
    first = talk.round(LUNG)
    path = str(tmp_path / "scene.mrb")
    talk.host.saveScene(path)
    assert slicer.mrmlScene.ReadFromMRB(path, False)
    kept, added = talk.conversation.stored()
    assert kept.dialogue.id != added.dialogue.id
    assert (kept.dialogue.begun, added.dialogue.begun) == (1, 2)
    assert kept.volume is talk.volume
    assert added.volume is not kept.volume
    assert added.segmentation is not kept.segmentation
    talk.conversation.select(added.dialogue.id)
    talk.round("Segment the heart.", 1)
    assert [len(one.rounds) for one in talk.conversation.dialogues()] == [1, 2]
    assert talk.conversation.dialogues()[0].rounds == (first,)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 99},
        {"rounds": 3},
        {"begun": "first"},
        {"plane": None},
        {"rounds": [{"id": 1}]},
    ],
)
def test_a_dialogue_that_cannot_be_read_is_said_once(talk: Any, changes: dict[str, Any]) -> None:
    talk.round(LUNG)
    text = json.dumps({**json.loads(node(talk).GetParameter(PARAMETER)), **changes})
    node(talk).SetParameter(PARAMETER, text)
    other = Conversation(talk.engine)
    other.failed.connect(talk.failures.append)
    other.setView("Red")
    assert other.dialogues() == []
    other.tellProblems()
    other.tellProblems()
    assert len(talk.failures) == 1
    assert ("later version" if "version" in changes else "damaged") in talk.failures[0]
    other.close()


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "no JSON", '{"version": "1"}'])
def test_what_is_no_dialogue_is_left_out(talk: Any, text: str) -> None:
    talk.round(LUNG)
    node(talk).SetParameter(PARAMETER, text)
    assert talk.conversation.dialogues() == []
    talk.slice(3)
    assert talk.rounds == []


def test_a_damaged_mask_is_said(talk: Any) -> None:
    talk.round(LUNG)
    dialogue = talk.conversation.current
    damaged = dataclasses.replace(dialogue.rounds[0], referenceMask="40 60 AAAA")
    stored = talk.conversation.stored()[0]
    talk.conversation.store.put(dialogue.withRound(damaged), stored.volume, stored.segmentation)
    talk.slice(3)
    talk.slice(2)
    assert not talk.conversation.ask("Segment the heart.")
    assert "damaged" in talk.failures[-1]


def test_rounds_that_are_undone_leave_nothing(talk: Any) -> None:
    talk.round(LUNG)
    current = talk.conversation._current

    def count() -> tuple[int, ...]:
        return slicer.mrmlScene.GetNumberOfNodes(), len(current.Observations), len(current.view.Observations)

    before = count()
    for _ in range(40):
        talk.round("Segment the heart.", 1)
        talk.conversation.undo()
    assert count() == before
    assert talk.names == ["Left lung (round 1)"]
