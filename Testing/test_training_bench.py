"""`python -m training.bench`: both ways of a step have one loss and one gradient; no times."""

import json
from pathlib import Path

import pytest
import torch

from MediRoundLib.shapes import SHAPES, random_checkpoint
from training import bench
from training.examples import ExampleMaker
from training.step import stage1_loss


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--batch", "2", "--rounds", "2", "--repeats", "1", "--device", "cpu"]
    assert bench.main([*arguments, "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["difference"] < bench.LIMIT
    assert set(found["seconds"]) == {"stage 1", "released"}
    assert "| released |" in capsys.readouterr().out


def test_lost_equality_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    released = bench.released_loss
    monkeypatch.setattr(bench, "released_loss", lambda *given: 1.01 * released(*given))
    assert bench.main(["--batch", "1", "--rounds", "1", "--repeats", "1", "--device", "cpu"]) == 2


def test_gradients_are_those_of_the_released_step() -> None:
    queries = ["Segment the liver.", "Segment the next structure with reference to instance 1."]
    checkpoint = random_checkpoint(SHAPES["tiny"], queries, torch.device("cpu"), torch.float32)
    model = checkpoint.model
    maker = ExampleMaker(checkpoint.config, checkpoint.tokenizer)
    batch = [bench._example(maker, seed, 2, queries) for seed in range(2)]
    learning = [model.llava.lm_head.weight, model.project_seg[0].weight, model.sam.mask_decoder.mask_tokens.weight]
    learning += [model.sam.mask_decoder.output_upscaling[0].weight, model.bbox_encoder.weight]
    found = torch.autograd.grad(stage1_loss(model, batch)["loss"], learning)
    expected = torch.autograd.grad(bench.released_loss(model, batch), learning)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4 * float(other.abs().max()), rtol=0)
