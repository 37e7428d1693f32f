"""How long a round takes, three ways on the same weights, image and dialogue, and whether the answers are the same.

*Cold* is what a user waits for at first (opening the image and the first round), *warm* every later round on the
engine's caches, *released* a round of the released evaluation, which recomputes all; see `recompute.Recompute`.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

from MediRoundLib.bench.floors import beside_floors
from MediRoundLib.bench.likeness import Likeness, apart
from MediRoundLib.bench.parts import breakdown
from MediRoundLib.bench.setting import ANSWER, Peaks, ask, described, hardware, picture, queries, talk, timed
from MediRoundLib.engine import Engine
from MediRoundLib.recompute import ForcedRound, Recompute
from MediRoundLib.shapes import is_full


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
        `floors` has the full size's cold and (median) warm round beside what its GPU allows, where that is known.
        `difference` is the largest between the engine's and the recomputed logits (None where they are no numbers),
        `agreement` the mean Dice of the masks, `limit` and `agreement_limit` what is asked (see `likeness`), `equal`
        whether it holds; `spread` gives a scale: two rounds in a row differ by at least so much. `breakdown` is of runs
        of its own, which wait for the device after each part. `peak` is the most memory of each way in bytes (None
        where unknown); on a CPU one number, of the whole process.

    Raises:
        QueryError: the dialogue is longer than the model can read.
        OutOfMemory: the device is full.
    """
    image, asked = picture(size), queries(rounds)
    made = talk(engine, image, asked)
    masks = [None, *(each.mask for each in made[:-1])]
    forced = [ForcedRound(query, ANSWER, mask) for query, mask in zip(asked, masks, strict=True)]
    again = Recompute(engine, image, forced)
    again.answer(0, rounds)
    tick()
    samples: dict[str, list[list[float]]] = {"open": [], "engine": [], "released": [], "so_far": []}
    likeness, peaks = Likeness(engine.dtype), Peaks(engine.device)
    # Round by round, so that whatever else a processor does meets all ways alike. On a GPU way by way: the released one
    # empties the memory pool that the engine's next round would find.
    turns = [range(rounds)] if engine.device.type == "cuda" else [range(k, k + 1) for k in range(rounds)]
    for _ in range(repeats):
        with peaks.of("cold"):
            opening, dialogue = timed(engine.device, partial(engine.open, image))
            first = timed(engine.device, partial(ask, dialogue, asked, 0))[0]
        samples["open"].append([opening])
        taken = {"engine": [first], "released": list[float](), "so_far": list[float]()}
        for together in turns:
            with peaks.of("warm"):
                asking = (partial(ask, dialogue, asked, k) for k in together if k)
                taken["engine"] += [timed(engine.device, each)[0] for each in asking]
            for way, k in ((way, k) for way in ("released", "so_far") for k in together):
                answer = partial(again.answer, k, rounds if way == "released" else k + 1)
                with peaks.of(way):
                    seconds, logits = timed(engine.device, answer)
                taken[way].append(seconds)
                likeness.add(logits, made[k].logits)
                tick()
        for way, each in taken.items():
            samples[way].append(each)
        del dialogue
    by_round = _by_round(samples, [again.tokens(k + 1) for k in range(rounds)])
    steps = [apart(one.logits, next_one.logits) for one, next_one in pairwise(made)]
    numbers = [step for step in steps if step is not None]
    return {
        **described(engine),
        "parameters": sum(parameter.numel() for parameter in engine.model.parameters()),
        "rounds": rounds,
        "repeats": repeats,
        "size": size,
        "open": median(each[0] for each in samples["open"]),
        "by_round": by_round,
        "floors": _floors(engine, by_round),
        "growth": {way: by_round[-1][way] / by_round[1][way] for way in ("engine", "released", "so_far")},
        "breakdown": breakdown(engine, image, asked, again, repeats),
        "peak": peaks.found,
        **likeness.told(),
        "spread": min(numbers) if numbers == steps else None,
        "samples": samples,
    }


def _floors(engine: Engine, by_round: list[dict[str, Any]]) -> dict[str, dict[str, Any]] | None:
    if not is_full(engine.config):
        return None
    gpu = hardware(engine.device)["gpu"]
    return beside_floors(gpu, by_round[0]["engine"], median(row["engine"] for row in by_round[1:]))


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
