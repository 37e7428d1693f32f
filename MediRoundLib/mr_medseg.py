"""Reader, validator and writer of MR-MedSeg's JSON: dialogues about one image, with masks for answers. No torch.

A file is a list of `{"task": "segmentation", "base": "[null]", "conversations": [..]}`; its conversations are human and
gpt messages in turn, with paths relative to a root in tags: the first human message holds `[IMAGE256:path]`, one that
leans on an earlier round `[MASK-ENCODE:path][BOX-ENCODE:path]` and `"ind"`, the number of that round from 0; every gpt
gpt message holds one `[MASK-DECODE:path]` and may repeat the reference as `[REF-DECODE:path]`. This project's own files
say besides what a dialogue is made of (`"about"`); the released loader does not look at that.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Any

from MediRoundLib.errors import DialogueFileError
from MediRoundLib.masks import pixel_problems

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
_PIXELS_COUNT = ("IMAGE256", "MASK-ENCODE", "MASK-DECODE")  # the other tags repeat one of these files
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
    """A dialogue about one image file; `about` is what its maker says of it, such as scenario and modality."""

    image: Path
    turns: tuple[Turn, ...]
    about: Mapping[str, Any] = field(default_factory=dict, hash=False)


def read_conversations(json_path: str | Path, root: str | Path) -> list[Conversation]:
    """The dialogues of a file, checked.

    Args:
        json_path: MR-MedSeg JSON, UTF-8.
        root: folder that the paths in the file are relative to; the paths returned are absolute.

    Raises:
        DialogueFileError: the form is wrong, a path leaves the root, or a file is missing. The message names file,
            dialogue and turn, both counted from 1; a turn is a human message and its answer.
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

    Images and masks need not exist yet; `root` is the folder that holds them all. Raises DialogueFileError where a file
    lies outside of it, or where a turn could not be read back as it is: its text lacks a token that its files call for,
    or its reference is not an earlier round. Nothing is written then.
    """
    root = Path(root).absolute()
    reader = _Reader(str(json_path), root, files_exist=False)
    content = [_checked(reader, each, root, number) for number, each in enumerate(conversations, start=1)]
    Path(json_path).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def entry_of(conversation: Conversation, root: str | Path) -> dict[str, Any]:
    """One dialogue as a file's list holds it, for who writes a file piece by piece; raises as `write_conversations`."""
    root = Path(root).absolute()
    return _checked(_Reader("new file", root, files_exist=False), conversation, root, 1)


def entry_problems(entry: Any, number: int, name: str, root: str | Path, ones: bool = False) -> list[str]:
    """All that is wrong with one element of a file's list, its pixels too; an empty list for a good one.

    `number` (from 1) and `name` (the file's) are for the messages. With `ones` masks of 0 and 1 pass as well; the
    released loader reads those as empty.
    """
    problems: list[str] = []
    reader = _Reader(name, Path(root).absolute(), files_exist=True, report=problems.append)
    reader.conversation(entry, number)
    return problems + list(pixel_problems(reader.used, ones))


def check_masks(conversations: Sequence[Conversation]) -> None:
    """Open the masks: one channel of 0 and 255, of the image's size, references not empty. Raises at the first flaw."""
    for number, conversation in enumerate(conversations, start=1):
        used = [(f"Dialogue {number}", "IMAGE256", conversation.image)]
        for k, turn in enumerate(conversation.turns, start=1):
            files = (("MASK-DECODE", turn.target), ("MASK-ENCODE", turn.reference_mask))
            used += [(f"Dialogue {number}, turn {k}", tag, path) for tag, path in files if path is not None]
        for problem in pixel_problems(used, ones=False):
            _refuse(problem)


def _refuse(problem: str) -> None:
    raise DialogueFileError(problem)


class _Reader:
    """Reads parsed JSON into conversations, and knows where it is when something is wrong."""

    def __init__(self, name: str, root: Path, files_exist: bool, report: Callable[[str], None] = _refuse) -> None:
        """`name` is the file's, for messages; with `files_exist` a path to nothing is an error.

        A `report` that returns goes on to what else is wrong; what is read then counts only if there was nothing.
        """
        self.name, self._root, self._files_exist, self._report = name, root, files_exist, report
        self._found: set[Path] = set()
        self._real_root = root.resolve()
        self.used: list[tuple[str, str, Path]] = []  # place, tag and file of all that the latest dialogue names

    def conversation(self, entry: Any, number: int) -> Conversation:
        where, self.used = f"{self.name}, dialogue {number}", []
        if not isinstance(entry, dict) or entry.get("task") != "segmentation":
            self._report(f'{where}: a dialogue is an object with "task": "segmentation".')
        entry = entry if isinstance(entry, dict) else {}
        messages, about = entry.get("conversations"), entry.get("about", {})
        if not isinstance(about, dict):
            self._report(f'{where}: "about" is an object.')
        if not isinstance(messages, list) or not messages or len(messages) % 2:
            self._report(f'{where}: "conversations" is a list of pairs, a human message and its gpt answer.')
        messages = messages if isinstance(messages, list) else []
        turns: list[Turn] = []
        image = Path()
        for k in range(0, len(messages) - 1, 2):
            spot = f"{where}, turn {k // 2 + 1}"
            query, human = self._message(messages[k], "human", _HUMAN_TAGS, spot)
            answer, gpt = self._message(messages[k + 1], "gpt", _GPT_TAGS, spot)
            if ("IMAGE256" in human) != (k == 0):
                self._report(f"{spot}: the first human message, and only that, holds the [IMAGE256:path].")
            image = human.get("IMAGE256", image)
            reference = self._reference(messages[k], human, k // 2, spot)
            if "MASK-DECODE" not in gpt:
                self._report(f"{spot}: the gpt message lacks its [MASK-DECODE:path].")
            turns.append(Turn(query, answer, gpt.get("MASK-DECODE", Path()), reference, human.get("MASK-ENCODE")))
        return Conversation(image, tuple(turns), about)

    def _message(self, message: Any, speaker: str, allowed: tuple[str, ...], spot: str) -> tuple[str, dict[str, Path]]:
        """The text of a message, with tokens in the place of its tags, and the file of each tag."""
        if not isinstance(message, dict) or message.get("from") != speaker or not isinstance(message.get("value"), str):
            self._report(f'{spot}: expected a message with "from": "{speaker}" and a text as "value".')
            return "", {}
        text: str = message["value"]
        files: dict[str, Path] = {}
        for tag, path in _TAG.findall(text):
            if tag not in allowed:
                self._report(f"{spot}: {tag} has no place in a {speaker} message.")
            if tag in files:
                self._report(f"{spot}: the {speaker} message holds {tag} twice.")
            files[tag] = self._file(path, tag, spot)
        left_over = _LEFT_OVER.search(_TAG.sub("", text))
        if left_over:
            self._report(f"{spot}: the {speaker} message holds {left_over[0]!r} outside of a [TAG:path].")
        return _TAG.sub(lambda found: _TOKENS[found[1]], text), files

    def _reference(self, message: Any, files: dict[str, Path], outputs: int, spot: str) -> int | None:
        """The earlier round that a human message leans on, from 0; `outputs` is how many there are."""
        index = message.get("ind") if isinstance(message, dict) else None
        if len({index is None, "MASK-ENCODE" not in files, "BOX-ENCODE" not in files}) > 1:
            self._report(f'{spot}: "ind", [MASK-ENCODE:path] and [BOX-ENCODE:path] come together or not at all.')
        if index is None:
            return None
        if files.get("MASK-ENCODE") != files.get("BOX-ENCODE"):
            self._report(f"{spot}: MASK-ENCODE and BOX-ENCODE name two different masks.")
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < outputs:
            earlier = f"from 0 to {outputs - 1}" if outputs else "and the first turn has none before it"
            self._report(f'{spot}: "ind" is {index!r}; it is the number of an earlier output, {earlier}.')
            return None
        return index

    def _file(self, path: str, tag: str, spot: str) -> Path:
        # Windows' rules know both slashes and drives, so no spelling leads out of the root on any system.
        pure = PureWindowsPath(path)
        file = self._root / path
        known = not self._files_exist or file in self._found
        if pure.anchor or ".." in pure.parts:
            self._report(f"{spot}: the path {path!r} leaves the root; make it relative, without '..'.")
        elif not known and not file.is_file():
            self._report(f"{spot}: there is no file {path!r} under the root {self._root}.")
        elif not known and not file.resolve().is_relative_to(self._real_root):
            self._report(f"{spot}: the path {path!r} leaves the root by a link; put the file itself there.")
        else:
            self._found.add(file)
            if tag in _PIXELS_COUNT:
                self.used.append((spot, tag, file))
        return file


def _checked(reader: _Reader, conversation: Conversation, root: Path, number: int) -> dict[str, Any]:
    """A conversation as MR-MedSeg has it, which reads back as it is."""
    where = f"{reader.name}, dialogue {number}"
    messages = [
        message
        for k, turn in enumerate(conversation.turns)
        for message in _messages(turn, conversation.image if k == 0 else None, root, f"{where}, turn {k + 1}")
    ]
    about = {"about": dict(conversation.about)} if conversation.about else {}
    entry = {"task": "segmentation", "base": "[null]", **about, "conversations": messages}
    if reader.conversation(entry, number) != _absolute(conversation):
        raise DialogueFileError(
            f"{where}: it would not be read back as it is; put the tokens <image>, [CROPPEDIMAGE][BBOXINPUT] and [SEG] "
            "once each where a turn has image, reference and mask."
        )
    return entry


def _absolute(conversation: Conversation) -> Conversation:
    turns = (
        replace(
            turn, target=turn.target.absolute(), reference_mask=turn.reference_mask and turn.reference_mask.absolute()
        )
        for turn in conversation.turns
    )
    return replace(conversation, image=conversation.image.absolute(), turns=tuple(turns))


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
