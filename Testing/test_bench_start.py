"""`mediround bench --start`: stages and sums, never times."""

import json
import sys
from pathlib import Path

import pytest

from MediRoundLib.bench import start
from MediRoundLib.bench.start import STAGES
from MediRoundLib.cli import main


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--start", "--repeats", "1", "--pixels", "64", "--device", "cpu"]
    assert main(["bench", *arguments, "--json", str(tmp_path / "start.json")]) == 0
    found = json.loads((tmp_path / "start.json").read_text(), parse_constant=pytest.fail)
    assert (found["model"], found["dtype"], found["device"]) == ("mediround-tiny", "float32", "cpu")
    taken = found["seconds"]
    assert list(taken) == [*STAGES, "ready", "first answer"]
    assert all(seconds > 0 for seconds in taken.values())
    assert taken["ready"] == pytest.approx(sum(taken[stage] for stage in ("hello", "imports", "weights")))
    assert taken["first answer"] == pytest.approx(sum(taken[stage] for stage in STAGES))
    assert found["samples"] == [taken]
    shown = capsys.readouterr().out
    assert all(f" {stage} " in shown for stage in taken)


def test_a_model_that_cannot_be_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--start", "--model", "nowhere", "--device", "cpu"]) == 2
    assert "There is no checkpoint nowhere" in capsys.readouterr().err


def test_a_process_that_ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(start, "COMMAND", (sys.executable, "-c", "raise SystemExit('no engine')"))
    assert main(["bench", "--start", "--device", "cpu"]) == 2
    assert "The engine process ended; its last words: no engine" in capsys.readouterr().err


@pytest.mark.parametrize("other", [("--plot", "start.png"), ("--size", "tiny"), ("--compile",)])
def test_what_does_not_fit(other: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--start", *other]) == 2
    assert "mediround: The " in capsys.readouterr().err
