"""Dice, gIoU and cIoU as the released evaluation prints them (its `train_ds.py` and `utils/utils.py`). No torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DICE_EPSILON = 1e-6
_IOU_EPSILON = 1e-5
_SUM_EPSILON = 1e-10
# The released meters divide by the count plus this, so a perfect score is a little below 1.
_COUNT_EPSILON = 1e-5


@dataclass(frozen=True)
class Overlap:
    """Pixel counts of one drawn mask and its truth."""

    both: int
    drawn: int
    truth: int

    @property
    def union(self) -> int:
        return self.drawn + self.truth - self.both

    @property
    def iou(self) -> float:
        """Intersection over union in [0, 1]; 1 where both masks are empty."""
        return self.both / (self.union + _IOU_EPSILON) if self.union else 1.0

    @property
    def dice(self) -> float:
        """2 |A and B| / (|A| + |B|) in [0, 1]; 1 where both masks are empty."""
        return 2 * self.both / (self.drawn + self.truth + _DICE_EPSILON) if self.union else 1.0


@dataclass(frozen=True)
class Scores:
    """Over `n` masks: mean Dice, mean IoU (gIoU), and the IoU of all pixels together (cIoU), each in [0, 1]."""

    n: int
    dice: float
    giou: float
    ciou: float


def overlap(drawn: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Overlap:
    """Count the pixels of two (H, W) masks."""
    return Overlap(int((drawn & truth).sum()), int(drawn.sum()), int(truth.sum()))


def scores(overlaps: Sequence[Overlap]) -> Scores:
    """Summarise at least one mask."""
    count = len(overlaps) + _COUNT_EPSILON
    return Scores(
        n=len(overlaps),
        dice=sum(each.dice for each in overlaps) / count,
        giou=sum(each.iou for each in overlaps) / count,
        ciou=sum(each.both for each in overlaps) / (sum(each.union for each in overlaps) + _SUM_EPSILON),
    )


def scores_by_round(rounds: Sequence[tuple[int, Overlap]]) -> tuple[Scores, dict[int, Scores]]:
    """Over all masks, and apart for each round.

    Args:
        rounds: (number of the round in its dialogue, its mask's overlap), at least one.
    """
    numbers = sorted({number for number, _ in rounds})
    apart = {number: scores([each for own, each in rounds if own == number]) for number in numbers}
    return scores([each for _, each in rounds]), apart


def correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Pearson's correlation in [-1, 1]; None for fewer than two values, or where either does not vary."""
    if len(first) < 2 or min(np.std(first), np.std(second)) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])
