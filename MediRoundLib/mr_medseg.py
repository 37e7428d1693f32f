"""Reader, validator and writer of MR-MedSeg's JSON: dialogues about one image, with masks for answers. No torch.

A file is a list of `{"task": "segmentation", "base": "[null]", "conversations": [..]}`; its conversations are human and
gpt messages in turn, with paths relative to a root in tags: the first human message holds `[IMAGE256:path]`, one that
leans on an earlier round `[MASK-ENCODE:path][BOX-ENCODE:path]` and `"ind"`, the number of that round from 0; every gpt
message holds one `[MASK-DECODE:path]` and may repeat the reference as `[REF-DECODE:path]`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from PIL import Image

from MediRoundLib.errors import DialogueFileError

# What the released loader puts in a tag's place.
_TOKENS = {
    "IMAGE256": "<image>\n",
    "MASK-ENCODE": "[CROPPEDIMAGE]",
    "BOX-ENCODE": "[BBOXINPUT]",
    "MASK-DECODE": "[SEG]",
    "REF-DECODE": "",
}
_HUMAN_TAGS = ("IMAGE256", "MASK-ENCODE", "BOX-ENCODE")
_GPT_TAGS = ("REF-DECODE", "MASK-DECODE")
_TAG = re.compile(rf"\[({'|'.join(_TOKENS)}):([^\[\]\n]+)\]")
# Left over once the tags are out, these are broken tags, or words that the model would read as commands.
_LEFT_OVER = re.compile("|".join([*_TOKENS, *(re.escape(token.strip()) for token in _TOKENS.values() if token)]))


@dataclass(frozen=True)
class Turn:
    """One round: a human message and its answer.

    Attributes:
        query: the human message, with "<image>\\n", "[CROPPEDIMAGE]" and "[BBOXINPUT]" where it has tags.
        answer: the gpt message, with "[SEG]" for its MASK-DECODE and nothing for a REF-DECODE.
        target: mask file of the answer.
        reference: number of the earlier round, from 0, that the query leans on; None for none.
        reference_mask: mask file of the reference; None where `reference` is None.
    """

    query: str
    answer: str
    target: Path
    reference: int | None = None
    reference_mask: Path | None = None


@dataclass(frozen=True)
class Conversation:
    """A dialogue about one image file."""

    image: Path
    turns: tuple[Turn, ...]


def read_conversations(json_path: str | Path, root: str | Path) -> list[Conversation]:
    """The dialogues of a file, checked.

    Args:
        json_path: MR-MedSeg JSON, UTF-8.
        root: folder that the paths in the file are relative to; the paths returned are absolute.

    Raises:
        DialogueFileError: the file is not in MR-MedSeg's form, a path leaves the root, or a file is missing. The
            message names file, dialogue and turn, both counted from 1; a turn is a human message and its answer.
    """
    json_path = Path(json_path)
    try:
        content = json.loads(json_path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DialogueFileError(f"{json_path}: the file of dialogues cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise DialogueFileError(f"{json_path}: this is no JSON in UTF-8: {error}.") from error
    if not isinstance(content, list) or not content:
        raise DialogueFileError(f"{json_path}: an MR-MedSeg file is a list of at least one dialogue.")
    reader = _Reader(str(json_path), Path(root).absolute(), files_exist=True)
    return [reader.conversation(entry, number) for number, entry in enumerate(content, start=1)]


def write_conversations(json_path: str | Path, conversations: Sequence[Conversation], root: str | Path) -> None:
    """Write dialogues as MR-MedSeg JSON, so that `read_conversations` gives them back.

    Args:
        json_path: the file to write.
        conversations: the dialogues; images and masks need not exist yet.
        root: folder that holds all images and masks.

    Raises:
        DialogueFileError: a file lies outside the root, or a turn could not be read back as it is: its text lacks a
            token that its files call for, or its reference is not an earlier round. Nothing is written then.
    """
    root = Path(root).absolute()
    reader = _Reader(str(json_path), root, files_exist=False)
    content = []
    for number, conversation in enumerate(conversations, start=1):
        entry = _entry(conversation, root, f"{json_path}, dialogue {number}")
        if reader.conversation(entry, number) != _absolute(conversation):
            raise DialogueFileError(
                f"{json_path}, dialogue {number}: it would not be read back as it is; put the tokens <image>, "
                "[CROPPEDIMAGE][BBOXINPUT] and [SEG] once each where a turn has image, reference and mask."
            )
        content.append(entry)
    Path(json_path).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def check_masks(conversations: Sequence[Conversation]) -> None:
    """Open every mask and check its pixels: one channel of 0 and 255, of the image's size, references not empty.

    Args:
        conversations: dialogues as read; numbers in messages count from 1.

    Raises:
        DialogueFileError: the first mask or image that is unfit, by dialogue, turn and file.
    """
    for number, conversation in enumerate(conversations, start=1):
        image = _open(conversation.image, f"Dialogue {number}")
        checked: set[tuple[Path, bool]] = set()
        for turn_number, turn in enumerate(conversation.turns, start=1):
            for path, is_reference in ((turn.target, False), (turn.reference_mask, True)):
                if path is not None and (path, is_reference) not in checked:
                    _check_mask(path, image.size, is_reference, f"Dialogue {number}, turn {turn_number}")
                    checked.add((path, is_reference))


def _open(path: Path, where: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # all three come from Pillow on bad files
        raise DialogueFileError(f"{where}: {path} is no image that can be opened: {error}.") from error


def _check_mask(path: Path, size: tuple[int, int], is_reference: bool, where: str) -> None:
    mask = _open(path, where)
    if mask.mode not in ("L", "P"):
        raise DialogueFileError(
            f"{where}: the mask {path} is of mode {mask.mode}; save it with one 8-bit channel of 0 and 255."
        )
    if mask.size != size:
        raise DialogueFileError(
            f"{where}: the mask {path} has {mask.width} x {mask.height} pixels and the image {size[0]} x {size[1]}; "
            "they must be equal."
        )
    counts = mask.histogram()
    others = [value for value in range(1, 255) if counts[value]]
    if others:
        raise DialogueFileError(f"{where}: the mask {path} holds the value {others[0]}; only 0 and 255 are allowed.")
    if is_reference and not counts[255]:
        raise DialogueFileError(f"{where}: the reference {path} is empty; a turn can only lean on a mask with pixels.")


class _Reader:
    """Reads parsed JSON into conversations, and knows where it is when something is wrong."""

    def __init__(self, name: str, root: Path, files_exist: bool) -> None:
        """`name` is the file's, for messages; with `files_exist` a path to nothing is an error."""
        self._name, self._root, self._files_exist = name, root, files_exist
        self._found: set[Path] = set()

    def conversation(self, entry: Any, number: int) -> Conversation:
        where = f"{self._name}, dialogue {number}"
        if not isinstance(entry, dict) or entry.get("task") != "segmentation":
            raise DialogueFileError(f'{where}: a dialogue is an object with "task": "segmentation".')
        messages = entry.get("conversations")
        if not isinstance(messages, list) or not messages or len(messages) % 2:
            raise DialogueFileError(f'{where}: "conversations" is a list of pairs, a human message and its gpt answer.')
        turns: list[Turn] = []
        image: Path | None = None
        for k in range(0, len(messages), 2):
            spot = f"{where}, turn {k // 2 + 1}"
            query, human = self._message(messages[k], "human", _HUMAN_TAGS, spot)
            answer, gpt = self._message(messages[k + 1], "gpt", _GPT_TAGS, spot)
            if ("IMAGE256" in human) != (k == 0):
                raise DialogueFileError(f"{spot}: the first human message, and only that, holds the [IMAGE256:path].")
            image = human.get("IMAGE256", image)
            reference = self._reference(messages[k], human, len(turns), spot)
            if "MASK-DECODE" not in gpt:
                raise DialogueFileError(f"{spot}: the gpt message lacks its [MASK-DECODE:path].")
            turns.append(Turn(query, answer, gpt["MASK-DECODE"], reference, human.get("MASK-ENCODE")))
        assert image is not None
        return Conversation(image, tuple(turns))

    def _message(self, message: Any, speaker: str, allowed: tuple[str, ...], spot: str) -> tuple[str, dict[str, Path]]:
        """The text of a message, with tokens in the place of its tags, and the file of each tag."""
        if not isinstance(message, dict) or message.get("from") != speaker or not isinstance(message.get("value"), str):
            raise DialogueFileError(f'{spot}: expected a message with "from": "{speaker}" and a text as "value".')
        text: str = message["value"]
        files: dict[str, Path] = {}
        for tag, path in _TAG.findall(text):
            if tag not in allowed:
                raise DialogueFileError(f"{spot}: {tag} has no place in a {speaker} message.")
            if tag in files:
                raise DialogueFileError(f"{spot}: the {speaker} message holds {tag} twice.")
            files[tag] = self._file(path, spot)
        left_over = _LEFT_OVER.search(_TAG.sub("", text))
        if left_over:
            raise DialogueFileError(f"{spot}: the {speaker} message holds {left_over[0]!r} outside of a [TAG:path].")
        return _TAG.sub(lambda found: _TOKENS[found[1]], text), files

    def _reference(self, message: dict[str, Any], files: dict[str, Path], outputs: int, spot: str) -> int | None:
        """The earlier round that a human message leans on, from 0; `outputs` is how many there are."""
        index = message.get("ind")
        if len({index is None, "MASK-ENCODE" not in files, "BOX-ENCODE" not in files}) > 1:
            raise DialogueFileError(
                f'{spot}: "ind", [MASK-ENCODE:path] and [BOX-ENCODE:path] come together or not at all.'
            )
        if index is None:
            return None
        if files["MASK-ENCODE"] != files["BOX-ENCODE"]:
            raise DialogueFileError(f"{spot}: MASK-ENCODE and BOX-ENCODE name two different masks.")
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < outputs:
            earlier = f"from 0 to {outputs - 1}" if outputs else "and the first turn has none before it"
            raise DialogueFileError(f'{spot}: "ind" is {index!r}; it is the number of an earlier output, {earlier}.')
        return index

    def _file(self, path: str, spot: str) -> Path:
        # Windows' rules know both slashes and drives, so no spelling leads out of the root on any system.
        pure = PureWindowsPath(path)
        if pure.anchor or ".." in pure.parts:
            raise DialogueFileError(f"{spot}: the path {path!r} leaves the root; make it relative, without '..'.")
        file = self._root / path
        if self._files_exist and file not in self._found:
            if not file.is_file():
                raise DialogueFileError(f"{spot}: there is no file {path!r} under the root {self._root}.")
            self._found.add(file)
        return file


def _absolute(conversation: Conversation) -> Conversation:
    turns = (
        Turn(
            turn.query,
            turn.answer,
            turn.target.absolute(),
            turn.reference,
            turn.reference_mask and turn.reference_mask.absolute(),
        )
        for turn in conversation.turns
    )
    return Conversation(conversation.image.absolute(), tuple(turns))


def _entry(conversation: Conversation, root: Path, where: str) -> dict[str, Any]:
    """A conversation as MR-MedSeg has it."""
    messages = [
        message
        for k, turn in enumerate(conversation.turns)
        for message in _messages(turn, conversation.image if k == 0 else None, root, f"{where}, turn {k + 1}")
    ]
    return {"task": "segmentation", "base": "[null]", "conversations": messages}


def _messages(turn: Turn, image: Path | None, root: Path, where: str) -> Iterator[dict[str, Any]]:
    """The human and the gpt message of a turn."""

    def tag(kind: str, file: Path | None) -> str:
        if file is None:
            return ""
        try:
            return f"[{kind}:{file.absolute().relative_to(root).as_posix()}]"
        except ValueError as error:
            raise DialogueFileError(f"{where}: {file} lies outside the root {root}; move it there.") from error

    value = turn.query
    for kind, file in (("IMAGE256", image), ("MASK-ENCODE", turn.reference_mask), ("BOX-ENCODE", turn.reference_mask)):
        value = value.replace(_TOKENS[kind], tag(kind, file))
    reference = {} if turn.reference is None else {"ind": turn.reference}
    yield {"from": "human", **reference, "value": value}
    masks = tag("REF-DECODE", turn.reference_mask) + tag("MASK-DECODE", turn.target)
    yield {"from": "gpt", "value": turn.answer.replace(_TOKENS["MASK-DECODE"], masks)}
