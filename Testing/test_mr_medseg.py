"""MR-MedSeg's JSON: what is read, what is refused and in which words, and that writing gives back what was read."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from MediRoundLib.errors import DialogueFileError
from MediRoundLib.mr_medseg import (
    Conversation,
    Turn,
    check_masks,
    entry_of,
    read_conversations,
    write_conversations,
)

GOLDEN = ("mediround_basic", "mediround_near_empty")
REFERENCE = "[MASK-ENCODE:masks/0.png][BOX-ENCODE:masks/0.png]"


def dialogue() -> list[dict[str, Any]]:
    """Three rounds; the second leans on the first, the third on nothing."""
    return [
        {"from": "human", "value": "[IMAGE256:images/case.png] Segment the left lung."},
        {"from": "gpt", "value": "Sure, [MASK-DECODE:masks/0.png]."},
        {"from": "human", "ind": 0, "value": f"{REFERENCE} 请分割另一侧的肺。"},
        {"from": "gpt", "value": "It is [REF-DECODE:masks/0.png][MASK-DECODE:masks/1.png]."},
        {"from": "human", "value": "Segment the heart."},
        {"from": "gpt", "value": "[MASK-DECODE:masks/2.png]."},
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image of 6 x 4 pixels and three masks of one pixel each."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "images/case.png")
    for k in range(3):
        mask = Image.new("L", (6, 4))
        mask.putpixel((k, 1), 255)
        mask.save(tmp_path / f"masks/{k}.png")
    return tmp_path


def write_json(folder: Path, messages: Any, **fields: Any) -> Path:
    """A file of one good dialogue and one with `messages`."""
    good = {"task": "segmentation", "base": "[null]", "conversations": dialogue()}
    path = folder / "dialogues.json"
    path.write_text(json.dumps([good, {**good, "conversations": messages, **fields}]), encoding="utf-8")
    return path


def test_reads_texts_masks_and_references(root: Path) -> None:
    conversation = read_conversations(write_json(root, dialogue()), root)[1]
    first, second, third = conversation.turns
    assert conversation.image == root / "images/case.png"
    assert first == Turn("<image>\n Segment the left lung.", "Sure, [SEG].", root / "masks/0.png", None, None)
    assert second.query == "[CROPPEDIMAGE][BBOXINPUT] 请分割另一侧的肺。"
    assert second.answer == "It is [SEG]."
    assert (second.reference, second.reference_mask) == (0, root / "masks/0.png")
    assert third == Turn("Segment the heart.", "[SEG].", root / "masks/2.png")


def test_a_dialogue_without_any_reference_is_fine(root: Path) -> None:
    conversation = read_conversations(write_json(root, dialogue()[:2]), root)[1]
    assert [turn.reference for turn in conversation.turns] == [None]


def test_paths_are_absolute_for_a_relative_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert read_conversations(write_json(root, dialogue()), ".")[0].image == root / "images/case.png"


def say(number: int, value: str) -> Callable[[list[dict[str, Any]]], None]:
    """Replaces the text of message `number`."""
    return lambda messages: messages[number].update(value=value)


@pytest.mark.parametrize(
    ("change", "turn", "words"),
    [
        (say(0, "Segment the left lung."), 1, "first human message"),
        (say(4, "[IMAGE256:images/case.png] Segment the heart."), 3, "first human message, and only that"),
        (say(0, "[IMAGE256:images/none.png] Segment."), 1, "no file 'images/none.png'"),
        (say(0, "[IMAGE256:/etc/hostname] Segment."), 1, "leaves the root"),
        (say(0, "[IMAGE256:images/../../case.png] Segment."), 1, "leaves the root"),
        (say(0, "[IMAGE256:images\\..\\..\\case.png] Segment."), 1, "leaves the root"),
        (say(0, "[IMAGE256:C:/case.png] Segment."), 1, "leaves the root"),
        (say(0, "[IMAGE256:images/case.png Segment."), 1, "'IMAGE256' outside"),
        (say(0, "[IMAGE256:images/case.png] Segment [SEG]."), 1, r"'\[SEG\]' outside"),
        (say(0, "[IMAGE256:images/case.png][MASK-DECODE:masks/0.png] Segment."), 1, "no place in a human message"),
        (say(1, "Sure."), 1, "lacks its"),
        (say(1, "[MASK-DECODE:masks/0.png][MASK-DECODE:masks/1.png]"), 1, "MASK-DECODE twice"),
        (say(1, "[MASK-ENCODE:masks/0.png][MASK-DECODE:masks/1.png]"), 1, "no place in a gpt message"),
        (say(3, "[REF-DECODE:masks/9.png][MASK-DECODE:masks/1.png]"), 2, "no file 'masks/9.png'"),
        (say(2, "[MASK-ENCODE:masks/0.png] The other lung."), 2, "come together"),
        (say(2, "The other lung."), 2, "come together"),
        (say(2, "[MASK-ENCODE:masks/0.png][BOX-ENCODE:masks/1.png] The other lung."), 2, "two different masks"),
        (say(4, f"{REFERENCE} Segment the heart."), 3, "come together"),
        (lambda messages: messages[2].update(ind=1), 2, '"ind" is 1; .* from 0 to 0'),
        (lambda messages: messages[2].update(ind=-1), 2, '"ind" is -1'),
        (lambda messages: messages[2].update(ind="0"), 2, "\"ind\" is '0'"),
        (lambda messages: messages[2].update(ind=True), 2, '"ind" is True'),
        (lambda messages: messages[3].update(value=None), 2, "a text"),
        (lambda messages: messages[3].update({"from": "human"}), 2, '"from": "gpt"'),
        (lambda messages: messages[4].update({"from": "gpt"}), 3, '"from": "human"'),
    ],
)
def test_refuses_a_turn_by_file_dialogue_and_number(
    root: Path, change: Callable[[list[dict[str, Any]]], Any], turn: int, words: str
) -> None:
    messages = dialogue()
    change(messages)
    path = write_json(root, messages)
    with pytest.raises(DialogueFileError, match=rf"dialogues\.json, dialogue 2, turn {turn}: .*{words}"):
        read_conversations(path, root)


def test_a_first_turn_has_nothing_to_refer_to(root: Path) -> None:
    messages = dialogue()
    messages[0].update(ind=0, value=f"[IMAGE256:images/case.png]{REFERENCE} Segment.")
    with pytest.raises(DialogueFileError, match=r"turn 1: .*the first turn has none"):
        read_conversations(write_json(root, messages), root)


@pytest.mark.parametrize(
    ("messages", "fields", "words"),
    [
        (dialogue()[:-1], {}, "pairs"),
        ([], {}, "pairs"),
        ({}, {}, "pairs"),
        (dialogue(), {"task": "caption"}, '"task": "segmentation"'),
    ],
)
def test_refuses_a_dialogue_as_a_whole(root: Path, messages: Any, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(DialogueFileError, match=f"dialogue 2: .*{words}"):
        read_conversations(write_json(root, messages, **fields), root)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'"text"'])
def test_refuses_what_is_no_list_of_dialogues(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "dialogues.json"
    path.write_bytes(content)
    with pytest.raises(DialogueFileError, match=r"dialogues\.json: "):
        read_conversations(path, tmp_path)


def test_a_missing_file_of_dialogues_is_named(tmp_path: Path) -> None:
    with pytest.raises(DialogueFileError, match=r"none\.json: .*cannot be read"):
        read_conversations(tmp_path / "none.json", tmp_path)


def test_writing_gives_back_what_was_read(root: Path) -> None:
    path = write_json(root, dialogue())
    conversations = read_conversations(path, root)
    copy = root / "copy.json"
    write_conversations(copy, conversations, root)
    assert json.loads(copy.read_text(encoding="utf-8")) == json.loads(path.read_text(encoding="utf-8"))
    assert read_conversations(copy, root) == conversations


def test_what_a_dialogue_is_made_of_is_kept(root: Path) -> None:
    about = {"scenario": "inference", "entities": ["left lung", "right lung", "heart"]}
    plain, told = read_conversations(write_json(root, dialogue(), about=about), root)
    assert (plain.about, told.about) == ({}, about)
    write_conversations(root / "copy.json", [plain, told], root)
    assert read_conversations(root / "copy.json", root) == [plain, told]
    assert json.loads((root / "copy.json").read_text(encoding="utf-8"))[1] == entry_of(told, root)
    with pytest.raises(DialogueFileError, match='dialogue 2: "about" is an object'):
        read_conversations(write_json(root, dialogue(), about=[1]), root)


def test_a_link_that_leaves_the_root_is_refused(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "0.png"
    (root / "masks/0.png").rename(outside)
    (root / "masks/0.png").symlink_to(outside)
    with pytest.raises(DialogueFileError, match=r"turn 1: the path 'masks/0.png' leaves the root by a link"):
        read_conversations(write_json(root, dialogue()), root)
    (root / "masks/0.png").unlink()
    (root / "masks/0.png").symlink_to(root / "masks/1.png")
    assert len(read_conversations(write_json(root, dialogue()), root)) == 2, "a link inside the root is fine"


def test_writing_needs_no_masks_yet(tmp_path: Path) -> None:
    turn = Turn("<image>\n Segment the liver.", "It is [SEG].", tmp_path / "masks/0.png")
    write_conversations(tmp_path / "dialogues.json", [Conversation(tmp_path / "images/0.png", (turn,))], tmp_path)
    assert "[IMAGE256:images/0.png] Segment the liver." in (tmp_path / "dialogues.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("number", "changes", "words"),
    [
        (0, {"query": "Segment the left lung."}, "IMAGE256"),
        (0, {"target": Path("/elsewhere/0.png")}, "lies outside the root"),
        (1, {"query": "Segment the other lung."}, "come together"),
        (1, {"reference": 2}, '"ind" is 2'),
        (1, {"reference": None}, "come together"),
        (1, {"answer": "It is here."}, "lacks its"),
        (1, {"answer": "[SEG] or [SEG]."}, "twice"),
        (2, {"query": "[CROPPEDIMAGE] The heart."}, "read back"),
    ],
)
def test_writes_nothing_that_cannot_be_read_back(root: Path, number: int, changes: dict[str, Any], words: str) -> None:
    conversation = read_conversations(write_json(root, dialogue()), root)[0]
    turns = list(conversation.turns)
    turns[number] = replace(turns[number], **changes)
    with pytest.raises(DialogueFileError, match=words):
        write_conversations(root / "copy.json", [replace(conversation, turns=tuple(turns))], root)
    assert not (root / "copy.json").exists()


def test_good_masks_pass(root: Path) -> None:
    check_masks(read_conversations(write_json(root, dialogue()), root))


def grey(value: int) -> Image.Image:
    return Image.new("L", (6, 4), value)


@pytest.mark.parametrize(
    ("name", "mask", "words"),
    [
        ("1", grey(1), "turn 2: .*1.png holds the value 1"),
        ("1", grey(254), "holds the value 254"),
        ("1", Image.new("1", (6, 4), 1), "of mode 1"),
        ("1", Image.new("RGB", (6, 4)), "of mode RGB"),
        ("2", Image.new("L", (4, 6)), "turn 3: .*4 x 6 pixels and the image 6 x 4"),
        ("0", grey(0), "turn 2: .*0.png is empty"),
    ],
)
def test_unfit_masks_are_named(root: Path, name: str, mask: Image.Image, words: str) -> None:
    mask.save(root / f"masks/{name}.png")
    with pytest.raises(DialogueFileError, match=f"Dialogue 1.*{words}"):
        check_masks(read_conversations(write_json(root, dialogue()), root))


def test_an_empty_target_is_allowed(root: Path) -> None:
    grey(0).save(root / "masks/2.png")
    check_masks(read_conversations(write_json(root, dialogue()), root))


@pytest.mark.parametrize("name", ["images/case", "masks/1"])
def test_a_file_that_is_no_image_is_named(root: Path, name: str) -> None:
    (root / f"{name}.png").write_bytes(b"not a picture")
    with pytest.raises(DialogueFileError, match=f"{name}.png is no image"):
        check_masks(read_conversations(write_json(root, dialogue()), root))


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_dialogues_are_read_checked_and_written_back(shared_dir: Path, tmp_path: Path, case: str) -> None:
    folder = shared_dir / "golden" / case
    conversations = read_conversations(folder / "dialogues.json", folder)
    turns = conversations[0].turns
    assert turns[0].query == "<image>\n Segment the left lung in the medical image."
    assert turns[1].query == "[CROPPEDIMAGE][BBOXINPUT] Please segment the other lung."
    assert turns[2].answer == "The segmentation output is [SEG]."
    assert [turn.reference for turn in turns[:4]] == [None, 0, 0, 2]
    check_masks(conversations)
    copy = tmp_path / "copy.json"
    write_conversations(copy, conversations, folder)
    assert json.loads(copy.read_text()) == json.loads((folder / "dialogues.json").read_text())
