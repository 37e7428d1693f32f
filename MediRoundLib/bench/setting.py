"""What every measurement has: an image, a dialogue about it, clocks, memory, and the name of the machine."""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from MediRoundLib import __version__
from MediRoundLib.devices import forget_peak, peak_memory
from MediRoundLib.engine import Dialogue, Engine, Round

T = TypeVar("T")

ANSWER = "Sure, it is [SEG]."


def queries(rounds: int) -> list[str]:
    """A dialogue of `rounds` queries, each of which refers to the one before."""
    return ["Segment the left kidney in the medical image."] + [
        f"Segment the next structure with reference to instance {number}." for number in range(1, rounds)
    ]


def picture(size: int) -> NDArray[np.uint8]:
    """(size, size) image of a body with organs in noise, always the same."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    image = 20.0 + 90 * (rows**2 / 0.5 + columns**2 / 0.8 < 1)
    for _ in range(8):
        row, column, radius = *rng.uniform(-0.5, 0.5, 2), rng.uniform(0.05, 0.2)
        image += rng.uniform(-60, 90) * ((rows - row) ** 2 + (columns - column) ** 2 < radius**2)
    return np.clip(image + rng.normal(0, 8, image.shape), 1, 255).astype(np.uint8)


def ask(dialogue: Dialogue, asked: list[str], k: int) -> Round:
    """Round k, from 0: its query refers to the round before, and the answer is forced."""
    return dialogue.ask(asked[k], reference=k or False, answer=ANSWER)


def talk(engine: Engine, image: NDArray[np.uint8], asked: list[str]) -> list[Round]:
    """A whole dialogue, whose caches are gone afterwards."""
    dialogue = engine.open(image)
    return [ask(dialogue, asked, k) for k in range(len(asked))]


def hardware(device: torch.device) -> dict[str, Any]:
    """Names of processor and GPU (None on a CPU), the processor's cores, and the threads that torch uses."""
    cpu = platform.processor() or platform.machine()
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        names = [line for line in listed.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"cpu": cpu, "gpu": gpu, "cores": os.cpu_count(), "threads": torch.get_num_threads()}


def described(engine: Engine) -> dict[str, Any]:
    """The model, what it runs on and in which versions, as plain data."""
    return {
        "model": engine.config.name,
        "dtype": str(engine.dtype).removeprefix("torch."),
        "compiled": engine.compiled,
        "device": str(engine.device),
        "hardware": hardware(engine.device),
        "round_threads": engine.threads,
        "versions": {"mediround": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def timed(device: torch.device, work: Callable[[], T]) -> tuple[float, T]:
    """Seconds of `work`, the device's included, and what it returned."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started, result


class Peaks:
    """The most memory that each way took; on a CPU, where a process has one peak, of all ways so far.

    Attributes:
        found: bytes by the way's name, or by "process" on a CPU; None where the system does not tell.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.found: dict[str, int | None] = {}

    @contextmanager
    def of(self, way: str) -> Iterator[None]:
        forget_peak(self._device)
        yield
        peak, name = peak_memory(self._device), way if self._device.type == "cuda" else "process"
        self.found[name] = None if peak is None else max(peak, self.found.get(name) or 0)
