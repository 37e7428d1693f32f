"""The released code's own numbers, on the golden cases of `../shared`; see the README there."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from MediRoundLib.cli import main
from MediRoundLib.engine import Engine
from MediRoundLib.evaluate import Record, official
from MediRoundLib.mr_medseg import Conversation, read_conversations
from MediRoundLib.text import encode_dialogue
from training.examples import ExampleMaker, TaughtRound
from training.step import stage1_loss, stage2_loss

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Case:
    """A golden case and what this project answers on it."""

    folder: Path
    engine: Engine
    conversation: Conversation
    expected: dict[str, Any]
    records: dict[int, list[Record]]


@cache
def _case(folder: Path) -> Case:
    engine = Engine.from_pretrained(folder, device="cpu", dtype="float32")
    conversations = read_conversations(folder / "dialogues.json", folder)
    records = {stage: list(official(engine, conversations, stage)) for stage in (1, 2)}
    return Case(folder, engine, conversations[0], dict(np.load(folder / "expected.npz")), records)


@pytest.fixture(params=["mediround_basic", "mediround_near_empty"])
def case(request: pytest.FixtureRequest, shared_dir: Path) -> Case:
    return _case(shared_dir / "golden" / request.param)


def test_input_ids(case: Case) -> None:
    rounds = [(turn.query, turn.answer) for turn in case.conversation.turns]
    ids, _ = encode_dialogue(case.engine.tokenizer, rounds)
    assert ids == case.expected["input_ids"].tolist()


@pytest.mark.parametrize("stage", [1, 2])
def test_every_round(case: Case, stage: int) -> None:
    expected = {name: case.expected[f"stage{stage}_{name}"] for name in ("h_c", "q", "low_res", "logits")}
    for record in case.records[stage]:
        assert record.feature is not None
        assert record.low_res is not None
        k = record.round
        np.testing.assert_allclose(record.feature, expected["h_c"][k], atol=TOLERANCE, rtol=0)
        quality = np.nan if record.quality is None else record.quality
        np.testing.assert_allclose(quality, expected["q"][k], atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(record.low_res, expected["low_res"][k], atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(record.logits, expected["logits"][k], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("stage", [1, 2])
def test_references(case: Case, stage: int) -> None:
    """The n-th reference of the dialogue, as every round from its own on saw it."""
    boxes, means = case.expected[f"stage{stage}_boxes"], case.expected[f"stage{stage}_crop_mean"]
    seen = [(record.round, record.seen) for record in case.records[stage] if record.seen is not None]
    assert len(seen) == boxes.shape[1]
    for n, (first, reference) in enumerate(seen):
        mean = float(case.engine.clip_pixels(reference.crop).mean())
        for k in range(first, len(boxes)):
            np.testing.assert_allclose(reference.box, boxes[k, n], atol=1e-6)
            assert mean == pytest.approx(means[k, n], abs=1e-4)


@pytest.mark.parametrize("stage", [1, 2])
def test_metrics_of_the_command(case: Case, stage: int, tmp_path: Path) -> None:
    arguments = ["--model", case.folder, "--dialogues", case.folder / "dialogues.json", "--root", case.folder]
    arguments += ["--protocol", "official", "--stage", stage, "--device", "cpu"]
    arguments += ["--json", tmp_path / "scores.json", "--npz", tmp_path / "logits.npz"]
    assert main(["evaluate", *map(str, arguments)]) == 0
    found = json.loads((tmp_path / "scores.json").read_text())
    expected = json.loads((case.folder / f"stage{stage}_metrics.json").read_text())
    for name in ("dice", "giou", "ciou"):
        assert found["all"][name] == pytest.approx(expected[f"val/{name}_all"], abs=1e-5)
        for row in found["rounds"]:
            assert row[name] == pytest.approx(expected[f"val/{name}_round_{row['round'] - 1}"], abs=1e-5)
    logits = np.load(tmp_path / "logits.npz")
    wanted = case.expected[f"stage{stage}_logits"]
    assert sorted(logits) == [f"d0_r{k}" for k in range(len(wanted))]
    for k, own in enumerate(wanted):
        assert logits[f"d0_r{k}"].dtype == np.float32
        np.testing.assert_allclose(logits[f"d0_r{k}"], own, atol=TOLERANCE, rtol=0)


def test_training_losses(case: Case) -> None:
    def mask(path: Path) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.asarray(Image.open(path)) == 255

    rounds = [
        TaughtRound(
            turn.query,
            turn.answer,
            mask(turn.target),
            None if turn.reference_mask is None else mask(turn.reference_mask),
        )
        for turn in case.conversation.turns
    ]
    image = np.asarray(Image.open(case.conversation.image).convert("RGB"))
    example = ExampleMaker(case.engine.config, case.engine.tokenizer)(image, rounds)
    with torch.no_grad():
        found = stage1_loss(case.engine.model, [example])
        expected = json.loads((case.folder / "stage1_losses.json").read_text())
        for name in ("loss", "ce_loss", "mask_bce_loss", "mask_dice_loss", "mask_loss"):
            assert float(found[name]) == pytest.approx(expected[name], rel=1e-3)

        found = stage2_loss(case.engine.model, [example], quality_dtype=torch.bfloat16)
        expected = json.loads((case.folder / "stage2_losses.json").read_text())
        for name in ("loss", "mask_bce_loss", "mask_dice_loss", "mask_loss"):
            assert float(found[name]) == pytest.approx(expected[name], rel=1e-3)
        assert float(found["quality_loss"]) == pytest.approx(expected["ce_loss"], rel=2**-8)
        exact = stage2_loss(case.engine.model, [example])
        assert float(exact["quality_loss"]) == pytest.approx(expected["ce_loss"], rel=2**-7)
