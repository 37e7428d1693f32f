"""What tables compare: ways of asking the same rounds, by group and in pairs."""

from collections.abc import Mapping, Sequence

import numpy as np

from MediRoundLib.metrics import Scores, scores
from MediRoundLib.scoring import Scored, grouped
from training.measure import there
from training.tables import SCORES, Table, score_cells

# Setting's name to its rounds, the same ones in the same order for each.
Runs = Mapping[str, Sequence[Scored]]

_PAIRED = (
    "Right reference: share of rounds asked with the reference that is meant, or with none where none is. Difference: "
    "from the first row's Dice, mean over the same rounds with its standard error, as if they were independent."
)


def whole(rounds: Sequence[Scored]) -> Scores:
    """Scores of all rounds together."""
    return scores([each.overlap for each in rounds])


def present(runs: Runs) -> dict[str, list[Scored]]:
    """The rounds whose structure is in the image."""
    return {name: there(rounds) for name, rounds in runs.items()}


def dice_by(runs: Runs, kind: str) -> dict[str, dict[str, float | None]]:
    """Dice of each group of a kind, and of all, for each run."""
    return {
        name: {**{group: own.dice for group, own in grouped(rounds, kind).items()}, "all": whole(rounds).dice}
        for name, rounds in present(runs).items()
    }


def dice_table(rows_are: str, found: Mapping[str, Mapping[str, float | None]]) -> Table:
    """Name -> group -> Dice as a table, a column for each group."""
    groups = list(dict.fromkeys(group for own in found.values() for group in own))
    return Table((rows_are, *groups), [(name, *(own.get(group) for group in groups)) for name, own in found.items()])


def compared(runs: Runs) -> list[Table]:
    """Scores of each run, and how far its Dice is from the first's on the same rounds; then by relation."""
    first = next(iter(runs.values()))
    rows = [
        (name, *score_cells(whole(there(rounds))), _right_reference(rounds), _difference(first, rounds))
        for name, rounds in runs.items()
    ]
    tables = [Table(("asked", *SCORES, "right reference", "difference"), rows, _PAIRED)]
    return [*tables, dice_table("Dice by relation", dice_by(runs, "relation"))]


def compared_in_pairs(runs: Runs) -> list[Table]:
    """The same for each two that follow one another."""
    pairs = list(runs.items())
    return [table for k in range(0, len(pairs), 2) for table in compared(dict(pairs[k : k + 2]))]


def _right_reference(rounds: Sequence[Scored]) -> float | None:
    """Share of the rounds that were asked with the reference that is meant; None where none was sought."""
    found = [each.found for each in rounds if each.found is not None]
    return float(np.mean(found)) if found else None


def _difference(first: Sequence[Scored], other: Sequence[Scored]) -> str | None:
    pairs = [(one.overlap.dice, two.overlap.dice) for one, two in zip(first, other, strict=False) if one.overlap.truth]
    if other is first or len(first) != len(other) or len(pairs) < 2:
        return None
    gaps = 100 * np.array([two - one for one, two in pairs])
    return f"{gaps.mean():+.1f} ± {gaps.std(ddof=1) / np.sqrt(len(gaps)):.1f}"
