"""From evaluated rounds to a report, with the logits written to disk as they come."""

import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from MediRoundLib.errors import DialogueFileError
from MediRoundLib.evaluate import Record
from MediRoundLib.metrics import Overlap, correlation, overlap, scores_by_round


def report(records: Iterable[Record], npz: Path | None = None) -> dict[str, Any]:
    """Score rounds as they come; logits go to disk at once, so memory does not grow with them.

    Args:
        records: at least one.
        npz: where to write logits, float32 (H, W) under `d{dialogue}_r{round}`, both from 0; None to leave that out.

    Returns:
        `{"all": {"dice", "giou", "ciou"}, "rounds": [{"round": 1, "n", "dice", "giou", "ciou"}, ..], "n", "judged",
        "corrected", "lost_references", "quality_correlation"}`. The last is Pearson's between the score of the feature
        that drew a mask and the mask's IoU, or None.

    Raises:
        DialogueFileError: there is no round at all.
        OSError: `npz` cannot be written.
    """
    rounds: list[tuple[int, Overlap]] = []
    foretold: list[tuple[float, float]] = []
    judged = corrected = lost = 0
    with ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(npz, "w")) if npz is not None else None
        for record in records:
            found = overlap(record.logits > 0, record.target)
            rounds.append((record.round + 1, found))
            judged += record.quality is not None
            corrected += record.corrected
            lost += record.lost
            if record.quality_drawn is not None:
                foretold.append((record.quality_drawn, found.iou))
            if archive is not None:
                with archive.open(f"d{record.dialogue}_r{record.round}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, record.logits.astype(np.float32), allow_pickle=False)
    if not rounds:
        raise DialogueFileError("There is no dialogue to evaluate; the file of dialogues is empty.")
    whole, apart = scores_by_round(rounds)
    summary = asdict(whole)
    return {
        "all": {name: summary[name] for name in ("dice", "giou", "ciou")},
        "rounds": [{"round": number, **asdict(own)} for number, own in apart.items()],
        "n": whole.n,
        "judged": judged,
        "corrected": corrected,
        "lost_references": lost,
        "quality_correlation": correlation([q for q, _ in foretold], [iou for _, iou in foretold]),
    }
