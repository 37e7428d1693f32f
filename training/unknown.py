"""The report on structures that a model never learned: whether its quality score tells them from what it knows."""

from collections.abc import Sequence

import numpy as np

from MediRoundLib.scoring import Scored
from training import plots
from training.compare import Runs
from training.measure import auroc, auroc_error, calibration_error, reliability_bins, there
from training.tables import Cell, Table

_NOTE = (
    "Present: rounds whose structure is in the image. Never learned: questions in the same images for structures of "
    "training/never_learned.toml, which no set and no phantom of the shipped recipes holds; some may be in the image, "
    "but nobody taught the model what they are. Left empty: share of those for which nothing was drawn. AUROC: of "
    "telling the two apart by quality, with its standard error (DeLong), as if rounds were independent. Calibration "
    "error: of both together, where an answer for a structure that was never learned counts as IoU 0."
)
_COLUMNS = (
    "asked in",
    "present",
    "never learned",
    "mean quality, present",
    "mean quality, never learned",
    "left empty",
    "AUROC",
    "standard error",
    "calibration error",
)
_PLAIN = ("mean quality, present", "mean quality, never learned", "AUROC", "standard error", "calibration error")


def unknown_tables(runs: Runs) -> list[Table]:
    """`runs` are pairs: rounds as they are, and the questions for what was never learned, in one language each."""
    pairs = _pairs(runs)
    rows = [_row(name, asked, strange) for name, asked, strange in pairs]
    bins = reliability_bins([each for _, asked, strange in pairs for each in _judged(asked, strange)])
    reliability = [(f"{b['low']:.1f}-{b['high']:.1f}", b["n"], b["quality"], b["iou"]) for b in bins]
    return [
        Table(_COLUMNS, rows, _NOTE, _PLAIN),
        Table(("quality, both", "n", "mean quality", "mean IoU"), reliability),
        _by_structure([each for _, _, strange in pairs for each in strange]),
    ]


def draw_unknown(figure: plots.Figure, runs: Runs) -> None:
    pairs = _pairs(runs)
    bins = reliability_bins([each for _, asked, strange in pairs for each in _judged(asked, strange)])
    present = [quality for _, asked, _ in pairs for quality in _qualities(asked)]
    unknown = [quality for _, _, strange in pairs for quality in _qualities(strange)]
    plots.reliability(figure, bins, {"in the image": present, "never learned": unknown})


def _pairs(runs: Runs) -> list[tuple[str, list[Scored], Sequence[Scored]]]:
    """Name, rounds whose structure is there, and questions for what was never learned."""
    found = list(runs.items())
    return [(found[k][0], there(found[k][1]), found[k + 1][1]) for k in range(0, len(found), 2)]


def _qualities(rounds: Sequence[Scored]) -> list[float]:
    return [each.quality for each in rounds if each.quality is not None]


def _judged(asked: Sequence[Scored], strange: Sequence[Scored]) -> list[tuple[float, float]]:
    """Quality and IoU of each round; an empty mask of what was never learned would count as right by itself."""
    known = [(each.quality, each.overlap.iou) for each in asked if each.quality is not None]
    return [*known, *((quality, 0.0) for quality in _qualities(strange))]


def _row(name: str, asked: Sequence[Scored], strange: Sequence[Scored]) -> tuple[Cell, ...]:
    present, unknown = _qualities(asked), _qualities(strange)
    return (
        name,
        len(asked),
        len(strange),
        _mean(present),
        _mean(unknown),
        _mean([each.overlap.drawn == 0 for each in strange]),
        auroc(present, unknown),
        auroc_error(present, unknown),
        calibration_error(reliability_bins(_judged(asked, strange))),
    )


def _by_structure(strange: Sequence[Scored]) -> Table:
    """What it believes to know comes first."""
    groups: dict[str, list[Scored]] = {}
    for each in strange:
        groups.setdefault(each.labels.get("entity", ""), []).append(each)
    rows = [(name, len(own), _mean(_qualities(own))) for name, own in groups.items()]
    rows.sort(key=lambda row: (-(row[2] or 0.0), row[0]))
    return Table(("never learned", "n", "mean quality"), rows, plain=("mean quality",))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
