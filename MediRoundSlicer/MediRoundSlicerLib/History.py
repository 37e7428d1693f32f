"""Undo and redo: a user's action is one step, segment and chat together.

A change knows the segment or the plane that it touched and nothing else, so that undoing never takes back what the user
drew elsewhere meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from MediRoundSlicerLib import SegmentStore
from MediRoundSlicerLib.Dialogues import Dialogue, DialogueError, PlaneGrid
from MediRoundSlicerLib.DialogueStore import DialogueStore

# Steps kept; a step holds the pixels of about one slice.
LONGEST = 100


class Change(Protocol):
    """What one step did in one place."""

    def undo(self) -> None: ...
    def redo(self) -> None: ...


@dataclass(frozen=True)
class Step:
    """One action of the user, such as a round; `text` names it in the tool tip of the undo button."""

    text: str
    changes: Sequence[Change]


class History:
    """Steps that can be undone and redone.

    ```
    history = History()
    history.add(Step("left lung (round 1)", [SegmentAdded(node, segmentID), DialogueChanged(store, None, after, ..)]))
    history.undo()
    history.redoText        # "left lung (round 1)"
    ```
    """

    def __init__(self) -> None:
        self._done: list[Step] = []
        self._undone: list[Step] = []

    @property
    def undoText(self) -> str:
        return self._done[-1].text if self._done else ""

    @property
    def redoText(self) -> str:
        return self._undone[-1].text if self._undone else ""

    def add(self, step: Step) -> None:
        """Remember a step that was just taken; what was undone before cannot be redone any more."""
        self._done = [*self._done, step][-LONGEST:]
        self._undone = []

    def undo(self) -> None:
        if self._done:
            step = self._done[-1]
            for change in reversed(step.changes):
                change.undo()
            # Not before: a step that could not be taken back stays.
            self._undone.append(self._done.pop())

    def redo(self) -> None:
        if self._undone:
            step = self._undone[-1]
            for change in step.changes:
                change.redo()
            self._done.append(self._undone.pop())

    def clear(self) -> None:
        self._done, self._undone = [], []


class SegmentAdded:
    """A segment came; undone, it goes with what the user drew in it meanwhile, and comes back with that."""

    def __init__(self, segmentation: Any, segmentID: str, saved: Any = None) -> None:
        self._segmentation = segmentation
        self._segmentID = segmentID
        self._saved = saved

    def undo(self) -> None:
        if _present(self._segmentation, self._segmentID):
            self._saved = SegmentStore.saveSegment(self._segmentation, self._segmentID)
            SegmentStore.removeSegment(self._segmentation, self._segmentID)

    def redo(self) -> None:
        if self._saved is not None and self._segmentation.GetScene() is not None:
            SegmentStore.restoreSegment(self._segmentation, self._saved)


class SegmentRemoved:
    """A segment went; `saved` is what it was."""

    def __init__(self, segmentation: Any, segmentID: str, saved: Any) -> None:
        self._added = SegmentAdded(segmentation, segmentID, saved)

    def undo(self) -> None:
        self._added.redo()

    def redo(self) -> None:
        self._added.undo()


@dataclass(frozen=True)
class PlaneWritten:
    """One plane of a segment was written over.

    Attributes:
        saved: the voxels that were there, as SegmentStore saves them.
        before, after: (H, W) bool, the masks on the plane.
    """

    segmentation: Any
    segmentID: str
    volume: Any
    plane: PlaneGrid
    saved: SegmentStore.SavedPlane
    before: NDArray[np.bool_]
    after: NDArray[np.bool_]

    def undo(self) -> None:
        if _present(self.segmentation, self.segmentID):
            try:
                SegmentStore.restorePlane(self.segmentation, self.saved)
            except DialogueError:  # its voxels are other ones by now
                self._write(self.before)

    def redo(self) -> None:
        if _present(self.segmentation, self.segmentID):
            self._write(self.after)

    def _write(self, mask: NDArray[np.bool_]) -> None:
        if self.volume.GetScene() is not None:
            SegmentStore.writePlane(self.segmentation, self.segmentID, self.volume, self.plane, mask)


@dataclass(frozen=True)
class SegmentRenamed:
    """A segment's name changed."""

    segmentation: Any
    segmentID: str
    before: str
    after: str

    def undo(self) -> None:
        self._rename(self.before)

    def redo(self) -> None:
        self._rename(self.after)

    def _rename(self, name: str) -> None:
        if _present(self.segmentation, self.segmentID):
            SegmentStore.rename(self.segmentation, self.segmentID, name)


@dataclass(frozen=True)
class SegmentTagged:
    """What a segment says of its round changed."""

    segmentation: Any
    segmentID: str
    before: dict[str, str]
    after: dict[str, str]

    def undo(self) -> None:
        self._tag(self.before)

    def redo(self) -> None:
        self._tag(self.after)

    def _tag(self, tags: dict[str, str]) -> None:
        if _present(self.segmentation, self.segmentID):
            SegmentStore.setTags(self.segmentation, self.segmentID, tags)


@dataclass(frozen=True)
class DialogueChanged:
    """A dialogue came (before is None), changed, or went (after is None)."""

    store: DialogueStore
    before: Dialogue | None
    after: Dialogue | None
    volume: Any
    segmentation: Any

    def undo(self) -> None:
        self._set(self.before, self.after)

    def redo(self) -> None:
        self._set(self.after, self.before)

    def _set(self, wanted: Dialogue | None, present: Dialogue | None) -> None:
        if wanted is not None:
            self.store.put(wanted, _living(self.volume), _living(self.segmentation))
        elif present is not None:
            self.store.remove(present.id)


def _present(segmentation: Any, segmentID: str) -> bool:
    """Whether the segment is there to be changed: the user may have deleted it, or the whole segmentation."""
    return _living(segmentation) is not None and SegmentStore.segment(segmentation, segmentID) is not None


def _living(node: Any) -> Any:
    return node if node is not None and node.GetScene() is not None else None
