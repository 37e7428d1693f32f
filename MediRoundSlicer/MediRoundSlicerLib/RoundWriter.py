"""An engine's answer becomes a named segment and a round of the dialogue."""

import dataclasses
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from MediRoundLib.naming import name_beside, structure_name
from MediRoundLib.words import answer_text, language_of
from MediRoundSlicerLib import SegmentStore
from MediRoundSlicerLib.Dialogues import Dialogue, PlaneGrid, Reference, Round, newID, packMask
from MediRoundSlicerLib.EngineMessages import Answer
from MediRoundSlicerLib.History import Change, PlaneWritten, SegmentAdded, SegmentRenamed, SegmentTagged


@dataclasses.dataclass(frozen=True)
class Asked:
    """What was asked, for the round that comes of it.

    Attributes:
        query: the user's words.
        reference, referenceMask: what it leaned on and its (H, W) bool mask, or None.
        referenceName: what that is called, or "".
        replaces: the round that was asked again, or None.
        window, level: what the slice was shown with.
    """

    query: str
    reference: Reference | None
    referenceMask: Any
    referenceName: str
    replaces: Round | None
    window: float | None
    level: float | None


def writeRound(
    answer: Answer, asked: Asked, dialogue: Dialogue, volume: Any, segmentation: Any
) -> tuple[Round, list[Change]]:
    """Write the mask of an answer as a segment on the dialogue's plane.

    A round that is asked again keeps its number and its segment, of which this plane alone is written over.

    Returns:
        The round, and what was changed in the segmentation.
    """
    old = asked.replaces
    number = dialogue.nextNumber if old is None else old.number
    name = name_beside(asked.query, asked.referenceName) if asked.referenceName else structure_name(asked.query)
    made = Round(
        id=newID() if old is None else old.id,
        number=number,
        query=asked.query,
        answer=answer.answer,
        text=_text(answer, asked.query, number),
        name=name,
        autoName="",
        segmentID="",
        reference=asked.reference,
        referenceMask="" if asked.referenceMask is None else packMask(asked.referenceMask),
        quality=answer.quality,
        qualityCorrected=answer.qualityCorrected,
        corrected=answer.corrected,
        seconds=answer.seconds,
        model=answer.model,
        window=asked.window,
        level=asked.level,
        pixels=int(np.count_nonzero(answer.mask)),
    )
    if old is not None and SegmentStore.segment(segmentation, old.segmentID) is not None:
        made, changes = _writeOver(made, old, answer, dialogue.plane, volume, segmentation)
    else:
        # A segment that was deleted comes back under its old ID: what leaned on it leans on it again.
        segmentID = None if old is None else old.segmentID
        segmentID = SegmentStore.addSegment(segmentation, _segmentName(made), made.name, {}, segmentID=segmentID)
        given = SegmentStore.segment(segmentation, segmentID)
        assert given is not None
        made = dataclasses.replace(made, segmentID=segmentID, autoName=given.name)
        try:
            SegmentStore.writePlane(segmentation, segmentID, volume, dialogue.plane, answer.mask)
        except Exception:
            SegmentStore.removeSegment(segmentation, segmentID)
            raise
        changes = [SegmentAdded(segmentation, segmentID)]
    tags = _tags(made, dialogue)
    SegmentStore.setTags(segmentation, made.segmentID, tags)
    if old is not None:
        changes.append(SegmentTagged(segmentation, made.segmentID, _tags(old, dialogue), tags))
    return made, changes


def _writeOver(
    made: Round, old: Round, answer: Answer, plane: PlaneGrid, volume: Any, segmentation: Any
) -> tuple[Round, list[Change]]:
    """Put the mask into the old round's segment; a name that the user gave stays."""
    before = SegmentStore.readPlane(segmentation, old.segmentID, volume, plane)
    saved = SegmentStore.savePlane(segmentation, old.segmentID, volume, plane)
    SegmentStore.writePlane(segmentation, old.segmentID, volume, plane, answer.mask)
    changes: list[Change] = [PlaneWritten(segmentation, old.segmentID, volume, plane, saved, before, answer.mask)]
    present = SegmentStore.segment(segmentation, old.segmentID)
    assert present is not None
    autoName = old.autoName
    if present.name == old.autoName and made.name != old.name:
        autoName = SegmentStore.rename(segmentation, old.segmentID, _segmentName(made))
        changes.append(SegmentRenamed(segmentation, old.segmentID, present.name, autoName))
    return dataclasses.replace(made, segmentID=old.segmentID, autoName=autoName), changes


def _segmentName(made: Round) -> str:
    """A name that speaks, such as "Left parotid (round 2)"."""
    if not made.name:
        return _("Round {number}").format(number=made.number)
    return _("{name} (round {number})").format(name=made.name[0].upper() + made.name[1:], number=made.number)


def _text(answer: Answer, query: str, number: int) -> str:
    quality = answer.quality if answer.qualityCorrected is None else answer.qualityCorrected
    return answer_text(
        answer.answer,
        number,
        int(np.count_nonzero(answer.mask)),
        quality,
        answer.threshold,
        language_of(query),
        answer.wholeImage,
    )


def _tags(made: Round, dialogue: Dialogue) -> dict[str, str]:
    """What a segment says of its round; the names are those of the command line's segmentations."""
    plane = dialogue.plane
    where = f"{plane.offset:.3f}" if plane.index is None else str(plane.index)
    return {
        "MediRound.Round": str(made.number),
        "MediRound.Query": made.query,
        "MediRound.Reference": "" if made.reference is None else made.reference.segmentID,
        "MediRound.Quality": "" if made.quality is None else f"{made.quality:.4f}",
        "MediRound.QualityCorrected": "" if made.qualityCorrected is None else f"{made.qualityCorrected:.4f}",
        "MediRound.Corrected": str(int(made.corrected)),
        "MediRound.Model": made.model,
        "MediRound.Plane": f"{plane.orientation} {where}",
        # Export to DICOM SEG asks for both, and calls a segment manual without them.
        "DICOM.SegmentAlgorithmType": "SEMIAUTOMATIC",
        "DICOM.SegmentAlgorithmName": f"MediRound {made.model}",
    }
