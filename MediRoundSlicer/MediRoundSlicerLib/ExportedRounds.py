"""Which rounds an export holds, what their files are called, and the files that say what they are."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from MediRoundSlicerLib import SegmentStore
from MediRoundSlicerLib.Dialogues import Dialogue, DialogueError, PlaneGrid, Round
from MediRoundSlicerLib.SegmentStore import SegmentInfo
from MediRoundSlicerLib.StagedFolder import plainName


@dataclass(frozen=True)
class ExportedRound:
    """A round whose segment is there."""

    dialogue: Dialogue
    round: Round
    segment: SegmentInfo

    @property
    def fileName(self) -> str:
        """Slice, round and structure, such as "axial_35_02_left_kidney"; never the volume, nor the patient."""
        # A name that the module gave ends in "(round 2)", and the number is there already.
        named = self.round.name if self.segment.name == self.round.autoName else self.segment.name
        return f"{placeName(self.dialogue.plane)}_{self.round.number:02d}_{plainName(named, 'segment')}"


def exportedRounds(dialogues: Sequence[Dialogue], segmentationNode: Any, volumeNode: Any) -> list[ExportedRound]:
    """The rounds whose segments are there, in the order of dialogues and rounds; at least one.

    Raises:
        DialogueError: the volume or every segment is gone, or there are no rounds yet.
    """
    if volumeNode is None or volumeNode.GetScene() is None or volumeNode.GetImageData() is None:
        raise DialogueError(_("The volume of this dialogue was deleted; load it again to export its rounds."))
    if not any(dialogue.rounds for dialogue in dialogues):
        raise DialogueError(_("This dialogue has no rounds yet; ask for a structure before exporting."))
    gone = segmentationNode is None or segmentationNode.GetScene() is None
    kept = []
    for dialogue, done in _rounds(dialogues):
        segment = None if gone else SegmentStore.segment(segmentationNode, done.segmentID)
        if segment is not None:
            kept.append(ExportedRound(dialogue, done, segment))
    if not kept:
        raise DialogueError(_("The segments of these rounds were deleted; undo that, or ask again, before exporting."))
    return kept


def byDialogue(kept: Sequence[ExportedRound]) -> list[tuple[Dialogue, list[ExportedRound]]]:
    """The rounds of each dialogue that has some."""
    dialogues = {one.dialogue.id: one.dialogue for one in kept}
    return [(dialogue, [one for one in kept if one.dialogue.id == key]) for key, dialogue in dialogues.items()]


def placeName(plane: PlaneGrid) -> str:
    """The plane for a file's name, slices counted from 1: "axial_35", "oblique_minus_12_5mm"."""
    if plane.index is not None:
        return f"{plane.orientation}_{plane.index + 1}"
    sign = "minus " if plane.offset < 0 else ""
    return plainName(f"{plane.orientation} {sign}{abs(plane.offset):.1f}mm", plane.orientation)


def description(
    dialogues: Sequence[Dialogue], kept: Sequence[ExportedRound], files: Sequence[str], volumeNode: Any
) -> str:
    """The text of `labels.json`; `files` are the names of the labelmaps of `kept`."""
    coordinates = "those of the volume's own file"
    if volumeNode.GetParentTransformNode() is not None:
        coordinates += "; the transform that the volume is under in 3D Slicer is not applied"
    labels = [
        {
            **_where(one.dialogue, one.round),
            "name": one.segment.name,
            "value": one.round.number,
            "colour": list(one.segment.colour),
            "file": file,
        }
        for one, file in zip(kept, files, strict=True)
    ]
    record: dict[str, Any] = {"labels": labels, "coordinates": coordinates}
    there = {one.round.id for one in kept}
    if missing := [_where(dialogue, done) for dialogue, done in _rounds(dialogues) if done.id not in there]:
        record["left_out_as_their_segments_were_deleted"] = missing
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def itkSnapLabels(kept: Sequence[ExportedRound]) -> str:
    """A label description as ITK-SNAP reads it: value, red, green, blue, opacity, two visibilities, name."""
    lines = ['0 0 0 0 0 0 0 "Clear Label"']
    for one in kept:
        red, green, blue = one.segment.colour
        name = " ".join(one.segment.name.replace('"', "'").split())
        lines.append(f'{one.round.number} {red} {green} {blue} 1 1 1 "{name}"')
    return "\n".join(lines) + "\n"


def _rounds(dialogues: Sequence[Dialogue]) -> Iterator[tuple[Dialogue, Round]]:
    return ((dialogue, done) for dialogue in dialogues for done in dialogue.rounds)


def _where(dialogue: Dialogue, done: Round) -> dict[str, Any]:
    return {"slice": placeName(dialogue.plane), "round": done.number}
