"""From words to token ids: the released tokenizer's behaviour, and the layout of a dialogue's prompt."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import sentencepiece

from MediRoundLib.config import IMAGE_TOKEN, TokenConfig
from MediRoundLib.errors import CheckpointError

IMAGE = "<image>"
SEG, BOX, CROP = "[SEG]", "[BBOXINPUT]", "[CROPPEDIMAGE]"
REFERENCE = CROP + BOX
END_OF_INSTRUCTION = "[/INST] "
# Label of a token that the language loss leaves out.
IGNORED = -100


class Tokenizer:
    """A SentencePiece model with added tokens, as transformers 4's slow Llama tokenizer with `legacy=True`.

    Text is cut at added and special tokens and each piece is encoded on its own, with a word boundary in front. Newer
    tokenizers place that boundary differently, which gives other ids than the released model was trained with.
    """

    def __init__(self, model: bytes, added: Mapping[str, int]) -> None:
        self.model = model
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise CheckpointError("The tokenizer.model is not a SentencePiece model; fetch it again.") from error
        self._special = dict(added)
        for piece_id in (self.bos, self.eos, self._pieces.unk_id()):
            self._special[self._pieces.id_to_piece(piece_id)] = piece_id
        self._names = {number: name for name, number in self._special.items()}
        # Longest first, so that no token hides another that begins with it.
        names = sorted(self._special, key=len, reverse=True)
        self._cut = re.compile("(" + "|".join(re.escape(name) for name in names) + ")")

    @classmethod
    def from_file(cls, path: Path, tokens: TokenConfig) -> "Tokenizer":
        try:
            return cls(path.read_bytes(), tokens.strings())
        except OSError as error:
            raise CheckpointError(
                f"The tokenizer {path} is missing: add the tokenizer.model of the base model."
            ) from error

    @property
    def bos(self) -> int:
        return int(self._pieces.bos_id())

    @property
    def eos(self) -> int:
        return int(self._pieces.eos_id())

    @property
    def pieces(self) -> int:
        """Size of the vocabulary without added tokens."""
        return int(self._pieces.vocab_size())

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; no token is put in front."""
        ids: list[int] = []
        for part in self._cut.split(text):
            if part in self._special:
                ids.append(self._special[part])
            elif part:
                ids.extend(self._pieces.encode(part))
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, added tokens by name, without beginning and end of sequence."""
        words, run = "", list[int]()
        for number in [*ids, None]:
            if number is not None and number not in self._names:
                run.append(number)
                continue
            if run:
                words += self._pieces.decode(run)
                run = []
            if number is not None and number not in (self.bos, self.eos):
                words += " " + self._names[number]
        return words.strip()


def first_turn(query: str) -> str:
    """The human turn that opens a dialogue: the image, then the query (with its reference tokens, if any)."""
    return f"{IMAGE}\n{query}"


def query_turn(query: str, referenced: bool) -> str:
    """A query with the tokens that stand for its reference's crop and box in front, as MR-MedSeg writes them."""
    return f"{REFERENCE if referenced else ''} {query}"


def round_prompt(turn: str) -> str:
    """A round up to where the answer begins."""
    return f"[INST] {turn} {END_OF_INSTRUCTION}"


def round_text(turn: str, answer: str) -> str:
    """A whole round: instruction, answer and end of sequence."""
    return f"{round_prompt(turn)}{answer} </s>"


def encode_with_image(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of `text` with `IMAGE_TOKEN` where it says `<image>`; the text on both sides is encoded on its own."""
    ids: list[int] = []
    for k, part in enumerate(text.split(IMAGE)):
        if k:
            ids.append(IMAGE_TOKEN)
        ids.extend(tokenizer.encode(part))
    return ids


def encode_dialogue(tokenizer: Tokenizer, rounds: Sequence[tuple[str, str]]) -> tuple[list[int], list[int]]:
    """A whole dialogue for training, with the labels of the language loss.

    Args:
        tokenizer: the tokenizer.
        rounds: (human turn, answer) of each round; the first turn holds `<image>`.

    Returns:
        Token ids from the beginning of sequence, and as many labels: the id where the loss counts (answers and ends of
        sequence), `IGNORED` elsewhere. As released, an instruction ends one token before its closing space.
    """
    ids, labels = [tokenizer.bos], [IGNORED]
    for turn, answer in rounds:
        new = encode_with_image(tokenizer, round_text(turn, answer))
        instruction = len(encode_with_image(tokenizer, round_prompt(turn))) - 1
        ids.extend(new)
        labels.extend([IGNORED] * instruction + new[instruction:])
    return ids, labels
