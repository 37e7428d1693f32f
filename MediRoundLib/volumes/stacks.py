"""Sorting the planes of a DICOM series into stacks that a regular grid of voxels can hold. Geometry only, no pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

# Directions or pixel sizes that differ by no more than this belong to one stack: writers round them.
_SAME = 1e-3
# Positions (mm) closer than this along the normal are one place, as in a second echo or time point.
_SAME_PLACE = 1e-2
# A slice may lie off the regular grid by this share of the slice distance: some scanners round positions to 0.1 mm.
_OFF_GRID = 0.2
# Holes are filled with blank slices up to this share of the slices; beyond it the series is taken apart.
_FILLED = 0.1


@dataclass(frozen=True, eq=False)
class Plane:
    """One 2D image: a DICOM file, or one frame of it.

    Attributes:
        path, frame: where its pixels are; frames count from 0.
        header: the file's tags without pixels.
        size: (rows, columns).
        photometric: PhotometricInterpretation: what its numbers mean.
        position: centre of the first pixel in LPS mm, or None.
        orientation: directions of increasing column (3 numbers) and row (3 numbers), orthonormal, or None.
        spacing: (between rows, between columns) in mm, or None.
        order: InstanceNumber and frame: the order where there are no positions.
    """

    path: Path
    frame: int
    header: Dataset
    size: tuple[int, int]
    photometric: str
    position: NDArray[np.float64] | None
    orientation: NDArray[np.float64] | None
    spacing: tuple[float, float] | None
    order: tuple[int, int]

    @property
    def normal(self) -> NDArray[np.float64]:
        assert self.orientation is not None
        return np.cross(self.orientation[:3], self.orientation[3:])


@dataclass(frozen=True)
class Stack:
    """Planes in the order of the volume's third axis; None stands for a slice that is missing.

    Attributes:
        planes: the first and the last are never None.
        step: mm between slices, or None where that is unknown (no positions, or a single slice).
        uneven: how far, in mm, a slice lies off the grid at most.
        slant: how far, in mm, slices are shifted against each other within their plane (a tilted gantry).
    """

    planes: tuple[Plane | None, ...]
    step: float | None = None
    uneven: float = 0.0
    slant: float = 0.0

    @property
    def present(self) -> list[Plane]:
        return [plane for plane in self.planes if plane is not None]


def stacks_of(planes: Sequence[Plane]) -> list[Stack]:
    """Split the planes of one series: by kind and size of pixels, direction, time point, and at wide gaps."""
    stacks: list[Stack] = []
    for group in _same_grid(planes):
        if group[0].orientation is None or group[0].position is None:
            stacks.append(Stack(tuple(group)))
            continue
        for layer in _one_a_place(group):
            stacks.extend(_evenly_spaced(layer))
    return stacks


def _same_grid(planes: Sequence[Plane]) -> list[list[Plane]]:
    groups: list[list[Plane]] = []
    for plane in sorted(planes, key=lambda plane: plane.order):
        for group in groups:
            first = group[0]
            if (
                (plane.size, plane.photometric) == (first.size, first.photometric)
                and _close(plane.spacing, first.spacing)
                and _close(plane.orientation, first.orientation)
                and (plane.position is None) == (first.position is None)
            ):
                group.append(plane)
                break
        else:
            groups.append([plane])
    return groups


def _close(a: Sequence[float] | NDArray[np.float64] | None, b: Sequence[float] | NDArray[np.float64] | None) -> bool:
    if a is None or b is None:
        return a is b
    return bool(np.allclose(a, b, rtol=0, atol=_SAME))


def _heights(planes: Sequence[Plane]) -> NDArray[np.float64]:
    """Positions along the first plane's normal, in mm."""
    return np.array([plane.position for plane in planes]) @ planes[0].normal


def _one_a_place(group: list[Plane]) -> list[list[Plane]]:
    """Layers in which each place occurs once, sorted by place: the first image of every place, the second, .."""
    heights = _heights(group)
    places: list[list[Plane]] = []
    last = -np.inf
    for k in np.argsort(heights, kind="stable"):
        if heights[k] - last > _SAME_PLACE:
            places.append([])
            last = heights[k]
        places[-1].append(group[k])  # of one place, in the group's order: by InstanceNumber
    return [[place[k] for place in places if len(place) > k] for k in range(max(map(len, places)))]


def _evenly_spaced(layer: list[Plane]) -> list[Stack]:
    """One stack where the slices fit a regular grid, with few holes at most; else one for every even run."""
    if len(layer) == 1:
        return [Stack((layer[0],))]
    steps = np.diff(_heights(layer))
    finest = steps[steps < 1.5 * steps.min()].mean()
    slots = np.concatenate([[0], np.cumsum(np.maximum(np.rint(steps / finest), 1))]).astype(int)
    whole = _stack(layer, slots)
    assert whole.step is not None
    holes = len(whole.planes) - len(layer)
    if whole.uneven <= _OFF_GRID * whole.step and holes <= max(1, _FILLED * len(layer)):
        return [whole]
    return [_stack([layer[k] for k in run], np.arange(len(run))) for run in _even_runs(steps)]


def _stack(planes: list[Plane], slots: NDArray[np.int_]) -> Stack:
    """A stack with each plane at its slot, the first at 0."""
    if len(planes) == 1:
        return Stack((planes[0],))
    heights = _heights(planes) - _heights(planes[:1])
    step = float(heights[-1] / slots[-1])
    placed: list[Plane | None] = [None] * int(slots[-1] + 1)
    for slot, plane in zip(slots, planes, strict=True):
        placed[slot] = plane
    return Stack(tuple(placed), step, float(np.abs(heights - slots * step).max()), _slant(planes))


def _even_runs(steps: NDArray[np.float64]) -> list[list[int]]:
    """Cut at changes of the slice distance; a slice at a cut goes to the longer side. Returns numbers of slices."""
    cuts = [0]
    for k in range(1, len(steps)):
        if abs(steps[k] - steps[cuts[-1]]) > _OFF_GRID * steps[cuts[-1]]:
            cuts.append(k)
    spans = zip(cuts, [*cuts[1:], len(steps)], strict=True)
    free = set(range(len(steps) + 1))
    runs = []
    for start, stop in sorted(spans, key=lambda span: span[0] - span[1]):
        run = [k for k in range(start, stop + 1) if k in free]
        free.difference_update(run)
        if run:
            runs.append(run)
    return sorted(runs)


def _slant(layer: list[Plane]) -> float:
    positions = np.array([plane.position for plane in layer])
    ways = positions - positions[0]
    normal = layer[0].normal
    return float(np.linalg.norm(ways - np.outer(ways @ normal, normal), axis=1).max())
