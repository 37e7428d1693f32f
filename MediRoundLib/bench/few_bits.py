"""What a language model in 4 or 8 bits costs and saves, beside the same weights unquantised."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from MediRoundLib.bench.likeness import apart
from MediRoundLib.bench.setting import ANSWER, described, picture, queries, timed
from MediRoundLib.devices import forget_peak, free_unused, peak_memory, peak_reserved
from MediRoundLib.engine import Engine, Round
from MediRoundLib.errors import OutOfMemory
from MediRoundLib.metrics import overlap
from MediRoundLib.quantization import Bits, weight_bytes
from MediRoundLib.shapes import is_full

# Into so many bytes of GPU memory the full size has to fit: what a workstation's card of 8 or 16 GiB has left beside
# the CUDA context and a screen.
GOALS: dict[Bits, float] = {"4bit": 8e9, "8bit": 16e9}


def bench_few_bits(
    make: Callable[[Bits | None], Engine],
    device: torch.device,
    bits: Sequence[Bits],
    rounds: int = 12,
    repeats: int = 3,
    size: int = 512,
    tick: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Hold the same dialogue with each model, one after the other; all lean on the unquantised model's masks.

    Args:
        make: loads the model onto `device`, unquantised for None; it is let go of before the next is asked for.
        device: where the models run.
        bits: which to measure.
        rounds, repeats, size: as in `ways.bench`.
        tick: called `(len(bits) + 1) * (repeats + 1)` times, for a progress bar.

    Returns:
        Plain data for JSON; seconds are medians. `models` has a row for the unquantised model (`bits` None) and for
        each of `bits`: `bytes` of the weights; `cold` and `warm` as in `ways.bench`; `peak` in use and `reserved`, both
        in bytes, loading included (None on a CPU, where `peak` of the whole process is told); `goal` and `fits` of
        `GOALS` for the full size on a GPU, else None; `finite`; and `beside` the unquantised model mean and least
        `dice` of the masks, `alike` (the part of all pixels), `quality` (mean difference of the judge's score, None for
        a stage 1 model), `corrected` (rounds in which one was corrected and the other not), and `by_round`. Where the
        device has no room for the unquantised model it has no row, `no_room` says why, every `beside` is None, and each
        model leans on its own masks.

    Raises:
        QueryError: the dialogue is longer than the model can read.
        OutOfMemory: the device has no room for a model in few bits.
    """
    image, asked, no_room = picture(size), queries(rounds), None

    def measure(each: Bits | None, plain: list[Round] | None) -> _Measured:
        free_unused()
        forget_peak(device)
        return _measure(make(each), each, image, asked, repeats, plain, tick)

    base: _Measured | None = None
    try:
        base = measure(None, None)
    except OutOfMemory as error:
        no_room = str(error)
    small = [measure(each, base.drawn if base else None) for each in bits]
    if base:
        for each in small:
            each.row["beside"] = _beside(base.drawn, each.drawn)
    first = base or small[0]
    return {
        **first.setting,
        "rounds": rounds,
        "repeats": repeats,
        "size": size,
        "models": [each.row for each in ([base] if base else []) + small],
        "no_room": no_room,
    }


@dataclass(frozen=True)
class _Measured:
    """A row of `models`, the rounds that were drawn, and what the model ran on."""

    row: dict[str, Any]
    drawn: list[Round]
    setting: dict[str, Any]


def _measure(
    engine: Engine,
    bits: Bits | None,
    image: NDArray[np.uint8],
    asked: list[str],
    repeats: int,
    plain: list[Round] | None,
    tick: Callable[[], object],
) -> _Measured:
    """One model; its rounds lean on the masks of `plain`, or on its own."""
    drawn = _talk(engine, image, asked, plain)[0]
    tick()
    taken = []
    for _ in range(repeats):
        taken.append(_talk(engine, image, asked, plain)[1])
        tick()
    goal = GOALS.get(bits) if bits and engine.device.type == "cuda" and is_full(engine.config) else None
    reserved = peak_reserved(engine.device)
    language = engine.model.llava.model.language_model, engine.model.llava.lm_head
    row = {
        "bits": bits,
        "bytes": {"language": sum(map(weight_bytes, language)), "all": weight_bytes(engine.model)},
        "cold": median(each[0] for each in taken),
        "warm": median(seconds for each in taken for seconds in each[1:]),
        "peak": peak_memory(engine.device),
        "reserved": reserved,
        "goal": goal,
        "fits": None if goal is None or reserved is None else reserved <= goal,
        "finite": all(apart(done.logits, done.logits) is not None for done in drawn),
        "beside": None,
    }
    return _Measured(row, drawn, described(engine))


def _talk(
    engine: Engine, image: NDArray[np.uint8], asked: list[str], plain: list[Round] | None
) -> tuple[list[Round], list[float]]:
    """The rounds of a dialogue, and the seconds of each, opening the image in the first."""
    opening, dialogue = timed(engine.device, partial(engine.open, image))
    taken = []
    for k, query in enumerate(asked):
        reference = False if k == 0 else (plain or dialogue.rounds)[k - 1].mask
        taken.append(timed(engine.device, partial(dialogue.ask, query, reference, ANSWER))[0])
    return dialogue.rounds, [opening + taken[0], *taken[1:]]


def _beside(plain: Sequence[Round], drawn: Sequence[Round]) -> dict[str, Any]:
    """Masks and scores of a model in few bits beside those of the unquantised one."""
    rounds: list[dict[str, Any]] = []
    for one, other in zip(plain, drawn, strict=True):
        score, other_score = one.quality, other.quality
        rounds.append(
            {
                "round": one.number,
                "pixels": int(one.mask.sum()),
                "dice": overlap(other.mask, one.mask).dice,
                "alike": float((one.mask == other.mask).mean()),
                "quality": None if score is None or other_score is None else abs(score - other_score),
                "corrected": one.corrected != other.corrected,
            }
        )
    qualities = [each["quality"] for each in rounds if each["quality"] is not None]
    return {
        "dice": fmean(each["dice"] for each in rounds),
        "least_dice": min(each["dice"] for each in rounds),
        "alike": fmean(each["alike"] for each in rounds),
        "quality": fmean(qualities) if qualities else None,
        "corrected": sum(each["corrected"] for each in rounds),
        "by_round": rounds,
    }
