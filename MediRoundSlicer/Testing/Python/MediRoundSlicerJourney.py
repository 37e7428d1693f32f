"""A trainee's whole path through the panel: the same in 3D Slicer and in the tests of the repository.

Rounds with references on two slices, one mask edited, undo and redo, a new name, saving, reopening, one more round, and
every export. The engine is the real process with the shipped checkpoint.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from MediRoundSlicerLib import Export, Report, SliceCapture
from MediRoundSlicerLib.Dialogues import Dialogue, unpackMask

LEFT = "Segment the left kidney."
OTHER = "Please segment the other kidney with reference to instance 1."
LIVER = "Segment the liver."
BESIDE = "Segment the structure next to instance 1."
AGAIN = "Segment the tumor of my left kidney."
AFTER = "Based on the output of round 2, segment the other kidney once more."


class Journey:
    """The path, step by step; each step checks what the trainee would see, and raises AssertionError.

    ```
    journey = Journey(moduleWidget, volumeNode, folder, hand)
    journey.walk()
    ```

    Args:
        widget: the module's, with its panel and logic.
        volume: a study that slice views show.
        folder: where the scene and the exports go.
        hand: types, clicks and waits; see MediRoundSlicerHand, or the tests' host.
        look: called with a name when the panel is worth a picture.
    """

    def __init__(
        self, widget: Any, volume: Any, folder: Path, hand: Any, look: Callable[[str], None] = lambda name: None
    ) -> None:
        self.widget = widget
        self.volume = volume
        self.folder = Path(folder)
        self.hand = hand
        self.look = look

    def walk(self) -> None:
        """All steps, in the order in which a trainee takes them."""
        self.twoRoundsOnOneSlice()
        self.twoRoundsOnAnother()
        self.backToTheFirst()
        self.editOneMask()
        self.undoAndRedo()
        before = self.conversation.dialogues()
        self.saveAndReopen()
        assert self.conversation.dialogues() == before, "the dialogues came back as they were"
        self.askOnceMore()
        self.export()

    # ---- what the trainee has before her ----

    @property
    def conversation(self) -> Any:
        return self.widget.logic.conversation

    @property
    def dialogue(self) -> Dialogue:
        current = self.conversation.current
        assert current is not None, "there is a dialogue about the slice in view"
        return current

    @property
    def queries(self) -> list[str]:
        """Of the dialogue in view."""
        return [] if self.conversation.current is None else [done.query for done in self.dialogue.rounds]

    @property
    def ui(self) -> Any:
        return self.widget.ui

    def scroll(self, share: float) -> None:
        """Scroll the Red view to a part of the volume, from 0 at the feet to 1 at the head."""
        bounds = [0.0] * 6
        self.volume.GetRASBounds(bounds)
        wanted = bounds[4] + share * (bounds[5] - bounds[4])
        SliceCapture.sliceNode("Red").SetSliceOffset(wanted)

    def ask(self, query: str) -> Any:
        """Type a query, press Enter, and wait for the round."""
        rounds = 0 if self.conversation.current is None else len(self.dialogue.rounds)
        self.hand.type(self.ui.queryEdit, query)
        self.hand.key(self.ui.queryEdit, "Enter")
        assert self.conversation.pending is not None, self.ui.messageLabel.text
        self.hand.wait(lambda: self.conversation.pending is None, f"an answer to {query}")
        assert len(self.dialogue.rounds) == rounds + 1, self.ui.messageLabel.text
        done = self.dialogue.rounds[-1]
        assert done.query == query
        assert self.conversation.segmentOf(done) is not None
        return done

    def labelmap(self, done: Any) -> Any:
        """(slices, rows, columns) of a round's segment."""
        node = self.conversation.segmentationNode
        return slicer.util.arrayFromSegmentBinaryLabelmap(node, done.segmentID, self.volume)

    # ---- the steps ----

    def twoRoundsOnOneSlice(self) -> None:
        """ "The other kidney" leans on round 1, and the chip says so before it is sent."""
        self.scroll(0.55)
        self.hand.wait(lambda: bool(self.conversation.place), "a slice in view")
        self.look("empty")
        first = self.ask(LEFT)
        assert (first.name, first.number, first.reference) == ("left kidney", 1, None)
        self.hand.type(self.ui.queryEdit, OTHER)
        self.hand.wait(lambda: "1" in self.widget.panel.input.chip.widget.text, "the chip names round 1")
        self.look("typing")
        self.ui.queryEdit.clear()
        second = self.ask(OTHER)
        assert second.reference.roundID == first.id
        assert second.name == "right kidney"
        assert np.array_equal(unpackMask(second.referenceMask), self.masks(first))
        self.look("two_rounds")
        for done in (first, second):
            slices = np.flatnonzero(self.labelmap(done).any(axis=(1, 2)))
            assert slices.tolist() in ([], [self.dialogue.plane.index]), "a mask is on its slice and nowhere else"

    def twoRoundsOnAnother(self) -> None:
        """Another slice begins a dialogue of its own."""
        first = self.dialogue
        self.scroll(0.65)
        self.hand.wait(lambda: self.conversation.current is None, "no dialogue about this slice yet")
        liver = self.ask(LIVER)
        assert self.dialogue.id != first.id
        assert liver.number == 1
        beside = self.ask(BESIDE)
        assert beside.reference.roundID == liver.id
        assert len(self.conversation.dialogues()) == 2
        self.look("another_slice")

    def backToTheFirst(self) -> None:
        """The first dialogue comes back with its slice."""
        self.scroll(0.55)
        self.hand.wait(lambda: self.queries == [LEFT, OTHER], "the dialogue of the slice comes back")

    def editOneMask(self) -> None:
        """The next round leans on the mask as edited, by the segment's new name."""
        first = self.dialogue.rounds[0]
        index = self.dialogue.plane.index
        voxels = self.labelmap(first).copy()
        voxels[index] |= _disc(voxels[index], 14)
        node = self.conversation.segmentationNode
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, first.segmentID, self.volume)
        self.conversation.rename(first.id, "My left kidney")
        third = self.ask(AGAIN)
        assert third.reference.roundID == first.id
        assert np.array_equal(unpackMask(third.referenceMask), self.masks(first)), "leans on the mask as it is now"
        assert np.array_equal(self.labelmap(first), voxels), "the user's edit is left alone"
        self.ask(AFTER)
        self.look("edited")

    def undoAndRedo(self) -> None:
        """One click takes back segment and chat together, another brings them again."""
        dialogue, third = self.dialogue, self.dialogue.rounds[2]
        last = dialogue.rounds[3]
        mask = self.labelmap(last).copy()
        self.hand.click(self.ui.undoButton)
        self.hand.wait(lambda: len(self.dialogue.rounds) == 3, "undo")
        assert self.conversation.segmentOf(last) is None
        self.hand.click(self.ui.redoButton)
        self.hand.wait(lambda: len(self.dialogue.rounds) == 4, "redo")
        assert self.dialogue == dialogue
        assert np.array_equal(self.labelmap(last), mask)
        assert self.conversation.segmentOf(third) is not None

    def saveAndReopen(self) -> None:
        """Dialogues, segments and references are in the scene's file."""
        path = str(self.folder / "journey.mrb")
        name = self.volume.GetName()
        masks = [self.labelmap(done).copy() for done in self.dialogue.rounds]
        assert slicer.util.saveScene(path)
        slicer.mrmlScene.Clear(False)
        self.hand.wait(lambda: self.conversation.dialogues() == [], "an empty scene")
        slicer.util.loadScene(path)
        self.volume = slicer.util.getNode(name)
        slicer.util.setSliceViewerLayers(background=self.volume)
        self.scroll(0.55)
        self.hand.wait(lambda: self.queries == [LEFT, OTHER, AGAIN, AFTER], "the dialogue comes back with its slice")
        for done, mask in zip(self.dialogue.rounds, masks, strict=True):
            assert np.array_equal(self.labelmap(done), mask), f"the mask of round {done.number}"
        assert self.conversation.segmentOf(self.dialogue.rounds[0]).name == "My left kidney"

    def askOnceMore(self) -> None:
        """The engine is told the dialogue so far, and answers the next round."""
        second = self.dialogue.rounds[1]
        done = self.ask("Segment the vessel beside instance 2.")
        assert done.number == 5
        assert done.reference.roundID == second.id

    def export(self) -> None:
        """Labelmaps as nodes and files, the segmentation and the report."""
        conversation = self.conversation
        dialogues, node = conversation.dialogues(), conversation.segmentationNode
        rounds = sum(len(one.rounds) for one in dialogues)
        nodes = Export.exportLabelmapNodes(dialogues, node, self.volume)
        assert len(nodes) == rounds
        for labelmap in nodes:
            slicer.mrmlScene.RemoveNode(labelmap)
        files = Export.exportFiles(dialogues, node, self.volume, self.folder / "labelmaps")
        assert sum(file.name.endswith(".nii.gz") for file in files) == rounds
        segmentation = Export.exportSegmentation(node, self.folder / "journey.seg.nrrd")
        assert segmentation.stat().st_size > 0
        report = Report.writeReport(dialogues, node, self.volume, self.folder / "journey.html")
        text = report.read_text(encoding="utf-8")
        assert all(done.query in text for one in dialogues for done in one.rounds)

    def masks(self, done: Any) -> Any:
        """(H, W) bool of a round on its slice, as it is now."""
        from MediRoundSlicerLib import SegmentStore

        node = self.conversation.segmentationNode
        return SegmentStore.readPlane(node, done.segmentID, self.volume, self.dialogue.plane)


def _disc(mask: Any, radius: int) -> Any:
    """A disc at the centre of a (rows, columns) mask, or of the picture where the mask is empty."""
    row, column = np.argwhere(mask).mean(axis=0) if mask.any() else np.array(mask.shape) / 2
    rows, columns = np.indices(mask.shape)
    return (np.hypot(rows - row, columns - column) <= radius).astype(mask.dtype)
