"""`compile=True`: the same answers, with a compiler and without."""

import json
import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import picture, small_checkpoint
from numpy.typing import NDArray

from MediRoundLib.bench import bench
from MediRoundLib.checkpoints import save_native
from MediRoundLib.cli import main
from MediRoundLib.engine import Engine

COMPILE = torch.compile


def replies(engine: Engine) -> list[NDArray[np.float32]]:
    dialogue = engine.open(picture())
    return [dialogue.ask("Segment it.", reference=k or False, answer="Sure, [SEG].").logits for k in range(3)]


def both(sizes: str = "no global") -> tuple[Engine, Engine]:
    """An engine without and one with compiled parts."""
    cpu = torch.device("cpu")
    plain, compiled = (Engine(small_checkpoint(sizes), cpu, torch.float32, compile) for compile in (False, True))
    assert not plain.compiled
    return plain, compiled


def assert_alike(one: Engine, other: Engine) -> None:
    for ours, theirs in zip(replies(one), replies(other), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_compiled_parts_are_whole_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the code generator, which takes long: nothing in the parts stops the tracing, and nothing traces anew."""
    monkeypatch.setattr(torch, "compile", partial(COMPILE, backend="aot_eager", fullgraph=True))
    plain, compiled = both()
    torch._dynamo.reset()
    with torch._dynamo.config.patch(error_on_recompile=True), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert_alike(plain, compiled)
    assert compiled.compiled


@pytest.mark.skipif("MEDIROUND_COMPILE" not in os.environ, reason="takes minutes; MEDIROUND_COMPILE=1 runs it")
def test_generated_code_answers_the_same() -> None:
    plain, compiled = both()
    assert_alike(plain, compiled)
    assert compiled.compiled


def no_python(part: Callable[..., Any], **_: Any) -> Callable[..., Any]:
    raise RuntimeError("No compiling on this Python")


def no_compiler(part: Callable[..., Any], **_: Any) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        raise RuntimeError("No working C++ compiler found.\nand much more")

    return run


@pytest.mark.parametrize(
    ("broken", "reason"), [(no_python, "No compiling on this Python"), (no_compiler, "No working C++ compiler found")]
)
def test_without_a_compiler(broken: Callable[..., Any], reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", broken)
    plain, compiled = both()
    with pytest.warns(RuntimeWarning) as told:
        assert_alike(plain, compiled)
    assert [str(one.message) for one in told] == [
        f"SAM runs without torch.compile, which failed here (RuntimeError: {reason})."
    ]
    assert not compiled.compiled


def test_the_command_needs_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", no_compiler)
    checkpoint = small_checkpoint()
    save_native(tmp_path / "model", checkpoint.model, checkpoint.tokenizer)
    arguments = ["--rounds", "2", "--repeats", "1", "--pixels", "64", "--device", "cpu", "--compile"]
    with pytest.warns(RuntimeWarning, match="No working C"):
        assert main(["bench", "--model", str(tmp_path / "model"), *arguments, "--json", str(tmp_path / "b.json")]) == 0
    assert json.loads((tmp_path / "b.json").read_text())["compiled"] is False


def test_the_clocks_leave_compiled_parts_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    used = list[str]()

    def noted(part: Callable[..., Any], **_: Any) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            used.append(part.__name__)
            return part(*args)

        return run

    monkeypatch.setattr(torch, "compile", noted)
    _, compiled = both()
    found = bench(compiled, rounds=2, repeats=1, size=64)
    assert found["compiled"] is True
    assert all(found["breakdown"][way]["decoder"] > 0 for way in ("cold", "warm"))
    used.clear()
    replies(compiled)
    assert used == ["encode_image", "draw", "draw", "draw"]
