"""What the engine hands out: a round, and the parts that it is made from."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from MediRoundLib.dialogue import PastRound
from MediRoundLib.errors import ReferenceNotFound
from MediRoundLib.imaging import ReferenceInput, View, reference_input
from MediRoundLib.modeling.sam_decoder import Canvas
from MediRoundLib.references import resolve
from MediRoundLib.thread import Opening


@dataclass(frozen=True)
class Round:
    """One query and what came of it.

    Attributes:
        number: from 1; "round N" and "instance N" in later queries.
        query: the trainee's words.
        name: the structure's name in the query, or "".
        mask: (H, W) bool, where `logits` > 0.
        logits: (H, W) float32; minus infinity where the model did not look (see `imaging.View`).
        quality: the judge's score of the feature before correction, in [0, 1]; None for a stage 1 model.
        quality_corrected: the score after correction; None where nothing was corrected.
        corrected: whether the corrector rewrote the feature.
        reference: the round referred to, "mask" for one that the caller gave, None for none.
        answer: exact answer, with `[SEG]` in it.
        text: what to show: the answer in words, with caution where it is due.
        seconds: time that the round took.
        box: (x0, y0, x1, y1) in pixels for a model with a box head, which MediRound is not: None.
        whole_image: whether the whole image stood in for a nearly empty reference.
    """

    number: int
    query: str
    name: str
    mask: NDArray[np.bool_]
    logits: NDArray[np.float32]
    quality: float | None
    quality_corrected: float | None
    corrected: bool
    reference: int | Literal["mask"] | None
    answer: str
    text: str
    seconds: float
    box: tuple[float, float, float, float] | None = None
    whole_image: bool = False


@dataclass(frozen=True)
class JcmOutcome:
    """What Algorithm 1 made of a feature: (1, C), its score before, and after where it was corrected."""

    feature: Tensor
    quality: float | None
    quality_corrected: float | None = None

    @property
    def corrected(self) -> bool:
        return self.quality_corrected is not None


@dataclass(frozen=True)
class EncodedImage:
    """An image and what its encoders made of it.

    Attributes:
        view: the part of the image that the model looks at.
        rgb: (h', w', 3) uint8, that part.
        grey: whether its three channels are one.
        embedding: SAM's (1, C, h, w).
        canvas: what the mask decoder needs of it.
        resized: (height, width) of that part inside SAM's input.
        opening: CLIP's patches, and what the language model makes of them.
    """

    view: View
    rgb: NDArray[np.uint8]
    grey: bool
    embedding: Tensor
    canvas: Canvas
    resized: tuple[int, int]
    opening: Opening

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the whole image, as are masks and logits."""
        return self.view.size

    def reference(self, mask: NDArray[np.bool_]) -> ReferenceInput:
        """What the network sees of a reference whose mask is (H, W)."""
        # One channel of a grey image is a third of the work to cut and resize.
        return reference_input(self.rgb[:, :, 0] if self.grey else self.rgb, self.view.take(mask))

    @property
    def nbytes(self) -> int:
        """Memory that it takes, in bytes."""
        parts = (self.rgb, self.embedding, self.canvas, self.opening)
        return sum(part.nbytes for part in parts)


def no_pixels(size: tuple[int, int]) -> dict[str, Any]:
    """An empty mask and its logits as arguments of `Round`; they take no memory."""
    return {
        "mask": np.broadcast_to(np.False_, size),
        "logits": np.broadcast_to(np.float32(-np.inf), size),
    }


def referred(
    query: str,
    reference: int | NDArray[np.bool_] | Literal[False] | None,
    rounds: Sequence[Round],
    size: tuple[int, int],
) -> tuple[int | Literal["mask"] | None, NDArray[np.bool_] | None]:
    """Which of `rounds` is meant (or "mask"), and its mask.

    Args:
        query: the trainee's words.
        reference: as in `Dialogue.ask`.
        rounds: those before.
        size: (H, W) of the image.

    Raises:
        ReferenceNotFound: there is no such round, or the mask does not fit the image.
    """
    if isinstance(reference, np.ndarray):
        if reference.shape != size or reference.dtype != np.bool_:
            raise ReferenceNotFound(
                f"The reference mask is {reference.shape} of {reference.dtype}; the image needs {size} of bool."
            )
        return "mask", reference
    if isinstance(reference, bool | np.bool_):
        if reference:
            raise ReferenceNotFound("True is no reference; give a round's number, a mask, False or None.")
        return None, None
    if reference is None:
        found = resolve(query, [PastRound(done.number, done.query, done.name) for done in rounds])
        if found is None:
            return None, None
        reference = found.round
    try:
        number = operator.index(reference)
    except TypeError as error:
        raise ReferenceNotFound(
            f"A {type(reference).__name__} is no reference; give a round's number, a (H, W) bool array, False or None."
        ) from error
    if not 1 <= number <= len(rounds):
        has = f"it has rounds 1 to {len(rounds)}" if rounds else "it has none yet"
        raise ReferenceNotFound(f"There is no round {number} in this dialogue; {has}.")
    return number, rounds[number - 1].mask
