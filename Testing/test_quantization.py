"""The language model in 4 and 8 bits."""

import json
from pathlib import Path

import pytest
import torch
from builders import small_checkpoint, small_engine

from MediRoundLib import shapes
from MediRoundLib.bench.few_bits import bench_few_bits
from MediRoundLib.bench.report import report_few_bits
from MediRoundLib.checkpoints import save_native
from MediRoundLib.cli import main
from MediRoundLib.engine import Engine
from MediRoundLib.errors import OutOfMemory
from MediRoundLib.quantization import BITS_EACH, Bits, quantize_language_model, weight_bytes
from MediRoundLib.shapes import SHAPES, random_checkpoint

pytest.importorskip("bitsandbytes", reason="needs the quantize extra")

CPU = torch.device("cpu")


def test_features_beside_an_outlier_survive_8_bits(caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = small_checkpoint("all global")
    weight = checkpoint.model.llava.model.language_model.layers[0].mlp.up_proj.weight.detach().clone()
    quantize_language_model(checkpoint.model, "8bit", torch.float32)
    layer = Engine(checkpoint, CPU, torch.float32).model.llava.model.language_model.layers[0].mlp.up_proj
    inputs = torch.randn(20, weight.shape[1], generator=torch.Generator().manual_seed(0))
    inputs[:, 7] *= 60

    def error() -> float:
        expected = inputs @ weight.T
        with torch.inference_mode():
            return float((layer(inputs) - expected).norm() / expected.norm())

    with_threshold = error()
    layer.state.threshold = 0.0
    assert with_threshold < 0.01
    assert with_threshold < error() / 3
    assert not caplog.records


def test_bench_beside_the_unquantised_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = small_checkpoint("all global")
    save_native(tmp_path / "model", checkpoint.model, checkpoint.tokenizer)
    arguments = ["--rounds", "3", "--repeats", "2", "--pixels", "64", "--device", "cpu", "--quantize", "8bit", "4bit"]
    files = ["--json", str(tmp_path / "bits.json"), "--markdown", str(tmp_path / "bits.md")]
    assert main(["bench", "--model", str(tmp_path / "model"), *arguments, *files]) == 0
    found = json.loads((tmp_path / "bits.json").read_text(), parse_constant=pytest.fail)
    plain, eight, four = found["models"]
    assert [row["bits"] for row in found["models"]] == [None, "8bit", "4bit"]
    assert plain["beside"] is None
    assert plain["bytes"]["all"] > eight["bytes"]["all"] > four["bytes"]["all"]
    rest = [row["bytes"]["all"] - row["bytes"]["language"] for row in found["models"]]
    assert rest == [rest[0]] * 3
    for row in (eight, four):
        assert row["finite"] is True
        assert [each["round"] for each in row["beside"]["by_round"]] == [1, 2, 3]
        assert 0.5 < row["beside"]["least_dice"] <= row["beside"]["dice"] < 1
        assert 0.5 < row["beside"]["alike"] < 1
        assert 0 < row["beside"]["quality"] < 0.1
        assert (row["goal"], row["fits"]) == (None, None)
    shown = capsys.readouterr().out
    assert (tmp_path / "bits.md").read_text() in shown
    assert f"{four['beside']['dice']:.4f}" in shown


def test_all_models_lean_on_the_unquantised_masks() -> None:
    """The same model, whatever is asked for, is beside itself in everything; another one is not."""
    same = bench_few_bits(lambda bits: small_engine(), CPU, ["4bit"], rounds=3, repeats=1, size=64)["models"][1]
    assert same["beside"]["dice"] == pytest.approx(1, abs=1e-6)
    assert (same["beside"]["alike"], same["beside"]["quality"], same["beside"]["corrected"]) == (1, 0, 0)
    seeds = {None: 0, "4bit": 1}
    found = bench_few_bits(lambda bits: small_engine(seed=seeds[bits]), CPU, ["4bit"], rounds=3, repeats=1, size=64)
    assert found["models"][1]["beside"]["dice"] < 0.99


def test_no_room_for_the_unquantised_model() -> None:
    def make(bits: Bits | None) -> Engine:
        if bits is None:
            raise OutOfMemory("The device is full.")
        return small_engine(stage=1)

    found = bench_few_bits(make, CPU, ["8bit"], rounds=2, repeats=1, size=64)
    assert [(row["bits"], row["beside"]) for row in found["models"]] == [("8bit", None)]
    found["models"][0] |= {"goal": 16e9, "reserved": int(9.4e9), "fits": True}
    shown = report_few_bits(found)
    assert "no room for the unquantised model: The device is full." in shown
    assert "8bit: 9.4 GB were held at most, within the goal of 16 GB" in shown


@pytest.mark.parametrize("bits", BITS_EACH)
def test_random_weights_are_those_of_the_unquantised_shape(bits: Bits) -> None:
    lines = ["Segment the left kidney."]
    plain = random_checkpoint(SHAPES["tiny"], lines, CPU, torch.float32).model
    quantize_language_model(plain, bits, torch.float32)
    at_once = random_checkpoint(SHAPES["tiny"], lines, CPU, torch.float32, bits).model
    later = plain.to(CPU)
    for (name, one), (_, other) in zip(at_once.named_parameters(), later.named_parameters(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("bits", BITS_EACH)
def test_bits_are_counted(bits: Bits) -> None:
    model = random_checkpoint(SHAPES["tiny"], ["Segment the left kidney."], CPU, torch.float32, bits).model
    layer = model.llava.model.language_model.layers[0].mlp.up_proj
    weights = layer.in_features * layer.out_features
    # The table of a layer's levels is large beside so small a layer.
    assert BITS_EACH[bits] * weights / 8 <= weight_bytes(layer) <= 1.05 * BITS_EACH[bits] * weights / 8


@pytest.mark.parametrize(("bits", "needed"), [("4bit", "5.7"), ("8bit", "9.6")])
def test_room_for_few_bits(
    bits: str, needed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shapes, "describe", lambda device: {"free": 5 * 10**9})
    arguments = ["--size", "full", "--device", "cpu", "--dtype", "bfloat16", "--quantize", bits]
    assert main(["bench", *arguments]) == 2
    told = capsys.readouterr().err
    assert f"needs about {needed} GB in bfloat16 with a language model in {bits}, and cpu has 5.0 GB free" in told


def test_the_plot_has_no_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--quantize", "4bit", "--plot", str(tmp_path / "bits.png")]) == 2
    assert "leave --plot, or --quantize and --start, out" in capsys.readouterr().err
