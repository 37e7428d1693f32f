"""`mediround bench` on small random models: equality, keys and counts, never times."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import SIZES, full_config
from numpy.typing import NDArray

from MediRoundLib import shapes
from MediRoundLib.bench import ANSWER, PARTS, bench, picture, queries
from MediRoundLib.bench.floors import beside_floors
from MediRoundLib.bench.likeness import AGREEMENT, apart
from MediRoundLib.bench.report import report
from MediRoundLib.checkpoints import save_native
from MediRoundLib.cli import main
from MediRoundLib.config import MediRoundConfig
from MediRoundLib.engine import Engine
from MediRoundLib.modeling import MediRound
from MediRoundLib.recompute import ForcedRound, Recompute
from MediRoundLib.references import resolve
from MediRoundLib.shapes import SHAPES, is_full, random_checkpoint
from MediRoundLib.shipped import checkpoint_folder

CPU = torch.device("cpu")


def engine_of(sizes: str, stage: int = 2, dtype: torch.dtype = torch.float32) -> Engine:
    """A small model whose answers depend on every word and reference, unlike those of `builders.small_engine`."""
    config = full_config(SIZES[sizes], pieces=700, stage=stage)
    return Engine(random_checkpoint(config, queries(12), CPU, dtype), CPU, dtype)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small native checkpoint."""
    checkpoint = engine_of("grouped")
    save_native(tmp_path / "model", checkpoint.model, checkpoint.tokenizer)
    return tmp_path / "model"


def short(*more: object) -> int:
    return main(["bench", "--rounds", "3", "--repeats", "2", "--pixels", "64", "--device", "cpu", *map(str, more)])


def check(found: dict[str, Any], rounds: int, repeats: int) -> None:
    assert found["equal"] is True
    assert found["difference"] < 1e-4
    assert found["spread"] > 1e-2  # else equality would say little
    assert [row["round"] for row in found["by_round"]] == list(range(1, rounds + 1))
    assert [row["state"] for row in found["by_round"]] == ["cold"] + ["warm"] * (rounds - 1)
    tokens = [row["tokens"] for row in found["by_round"]]
    assert tokens == sorted(set(tokens))
    for way in ("engine", "released", "so_far"):
        assert [len(each) for each in found["samples"][way]] == [rounds] * repeats
        assert found["growth"][way] == found["by_round"][-1][way] / found["by_round"][1][way]
    for row in found["by_round"]:
        assert row["ratio"] == row["released"] / row["engine"]
        assert row["ratio_so_far"] == row["so_far"] / row["engine"]
    assert set(found["breakdown"]) == {"cold", "warm", "released"}
    for own in found["breakdown"].values():
        assert list(own) == [*PARTS, "rest", "total"]
    ran = {way: {part for part in PARTS if own[part] > 0} for way, own in found["breakdown"].items()}
    assert ran == {"cold": set(PARTS), "warm": set(PARTS) - {"SAM encoder"}, "released": set(PARTS)}
    assert {"cpu", "gpu", "cores", "threads"} == set(found["hardware"])
    assert found["round_threads"] == 1  # small models use one
    assert set(found["peak"]) == {"process"}


def test_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="the plot needs the train extra")
    wanted = ["--json", tmp_path / "new/bench.json", "--plot", tmp_path / "bench.png"]
    assert short("--model", folder, *wanted, "--markdown", tmp_path / "bench.md") == 0
    found = json.loads((tmp_path / "new/bench.json").read_text())
    check(found, rounds=3, repeats=2)
    assert (found["model"], found["dtype"], found["device"], found["size"]) == ("small", "float32", "cpu", 64)
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    shown = capsys.readouterr().out
    assert found["hardware"]["cpu"] in shown
    assert "growth, round 3 / round 2" in shown
    assert all(part in shown for part in PARTS)
    assert (tmp_path / "bench.md").read_text() in shown
    assert "threads, 1 in a round; " in shown


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_all_ways_answer_the_same(stage: int, threshold: float) -> None:
    engine, ticks = engine_of("no global", stage), list[int]()
    engine.threshold = threshold
    found = bench(engine, rounds=4, repeats=1, size=80, tick=lambda: ticks.append(1))
    check(found, rounds=4, repeats=1)
    assert len(ticks) == 9
    assert "encode_image" not in vars(engine.model)  # the clocks are gone
    assert "judge" not in vars(engine)


def test_rounds_to_come_change_nothing() -> None:
    """What makes `released` and `so_far` comparable; a round's own reference does matter."""
    engine, image = engine_of("grouped"), picture(64)
    one, other = np.zeros((2, 64, 64), dtype=bool)
    one[5:25, 8:30] = other[30:60, 20:50] = True

    def way(*masks: NDArray[np.bool_] | None) -> Recompute:
        rounds = [ForcedRound(query, ANSWER, mask) for query, mask in zip(queries(len(masks)), masks, strict=True)]
        return Recompute(engine, image, rounds)

    expected = way(None, one).answer(1, 2)
    np.testing.assert_allclose(way(None, one, other).answer(1, 3), expected, atol=1e-5)
    assert np.abs(way(None, other).answer(1, 2) - expected).max() > 1e-2


def test_lost_equality_is_an_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = Recompute.answer

    def off(self: Recompute, number: int, length: int) -> NDArray[np.float32]:
        return answer(self, number, length) + np.float32(0.01 * (number == 1))

    monkeypatch.setattr(Recompute, "answer", off)
    assert short("--model", folder, "--json", tmp_path / "bench.json") == 2
    assert "differ by 0.01 " in capsys.readouterr().err
    assert json.loads((tmp_path / "bench.json").read_text())["equal"] is False


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_number_is_not_equal(
    value: float,
    dtype: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Recompute, "answer", lambda self, number, length: np.full((64, 64), value, np.float32))
    assert short("--model", folder, "--dtype", dtype, "--json", tmp_path / "bench.json") == 2
    assert f"are no numbers in {dtype}" in capsys.readouterr().err
    found = json.loads((tmp_path / "bench.json").read_text(), parse_constant=pytest.fail)
    assert (found["equal"], found["difference"]) == (False, None)


def test_half_precision_is_equal_by_its_masks() -> None:
    found = bench(engine_of("no global", dtype=torch.bfloat16), rounds=3, repeats=1, size=64)
    assert found["equal"] is True
    assert (found["limit"], found["agreement_limit"]) == (None, AGREEMENT)
    assert found["agreement"] >= AGREEMENT


def test_other_masks_in_half_precision_are_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = Recompute.answer
    monkeypatch.setattr(Recompute, "answer", lambda self, number, length: -answer(self, number, length))
    assert short("--model", folder, "--dtype", "bfloat16") == 2
    assert "The engine's masks have a mean Dice of 0." in capsys.readouterr().err


def test_infinity_on_both_sides_is_no_number_unless_it_is_where_a_model_does_not_look() -> None:
    one = np.array([[0.5, -np.inf]], dtype=np.float32)
    assert apart(one, one + np.float32(0.25)) == 0.25
    assert apart(-one, -one) is None
    assert apart(one, np.array([[0.5, 1.0]], dtype=np.float32)) is None


def test_missing_matplotlib_is_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert short("--model", "no such model", "--plot", tmp_path / "bench.png") == 2
    assert "matplotlib" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--rounds", "1"), ("--repeats", "0"), ("--pixels", "many")])
def test_impossible_counts(wrong: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["bench", *wrong])
    assert error.value.code == 2


def test_random_weights(tmp_path: Path) -> None:
    arguments = ["--size", "tiny", "--rounds", "2", "--repeats", "1", "--pixels", "64", "--device", "cpu"]
    assert main(["bench", *arguments, "--json", str(tmp_path / "bench.json")]) == 0
    check(json.loads((tmp_path / "bench.json").read_text()), rounds=2, repeats=1)


def test_the_tiny_shape_is_that_of_the_shipped_checkpoint() -> None:
    shipped = MediRoundConfig.load(checkpoint_folder("mediround-tiny") / "config.json")
    tiny = SHAPES["tiny"]
    assert (tiny.sam, tiny.clip_image, tiny.jcm) == (shipped.sam, shipped.clip_image, shipped.jcm)
    assert (tiny.language, tiny.vision) == (shipped.language, shipped.vision)


def test_no_room_for_the_full_shape(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(shapes, "describe", lambda device: {"free": 8 * 10**9})
    assert main(["bench", "--size", "full", "--device", "cpu", "--dtype", "bfloat16"]) == 2
    told = capsys.readouterr().err
    assert "needs about 17.7 GB in bfloat16, and cpu has 8.0 GB free: choose --size mid" in told
    assert "Traceback" not in told


def test_full_shape_is_llava_med_and_medsam() -> None:
    """Mistral 7B (7.24 thousand million parameters), CLIP-L (0.30), SAM ViT-B (0.09), and heads."""
    with torch.device("meta"):
        model = MediRound(SHAPES["full"])
    sizes = {name: sum(each.numel() for each in part.parameters()) for name, part in model.named_children()}
    language = sum(each.numel() for each in model.llava.model.language_model.parameters())
    assert language + model.llava.lm_head.weight.numel() == 7_241_732_096 + 2 * 3 * 4096
    assert sizes["sam"] == 93_735_472
    assert SHAPES["full"].image_tokens == 576


def test_floors_are_of_the_full_size_on_a_known_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    found = bench(engine_of("grouped"), rounds=2, repeats=1, size=64)
    assert found["floors"] is None
    assert "floor" not in report(found)
    assert beside_floors(None, 1, 1) is None
    assert beside_floors("NVIDIA GeForce RTX 4090 Laptop GPU", 1, 1) is None
    told = beside_floors("NVIDIA H200", 25e-3, 34e-3)
    assert told is not None
    assert told["cold"] == {"floor": pytest.approx(12.5e-3), "multiple": pytest.approx(2), "goal": 3, "met": True}
    assert told["warm"] == {"floor": 3.4e-3, "multiple": pytest.approx(10), "goal": 4, "met": False}
    shown = report(found | {"floors": told})
    assert "- cold: 2.0 times the physical floor of 12.50, which is within the goal of 3\n" in shown
    assert "- warm: 10.0 times the physical floor of 3.40, which is beyond the goal of 4\n- peak memory" in shown


def test_which_models_are_of_the_full_size() -> None:
    full = SHAPES["full"]
    assert is_full(replace(full, name="MediRound", language={**full.language, "hidden_act": "silu"}))
    assert not is_full(replace(full, sam=SHAPES["mid"].sam))
    assert not is_full(SHAPES["mid"])


def test_queries_refer_to_the_round_before() -> None:
    assert "instance" not in queries(12)[0]
    assert [query.rsplit(" ", 1)[1] for query in queries(12)[1:]] == [f"{number}." for number in range(1, 12)]
    assert resolve(queries(1)[0], []) is None
