"""Which voxels of a labelmap a plane of pixels is made of, and which voxel lies under each pixel. Pure numpy.

A voxel belongs to a plane where the plane cuts it: its centre lies within half a voxel of the plane, measured along the
plane's normal. That layer has no holes, since a point of the plane always lies in one of its voxels, and it is thin. A
voxel of the layer has the value of the mask at its centre's projection onto the plane. Of two voxels that a plane only
touches, both exactly half a voxel away, the one of the higher index has it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MediRoundSlicerLib.PlaneGeometry import Floats, apply

Whole = NDArray[np.signedinteger[Any]]

# Positions this close to the border between two voxels or pixels count as on it.
_TINY = 1e-6
# A plane leans against an axis where it leaves it by more than this anywhere on the image, in voxels or pixels.
_LEAN = 1e-3
# A bent plane is computed at every so many pixels, and between them linearly.
_COARSE = 8
# Samples of a bent plane are at most half a voxel apart, but no more than so many a pixel.
_FINEST = 8


@dataclass(frozen=True)
class Layer:
    """The voxels of a plane.

    Attributes:
        index: (k, j, i) of the voxels, negative ones too: three flat arrays, or three that span a box, each along its
            own axis.
        pixels: (row, column) of the pixel that each one takes its value from; they broadcast with `index`.
    """

    index: tuple[Whole, Whole, Whole]
    pixels: tuple[Whole, Whole]

    def values(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The mask's value for every voxel of the layer."""
        return np.broadcast_to(mask[self.pixels], np.broadcast_shapes(*(axis.shape for axis in self.index)))

    def within(self, voxelToOther: Floats, size: tuple[int, ...]) -> "Layer":
        """Without the voxels that lie beside a volume: a leaning plane's image covers more than that.

        Args:
            voxelToOther: IJK to the volume's IJK.
            size: of the volume in voxels.
        """
        if self.index[0].ndim != 1:
            return self  # straight ones end where the volume does
        # A voxel reaches so far from its centre.
        reach = np.abs(voxelToOther[:3, :3]).sum(axis=1) / 2 - _TINY
        k, j, i = self.index
        centres = apply(voxelToOther, np.stack([i, j, k], axis=-1).astype(np.float64))
        kept = ((centres > -0.5 - reach) & (centres < np.array(size) - 0.5 + reach)).all(axis=1)
        return Layer((k[kept], j[kept], i[kept]), (self.pixels[0][kept], self.pixels[1][kept]))


def layerOf(pixelToVoxel: Floats, shape: tuple[int, int]) -> Layer:
    """The layer of a flat plane.

    Args:
        pixelToVoxel: (column, row, height, 1) to (i, j, k, 1), where height is perpendicular to the plane.
        shape: (rows, columns) of the pixels. Voxels that project beside them are no part of the layer.
    """
    aligned = _alignment(pixelToVoxel, shape)
    return _straightLayer(pixelToVoxel, shape, *aligned) if aligned is not None else _leaningLayer(pixelToVoxel, shape)


def underPixels(pixelToVoxel: Floats, shape: tuple[int, int]) -> tuple[Whole, Whole, Whole]:
    """(k, j, i) of the voxel at each pixel's centre, broadcasting to `shape`, for a flat plane."""
    columns, rows = np.arange(shape[1])[None, :], np.arange(shape[0])[:, None]
    aligned = _alignment(pixelToVoxel, shape)
    middle = _middle(pixelToVoxel, shape)
    right, down = (columns - (shape[1] - 1) / 2), (rows - (shape[0] - 1) / 2)
    if aligned is None:
        i, j, k = (_nearest(m + p[0] * right + p[1] * down) for m, p in zip(middle, pixelToVoxel[:3], strict=True))
        return k, j, i
    found: list[Any] = [None, None, None]
    found[aligned[0]] = _nearest(middle[aligned[0]] + pixelToVoxel[aligned[0], 0] * right)
    found[aligned[1]] = _nearest(middle[aligned[1]] + pixelToVoxel[aligned[1], 1] * down)
    found[aligned[2]] = _nearest(middle[aligned[2]]).reshape(1, 1)
    return found[2], found[1], found[0]


def bentLayer(toVoxels: Callable[[Floats], Floats], shape: tuple[int, int]) -> Layer:
    """The layer of a plane that a transform bends: the voxels in which samples of the pixels lie.

    Args:
        toVoxels: (n, 2) columns and rows to (n, 3) IJK positions.
        shape: (rows, columns) of the pixels.
    """
    coarse = _bentPositions(toVoxels, shape, 1)
    steps = (np.abs(np.diff(coarse, axis=axis)).max(initial=0.0) for axis in (0, 1))
    fine = int(np.clip(np.ceil(2 * max(steps)), 1, _FINEST))
    positions = _bentPositions(toVoxels, shape, fine).reshape(-1, 3)
    voxels = _nearest(positions)
    # Each voxel once, with the sample that is nearest to its centre.
    low = voxels.min(axis=0)
    flat = np.ravel_multi_index(tuple((voxels - low).T), tuple(voxels.max(axis=0) - low + 1))
    order = np.lexsort((((positions - voxels) ** 2).sum(axis=1), flat))
    first = order[np.flatnonzero(np.diff(flat[order], prepend=-1))]
    rows, columns = np.unravel_index(first, (shape[0] * fine, shape[1] * fine))
    i, j, k = voxels[first].T
    return Layer((k, j, i), (rows // fine, columns // fine))


def underBentPixels(toVoxels: Callable[[Floats], Floats], shape: tuple[int, int]) -> tuple[Whole, Whole, Whole]:
    """(k, j, i) of the voxel at each pixel's centre, (rows, columns) each, for a plane that a transform bends."""
    voxels = _nearest(_bentPositions(toVoxels, shape, 1))
    return voxels[..., 2], voxels[..., 1], voxels[..., 0]


def _alignment(pixelToVoxel: Floats, shape: tuple[int, int]) -> tuple[int, int, int] | None:
    """The voxels' axes along columns, along rows and across the plane, or None where it leans against them."""
    across, down = (int(np.argmax(np.abs(pixelToVoxel[:3, column]))) for column in (0, 1))
    if across == down:
        return None
    left = 3 - across - down
    reach = np.abs(pixelToVoxel[:3, :2]) @ np.array([shape[1], shape[0]], dtype=np.float64)
    inverse = np.linalg.inv(pixelToVoxel)
    slope = _slope(pixelToVoxel)
    leans = [abs(inverse[0, axis]) * (reach[axis] + 1) for axis in (down, left)]
    leans += [abs(inverse[1, axis]) * (reach[axis] + 1) for axis in (across, left)]
    leans += [abs(slope[axis] / slope[left]) * (reach[axis] + 1) for axis in (across, down)]
    return (across, down, left) if max(leans) < _LEAN else None


def _slope(pixelToVoxel: Floats) -> Floats:
    """The plane's normal in IJK, so that `slope @ ijk` is constant on it; its largest component is 1."""
    normal = np.cross(pixelToVoxel[:3, 0], pixelToVoxel[:3, 1])
    return np.asarray(normal / normal[int(np.argmax(np.abs(normal)))])


def _straightLayer(pixelToVoxel: Floats, shape: tuple[int, int], across: int, down: int, left: int) -> Layer:
    inverse, middle = np.linalg.inv(pixelToVoxel), _middle(pixelToVoxel, shape)
    index: list[Any] = [None, None, None]
    pixels: list[Any] = [None, None]
    for column, axis in ((0, across), (1, down)):
        count = shape[1 - column]
        reach = abs(pixelToVoxel[axis, column]) * count / 2 + 1
        voxels = np.arange(int(np.floor(middle[axis] - reach)), int(np.ceil(middle[axis] + reach)) + 1)
        at = _nearest(inverse[column, axis] * (voxels - middle[axis]) + (count - 1) / 2)
        inside = (at >= 0) & (at < count)
        index[axis], pixels[column] = _along(voxels[inside], axis), _along(at[inside], axis)
    index[left] = _along(_nearest(middle[left : left + 1]), left)
    return Layer((index[2], index[1], index[0]), (pixels[1], pixels[0]))


def _middle(pixelToVoxel: Floats, shape: tuple[int, int]) -> Floats:
    """IJK position of the image's centre."""
    return apply(pixelToVoxel, np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2, 0.0]))


def _along(values: Whole, axis: int) -> Whole:
    """1-D values along IJK axis `axis` of a (k, j, i) array."""
    return values.reshape([-1 if place == 2 - axis else 1 for place in range(3)])


def _leaningLayer(pixelToVoxel: Floats, shape: tuple[int, int]) -> Layer:
    inverse, slope = np.linalg.inv(pixelToVoxel), _slope(pixelToVoxel)
    steep = int(np.argmax(np.abs(slope)))
    first, second = (axis for axis in range(3) if axis != steep)
    half = np.abs(slope).sum() / 2
    columns, rows = np.meshgrid([-0.5, shape[1] - 0.5], [-0.5, shape[0] - 0.5])
    corners = apply(pixelToVoxel, np.stack([columns.ravel(), rows.ravel(), np.zeros(4)], axis=1))
    # Voxels whose centres are off the plane lie by so much beside what they project to.
    beside = np.abs(pixelToVoxel[:3, 2]) * half / abs(slope @ pixelToVoxel[:3, 2])
    low, high = np.floor(corners.min(axis=0) - beside), np.ceil(corners.max(axis=0) + beside)
    a, b = (np.arange(int(low[axis]), int(high[axis]) + 1) for axis in (first, second))
    a, b = a[:, None], b[None, :]
    height = slope @ pixelToVoxel[:3, 3] - slope[first] * a - slope[second] * b
    lowest = np.floor(height - half + _TINY).astype(np.intp) + 1
    highest = np.floor(height + half + _TINY).astype(np.intp)
    found: list[list[Whole]] = [[], [], [], [], []]
    for step in range(int((highest - lowest).max()) + 1):
        c = lowest + step
        column, row = (
            _nearest(inverse[k, first] * a + inverse[k, second] * b + inverse[k, steep] * c + inverse[k, 3])
            for k in (0, 1)
        )
        kept = (c <= highest) & (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
        for place, values in zip(found, (a, b, c, row, column), strict=True):
            place.append(np.broadcast_to(values, kept.shape)[kept])
    joined = [np.concatenate(place) for place in found]
    axes = dict(zip((first, second, steep), joined[:3], strict=True))
    return Layer((axes[2], axes[1], axes[0]), (joined[3], joined[4]))


def _bentPositions(toVoxels: Callable[[Floats], Floats], shape: tuple[int, int], fine: int) -> Floats:
    """(rows * fine, columns * fine, 3) IJK positions of samples, `fine` in a row of each pixel."""
    ticks = [np.linspace(-0.5, count - 0.5, max(2, int(np.ceil(count / _COARSE)) + 1)) for count in shape]
    rows, columns = np.meshgrid(*ticks, indexing="ij")
    nodes = toVoxels(np.stack([columns.ravel(), rows.ravel()], axis=1)).reshape(*rows.shape, 3)
    for axis, count in enumerate(shape):
        samples = (np.arange(count * fine) + 0.5) / fine - 0.5
        place = (samples - ticks[axis][0]) / (ticks[axis][1] - ticks[axis][0])
        before = np.minimum(place.astype(np.intp), len(ticks[axis]) - 2)
        share = (place - before).reshape([-1 if k == axis else 1 for k in range(3)])
        nodes = np.take(nodes, before, axis) * (1 - share) + np.take(nodes, before + 1, axis) * share
    return np.asarray(nodes)


def _nearest(positions: Any) -> Whole:
    return np.asarray(np.floor(positions + (0.5 + _TINY)), dtype=np.intp)
