"""From a dialogue in words, images and masks to the tensors of one training `Example`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from MediRoundLib.config import IMAGE_TOKEN, MediRoundConfig
from MediRoundLib.imaging import ClipPixels, View, as_rgb, box_of, crop_square, sam_pixels
from MediRoundLib.text import END_OF_INSTRUCTION, IGNORED, Tokenizer, encode_dialogue
from training.data.entities import entity_ids
from training.step import Example

# Of a muddled or forgotten query so large a share of the tokens is replaced, at least and at most.
MUDDLED = (0.2, 0.8)


@dataclass(frozen=True)
class TaughtRound:
    """One round as the model is taught it.

    Attributes:
        turn: human turn with `<image>` (first round) and the tokens of its reference (if any); see `text.query_turn`.
        answer: exact answer, `[SEG]` once.
        target: (H, W) bool; may be empty where the structure is known to be absent.
        reference: (H, W) bool mask of the round referred to, not empty; None for none.
        entity: key of the target in `entities.toml`; "" where it is not known.
    """

    turn: str
    answer: str
    target: NDArray[np.bool_]
    reference: NDArray[np.bool_] | None = None
    entity: str = ""


class ExampleMaker:
    """Turns dialogues into examples for one model's sizes and tokenizer."""

    def __init__(self, config: MediRoundConfig, tokenizer: Tokenizer) -> None:
        self.config = config
        self._tokenizer = tokenizer
        self._clip_pixels = ClipPixels(config.clip_image)

    def __call__(self, image: NDArray[np.uint8], rounds: Sequence[TaughtRound]) -> Example:
        """One dialogue about `image`, (H, W) or (H, W, 3) uint8. Crops and boxes are those of the references' masks."""
        rgb = as_rgb(image)
        view = View.of(rgb, self.config.close_up)
        rgb = view.take(rgb)
        pixels, resized = sam_pixels(rgb, self.config.sam)
        ids, labels = encode_dialogue(self._tokenizer, [(taught.turn, taught.answer) for taught in rounds])
        references = [_seen(view.take(taught.reference)) for taught in rounds if taught.reference is not None]
        size = self.config.clip_image.size
        crops = [self._clip_pixels(crop_square(rgb, mask, mask)) for mask in references]
        return Example(
            sam_pixels=pixels,
            resized=resized,
            clip_pixels=self._clip_pixels(rgb),
            ids=ids,
            labels=labels,
            crops=torch.stack(crops) if crops else torch.zeros(0, 3, size, size),
            boxes=torch.tensor([box_of(mask) for mask in references]).reshape(-1, 4),
            targets=torch.from_numpy(np.stack([view.take(taught.target) for taught in rounds])),
            entities=torch.tensor([entity_ids().get(taught.entity, -1) for taught in rounds]),
        )

    def _queries(self, example: Example) -> Iterator[tuple[slice, bool]]:
        """Where the words of each query are, without the marks around them, and whether it has a reference."""
        begin, end = (len(self._tokenizer.encode(mark)) for mark in ("[INST]", END_OF_INSTRUCTION.strip()))
        asked = np.array([False, *(label == IGNORED for label in example.labels), False])  # between labelled answers
        for first, last in np.flatnonzero(np.diff(asked.astype(int))).reshape(-1, 2).tolist():
            marks = [k for k in range(first, last) if example.ids[k] in (IMAGE_TOKEN, self.config.tokens.box)]
            referenced = self.config.tokens.box in example.ids[first:last]
            yield slice(marks[-1] + 1 if marks else first + begin, last - end), referenced

    def garbled(
        self, example: Example, share: float, muddle: float, forget: float, rng: np.random.Generator
    ) -> Example:
        """The example with about `share` of its queries' tokens replaced by any others; answers stay as they are.

        Of a share `muddle` of the queries that have a reference MUDDLED of the tokens are, and of a share `forget` of
        those that have none.
        """
        pieces = self._tokenizer.pieces
        shares = np.zeros(len(example.ids))
        for words, referenced in self._queries(example):
            muddled = rng.random() < (muddle if referenced else forget)
            shares[words] = rng.uniform(*MUDDLED) if muddled else share
        changes = rng.random(len(example.ids)) < shares
        others = rng.integers(3, pieces, len(example.ids))  # behind the three that are no words
        ids = [
            int(other) if change and label == IGNORED and 3 <= number < pieces else number
            for number, label, change, other in zip(example.ids, example.labels, changes, others, strict=True)
        ]
        return replace(example, ids=ids)


def _seen(reference: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The reference, or the whole view in place of one that lies out of it."""
    return reference if reference.any() else np.ones_like(reference)
