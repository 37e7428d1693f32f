"""How long a round takes, three ways on the same weights, image and dialogue, and whether the answers are the same.

*Cold* is what a user waits for at first (opening the image and the first round), *warm* every later round on the
engine's caches, *released* a round of the released evaluation, which recomputes all; see `recompute.Recompute`.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from MediRoundLib import __version__
from MediRoundLib.devices import forget_peak, peak_memory
from MediRoundLib.engine import Dialogue, Engine, Round
from MediRoundLib.modeling import MediRound
from MediRoundLib.recompute import ForcedRound, Recompute, StockModel

T = TypeVar("T")

ANSWER = "Sure, it is [SEG]."
# Logits of the engine and of recomputing everything may differ by so much in float32.
LIMIT = 1e-3
# Parts of a round, and what computes them: methods of the model, or of the one that `Recompute` has, and the engine's
# `judge`. The rest is pixels, crops and words.
PARTS = {
    "SAM encoder": ("encode_image",),
    "CLIP": ("encode_patches", "encode_crops"),
    "prefill": ("read", "think", "vocabulary_logits", "seg_features"),
    "judge": ("judge",),
    "decoder": ("prepare", "draw", "decode", "upscale"),
    "transfer": ("to_device", "to_host"),
}


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


def bench(
    engine: Engine, rounds: int = 12, repeats: int = 3, size: int = 512, tick: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    """Hold the same dialogue in all ways, `repeats` times, after one that is not timed.

    Args:
        engine: the model, on its device.
        rounds: length of the dialogue, at least 2.
        repeats: times that each way is timed, at least 1.
        size: height and width of the image in pixels.
        tick: called `2 * repeats * rounds + 1` times, for a progress bar.

    Returns:
        Plain data for JSON; seconds are medians, `samples` holds every measurement. `by_round` has `engine` (cold in
        round 1, opening included, else warm), `released`, and `so_far`, which recomputes like `released` but leaves the
        rounds to come out of the sequence, and the ratios to `engine`. `growth` is the last round over round 2.
        `difference` is the largest between the engine's and the recomputed logits, `limit` what is allowed (None in
        half precision), `equal` whether it holds; `spread` gives it a scale: two rounds in a row differ by at least so
        much. `breakdown` is of runs of its own, which wait for the device after each part. `peak` is the most memory
        of each way in bytes (None where unknown); on a CPU one number, of the whole process.

    Raises:
        QueryError: the dialogue is longer than the model can read.
        OutOfMemory: the device is full.
    """
    image, asked = picture(size), queries(rounds)
    made = _talk(engine.open(image), asked)
    masks = [None, *(each.mask for each in made[:-1])]
    forced = [ForcedRound(query, ANSWER, mask) for query, mask in zip(asked, masks, strict=True)]
    again = Recompute(engine, image, forced)
    again.answer(0, rounds)
    tick()
    samples: dict[str, list[list[float]]] = {"open": [], "engine": [], "released": [], "so_far": []}
    difference, peaks = 0.0, _Peaks(engine.device)
    # Round by round, so that whatever else a processor does meets all ways alike. On a GPU way by way: the released one
    # empties the memory pool that the engine's next round would find.
    turns = [range(rounds)] if engine.device.type == "cuda" else [range(k, k + 1) for k in range(rounds)]
    for _ in range(repeats):
        with peaks.of("cold"):
            opening, dialogue = _timed(engine, partial(engine.open, image))
            first = _timed(engine, partial(_ask, dialogue, asked, 0))[0]
        samples["open"].append([opening])
        taken = {"engine": [first], "released": list[float](), "so_far": list[float]()}
        for together in turns:
            with peaks.of("warm"):
                asking = (partial(_ask, dialogue, asked, k) for k in together if k)
                taken["engine"] += [_timed(engine, ask)[0] for ask in asking]
            for way, k in ((way, k) for way in ("released", "so_far") for k in together):
                with peaks.of(way):
                    seconds, logits = _timed(engine, partial(again.answer, k, rounds if way == "released" else k + 1))
                taken[way].append(seconds)
                difference = max(difference, _apart(logits, made[k].logits))
                tick()
        for way, each in taken.items():
            samples[way].append(each)
        del dialogue
    by_round = _by_round(samples, [again.tokens(k + 1) for k in range(rounds)])
    limit = LIMIT if engine.dtype == torch.float32 else None
    return {
        "model": engine.config.name,
        "parameters": sum(parameter.numel() for parameter in engine.model.parameters()),
        "dtype": str(engine.dtype).removeprefix("torch."),
        "device": str(engine.device),
        "hardware": hardware(engine.device),
        "versions": {"mediround": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "rounds": rounds,
        "repeats": repeats,
        "size": size,
        "open": median(each[0] for each in samples["open"]),
        "by_round": by_round,
        "growth": {way: by_round[-1][way] / by_round[1][way] for way in ("engine", "released", "so_far")},
        "breakdown": _breakdown(engine, image, asked, again, repeats),
        "peak": peaks.found,
        "difference": difference,
        "limit": limit,
        "equal": limit is None or difference <= limit,
        "spread": min(_apart(one.logits, next_one.logits) for one, next_one in pairwise(made)),
        "samples": samples,
    }


class _Peaks:
    """The most memory that each way took; on a CPU, where a process has one peak, of all ways so far."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.found: dict[str, int | None] = {}

    @contextmanager
    def of(self, way: str) -> Iterator[None]:
        forget_peak(self._device)
        yield
        peak, name = peak_memory(self._device), way if self._device.type == "cuda" else "process"
        self.found[name] = None if peak is None else max(peak, self.found.get(name) or 0)


def hardware(device: torch.device) -> dict[str, Any]:
    """Names of processor and GPU (None on a CPU), the processor's cores, and the threads that torch uses."""
    cpu = platform.processor() or platform.machine()
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        names = [line for line in listed.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"cpu": cpu, "gpu": gpu, "cores": os.cpu_count(), "threads": torch.get_num_threads()}


def _ask(dialogue: Dialogue, asked: list[str], k: int) -> Round:
    return dialogue.ask(asked[k], reference=k or False, answer=ANSWER)


def _talk(dialogue: Dialogue, asked: list[str]) -> list[Round]:
    return [_ask(dialogue, asked, k) for k in range(len(asked))]


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The largest difference; infinite where there is something else than numbers."""
    # Both are minus infinity where a model does not look.
    largest = float(np.abs(np.subtract(one, other, out=np.zeros_like(one), where=one != other)).max())
    return largest if np.isfinite(largest) else float("inf")


def _timed(engine: Engine, work: Callable[[], T]) -> tuple[float, T]:
    """Seconds of `work`, the device's included, and what it returned."""
    if engine.device.type == "cuda":
        torch.cuda.synchronize(engine.device)
    started = time.perf_counter()
    result = work()
    if engine.device.type == "cuda":
        torch.cuda.synchronize(engine.device)
    return time.perf_counter() - started, result


def _by_round(samples: dict[str, list[list[float]]], tokens: list[int]) -> list[dict[str, Any]]:
    """Medians and ratios of each round; `tokens` are those of the sequence so far."""
    rows: list[dict[str, Any]] = []
    for k, places in enumerate(tokens):
        opened = [each[0] if k == 0 else 0.0 for each in samples["open"]]
        engine = median(own + each[k] for own, each in zip(opened, samples["engine"], strict=True))
        released, so_far = (median(each[k] for each in samples[way]) for way in ("released", "so_far"))
        rows.append(
            {
                "round": k + 1,
                "state": "warm" if k else "cold",
                "tokens": places,
                "engine": engine,
                "released": released,
                "so_far": so_far,
                "ratio": released / engine,
                "ratio_so_far": so_far / engine,
            }
        )
    return rows


def _breakdown(
    engine: Engine, image: NDArray[np.uint8], asked: list[str], again: Recompute, repeats: int
) -> dict[str, dict[str, float]]:
    """Median seconds of each part, the rest and the total: cold, warm (all rounds) and released (the last round)."""
    runs: dict[str, list[dict[str, float]]] = {"cold": [], "warm": [], "released": []}
    last = len(asked) - 1

    def begin() -> Dialogue:
        dialogue = engine.open(image)
        _ask(dialogue, asked, 0)
        return dialogue

    for _ in range(repeats):
        parts, dialogue = _in_parts(engine, engine.model, begin)
        runs["cold"].append(parts)
        runs["warm"] += [
            _in_parts(engine, engine.model, partial(_ask, dialogue, asked, k))[0] for k in range(1, len(asked))
        ]
        runs["released"].append(_in_parts(engine, again.model, partial(again.answer, last, len(asked)))[0])
    return {
        way: {part: median(each[part] for each in own) for part in (*PARTS, "rest", "total")}
        for way, own in runs.items()
    }


def _in_parts(engine: Engine, model: MediRound | StockModel, work: Callable[[], T]) -> tuple[dict[str, float], T]:
    """Seconds of each of `PARTS`, the rest and the total, and what `work` returned."""
    with _clocks(engine, model) as seconds:
        total, result = _timed(engine, work)
    return {**seconds, "rest": total - sum(seconds.values()), "total": total}, result


@contextmanager
def _clocks(engine: Engine, model: MediRound | StockModel) -> Iterator[dict[str, float]]:
    """Seconds spent in each of `PARTS` meanwhile: the methods of engine and model are covered by timed ones."""
    seconds = dict.fromkeys(PARTS, 0.0)

    def clocked(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            taken, result = _timed(engine, partial(call, *args, **kwargs))
            seconds[part] += taken
            return result

        return run

    covered = []
    for part, names in PARTS.items():
        owner: Any = engine if part == "judge" else model
        for name in names:
            if hasattr(type(owner), name):
                covered.append((owner, name))
                setattr(owner, name, clocked(part, getattr(owner, name)))
    try:
        yield seconds
    finally:
        for owner, name in covered:
            delattr(owner, name)
