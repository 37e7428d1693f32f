"""What the user can do, on the real scene, with an engine that answers when the test says so."""

from typing import Any

import numpy as np
import pytest
import slicer
from fake_engine import FakeEngine, square
from MediRoundSlicerLib import SegmentStore, Understanding
from MediRoundSlicerLib.Conversation import Conversation
from MediRoundSlicerLib.Dialogues import Reference
from slicer.util import addVolumeFromArray, updateVolumeFromArray
from talk import LUNG, OTHER


def test_a_round_becomes_a_named_segment(talk: Any) -> None:
    done = talk.round(LUNG)
    assert talk.names == ["Left lung (round 1)"]
    assert (done.number, done.name, done.reference) == (1, "left lung", None)
    np.testing.assert_array_equal(talk.mask(done), square((40, 60)))
    assert talk.conversation.place == "CT chest · Axial 3"
    tags = talk.conversation.segmentationNode.GetSegmentation().GetSegment(done.segmentID)
    from vtk import reference

    value = reference("")
    assert tags.GetTag("MediRound.Query", value)
    assert str(value) == LUNG


def test_later_rounds_lean_on_the_mask_as_it_is_now(talk: Any) -> None:
    first = talk.round(LUNG)
    edited = square((40, 60), 3)
    SegmentStore.writePlane(
        talk.conversation.segmentationNode, first.segmentID, talk.volume, talk.conversation.current.plane, edited
    )
    assert talk.conversation.understood(OTHER).label == "round 1 · left lung"
    second = talk.round(OTHER)
    np.testing.assert_array_equal(talk.engine.requests[-1].reference, edited)
    assert [told.query for told in talk.engine.requests[-1].history] == [LUNG]
    assert second.reference.roundID == first.id
    assert talk.names == ["Left lung (round 1)", "Right lung (round 2)"]


def test_the_history_told_again_keeps_the_mask_of_its_time(talk: Any) -> None:
    first = talk.round(LUNG)
    talk.round(OTHER)
    plane = talk.conversation.current.plane
    SegmentStore.writePlane(
        talk.conversation.segmentationNode, first.segmentID, talk.volume, plane, square((40, 60), 9)
    )
    talk.round("Segment the heart.")
    np.testing.assert_array_equal(talk.engine.requests[-1].history[1].reference, square((40, 60)))


def test_the_users_choice_beats_the_words(talk: Any) -> None:
    first, second = talk.round(LUNG), talk.round("Segment the heart.", 1)
    chosen = Reference(second.segmentID, second.id, chosen=True)
    talk.round("Segment the other lung with reference to instance 1.", reference=chosen)
    np.testing.assert_array_equal(talk.engine.requests[-1].reference, talk.mask(second))
    talk.round("Segment the vessel beside instance 1.", reference=None)
    assert talk.engine.requests[-1].reference is None
    assert first.number == 1


def test_a_renamed_segment_is_called_by_its_new_name(talk: Any) -> None:
    first = talk.round(LUNG)
    talk.round("Segment the heart.", 1)
    talk.conversation.rename(first.id, "Ghost region")
    found = talk.conversation.understood("Segment the vessel based on the ghost region.")
    assert found.reference.roundID == first.id
    talk.conversation.undo()
    assert "Left lung (round 1)" in talk.names


def test_segments_that_the_user_drew_can_be_leaned_on(talk: Any) -> None:
    segmentID = talk.draw("Left lung", square((40, 60), 2))
    talk.round("Segment the tumor draft based on the left lung.")
    assert talk.rounds[0].reference.segmentID == segmentID
    np.testing.assert_array_equal(talk.engine.requests[-1].reference, square((40, 60), 2))


def test_the_other_of_a_drawn_segment(talk: Any) -> None:
    segmentID = talk.draw("left lung", square((40, 60), 2))
    done = talk.round(OTHER)
    assert done.reference.segmentID == segmentID
    assert done.name == "right lung"


def test_the_likest_of_rounds_and_drawn_segments_is_leaned_on(talk: Any) -> None:
    drawn = talk.draw("left lung", square((40, 60), 2))
    first = talk.round("Segment the lesion.")
    talk.round("Segment the heart.", 1)
    draft = talk.draw("lesion draft", square((40, 60), 3))
    assert talk.conversation.understood(OTHER).reference.segmentID == drawn
    assert talk.conversation.understood("Segment the vessel based on lesion draft.").reference.segmentID == draft
    assert talk.conversation.understood("Segment the vessel based on the lesion.").reference.roundID == first.id
    assert talk.conversation.understood("Segment its border.").label == "round 2 · heart"


def test_words_lean_on_no_segment_of_another_slice(talk: Any) -> None:
    talk.draw("left lung", square((40, 60)))
    talk.slice(4)
    assert not talk.conversation.ask(OTHER)
    assert "no round yet" in talk.failures[-1]


def test_a_segment_that_is_not_on_this_slice_is_refused(talk: Any) -> None:
    talk.draw("Ghost region", square((40, 60)))
    talk.slice(4)
    assert not talk.conversation.ask("Segment the vessel based on the ghost region.")
    assert "nothing on this slice" in talk.failures[-1]


def test_a_segmentation_of_surfaces_is_refused_before_anything_is_asked(talk: Any) -> None:
    import vtk

    sphere = vtk.vtkSphereSource()
    sphere.Update()
    surfaces = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Surfaces")
    surfaces.SetSourceRepresentationToClosedSurface()
    surfaces.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "Ball")
    talk.conversation.setSegmentation(surfaces)
    assert not talk.conversation.ask(LUNG)
    assert "are surfaces" in talk.failures[-1]
    assert talk.engine.requests == []


@pytest.mark.parametrize(
    ("query", "says"),
    [("", "empty"), ("   ", "empty"), ("Segment the lung near instance 3.", "no round 3"), (OTHER, "no round yet")],
)
def test_what_cannot_be_asked_is_said(talk: Any, query: str, says: str) -> None:
    assert not talk.conversation.ask(query)
    assert says in talk.failures[-1]
    assert talk.engine.requests == []
    assert talk.conversation.pending is None


def test_without_a_volume_there_is_a_hint(host: Any) -> None:
    conversation = Conversation(FakeEngine())
    failures: list[str] = []
    conversation.failed.connect(failures.append)
    conversation.setView("Red")
    assert "load a study" in conversation.hint
    assert not conversation.ask(LUNG)
    assert failures == [conversation.hint]
    conversation.close()


def test_one_round_at_a_time(talk: Any) -> None:
    talk.conversation.ask(LUNG)
    assert not talk.conversation.ask(OTHER)
    assert "still running" in talk.failures[-1]
    talk.conversation.undo()
    assert talk.conversation.pending is not None


def test_a_round_can_be_cancelled_while_the_engine_starts(talk: Any) -> None:
    talk.conversation.ask(LUNG)
    assert talk.conversation.pending.stage == "Starting the engine"
    talk.conversation.cancel()
    assert talk.engine.cancelled == [1]
    assert talk.conversation.pending is None


def test_a_running_round_that_is_given_up_is_said_to_be_unanswered(talk: Any) -> None:
    unanswered: list[bool] = []
    talk.conversation.unanswered.connect(lambda: unanswered.append(True))
    talk.round(LUNG)
    talk.conversation.ask(OTHER)
    talk.conversation.askAgain(talk.rounds[0].id)  # refused
    assert unanswered == []
    talk.conversation.cancel()
    assert unanswered == [True]
    talk.conversation.ask(OTHER)
    talk.engine.failed.emit(3, "memory", "Memory is full.")
    assert unanswered == [True, True]


def test_an_answer_that_cannot_be_written_leaves_nothing(talk: Any, monkeypatch: Any) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("out of luck")

    talk.round(LUNG)
    talk.conversation.ask("Segment the heart.")
    monkeypatch.setattr(SegmentStore, "writePlane", broken)
    talk.engine.reply()
    assert "out of luck" in talk.failures[-1]
    assert talk.names == ["Left lung (round 1)"]
    assert (len(talk.rounds), talk.conversation.pending) == (1, None)


def test_cancel_leaves_everything_as_it_was(talk: Any) -> None:
    talk.round(LUNG)
    talk.conversation.ask("Segment the heart.")
    talk.conversation.cancel()
    assert talk.conversation.pending is None
    assert talk.notices[-1] == "Cancelled."
    talk.engine.reply()  # too late
    assert len(talk.rounds) == 1
    assert talk.names == ["Left lung (round 1)"]


def test_the_mask_goes_to_the_slice_that_was_asked(talk: Any) -> None:
    talk.conversation.ask(LUNG)
    talk.slice(4)
    talk.engine.reply()
    assert talk.rounds == []
    assert "Axial 3" in talk.notices[-1]
    talk.slice(2)
    np.testing.assert_array_equal(talk.mask(talk.rounds[0]), square((40, 60)))
    labelmap = slicer.util.arrayFromSegmentBinaryLabelmap(
        talk.conversation.segmentationNode, talk.rounds[0].segmentID, talk.volume
    )
    assert labelmap.any(axis=(1, 2)).tolist() == [False, False, True, False, False, False]


def test_the_volume_is_deleted_while_a_round_runs(talk: Any) -> None:
    talk.conversation.ask(LUNG)
    slicer.mrmlScene.RemoveNode(talk.volume)
    talk.engine.reply()
    assert "deleted while the round ran" in talk.failures[-1]
    assert talk.conversation.dialogues() == []


def test_the_segmentation_is_deleted_while_a_round_runs(talk: Any) -> None:
    talk.round(LUNG)
    node = talk.conversation.segmentationNode
    talk.conversation.ask("Segment the heart.")
    slicer.mrmlScene.RemoveNode(node)
    talk.engine.reply()
    assert talk.names == ["Heart (round 2)"]
    assert talk.conversation.segmentOf(talk.rounds[0]) is None
    assert not talk.conversation.ask("Segment the vessel beside instance 1.")
    assert "was deleted" in talk.failures[-1]


def test_the_scene_is_closed_while_a_round_runs(talk: Any) -> None:
    talk.round(LUNG)
    talk.conversation.ask("Segment the heart.")
    slicer.mrmlScene.Clear(False)
    assert talk.conversation.pending is None
    talk.engine.reply()
    assert talk.conversation.dialogues() == []
    assert talk.conversation.undoText == ""


def test_undo_and_redo_take_segment_and_chat_together(talk: Any) -> None:
    talk.round(LUNG)
    second = talk.round(OTHER, 1)
    assert talk.conversation.undoText == "Right lung (round 2)"
    talk.conversation.undo()
    assert (len(talk.rounds), talk.names) == (1, ["Left lung (round 1)"])
    talk.conversation.undo()
    assert (talk.rounds, talk.names) == ([], [])
    talk.conversation.redo()
    talk.conversation.redo()
    assert talk.rounds[-1] == second
    np.testing.assert_array_equal(talk.mask(second), square((40, 60), 1))
    assert talk.conversation.redoText == ""


def test_undo_and_redo_keep_what_the_user_drew_meanwhile(talk: Any) -> None:
    first = talk.round(LUNG)
    edited = square((40, 60), 5)
    SegmentStore.writePlane(
        talk.conversation.segmentationNode, first.segmentID, talk.volume, talk.conversation.current.plane, edited
    )
    talk.conversation.undo()
    talk.conversation.redo()
    np.testing.assert_array_equal(talk.mask(first), edited)


def test_ask_again_writes_over_its_own_plane_alone(talk: Any) -> None:
    first = talk.round(LUNG)
    talk.round("Segment the heart.", 1)
    node = talk.conversation.segmentationNode
    talk.slice(4)
    elsewhere = talk.plane
    SegmentStore.writePlane(node, first.segmentID, talk.volume, elsewhere, square((40, 60), 7))
    talk.slice(2)
    assert talk.conversation.askAgain(first.id)
    assert talk.engine.requests[-1].history == ()
    talk.engine.reply(square((40, 60), 4), quality=0.3)
    again = talk.rounds[0]
    assert (again.id, again.number, again.segmentID, again.quality) == (first.id, 1, first.segmentID, 0.3)
    np.testing.assert_array_equal(talk.mask(again), square((40, 60), 4))
    np.testing.assert_array_equal(talk.mask(talk.rounds[1]), square((40, 60), 1))
    np.testing.assert_array_equal(
        SegmentStore.readPlane(node, first.segmentID, talk.volume, elsewhere), square((40, 60), 7)
    )
    talk.conversation.undo()
    np.testing.assert_array_equal(talk.mask(talk.rounds[0]), square((40, 60)))
    assert talk.rounds[0] == first


def test_ask_again_brings_a_deleted_segment_back_for_what_leaned_on_it(talk: Any) -> None:
    first = talk.round(LUNG)
    second = talk.round(OTHER, 1)
    talk.conversation.segmentationNode.GetSegmentation().RemoveSegment(first.segmentID)
    assert not talk.conversation.askAgain(second.id)
    assert "was deleted" in talk.failures[-1]
    assert talk.conversation.askAgain(first.id)
    talk.engine.reply(square((40, 60), 4))
    assert Understanding.label(second.reference, talk.conversation.segments()) == "round 1 · left lung"
    assert talk.conversation.askAgain(second.id)
    np.testing.assert_array_equal(talk.engine.requests[-1].reference, square((40, 60), 4))


def test_undo_goes_on_where_the_user_resampled_the_segment(talk: Any) -> None:
    first = talk.round(LUNG)
    talk.conversation.askAgain(first.id)
    talk.engine.reply(square((40, 60), 4))
    finer = addVolumeFromArray(np.zeros((6, 80, 120), np.int16), name="finer")
    finer.SetSpacing(1.0, 1.0, 5.0)
    node = talk.conversation.segmentationNode
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, first.segmentID, finer)
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, first.segmentID, finer)
    talk.conversation.undo()
    np.testing.assert_array_equal(talk.mask(first), square((40, 60)))
    assert talk.rounds == [first]


def test_ask_again_with_another_reference(talk: Any) -> None:
    first = talk.round(LUNG)
    second = talk.round(OTHER)
    assert talk.conversation.askAgain(second.id, None)
    talk.engine.reply()
    assert talk.rounds[1].reference is None
    assert first == talk.rounds[0]


def test_a_branch_leaves_the_old_dialogue(talk: Any) -> None:
    first = talk.round(LUNG)
    second = talk.round(OTHER, 1)
    old = talk.conversation.current
    assert talk.conversation.branch(second.id, "Segment the heart.")
    talk.engine.reply()
    assert [done.query for done in talk.rounds] == [LUNG, "Segment the heart."]
    assert [one.id for one in talk.conversation.dialogues()] == [old.id, talk.conversation.current.id]
    talk.conversation.select(old.id)
    assert [done.id for done in talk.rounds] == [first.id, second.id]
    assert talk.conversation.dialogues()[1].title == "Axial 3, from round 2"
    # The first round's segment is that of both.
    talk.conversation.deleteRound(first.id)
    assert "Left lung (round 1)" in talk.names


def test_deleting_a_round_keeps_the_numbers_of_the_others(talk: Any) -> None:
    first = talk.round(LUNG)
    talk.round("Segment the heart.", 1)
    talk.conversation.deleteRound(first.id)
    assert [done.number for done in talk.rounds] == [2]
    assert talk.names == ["Heart (round 2)"]
    assert talk.conversation.understood("Segment the vessel beside instance 2.").label.startswith("round 2")
    talk.round("Segment the aorta.")
    assert [done.number for done in talk.rounds] == [2, 3]
    talk.conversation.undo()
    talk.conversation.undo()
    assert [done.number for done in talk.rounds] == [1, 2]
    np.testing.assert_array_equal(talk.mask(talk.rounds[0]), square((40, 60)))


def test_dialogues_come_back_with_their_slice(talk: Any) -> None:
    talk.round(LUNG)
    talk.slice(4)
    assert talk.conversation.current is None
    talk.round("Segment the heart.", 1)
    assert [done.number for done in talk.rounds] == [1]
    talk.slice(2)
    assert [done.name for done in talk.rounds] == ["left lung"]
    talk.conversation.newDialogue()
    assert talk.conversation.current is None
    talk.round("Segment the aorta.", 2)
    talk.slice(4)
    talk.slice(2)
    assert [done.name for done in talk.rounds] == ["aorta"]
    assert [one.title for one in talk.conversation.dialogues()] == ["Axial 3", "Axial 5", "Axial 3"]
    talk.conversation.select(talk.conversation.dialogues()[1].id)
    assert talk.conversation.place == "CT chest · Axial 5"
    assert [done.name for done in talk.rounds] == ["heart"]


def test_another_window_is_another_image(talk: Any) -> None:
    talk.round(LUNG)
    talk.volume.GetDisplayNode().SetWindowLevel(100, 50)
    talk.round(OTHER)
    first, second = talk.engine.requests
    assert first.imageKey != second.imageKey
    assert first.dialogueID == second.dialogueID


def test_going_to_a_round_shows_its_slice(talk: Any) -> None:
    first = talk.round(LUNG)
    other = talk.conversation.current
    talk.slice(4)
    talk.conversation.select(other.id)
    talk.conversation.goTo(first.id)
    assert talk.conversation.place == "CT chest · Axial 3"


def test_failures_of_the_engine_leave_the_dialogue(talk: Any) -> None:
    talk.round(LUNG)
    talk.conversation.ask("Segment the heart.")
    talk.engine.failed.emit(2, "memory", "The GPU is full; choose the CPU in Settings.")
    assert talk.failures == ["The GPU is full; choose the CPU in Settings."]
    assert (len(talk.rounds), talk.conversation.pending) == (1, None)


def test_dialogues_survive_saving_as_text(talk: Any) -> None:
    talk.round("请分割左肺。")
    talk.round("分割另一侧肺。", 1)
    dialogue = talk.conversation.current
    assert type(dialogue).fromJSON(dialogue.toJSON()) == dialogue
    assert talk.conversation.queries() == ["请分割左肺。", "分割另一侧肺。"]


def test_a_volume_of_other_values_is_another_image(talk: Any) -> None:
    talk.round(LUNG)
    updateVolumeFromArray(talk.volume, np.zeros((6, 40, 60), np.int16))
    talk.round(OTHER)
    assert talk.engine.requests[0].imageKey != talk.engine.requests[1].imageKey
