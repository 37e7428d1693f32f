"""Where the time of a round goes: clocks around the methods that compute its parts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MediRoundLib.bench.setting import T, ask, timed
from MediRoundLib.engine import Dialogue, Engine
from MediRoundLib.modeling import MediRound
from MediRoundLib.recompute import Recompute, StockModel

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


def breakdown(
    engine: Engine, image: NDArray[np.uint8], asked: list[str], again: Recompute, repeats: int
) -> dict[str, dict[str, float]]:
    """Median seconds of each part, the rest and the total: cold, warm (all rounds) and released (the last round)."""
    runs: dict[str, list[dict[str, float]]] = {"cold": [], "warm": [], "released": []}
    last = len(asked) - 1

    def begin() -> Dialogue:
        dialogue = engine.open(image)
        ask(dialogue, asked, 0)
        return dialogue

    for _ in range(repeats):
        parts, dialogue = _in_parts(engine, engine.model, begin)
        runs["cold"].append(parts)
        runs["warm"] += [
            _in_parts(engine, engine.model, partial(ask, dialogue, asked, k))[0] for k in range(1, len(asked))
        ]
        runs["released"].append(_in_parts(engine, again.model, partial(again.answer, last, len(asked)))[0])
    return {
        way: {part: median(each[part] for each in own) for part in (*PARTS, "rest", "total")}
        for way, own in runs.items()
    }


def _in_parts(engine: Engine, model: MediRound | StockModel, work: Callable[[], T]) -> tuple[dict[str, float], T]:
    """Seconds of each of `PARTS`, the rest and the total, and what `work` returned."""
    with _clocks(engine, model) as seconds:
        total, result = timed(engine.device, work)
    return {**seconds, "rest": total - sum(seconds.values()), "total": total}, result


@contextmanager
def _clocks(engine: Engine, model: MediRound | StockModel) -> Iterator[dict[str, float]]:
    """Seconds spent in each of `PARTS` meanwhile: the methods of engine and model are covered by timed ones."""
    seconds = dict.fromkeys(PARTS, 0.0)

    def clocked(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            taken, result = timed(engine.device, partial(call, *args, **kwargs))
            seconds[part] += taken
            return result

        return run

    covered = []
    for part, names in PARTS.items():
        owner: Any = engine if part == "judge" else model
        for name in names:
            if hasattr(type(owner), name):
                covered.append((owner, name, vars(owner).get(name)))
                setattr(owner, name, clocked(part, getattr(owner, name)))
    try:
        yield seconds
    finally:
        for owner, name, before in covered:
            delattr(owner, name)
            if before is not None:  # a compiled one
                setattr(owner, name, before)
