"""What `training.report` can make: for each name the ways of asking that it compares, its tables and its plot."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from MediRoundLib.errors import MediRoundError
from MediRoundLib.metrics import Scores, scores_by_round
from MediRoundLib.scoring import KINDS, Scored, box_scores, grouped
from training import plots
from training.compare import Runs, compared, compared_in_pairs, dice_by, dice_table, present, whole
from training.measure import Protocol, Setting, calibration, there
from training.retell import Telling
from training.tables import SCORES, Cell, Table, score_cells, score_table
from training.unknown import draw_unknown, unknown_tables

WITH_JCM, WITHOUT_JCM = Setting("with JCM"), Setting("without JCM", jcm=False)
ALONE = Setting("asked alone", protocol="single-turn")
BETAS = tuple(k / 10 for k in range(11))
LATE = 4
LEANING = ("other", "next", "previous")
MOST_FILES = 4  # side by side in a table
_NO_SCORES: tuple[Cell, ...] = (None,) * len(SCORES)
MOST_ROWS = 25  # groups in a plot; the table has all


@dataclass(frozen=True)
class Sheet:
    """One kind of report: `size` in inches is its plot's.

    Its settings are asked as users ask, or all under another protocol (see `under`), unless they compare protocols.
    """

    about: str
    settings: tuple[Setting, ...]
    tables: Callable[[Runs], list[Table]]
    draw: Callable[[plots.Figure, Runs], None]
    size: tuple[float, float] = (6.0, 3.5)

    @property
    def compares_protocols(self) -> bool:
        return len({each.protocol for each in self.settings}) > 1

    def under(self, protocol: Protocol) -> tuple[Setting, ...]:
        """The settings, with `protocol` in the place of `causal`.

        Raises:
            MediRoundError: they compare protocols themselves.
        """
        if protocol == "causal":
            return self.settings
        if self.compares_protocols:
            raise MediRoundError(f'"{self.about}" compares protocols; leave --protocol out.')
        return tuple(replace(each, protocol=protocol) for each in self.settings)


# ---- overall: regular and hard ----


def _overall(runs: Runs) -> list[Table]:
    """In the papers' layout: a row for each way of asking, and beside one another the sets of dialogues."""
    found = {name: _sides(rounds) for name, rounds in present(runs).items()}
    sides = list(dict.fromkeys(side for own in found.values() for side in own))
    columns = ("asked", *(f"{side} {score}" for side in sides for score in SCORES))
    rows = [
        (name, *(cell for side in sides for cell in (score_cells(own[side]) if side in own else _NO_SCORES)))
        for name, own in found.items()
    ]
    note = "Hard: dialogues in which a round leans on one that leans on another one; regular: the others."
    tables = [Table(columns, rows, note)]
    boxes: list[tuple[Cell, ...]] = [
        (name, int(own["n"]), own["iou"], own["accuracy"])
        for name, rounds in present(runs).items()
        if (own := box_scores(rounds))
    ]
    return [*tables, Table(("boxes", "n", "IoU", "accuracy"), boxes)] if boxes else tables


def _sides(rounds: Sequence[Scored]) -> dict[str, Scores]:
    """Files of dialogues, where they are a few such as val, test regular and test hard; by difficulty; and all."""
    files = grouped(rounds, "source")
    few = files if 1 < len(files) <= MOST_FILES else {}
    return {**few, **grouped(rounds, "difficulty"), "all": whole(rounds)}


# ---- rounds ----


def _rounds(runs: Runs) -> list[Table]:
    tables = []
    for name in ("Dice", "cIoU"):
        found = {run: _by_round(rounds) for run, rounds in runs.items()}
        numbers = sorted({number for own in found.values() for number in own})
        rows = [
            (run, *(getattr(own[k], name.lower()) if k in own else None for k in numbers)) for run, own in found.items()
        ]
        tables.append(Table((f"{name} by round", *map(str, numbers)), rows))
    tables.append(_late(runs))
    counts = next(iter(found.values()))
    alone = "Asked alone: the structure of the same round, by its name in a dialogue of its own. It tells what is lost "
    note = alone + "on the way from what is hard to see in the first place."
    rows_of_n: list[tuple[Cell, ...]] = [("all", *(counts[k].n for k in numbers))]
    return [*tables, Table(("rounds counted", *map(str, numbers)), rows_of_n, note)]


def _late(runs: Runs) -> Table:
    """How much of round 1 is left later on."""
    rows: list[tuple[Cell, ...]] = []
    for name, rounds in present(runs).items():
        late = [each for each in rounds if each.round >= LATE]
        one, other = whole([each for each in rounds if each.round == 1]).dice, whole(late).dice
        rows.append((name, one, other if late else None, other / one if late and one else None))
    return Table(("Dice", "round 1", f"round {LATE} and later", "ratio"), rows, plain=("ratio",))


def _by_round(rounds: Sequence[Scored]) -> dict[int, Scores]:
    return scores_by_round([(each.round, each.overlap) for each in there(rounds)])[1]


def _draw_rounds(figure: plots.Figure, runs: Runs) -> None:
    found = {name: {k: own.dice for k, own in _by_round(rounds).items()} for name, rounds in runs.items()}
    plots.lines(figure, found, "round", "Dice", "Dice by round", whole=True)


# ---- references ----


def _reference(runs: Runs) -> list[Table]:
    note = (
        "At test time, of a model trained with crop and box; the paper trains a model for each. Below, the rounds that "
        "ask for the other one, the next and the previous."
    )
    leaning = _leaning(runs)
    tables = [score_table("reference shown", {name: whole(rounds) for name, rounds in present(runs).items()}, note)]
    return [*tables, dice_table("Dice by relation", dice_by(leaning, "relation"))] if any(leaning.values()) else tables


def _leaning(runs: Runs) -> dict[str, list[Scored]]:
    return {name: [each for each in rounds if each.labels.get("relation") in LEANING] for name, rounds in runs.items()}


def _draw_reference(figure: plots.Figure, runs: Runs) -> None:
    plots.bars(figure, dice_by(_leaning(runs), "relation"), "What is shown of a reference")


# ---- beta ----


def _beta(runs: Runs) -> list[Table]:
    rows = [
        (name, *score_cells(whole(there(rounds))), sum(each.corrected for each in rounds) / len(rounds))
        for name, rounds in runs.items()
    ]
    return [Table(("beta", *SCORES, "corrected"), rows, "Corrected: share of all rounds, absent structures too.")]


def _draw_beta(figure: plots.Figure, runs: Runs) -> None:
    found = {name: whole(there(rounds)) for name, rounds in runs.items()}
    curves = {
        label: {float(name): getattr(own, label.lower()) for name, own in found.items()}
        for label in ("Dice", "gIoU", "cIoU")
    }
    plots.lines(figure, curves, "beta", "score", "Threshold of the judge")


# ---- groups ----


def _groups(runs: Runs) -> list[Table]:
    (rounds,) = present(runs).values()
    found = {kind: grouped(rounds, kind) for kind in KINDS}
    return [score_table(kind, groups) for kind, groups in found.items() if groups]


def _draw_groups(figure: plots.Figure, runs: Runs) -> None:
    (rounds,) = present(runs).values()
    kinds = ("scenario", "relation", "modality", "source", "entity")
    panels = {kind: {name: (own.dice, own.n) for name, own in grouped(rounds, kind).items()} for kind in kinds}
    plots.rows(figure, {kind: own for kind, own in panels.items() if own}, MOST_ROWS)


# ---- quality ----


def _quality(runs: Runs) -> list[Table]:
    found = {name: calibration(rounds) for name, rounds in runs.items()}
    columns = ("quality", "n", "correlation", "calibration error", "absent", "AUROC")
    rows = [
        (name, own["n"], own["correlation"], own["ece"], own["absent"], own["auroc"]) for name, own in found.items()
    ]
    note = "Correlation: Pearson's with the IoU. AUROC: of telling structures in the image from absent ones."
    first = next(iter(found.values()))
    bins = [(f"{b['low']:.1f}-{b['high']:.1f}", b["n"], b["quality"], b["iou"]) for b in first["bins"]]
    return [
        Table(columns, rows, note, plain=("correlation", "calibration error", "AUROC")),
        Table((f"quality ({next(iter(found))})", "n", "mean quality", "mean IoU"), bins),
    ]


def _draw_quality(figure: plots.Figure, runs: Runs) -> None:
    rounds = next(iter(runs.values()))
    judged = [(each.quality, bool(each.overlap.truth)) for each in rounds if each.quality is not None]
    present, absent = ([q for q, is_there in judged if is_there is wanted] for wanted in (True, False))
    plots.reliability(figure, calibration(rounds)["bins"], {"in the image": present, "absent": absent})


# ---- a specialist beside the model ----


def _specialist(runs: Runs) -> list[Table]:
    """Dice of each run by set and by round."""
    found = dice_by(runs, "source")
    counts = grouped(next(iter(present(runs).values())), "source")
    total = sum(own.n for own in counts.values())
    rows = [
        (name, counts[name].n if name in counts else total, *(own.get(name) for own in found.values()))
        for name in next(iter(found.values()))
    ]
    return [Table(("Dice by set", "n", *found), rows), *_rounds(runs)[:1]]


def _draw_by(kind: str, title: str) -> Callable[[plots.Figure, Runs], None]:
    return lambda figure, runs: plots.bars(figure, dice_by(runs, kind), title)


def _official(name: str, shown: Any) -> Setting:
    return Setting(name, protocol="official", shown=shown)


_ZH, _NEW, _NEW_ZH = Telling("zh"), Telling("en", "paraphrases"), Telling("zh", "paraphrases")

SHEETS: Mapping[str, Sheet] = {
    "overall": Sheet(
        "regular and hard dialogues, JCM on and off",
        (WITH_JCM, WITHOUT_JCM),
        _overall,
        _draw_by("difficulty", "Regular and hard dialogues"),
    ),
    "rounds": Sheet("by round, JCM on and off", (WITH_JCM, WITHOUT_JCM, ALONE), _rounds, _draw_rounds),
    "reference": Sheet(
        "what the model sees of a reference: nothing, box, crop, both",
        (
            *(_official(f"{shown}, official", shown) for shown in ("nothing", "box", "crop", "crop and box")),
            Setting("nothing, causal", shown="nothing"),
            Setting("crop and box, causal"),
        ),
        _reference,
        _draw_reference,
        (9.0, 3.8),
    ),
    "beta": Sheet(
        "the judge's threshold from 0 to 1",
        tuple(Setting(f"{beta:.1f}", threshold=beta) for beta in BETAS),
        _beta,
        _draw_beta,
    ),
    "groups": Sheet("by scenario, relation, modality, set, structure", (WITH_JCM,), _groups, _draw_groups, (7.0, 12.0)),
    "quality": Sheet("what the quality score is worth", (WITH_JCM, WITHOUT_JCM), _quality, _draw_quality, (9.0, 3.8)),
    "unknown": Sheet(
        "quality of what is in the image against structures that were never learned",
        (
            Setting("English"),
            Setting("English, never learned", telling=Telling("en", "unknown")),
            Setting("Chinese", telling=_ZH),
            Setting("Chinese, never learned", telling=Telling("zh", "unknown")),
        ),
        unknown_tables,
        draw_unknown,
        (9.0, 3.8),
    ),
    "protocols": Sheet(
        "official, causal and single-turn in both languages",
        tuple(
            Setting(f"{protocol}, {telling.language}", protocol, telling=telling)
            for telling in (Telling(), _ZH)
            for protocol in ("causal", "official", "single-turn")
        ),
        compared,
        _draw_by("difficulty", "Protocols"),
        (8.0, 3.8),
    ),
    "language": Sheet(
        "the same dialogues in English and Chinese",
        (Setting("English"), Setting("Chinese", telling=_ZH)),
        compared,
        _draw_by("relation", "English and Chinese"),
        (9.0, 3.8),
    ),
    "paraphrases": Sheet(
        "templates against words that no template holds",
        (
            Setting("templates, English"),
            Setting("paraphrases, English", telling=_NEW),
            Setting("templates, Chinese", telling=_ZH),
            Setting("paraphrases, Chinese", telling=_NEW_ZH),
        ),
        compared_in_pairs,
        _draw_by("relation", "Templates and paraphrases"),
        (10.0, 3.8),
    ),
}

# Made by `training.baseline`, which has runs that no setting asks for.
SPECIALIST = Sheet("beside specialists", (), _specialist, _draw_by("source", "Beside specialists"), (9.0, 3.8))
