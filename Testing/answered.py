"""A round without an engine, for tests of what is done with rounds."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Answered:
    """See `MediRoundLib.outputs.AnsweredRound`."""

    number: int
    query: str
    mask: NDArray[np.bool_]
    name: str = ""
    text: str = "Sure, it is this."
    quality: float | None = 0.9
    quality_corrected: float | None = None
    corrected: bool = False
    reference: int | Literal["mask"] | None = None
    seconds: float = 0.25
