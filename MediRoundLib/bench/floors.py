"""How fast the full size can be on a GPU at best: what its memory and its arithmetic allow at their peak."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Floor:
    """Least seconds on one kind of GPU in half precision.

    `encoder` is of SAM's ViT-B, `prefill` of the language model reading 800 tokens (a first round), `later` of it
    reading 40 on a warm cache.
    """

    encoder: float
    prefill: float
    later: float


# By the name that CUDA gives: of a laptop's or another variant of the same number they do not hold.
FLOORS = {
    "NVIDIA H200": Floor(1.0e-3, 11.5e-3, 3.4e-3),
    "NVIDIA GeForce RTX 4090": Floor(5.9e-3, 69e-3, 16e-3),
    "NVIDIA RTX A6000": Floor(6.2e-3, 73e-3, 21e-3),
}
# Multiples of them that are to be reached at most.
GOALS = {"cold": 3.0, "warm": 4.0}


def beside_floors(gpu: str | None, cold: float, warm: float) -> dict[str, dict[str, Any]] | None:
    """Seconds of a cold and a warm round of the full size beside the floors of a GPU; None for one without."""
    floor = FLOORS.get(gpu or "")
    if floor is None:
        return None
    told = {}
    for way, seconds, least in (("cold", cold, floor.encoder + floor.prefill), ("warm", warm, floor.later)):
        multiple = seconds / least
        told[way] = {"floor": least, "multiple": multiple, "goal": GOALS[way], "met": multiple <= GOALS[way]}
    return told
