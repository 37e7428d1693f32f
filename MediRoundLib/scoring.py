"""From evaluated rounds to a report, with the logits written to disk as they come."""

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MediRoundLib.alone import plain_query
from MediRoundLib.errors import DialogueFileError
from MediRoundLib.evaluate import Record
from MediRoundLib.metrics import Overlap, Scores, correlation, overlap, scores, scores_by_round
from MediRoundLib.mr_medseg import Conversation
from MediRoundLib.words import language_of

# What rounds are grouped by, apart from their number.
KINDS = ("difficulty", "scenario", "relation", "modality", "entity", "language", "source")
# As MediSee's accuracy has it: share of boxes whose IoU is above this.
BOX_HIT = 0.5
# SA-Med2D-20M's file names begin with the modality: "ct_00--AbdomenCT1K--Case_00001--x_0018.png", "mr_t1--..".
_SA_MED2D = re.compile(r"([a-z]+)(?:_([a-z0-9]+))?--")

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Scored:
    """One evaluated round, counted.

    Attributes:
        round: its number in the dialogue, from 1.
        overlap: pixels drawn and true.
        quality: score of the feature that drew the mask; None where that one was not judged.
        judged, corrected, lost: as `Record` has them; `judged` for a quality before correction.
        found: whether it was asked with the reference that is meant, or with none where none is; None if not known.
        box_iou: IoU of the model's box and the true mask's; None without either.
        labels: a group for each of `KINDS` that is known.
    """

    round: int
    overlap: Overlap
    quality: float | None = None
    judged: bool = False
    corrected: bool = False
    lost: bool = False
    found: bool | None = None
    box_iou: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def scored(record: Record, conversation: Conversation | None = None) -> Scored:
    """Count one round; with its conversation it knows its groups, and the reference that is meant."""
    found = None
    if conversation is not None:
        found = not record.lost and record.reference == conversation.turns[record.round].reference
    return Scored(
        round=record.round + 1,
        overlap=overlap(record.logits > 0, record.target),
        quality=record.quality_drawn,
        judged=record.quality is not None,
        corrected=record.corrected,
        lost=record.lost,
        found=found,
        box_iou=_box_iou(record.box, record.target),
        labels={} if conversation is None else labels(conversation, record.round),
    )


def labels(conversation: Conversation, k: int) -> dict[str, str]:
    """The groups of round `k` (from 0): what the file says about it, and what its words and references show.

    A dialogue is "hard" where a round leans on one that leans on another one, so that a mistake is handed on twice; any
    other is "regular". The papers' own rule for their two test sets is not published.
    """
    about = conversation.about
    found = {name: str(about[name]) for name in ("scenario", "modality", "source") if about.get(name)}
    named = _SA_MED2D.match(conversation.image.name)
    if "modality" not in found and named:
        # "ct_00" has no kind of its own.
        found["modality"] = named[1] if named[2] in (None, "00") else f"{named[1]}_{named[2]}"
    for name, values in (("entity", about.get("entities")), ("relation", about.get("relations"))):
        if isinstance(values, list) and k < len(values):
            found[name] = str(values[k])
    found["language"] = language_of(plain_query(conversation.turns[k].query))
    depths: list[int] = []
    for turn in conversation.turns:
        depths.append(0 if turn.reference is None else depths[turn.reference] + 1)
    found["difficulty"] = "hard" if max(depths) > 1 else "regular"
    return found


def grouped(rounds: Sequence[Scored], kind: str) -> dict[str, Scores]:
    """Scores of each group of one of `KINDS`, in alphabetical order; rounds of which it is not known are left out."""
    names = sorted({each.labels[kind] for each in rounds if kind in each.labels})
    return {name: scores([each.overlap for each in rounds if each.labels.get(kind) == name]) for name in names}


def box_scores(rounds: Sequence[Scored]) -> dict[str, float] | None:
    """Mean IoU of boxes and the share above `BOX_HIT`; None for a model without a box head."""
    found = [each.box_iou for each in rounds if each.box_iou is not None]
    if not found:
        return None
    return {"n": len(found), "iou": float(np.mean(found)), "accuracy": float(np.mean([iou > BOX_HIT for iou in found]))}


def report(
    records: Iterable[Record], npz: Path | None = None, conversations: Sequence[Conversation | None] = ()
) -> dict[str, Any]:
    """Score rounds as they come; logits go to disk at once, so memory does not grow with them.

    Args:
        records: at least one.
        npz: where to write logits, float32 (H, W) under `d{dialogue}_r{round}`, both from 0; None to leave that out.
        conversations: those of the records, for scores by group.

    Returns:
        `{"all": {"dice", "giou", "ciou"}, "rounds": [{"round": 1, "n", "dice", "giou", "ciou"}, ..], "n", "judged",
        "corrected", "lost_references", "quality_correlation"}`, and with conversations `"by": {kind: {group: {"n", ..
        }}}`, for a model with boxes `"boxes": {"n", "iou", "accuracy"}`. The correlation is Pearson's between the score
        of the feature that drew a mask and the mask's IoU, or None.

    Raises:
        DialogueFileError: there is no round at all.
        OSError: `npz` cannot be written.
    """
    rounds = [
        scored(record, conversations[record.dialogue] if conversations else None) for record in _kept(records, npz)
    ]
    if not rounds:
        raise DialogueFileError("There is no dialogue to evaluate; the file of dialogues is empty.")
    whole, apart = scores_by_round([(each.round, each.overlap) for each in rounds])
    summary = asdict(whole)
    foretold = [(each.quality, each.overlap.iou) for each in rounds if each.quality is not None]
    found: dict[str, Any] = {
        "all": {name: summary[name] for name in ("dice", "giou", "ciou")},
        "rounds": [{"round": number, **asdict(own)} for number, own in apart.items()],
        "n": whole.n,
        "judged": sum(each.judged for each in rounds),
        "corrected": sum(each.corrected for each in rounds),
        "lost_references": sum(each.lost for each in rounds),
        "quality_correlation": correlation([q for q, _ in foretold], [iou for _, iou in foretold]),
    }
    by = {kind: {name: asdict(own) for name, own in grouped(rounds, kind).items()} for kind in KINDS}
    if by := {kind: groups for kind, groups in by.items() if groups}:
        found["by"] = by
    if boxes := box_scores(rounds):
        found["boxes"] = boxes
    return found


def _kept(records: Iterable[Record], npz: Path | None) -> Iterator[Record]:
    """The records, each with its logits in the archive."""
    with ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(npz, "w")) if npz is not None else None
        for record in records:
            if archive is not None:
                with archive.open(f"d{record.dialogue}_r{record.round}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, record.logits.astype(np.float32), allow_pickle=False)
            yield record


def _box_iou(box: Box | None, target: NDArray[np.bool_]) -> float | None:
    """IoU of a box in pixels and the box around the pixels of the true mask."""
    if box is None or not target.any():
        return None
    rows, columns = np.flatnonzero(target.any(1)), np.flatnonzero(target.any(0))
    true = (float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1]))
    inside = (max(box[0], true[0]), max(box[1], true[1]), min(box[2], true[2]), min(box[3], true[3]))
    both = _area(inside)
    union = _area(box) + _area(true) - both
    return both / union if union else 0.0


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
