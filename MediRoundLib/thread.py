"""The language model's memory of one dialogue: a KV cache that grows by each round's own tokens, and shrinks again."""

from dataclasses import dataclass

import torch
from torch import Tensor

from MediRoundLib.config import IMAGE_TOKEN
from MediRoundLib.errors import QueryError
from MediRoundLib.imaging import ClipPixels, ReferenceInput
from MediRoundLib.modeling import MediRound
from MediRoundLib.modeling.language import KeyValues
from MediRoundLib.text import IMAGE, Tokenizer, encode_with_image, round_prompt, round_text

# A model that writes its own answer stops here if it has not ended before.
MAX_ANSWER_TOKENS = 48


@dataclass(frozen=True)
class Opening:
    """What every dialogue about an image begins with, read once: all up to the image.

    Attributes:
        ids: token ids, `IMAGE_TOKEN` last.
        patches: CLIP's projected (1, P, D), which stand for it.
        held: keys and values of all these.
    """

    ids: list[int]
    patches: Tensor
    held: KeyValues

    @property
    def nbytes(self) -> int:
        """Memory that it takes, in bytes."""
        return self.patches.nbytes + self.held.nbytes


def read_opening(model: MediRound, tokenizer: Tokenizer, patches: Tensor) -> Opening:
    """The opening of dialogues about an image; for `patches` see `MediRound.encode_patches`."""
    ids = [tokenizer.bos, *encode_with_image(tokenizer, round_prompt(IMAGE))]
    ids = ids[: ids.index(IMAGE_TOKEN) + 1]
    nothing = patches.new_zeros(0, patches.shape[-1])
    held = KeyValues()
    model.read(model.embed(ids, patches[0], nothing, nothing), held, -1)
    return Opening(ids, patches, held)


class Thread:
    """One image's dialogue inside the language model.

    ```
    thread = Thread(model, tokenizer, clip_pixels, read_opening(model, tokenizer, patches))
    hidden = thread.add("<image>\\n Segment the liver.", "Sure, it is [SEG].", None)
    thread.rewind(0)
    ```
    """

    def __init__(self, model: MediRound, tokenizer: Tokenizer, clip_pixels: ClipPixels, opening: Opening) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._clip_pixels = clip_pixels
        self._opening = opening
        self._held = KeyValues()
        # Cached tokens before the first round, and after each round; the opening is taken over with the first.
        self._start = 0
        self._ends: list[int] = []

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def tokens(self) -> int:
        """How many tokens (patches included) the cache holds."""
        return self._ends[-1] if self._ends else self._start

    @property
    def nbytes(self) -> int:
        """Memory that the cache takes, in bytes; a shortened cache keeps what it had."""
        return self._held.nbytes

    def add(self, turn: str, answer: str, reference: ReferenceInput | None) -> Tensor | None:
        """Read one round, prefilling its own tokens only.

        Args:
            turn: human turn with `<image>` (first round) and the tokens of its reference (if any).
            answer: exact answer.
            reference: what stands for the reference tokens.

        Returns:
            (1, D) hidden state in front of the answer's first `[SEG]`; None where it has none.

        Raises:
            QueryError: the dialogue is longer than the model can read.
        """
        ids = self._encode(round_text(turn, answer))
        seg = self._model.config.tokens.seg
        drawn = seg in ids
        # Counted from the end, since the image takes more places than its one id. The feature is that of the position
        # before [SEG], as in the released code.
        hidden = self._prefill(ids, reference, ids.index(seg) - len(ids) - 1 if drawn else -1)
        self._ends.append(self._held.length)
        return hidden if drawn else None

    def write_answer(self, turn: str, reference: ReferenceInput | None) -> str:
        """The model's own answer by greedy decoding; the cache is left as it was."""
        ids = self._encode(round_prompt(turn).rstrip(" "))
        before = self.tokens
        try:
            hidden = self._prefill(ids, reference, -1)
            written: list[int] = []
            tokens = self._model.config.tokens
            while len(written) < MAX_ANSWER_TOKENS:
                logits = self._model.vocabulary_logits(hidden[0])
                logits[[tokens.crop, tokens.box]] = -torch.inf  # these stand for pictures, which an answer has none of
                token = int(logits.argmax())
                if token == self._tokenizer.eos:
                    break
                written.append(token)
                hidden = self._prefill([token], None, -1)
        finally:
            self._held.length = before
        return self._tokenizer.decode(written)

    def rewind(self, rounds: int) -> None:
        """Keep the first `rounds` rounds; the cache follows."""
        del self._ends[rounds:]
        self._held.length = self.tokens

    def _encode(self, text: str) -> list[int]:
        """Token ids of a round, without what the cache holds of it already."""
        ids = encode_with_image(self._tokenizer, text)
        if self._ends:
            return ids
        ids, opening = [self._tokenizer.bos, *ids], self._opening
        fits = ids[: len(opening.ids)] == opening.ids
        if fits != (self._start > 0):  # a file's dialogue may have words before the image
            self._held = opening.held.copy() if fits else KeyValues()
            self._start = self._held.length
        return ids[len(opening.ids) :] if fits else ids

    def _prefill(self, ids: list[int], reference: ReferenceInput | None, place: int) -> Tensor:
        """Read new tokens, which the cache holds afterwards: (1, D) hidden state of the one at `place`."""
        model = self._model
        width = model.config.language["hidden_size"]
        crops = boxes = torch.zeros(0, width, device=model.device, dtype=model.dtype)
        if reference is not None:
            crops = model.encode_crops(model.to_device(self._clip_pixels(reference.crop)[None]))
            boxes = model.encode_boxes(model.to_device(torch.tensor([reference.box])))
        held = self._held.length
        embeddings = model.embed(ids, self._opening.patches[0] if IMAGE_TOKEN in ids else None, crops, boxes)
        limit = model.config.language["max_position_embeddings"]
        if held + len(embeddings) > limit:
            raise QueryError(
                f"This dialogue is full: {held} of {limit} tokens are used, the query needs {len(embeddings)}; "
                "shorten it, take some rounds back, or start a new dialogue."
            )
        return model.read(embeddings, self._held, place)
