"""The validator: it finds everything, says where, and holds one dialogue at a time."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from training.data.json_stream import CHUNK, iter_list, iter_object
from training.data.validate import main

LEAN = "[MASK-ENCODE:masks/0.png][BOX-ENCODE:masks/0.png]"


def dialogue(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"task": "segmentation", "base": "[null]", "conversations": list(messages)}


def human(value: str, **fields: Any) -> dict[str, Any]:
    return {"from": "human", "value": value, **fields}


def gpt(value: str) -> dict[str, Any]:
    return {"from": "gpt", "value": value}


GOOD = dialogue(
    human("[IMAGE256:images/0.png] Segment the left lung."),
    gpt("[MASK-DECODE:masks/0.png]."),
    human(f"{LEAN} The other lung.", ind=0),
    gpt("[REF-DECODE:masks/0.png][MASK-DECODE:masks/1.png]."),
)
ALONE = dialogue(human("[IMAGE256:images/0.png] Segment."), gpt("[MASK-DECODE:masks/0.png]."))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "images/0.png")
    masks = {"0": (6, 4, 255), "1": (6, 4, 255), "empty": (6, 4, 0), "ones": (6, 4, 1), "grey": (6, 4, 7)}
    for name, (width, height, value) in {**masks, "wide": (9, 4, 255)}.items():
        mask = Image.new("L", (width, height))
        mask.putpixel((2, 1), value)
        mask.save(tmp_path / f"masks/{name}.png")
    return tmp_path


def check(root: Path, capsys: pytest.CaptureFixture[str], *dialogues: Any, options: tuple[str, ...] = ()) -> list[str]:
    """The lines printed for a file of these dialogues; the exit code must fit the last of them."""
    path = root / "train.json"
    path.write_text(json.dumps(list(dialogues)), encoding="utf-8")
    code = main([str(path), "--root", str(root), *options])
    lines = capsys.readouterr().out.splitlines()
    assert code == (0 if lines[-1].endswith("no problem.") else 1)
    return lines


def test_good_dialogues_pass(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(root, capsys, GOOD, ALONE) == ["2 dialogues, no problem."]


def test_everything_wrong_is_found_in_one_go(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = dialogue(
        human("[IMAGE256:../0.png] Segment."),
        gpt("It."),
        human("[MASK-ENCODE:masks/empty.png][BOX-ENCODE:masks/empty.png] Next.", ind=1),
        gpt("[MASK-DECODE:masks/grey.png]."),
        human(f"{LEAN} Third."),
        {"from": "human", "value": "[MASK-DECODE:masks/none.png]."},
        human("Fourth [SEG]."),
        gpt("[MASK-DECODE:masks/none.png]."),
    )
    lines = check(root, capsys, GOOD, bad, 7, ALONE)
    assert lines[-1] == "4 dialogues: 12 problems in 2 of them."
    expected = [
        ("dialogue 2, turn 1", "leaves the root"),
        ("dialogue 2, turn 1", "lacks its"),
        ("dialogue 2, turn 2", '"ind" is 1'),
        ("dialogue 2, turn 3", '"from": "gpt"'),
        ("dialogue 2, turn 3", "come together"),
        ("dialogue 2, turn 3", "lacks its"),
        ("dialogue 2, turn 4", "'[SEG]' outside"),
        ("dialogue 2, turn 4", "no file 'masks/none.png'"),
        ("dialogue 2, turn 2", "empty.png is empty"),
        ("dialogue 2, turn 2", "holds the value 7"),
        ("dialogue 3", "is an object"),
        ("dialogue 3", "list of pairs"),
    ]
    for where, what in expected:
        assert [line for line in lines if f"train.json, {where}:" in line and what in line], (where, what)


@pytest.mark.parametrize(
    ("mask", "words"), [("wide", "9 x 4 pixels and the image 6 x 4"), ("ones", "holds the value 1")]
)
def test_masks_that_do_not_fit(root: Path, capsys: pytest.CaptureFixture[str], mask: str, words: str) -> None:
    wrong = dialogue(human("[IMAGE256:images/0.png] Segment."), gpt(f"[MASK-DECODE:masks/{mask}.png]."))
    assert words in check(root, capsys, wrong)[0]
    if mask == "ones":
        assert check(root, capsys, wrong, options=("--ones",)) == ["1 dialogues, no problem."]


def test_a_link_out_of_the_root_is_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = root.parent / "outside.png"
    (root / "images/0.png").rename(outside)
    (root / "images/0.png").symlink_to(outside)
    assert "turn 1: the path 'images/0.png' leaves the root by a link" in check(root, capsys, ALONE)[0]


def test_the_limit_counts_what_it_leaves_out(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = check(root, capsys, *[{}] * 5, options=("--limit", "3"))
    assert len(lines) == 5
    assert lines[-2:] == ["and 7 more; --limit shows more of them.", "5 dialogues: 10 problems in 5 of them."]


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1, ", "[1 2]", "[1] 2", "[nonsense]", "[\xff", "[,]"])
def test_what_is_no_list_cannot_be_read(root: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    path = root / "train.json"
    path.write_bytes(text.encode("latin-1"))
    assert main([str(path)]) == 2
    assert "train.json: this is no JSON list" in capsys.readouterr().err
    assert main([str(root / "none.json")]) == 2


def test_json_is_read_as_json_reads_it(tmp_path: Path) -> None:
    long = "x" * (3 * CHUNK)
    content = [1, "two, ] }", {"three": [4, None]}, long, [], -5.25e-3, "左肾", *range(30_000), "\\", 123456789]
    for indent in (None, 1):
        path = tmp_path / "list.json"
        path.write_text(json.dumps(content, indent=indent), encoding="utf-8")
        assert list(iter_list(path)) == content
        named = {f"key {k}": value for k, value in enumerate(content)}
        path.write_text(json.dumps(named, indent=indent), encoding="utf-8")
        assert dict(iter_object(path)) == named
    path.write_text(" { } ", encoding="utf-8")
    assert list(iter_object(path)) == []


def test_a_long_file_is_not_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([{"value": "x" * 1000}] * 2000), encoding="utf-8")
    opened: list[Any] = []
    original = Path.open

    def remember(self: Path, *args: Any, **keywords: Any) -> Any:
        opened.append(original(self, *args, **keywords))
        return opened[-1]

    monkeypatch.setattr(Path, "open", remember)
    elements = iter_list(path)
    for _ in range(100):
        next(elements)
    assert opened[0].buffer.tell() < path.stat().st_size / 5
