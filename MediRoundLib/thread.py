"""The language model's memory of one dialogue: a KV cache that grows by each round's own tokens, and shrinks again."""

import torch
from torch import Tensor

from MediRoundLib.errors import QueryError
from MediRoundLib.imaging import ClipPixels, ReferenceInput
from MediRoundLib.modeling import MediRound
from MediRoundLib.modeling.language import KeyValues
from MediRoundLib.text import Tokenizer, encode_with_image, round_prompt, round_text

# A model that writes its own answer stops here if it has not ended before.
MAX_ANSWER_TOKENS = 48


class Thread:
    """One image's dialogue inside the language model.

    ```
    thread = Thread(model, tokenizer, clip_pixels, patches)     # patches: (1, P, D), see MediRound.encode_patches
    hidden = thread.add("<image>\\n Segment the liver.", "Sure, it is [SEG].", None)
    thread.rewind(0)
    ```
    """

    def __init__(self, model: MediRound, tokenizer: Tokenizer, clip_pixels: ClipPixels, patches: Tensor) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._clip_pixels = clip_pixels
        self._patches = patches
        self._held = KeyValues()
        # Cached tokens after each round; the beginning of sequence is written with the first round.
        self._ends: list[int] = []

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def tokens(self) -> int:
        """How many tokens (patches included) the cache holds."""
        return self._ends[-1] if self._ends else 0

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
        before = self.tokens
        try:
            hidden = self._prefill(self._encode(round_prompt(turn).rstrip(" ")), reference, -1)
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
        ids = encode_with_image(self._tokenizer, text)
        return ids if self._ends else [self._tokenizer.bos, *ids]

    def _prefill(self, ids: list[int], reference: ReferenceInput | None, place: int) -> Tensor:
        """Read new tokens, which the cache holds afterwards: (1, D) hidden state of the one at `place`."""
        model = self._model
        width = model.config.language["hidden_size"]
        crops = boxes = torch.zeros(0, width, device=model.device, dtype=model.dtype)
        if reference is not None:
            crops = model.encode_crops(model.to_device(self._clip_pixels(reference.crop)[None]))
            boxes = model.encode_boxes(model.to_device(torch.tensor([reference.box])))
        held = self._held.length
        embeddings = model.embed(ids, None if held else self._patches[0], crops, boxes)
        limit = model.config.language["max_position_embeddings"]
        if held + len(embeddings) > limit:
            raise QueryError(
                f"This dialogue is full: {held} of {limit} tokens are used, the query needs {len(embeddings)}; "
                "shorten it, take some rounds back, or start a new dialogue."
            )
        return model.read(embeddings, self._held, place)
