"""The pixels of a slice: which grid of them a volume has on the plane of a slice view. Pure numpy.

Matrices are (4, 4) float64. "Voxels" are continuous IJK indices, whole numbers at voxel centres; world is RAS in mm.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from MediRoundSlicerLib.Dialogues import PlaneGrid

Floats = NDArray[np.floating[Any]]

# A slice that leans by no more than this against a plane of voxels, in voxels over the whole volume, is that plane ..
_LEAN = 0.5
# .. unless the volume is so small that even a plain tilt does not lean more.
_TILT = np.cos(np.radians(1.0))
# Pixels further from square than this are made square, as for the command line: the model learned on square ones.
_SQUARE = 1.05
# Axes of voxels whose directions have a larger dot product than this are no pixel grid.
_SHEAR = 1e-3
# Pixels that are made by interpolation are at most so many in a row or column.
_LONGEST = 8192
# Positions this close to the border between two voxels count as on it, in voxels or pixels.
_TINY = 1e-6
_NAMES = ("sagittal", "coronal", "axial")
# Signs of R, A and S.
_TOWARDS = (-1, 1, 1)


class OffVolume(Exception):
    """The plane does not cross the volume."""


class EdgeOn(Exception):
    """The plane crosses an image of a single slice, so that there is nothing but a line."""


def voxelPlane(ijkToWorld: Floats, size: tuple[int, ...], sliceToRAS: Floats) -> tuple[int, int] | None:
    """The plane of voxels that a slice shows.

    Args:
        ijkToWorld: of the volume.
        size: of the volume in voxels, (i, j, k).
        sliceToRAS: of the slice view.

    Returns:
        The IJK axis across the slice and the index of the nearest voxels along it, or None for an oblique slice.

    Raises:
        OffVolume: the slice is parallel to planes of voxels and outside of all of them.
    """
    normal = _unit(np.cross(sliceToRAS[:3, 0], sliceToRAS[:3, 1]))
    upright = np.linalg.inv(ijkToWorld[:3, :3])  # row k is perpendicular to the planes of voxels along axis k
    cosines = np.abs(upright @ normal) / np.linalg.norm(upright, axis=1)
    axis = int(np.argmax(cosines))
    slope = normal @ ijkToWorld[:3, :3]
    slope = slope / slope[axis]
    others = [other for other in range(3) if other != axis]
    lean = sum(abs(slope[other]) * size[other] for other in others)
    if cosines[axis] < _TILT or lean > _LEAN:
        return None
    centre = (np.array(size) - 1) / 2
    origin = np.linalg.inv(ijkToWorld) @ sliceToRAS[:, 3]
    position = origin[axis] + sum(slope[other] * (origin[other] - centre[other]) for other in others)
    if not -0.5 - _TINY <= position <= size[axis] - 0.5 + _TINY:
        raise OffVolume
    return axis, int(np.clip(np.floor(position + 0.5 + _TINY), 0, size[axis] - 1))


def voxelGrid(ijkToWorld: Floats, size: tuple[int, ...], sliceToRAS: Floats, axis: int, index: int) -> PlaneGrid:
    """The pixels of a plane of voxels, turned as the slice view shows it to the nearest quarter turn.

    They are the voxels themselves, or, where those are not square, as fine as the finer of the two spacings with the
    picture's edges in place. Pan, zoom and size of the view play no part.

    Raises:
        EdgeOn: the plane is one voxel wide.
    """
    right, up = _unit(sliceToRAS[:3, 0]), _unit(sliceToRAS[:3, 1])
    lengths = np.linalg.norm(ijkToWorld[:3, :3], axis=0)
    directions = ijkToWorld[:3, :3] / lengths
    across, down = (other for other in range(3) if other != axis)
    if min(size[across], size[down]) == 1:
        raise EdgeOn
    fits = np.abs(directions.T @ np.stack([right, up], axis=1))
    if fits[across, 0] + fits[down, 1] < fits[down, 0] + fits[across, 1]:
        across, down = down, across
    if abs(directions[:, across] @ directions[:, down]) > _SHEAR:
        turned = directions[:, across] if directions[:, across] @ right >= 0 else -directions[:, across]
        return _shearedGrid(ijkToWorld, size, turned, up, axis, index)
    columns, rows = _squared((size[across], size[down]), (lengths[across], lengths[down]))
    pixelToIJK = np.zeros((4, 4))
    for column, voxels, pixels, along in (
        (0, across, columns, directions[:, across] @ right),
        (1, down, rows, -directions[:, down] @ up),
    ):
        step = size[voxels] / pixels
        pixelToIJK[voxels, column] = step if along >= 0 else -step
        pixelToIJK[voxels, 3] = -0.5 + step / 2 if along >= 0 else size[voxels] - 0.5 - step / 2
    pixelToIJK[axis, 2] = pixelToIJK[3, 3] = 1
    pixelToIJK[axis, 3] = index
    return _grid(ijkToWorld @ pixelToIJK, pixelToIJK, (rows, columns), axis, index)


def cutGrid(corners: Floats, ijkToWorld: Floats, size: tuple[int, ...], sliceToRAS: Floats) -> PlaneGrid:
    """The pixels of an oblique slice: square, as fine as the volume is in that plane, and covering all of it there.

    Args:
        corners: (n, n, n, 3) world positions of a lattice over the volume from edge to edge: its corners (n = 2), or
            more where a transform bends it.
        ijkToWorld: of the volume, without what bends it.
        size: of the volume in voxels.
        sliceToRAS: of the slice view; rows and columns run as in the view.

    Raises:
        OffVolume: the slice does not cross the volume.
        EdgeOn: there is but a line of pixels.
    """
    right, down = _unit(sliceToRAS[:3, 0]), -_unit(sliceToRAS[:3, 1])
    spacing = _spacing(ijkToWorld, size, right, down)
    pixelToRAS, shape = _cut(corners, sliceToRAS[:3, 3], right, down, spacing)
    if min(shape) < 2 or (min(size) == 1 and len(corners) == 2):
        raise EdgeOn
    return _grid(pixelToRAS, None, shape, None, None)


def boxLattice(size: tuple[int, ...], nodes: int) -> Floats:
    """(nodes, nodes, nodes, 3) IJK positions from edge to edge of a volume."""
    ticks = [np.linspace(-0.5, count - 0.5, nodes) for count in size]
    return np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1)


def apply(matrix: Floats, points: Floats) -> Floats:
    """(..., 3) points through a (4, 4) matrix."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def moved(plane: PlaneGrid, pixelToRAS: Floats) -> PlaneGrid:
    """The same pixels of the volume at another place: its transform changed."""
    voxels = None if plane.pixelToIJK is None else np.array(plane.pixelToIJK).reshape(4, 4)
    return _grid(pixelToRAS, voxels, plane.shape, plane.axis, plane.index)


def samePlane(one: PlaneGrid, other: PlaneGrid) -> bool:
    """Whether two grids lie in the same place: the same plane of voxels, or nowhere half a pixel apart.

    How they are turned, mirrored and cropped does not matter. Planes of the same volume are meant.
    """
    if one.axis is not None and other.axis is not None:
        return (one.axis, one.index) == (other.axis, other.index)
    return _liesOn(one, other) and _liesOn(other, one)


def normalOf(plane: PlaneGrid) -> Floats:
    """The unit normal in world, towards the left, the front or the top of the patient, whichever is nearest.

    So do the normals of Slicer's own orientations, and offsets along them are those of its sliders.
    """
    normal = _unit(np.cross(plane.matrix[:3, 0], plane.matrix[:3, 1]))
    component = int(np.argmax(np.abs(normal)))
    return normal if normal[component] * _TOWARDS[component] > 0 else -normal


def centreOf(plane: PlaneGrid) -> Floats:
    """The middle of the plane in world."""
    rows, columns = plane.shape
    return apply(plane.matrix, np.array([(columns - 1) / 2, (rows - 1) / 2, 0.0]))


def _grid(
    pixelToRAS: Floats, pixelToIJK: Floats | None, shape: tuple[int, int], axis: int | None, index: int | None
) -> PlaneGrid:
    voxels = None if pixelToIJK is None else tuple(map(float, pixelToIJK.ravel()))
    plane = PlaneGrid(tuple(map(float, pixelToRAS.ravel())), voxels, shape, axis, index, "oblique", 0.0)
    normal = normalOf(plane)
    component = int(np.argmax(np.abs(normal)))
    # A plane of voxels has a name also where the patient lay askew; any other only where it is that plane.
    named = axis is not None or abs(normal[component]) >= _TILT
    name = _NAMES[component] if named else "oblique"
    return PlaneGrid(plane.pixelToRAS, voxels, shape, axis, index, name, float(normal @ pixelToRAS[:3, 3]))


def _shearedGrid(
    ijkToWorld: Floats, size: tuple[int, ...], right: Floats, up: Floats, axis: int, index: int
) -> PlaneGrid:
    """Square pixels over a plane of voxels that lie askew in it, as the side views of a tilted gantry's scan do."""
    down = _unit(np.cross(np.linalg.inv(ijkToWorld[:3, :3])[axis], right))
    if down @ up > 0:
        down = -down
    box, centre = boxLattice(size, 2), (np.array(size) - 1) / 2
    box[..., axis] += index - centre[axis]
    centre[axis] = index
    spacing = _spacing(ijkToWorld, size, right, down)
    pixelToRAS, shape = _cut(apply(ijkToWorld, box), apply(ijkToWorld, centre), right, down, spacing)
    return _grid(pixelToRAS, np.linalg.inv(ijkToWorld) @ pixelToRAS, shape, axis, index)


def _cut(corners: Floats, point: Floats, right: Floats, down: Floats, spacing: float) -> tuple[Floats, tuple[int, int]]:
    """Pixel-to-world matrix and (rows, columns) of the rectangle around all that the plane cuts of a lattice."""
    normal = np.cross(right, down)
    crossed = _crossings(corners, normal, float(normal @ point))
    if len(crossed) < 3:
        raise OffVolume
    flat = crossed @ np.stack([right, down], axis=1)
    low, high = flat.min(axis=0), flat.max(axis=0)
    spacing = max(spacing, float((high - low).max()) / _LONGEST)
    columns, rows = (int(np.ceil(length / spacing - 1e-3)) for length in high - low)
    first = (low + high) / 2 - spacing * (np.array([columns, rows]) - 1) / 2
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = right * spacing, down * spacing, normal * spacing
    matrix[:3, 3] = right * first[0] + down * first[1] + normal * (normal @ point)
    return matrix, (rows, columns)


def _crossings(corners: Floats, normal: Floats, offset: float) -> Floats:
    """(n, 3) points where a plane meets the lines between neighbours of a lattice."""
    heights = corners @ normal - offset
    found = []
    for axis in range(3):
        points, height = np.moveaxis(corners, axis, 0), np.moveaxis(heights, axis, 0)
        below, above = height[:-1], height[1:]
        across = (below >= 0) != (above >= 0)
        share = (below[across] / (below[across] - above[across]))[:, None]
        found.append(points[:-1][across] * (1 - share) + points[1:][across] * share)
    return np.concatenate(found)


def _spacing(ijkToWorld: Floats, size: tuple[int, ...], right: Floats, down: Floats) -> float:
    """The finest distance of voxels in any direction of the plane, in mm; the axis of a single voxel has none."""
    voxels = np.linalg.inv(ijkToWorld[:3, :3]) @ np.stack([right, down], axis=1)
    return 1 / float(np.linalg.svd(voxels[[count > 1 for count in size]], compute_uv=False)[0])


def _squared(counts: tuple[int, int], lengths: tuple[float, float]) -> tuple[int, int]:
    """How many pixels instead of so many voxels of such lengths make square pixels."""
    if max(lengths) <= _SQUARE * min(lengths):
        return counts
    fine = max(min(lengths), max(count * length for count, length in zip(counts, lengths, strict=True)) / _LONGEST)
    first, second = (max(1, round(count * length / fine)) for count, length in zip(counts, lengths, strict=True))
    return first, second


def _liesOn(one: PlaneGrid, other: PlaneGrid) -> bool:
    """Whether all corners of one grid are within half a pixel of the other's plane."""
    rows, columns = one.shape
    corners = np.array([[0, 0, 0], [columns - 1, 0, 0], [0, rows - 1, 0], [columns - 1, rows - 1, 0]], np.float64)
    heights = (apply(one.matrix, corners) - other.matrix[:3, 3]) @ normalOf(other)
    pixel = min(np.linalg.norm(plane.matrix[:3, k]) for plane in (one, other) for k in (0, 1))
    return bool(np.abs(heights).max() < pixel / 2)


def _unit(vector: Any) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)
