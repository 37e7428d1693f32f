"""Changing what was said: rounds are deleted and renamed, and steps taken back and done again."""

from typing import Any

from slicer.i18n import tr as _

from MediRoundSlicerLib import SegmentStore
from MediRoundSlicerLib.Dialogues import Dialogue, Round
from MediRoundSlicerLib.DialogueStore import DialogueStore, Stored
from MediRoundSlicerLib.History import Change, DialogueChanged, History, SegmentRemoved, SegmentRenamed, Step


def deleteRound(store: DialogueStore, history: History, stored: Stored, done: Round) -> None:
    """Delete a round and its segment, as one step; the other rounds keep their numbers.

    A dialogue without rounds goes. The segment stays where a branch has the same round.
    """
    changes: list[Change] = []
    name = done.autoName
    info = None if stored.segmentation is None else SegmentStore.segment(stored.segmentation, done.segmentID)
    if info is not None:
        name = info.name
        if not _isShared(store, stored.dialogue, done):
            saved = SegmentStore.saveSegment(stored.segmentation, done.segmentID)
            SegmentStore.removeSegment(stored.segmentation, done.segmentID)
            changes.append(SegmentRemoved(stored.segmentation, done.segmentID, saved))
    left = stored.dialogue.withoutRound(done.id)
    after = left if left.rounds else None
    if after is None:
        store.remove(left.id)
    else:
        store.put(after, stored.volume, stored.segmentation)
    changes.append(DialogueChanged(store, stored.dialogue, after, stored.volume, stored.segmentation))
    history.add(Step(_("deleting {name}").format(name=name), changes))


def renameSegment(history: History, segmentation: Any, segmentID: str, name: str) -> bool:
    """Give a segment another name, as one step. Returns whether there is anything new."""
    info = SegmentStore.segment(segmentation, segmentID)
    name = " ".join(name.split())
    if info is None or not name or name == info.name:
        return False
    given = SegmentStore.rename(segmentation, segmentID, name)
    changes: list[Change] = [SegmentRenamed(segmentation, segmentID, info.name, given)]
    history.add(Step(_("renaming {name}").format(name=given), changes))
    return True


def _isShared(store: DialogueStore, dialogue: Dialogue, done: Round) -> bool:
    """Whether a branch has the same round, and so the same segment."""
    others = (stored.dialogue for stored in store.all() if stored.dialogue.id != dialogue.id)
    return any(one.segmentID == done.segmentID for other in others for one in other.rounds)
