"""Memory that does not suffice for training: one line that names the settings to change."""

from pathlib import Path

import pytest
import torch
from test_baseline import PlainNet, write_set
from test_training import FROM_SCRATCH, write_recipe

import training.loop
import training.stages
from MediRoundLib.errors import MediRoundError, OutOfMemory
from training import baseline
from training.memory import settings_named
from training.train import main

# As CUDA, a CPU's allocator, oneDNN and Python say it.
FULL = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    MemoryError(),
)


def failing(error: BaseException) -> object:
    def fail(*args: object, **keywords: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", FULL)
def test_training_names_the_recipe_s_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    monkeypatch.setattr(training.stages, "alignment_step", failing(error))
    recipe = write_recipe(tmp_path, FROM_SCRATCH)
    assert main(["--recipe", recipe, "--run", str(tmp_path / "run"), "--device", "cpu", "--workers", "0"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("training: Training ran out of memory: ")
    for setting in ("`batch`", "`accumulate`", "checkpointing = true", 'base = "4bit"', "split = true"):
        assert setting in said


def test_a_state_that_does_not_fit_is_not_called_foreign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path, FROM_SCRATCH)
    command = ["--recipe", recipe, "--run", str(tmp_path / "run"), "--device", "cpu", "--workers", "0"]
    assert main(command) == 0
    monkeypatch.setattr(training.loop, "load_optimizer", failing(FULL[0]))
    assert main(command) == 2
    assert "ran out of memory" in capsys.readouterr().err.splitlines()[-1]


def test_the_baseline_names_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(baseline, "build_unet", PlainNet)
    monkeypatch.setattr(PlainNet, "forward", failing(FULL[0]))
    write_set(tmp_path)
    assert baseline.main(["--data", str(tmp_path), "--run", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert "ran out of memory: lower --batch or --size" in capsys.readouterr().err.splitlines()[-1]


def test_other_errors_stay_what_they_are() -> None:
    for error in (RuntimeError("sizes differ"), MediRoundError("no data"), OutOfMemory("the engine's own words")):
        with pytest.raises(type(error), match=str(error)), settings_named("buy more"):
            raise error
