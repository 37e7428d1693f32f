"""Whether two ways of computing a round come to the same."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from MediRoundLib.metrics import overlap

# Logits of the engine and of recomputing everything may differ by so much in float32.
LIMIT = 1e-3
# In half precision rounding moves every logit, the further the more layers there are; the masks have to stay. This is
# the least mean Dice: a score beside the judge's threshold may fall to the other side and change one round's mask.
AGREEMENT = 0.9


class Likeness:
    """Gathers how far the logits of two ways are apart; minus infinity, in both, is where a model does not look.

    Attributes:
        difference: the largest; None once there was something else than numbers.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.difference: float | None = 0.0
        self._exact = dtype == torch.float32
        self._dices: list[float] = []

    def add(self, one: NDArray[np.float32], other: NDArray[np.float32]) -> None:
        """Take in the (H, W) logits of the same round in both ways."""
        largest = apart(one, other)
        self.difference = None if largest is None or self.difference is None else max(self.difference, largest)
        self._dices.append(overlap(one > 0, other > 0).dice)

    @property
    def agreement(self) -> float:
        """Mean Dice of the two ways' masks."""
        return sum(self._dices) / len(self._dices)

    @property
    def equal(self) -> bool:
        """Whether both ways are the same as far as the number format allows."""
        if self.difference is None:
            return False
        return self.difference <= LIMIT if self._exact else self.agreement >= AGREEMENT

    def told(self) -> dict[str, Any]:
        """As plain data; of the two limits the one that does not count in this number format is None."""
        return {
            "difference": self.difference,
            "limit": LIMIT if self._exact else None,
            "agreement": self.agreement,
            "agreement_limit": None if self._exact else AGREEMENT,
            "equal": self.equal,
        }


def apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    """The largest difference of (H, W) logits; None where there is something else than numbers."""
    seen = ~(np.isneginf(one) & np.isneginf(other))
    with np.errstate(invalid="ignore"):
        largest = float(np.abs(np.subtract(one, other, out=np.zeros_like(one), where=seen)).max())
    return largest if np.isfinite(largest) else None
