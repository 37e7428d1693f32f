"""The data card: its counts by hand, its tables and its picture, and files that say nothing of themselves."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from training.data.build import main as build
from training.data.card import as_markdown, count, main


def entry(image: str, *rounds: tuple[str, int | None], **about: Any) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for number, (text, reference) in enumerate(rounds):
        tag = f"[IMAGE256:images/{image}.png] " if number == 0 else ""
        lean = {} if reference is None else {"ind": reference}
        messages += [{"from": "human", "value": tag + text, **lean}, {"from": "gpt", "value": "[MASK-DECODE:m.png]."}]
    found = {"task": "segmentation", "base": "[null]", "conversations": messages}
    return {**found, "about": about} if about else found


DIALOGUES = [
    entry(
        "a",
        ("The left kidney.", None),
        ("The other kidney based on the output of round 1.", 0),
        ("Its tumor.", 1),
        scenario="inference",
        modality="CT",
        source="set",
        patient="p1",
        entities=["left kidney", "right kidney", "kidney tumor"],
        relations=["direct", "other", "lesion"],
    ),
    entry(
        "a",
        ("请分割左肾。", None),
        ("实例1对侧的肾。", 0),
        scenario="inference",
        modality="CT",
        source="set",
        patient="p1",
    ),
    entry(
        "b",
        ("The liver.", None),
        ("What is left of instance 1?", 0),
        scenario="spatial",
        modality="MR-T1",
        source="other",
    ),
    entry("c", ("The spleen.", None)),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "set" / "dialogues.json"
    found.parent.mkdir()
    found.write_text(json.dumps(DIALOGUES), encoding="utf-8")
    return found


def test_counts_by_hand(path: Path) -> None:
    counts = count(path)
    assert (counts.dialogues, counts.rounds, len(counts.images), len(counts.patients)) == (4, 8, 3, 1)
    assert counts.of("scenario") == {"inference": 2, "spatial": 1, "not said": 1}
    assert counts.of("modality") == {"CT": 2, "MR-T1": 1, "not said": 1}
    assert counts.of("round") == {1: 4, 2: 3, 3: 1}
    assert counts.of("leaning round") == {2: 3, 3: 1}
    assert counts.of("length") == {1: 1, 2: 2, 3: 1}
    assert counts.of("language") == {"English": 3, "Chinese": 1}
    assert counts.of("referring") == {"output of round N": 1, "instance N": 2, "its, or nothing said": 1}
    assert counts.of("entity") == {"left kidney": 1, "right kidney": 1, "kidney tumor": 1}
    assert counts.of("relation") == {"direct": 1, "other": 1, "lesion": 1}


def test_the_card(path: Path) -> None:
    assert main([str(path)]) == 0
    text = (path.parent / "card.md").read_text(encoding="utf-8")
    assert text == as_markdown(count(path), "set")
    lines = text.splitlines()
    assert "4 dialogues of 8 rounds about 3 images of 1 patients (or phantoms)." in lines
    assert "| inference | 2 | 5 | 2.5 | 3 | 12 |" in lines
    assert "| 2 | 3 | 3 | 2 |" in lines
    assert "| CT | 2 | 50.0 |" in lines
    with Image.open(path.parent / "card.png") as picture:
        assert picture.width > 1000


def test_a_built_set_and_a_released_one_have_cards(tmp_path: Path) -> None:
    build(["--source", "phantoms", "--count", "3", "--out", str(tmp_path / "built")])
    assert main([str(tmp_path / "built" / "dialogues.json"), "--out", str(tmp_path / "card")]) == 0
    assert "## Structures" in (tmp_path / "card" / "card.md").read_text(encoding="utf-8")
    released = tmp_path / "released.json"
    released.write_text(json.dumps(DIALOGUES[3:]), encoding="utf-8")
    assert main([str(released), "--out", str(tmp_path / "card2")]) == 0
    assert "## Structures" not in (tmp_path / "card2" / "card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["[]", "{}", "[1]", '[{"conversations": 3}]', '[{"conversations": [{}]}]'])
def test_what_holds_no_dialogues_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    path = tmp_path / "dialogues.json"
    path.write_text(text, encoding="utf-8")
    assert main([str(path)]) == 2
    assert "card: " in capsys.readouterr().err
