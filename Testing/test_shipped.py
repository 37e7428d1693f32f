"""The checkpoint that ships: what it must be, what it must be able to do, and the demo that shows it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from MediRoundLib.engine import Engine
from MediRoundLib.errors import ReferenceNotFound
from MediRoundLib.metrics import overlap
from MediRoundLib.shipped import DEFAULT, checkpoint_folder
from Resources import demo
from training.data.phantoms import draw_phantom
from training.provenance import weights_digest

FOLDER = checkpoint_folder(DEFAULT)
LEAST_DICE = 0.3


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.from_pretrained(device="cpu")


def test_files() -> None:
    assert {path.name for path in FOLDER.iterdir()} >= {
        "config.json",
        "model.safetensors",
        "tokenizer.model",
        "README.md",
    }
    assert (FOLDER / "model.safetensors").stat().st_size <= 30e6
    with safe_open(FOLDER / "model.safetensors", "pt") as tensors:
        assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {"F16"}  # noqa: SIM118 (no mapping)


def test_card_says_what_it_must() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for words in (
        "not for diagnosis",
        "licence",
        "CC BY-SA 4.0",
        "with JCM",
        "without JCM",
        "without reference",
        "Dice",
    ):
        assert words in card
    assert weights_digest(FOLDER) in card, "the card's numbers are those of other weights"


def test_segments_fresh_phantoms(engine: Engine) -> None:
    """Far below what the card measures, far above what a broken model reaches."""
    found = []
    for seed in range(12):
        sample = draw_phantom(np.random.default_rng([77, seed]), kind=("abdomen", "chest")[seed % 2], look="ct_soft")
        for name in ("liver", "left lung", "right lung"):
            if name in sample.masks:
                made = engine.open(sample.image).ask(f"Segment the {name}.")
                found.append(overlap(made.mask, sample.masks[name]).dice)
    assert len(found) >= 10
    assert np.mean(found) > LEAST_DICE


def test_speaks_both_languages_and_judges(engine: Engine) -> None:
    dialogue = engine.open(draw_phantom(np.random.default_rng(5), kind="abdomen").image)
    first, second = dialogue.ask("Segment the left kidney."), dialogue.ask("请分割另一个肾脏。")
    assert (first.reference, second.reference) == (None, 1)
    assert "instance 1" in first.text
    assert "实例2" in second.text
    for made in (first, second):
        assert made.quality is not None
        assert 0 <= made.quality <= 1
        assert made.corrected == (made.quality <= 0.6)
        assert np.array_equal(made.mask, made.logits > 0)
    with pytest.raises(ReferenceNotFound, match="rounds 1 to 2"):
        dialogue.ask("Segment the tumor of instance 7.")


def test_demo(tmp_path: Path) -> None:
    """As `make demo` runs it: another process, without pytest's paths."""
    command = [sys.executable, "-m", "Resources.demo", "--out", str(tmp_path / "demo")]
    root = Path(demo.__file__).parent.parent
    printed = subprocess.run(command, cwd=root, capture_output=True, text=True, encoding="utf-8", check=True).stdout
    for case in demo.CASES:
        folder = tmp_path / "demo" / case.name
        assert {path.name for path in folder.iterdir()} >= {"segmentation.seg.nrrd", "labelmaps", "overlay.png"}
        rounds = json.loads((folder / "transcript.json").read_text(encoding="utf-8"))["rounds"]
        assert len(rounds) == len(case.queries) >= 4
        assert any(each["reference"] for each in rounds)
        assert all(each["query"] in printed and each["answer"] in printed for each in rounds)
