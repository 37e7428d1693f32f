"""What is asked of the engine process, and what it answers: pure data, without Qt."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MediRoundSlicerLib.Dialogues import Told


@dataclass(frozen=True)
class AskRequest:
    """One round to be answered.

    Attributes:
        dialogueID: of the dialogue.
        image: (H, W) or (H, W, 3) uint8, as displayed.
        imageKey: equal for equal pixels.
        history: the rounds before this one, oldest first; told again only where the engine does not hold them.
        query: the user's words.
        reference: (H, W) bool, or None.
    """

    dialogueID: str
    image: NDArray[np.uint8]
    imageKey: str
    history: tuple[Told, ...]
    query: str
    reference: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Answer:
    """What came of a round.

    Attributes:
        answer: exact, with `[SEG]` in it.
        mask: (H, W) bool.
        quality, qualityCorrected: the judge's scores in [0, 1], or None.
        corrected: whether the corrector rewrote the feature.
        wholeImage: whether the whole image stood in for a nearly empty reference.
        seconds: time that the round took in the engine.
        model: the checkpoint's name.
        threshold: JCM's beta.
    """

    answer: str
    mask: NDArray[np.bool_]
    quality: float | None
    qualityCorrected: float | None
    corrected: bool
    wholeImage: bool
    seconds: float
    model: str
    threshold: float
