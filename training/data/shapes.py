"""Smooth 3D shapes, painted scenes of them, and cuts through a scene.

Coordinates are millimetres in the patient's system LPS: x grows to the patient's left, y to the back, z to the head.
A scene is painted in the order of its parts, so a later part covers an earlier one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int16]
Plane = Literal["axial", "coronal", "sagittal"]

# For each plane: the axes of the image's columns and of its rows, and the axis it is cut along. Radiological display:
# the patient's right at the image's left; sagittal cuts show the front at the left; rows along z run from head to feet.
PLANES: dict[Plane, tuple[int, int, int]] = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}


def rotation(degrees: Sequence[float]) -> Array:
    """The (3, 3) matrix of rotations about x, then y, then z."""
    a, b, c = (math.radians(angle) for angle in degrees)
    sa, sb, sc, ca, cb, cc = math.sin(a), math.sin(b), math.sin(c), math.cos(a), math.cos(b), math.cos(c)
    rows = (
        (cc * cb, cc * sb * sa - sc * ca, cc * sb * ca + sc * sa),
        (sc * cb, sc * sb * sa + cc * ca, sc * sb * ca - cc * sa),
        (-sb, cb * sa, cb * ca),
    )
    return np.array(rows, np.float32)


class Shape(Protocol):
    """Something with an inside."""

    def bounds(self) -> Array:
        """(2, 3): the lowest and highest corner of a box around the shape."""

    def inside(self, x: Array, y: Array, z: Array) -> npt.NDArray[np.bool_]:
        """Which of the points lie in the shape; the arrays have one form, or broadcast to one."""

    def turned(self, matrix: Array) -> "Shape":
        """The shape rotated about the origin."""


@dataclass(frozen=True)
class Blob:
    """An ellipsoid (boxy 0) up to a rounded box (boxy 1), with a lumpy surface if wanted.

    Attributes:
        centre, radii: (3,) mm.
        axes: (3, 3); its columns are the directions of the radii.
        waves: (n, 4) wave vector in 1/radius and phase of each lump wave; `lumpiness` is their amplitude.
    """

    centre: Array
    radii: Array
    boxy: float = 0.0
    axes: Array = field(default_factory=lambda: np.eye(3, dtype=np.float32))
    waves: Array = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    lumpiness: float = 0.0

    def bounds(self) -> Array:
        reach = self.radii * (1.0 + self.lumpiness * len(self.waves))
        # A box is bounded by its corners, an ellipsoid more closely by its axes.
        half = (np.abs(self.axes) @ reach) if self.boxy else np.sqrt((self.axes**2) @ reach**2)
        return np.stack([self.centre - half, self.centre + half])

    def inside(self, x: Array, y: Array, z: Array) -> npt.NDArray[np.bool_]:
        dx, dy, dz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        scaled = self.axes / self.radii
        u, v, w = (scaled[0, i] * dx + scaled[1, i] * dy + scaled[2, i] * dz for i in range(3))
        u2, v2, w2 = u * u, v * v, w * w
        level = u2 + v2 + w2
        if self.boxy:
            level = (1 - self.boxy) * level + self.boxy * np.sqrt(u2 * u2 + v2 * v2 + w2 * w2)
        inside: npt.NDArray[np.bool_] = level < 1.0
        if self.lumpiness and len(self.waves):
            # Lumps move the surface and nothing else, so the waves are worked out in a thin shell alone.
            reach = self.lumpiness * len(self.waves)
            shell = (level > (1 - reach) ** 2) & (level < (1 + reach) ** 2)
            points = np.stack([u[shell], v[shell], w[shell]], axis=1)
            limit = 1 + self.lumpiness * np.sin(points @ self.waves[:, :3].T + self.waves[:, 3]).sum(axis=1)
            inside[shell] = level[shell] < limit * limit
        return inside

    def turned(self, matrix: Array) -> "Blob":
        return replace(self, centre=matrix @ self.centre, axes=matrix @ self.axes)


@dataclass(frozen=True)
class Half:
    """The part of a blob beyond a plane near the origin: where normal . point > gap (mm)."""

    blob: Blob
    normal: Array
    gap: float

    def bounds(self) -> Array:
        return self.blob.bounds()

    def inside(self, x: Array, y: Array, z: Array) -> npt.NDArray[np.bool_]:
        beyond = self.normal[0] * x + self.normal[1] * y + self.normal[2] * z > self.gap
        return self.blob.inside(x, y, z) & beyond

    def turned(self, matrix: Array) -> "Half":
        return replace(self, blob=self.blob.turned(matrix), normal=matrix @ self.normal)


@dataclass(frozen=True)
class Capsule:
    """The straight piece of a tube from `start` to `end` (mm), its radius going from the first to the second."""

    start: Array
    end: Array
    radius: tuple[float, float]

    def bounds(self) -> Array:
        a, b = self.radius
        low = np.minimum(self.start - a, self.end - b)
        return np.array((low, np.maximum(self.start + a, self.end + b)))

    def inside(self, x: Array, y: Array, z: Array) -> npt.NDArray[np.bool_]:
        way = self.end - self.start
        dx, dy, dz = x - self.start[0], y - self.start[1], z - self.start[2]
        length = max(float(way @ way), 1e-6)
        t = np.clip((way[0] * dx + way[1] * dy + way[2] * dz) * np.float32(1 / length), 0, 1)
        distance = (dx - way[0] * t) ** 2 + (dy - way[1] * t) ** 2 + (dz - way[2] * t) ** 2
        reach = self.radius[0] + (self.radius[1] - self.radius[0]) * t
        return distance < reach * reach

    def turned(self, matrix: Array) -> "Capsule":
        return Capsule(matrix @ self.start, matrix @ self.end, self.radius)


def tube(points: npt.ArrayLike, radii: npt.ArrayLike) -> tuple[Capsule, ...]:
    """A tube along (n, 3) points with one radius or n radii, as n - 1 capsules."""
    line = np.asarray(points, np.float32)
    thick = np.broadcast_to(np.asarray(radii, np.float32), len(line))
    return tuple(Capsule(line[i], line[i + 1], (float(thick[i]), float(thick[i + 1]))) for i in range(len(line) - 1))


@dataclass(frozen=True)
class Part:
    """One painted thing: a union of shapes of one tissue.

    Attributes:
        entity: the structure's name, "" for what has no label (skin, fat, a renal sinus).
        within: paint only inside this entity, and stay a part of its mask (a lesion in its organ).
    """

    entity: str
    tissue: str
    shapes: tuple[Shape, ...]
    within: str = ""


@dataclass(frozen=True)
class Warp:
    """A smooth bend of the space, small enough that left stays left: (3, 3) waves (1/mm, 1/mm, phase) and mm."""

    waves: Array
    amplitude: float

    def shift(self, axis: int, first: Array, second: Array) -> Array:
        """The displacement along `axis` at points whose two other coordinates are given in rising order of axis."""
        k, m, phase = self.waves[axis]
        return np.float32(self.amplitude) * np.sin(k * first + m * second + phase)


@dataclass(frozen=True)
class Scene:
    """A painted anatomy. `bounds` is (2, 3), the box around the body in mm."""

    parts: tuple[Part, ...]
    bounds: Array
    warp: Warp

    def turned(self, degrees: Sequence[float]) -> "Scene":
        """The scene rotated about its origin; the box around it stays."""
        matrix = rotation(degrees)
        turned = (replace(part, shapes=tuple(s.turned(matrix) for s in part.shapes)) for part in self.parts)
        return replace(self, parts=tuple(turned))

    def entities(self) -> list[str]:
        """The names of all labelled structures, in painting order."""
        return list(dict.fromkeys(part.entity for part in self.parts if part.entity))

    def members(self) -> dict[str, npt.NDArray[np.bool_]]:
        """For each entity a table over labels (0 is nothing, i + 1 is part i) of what belongs to its mask."""
        parent = {part.entity: part.within for part in self.parts if part.entity}
        tables = {name: np.zeros(len(self.parts) + 1, bool) for name in self.entities()}
        for label, part in enumerate(self.parts, start=1):
            if part.entity:
                tables[part.entity][label] = True
            name = part.within
            while name:
                tables[name][label] = True
                name = parent[name]
        return tables


class Cutter:
    """Cuts one scene into many slices; shapes that a slice does not meet cost nothing."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.members = scene.members()
        self._shapes = [(index, shape) for index, part in enumerate(scene.parts) for shape in part.shapes]
        margin = np.float32(scene.warp.amplitude)
        boxes = np.stack([shape.bounds() for _, shape in self._shapes])
        self._low, self._high = boxes[:, 0] - margin, boxes[:, 1] + margin

    def cut(self, plane: Plane, depth: float, columns: Array, rows: Array) -> Labels:
        """Label map (len(rows), len(columns)): 0 outside, i + 1 where part i of the scene shows.

        Args:
            depth: coordinate of the plane along its normal, mm.
            columns, rows: rising coordinates of the pixel centres, mm. Where rows are heights (coronal, sagittal), the
                first row of the label map is the highest one.
        """
        across, down, normal = PLANES[plane]
        points: list[Array] = [np.full((1, 1), depth, np.float32)] * 3
        points[across], points[down] = columns[None, :], rows[:, None]
        bent = []
        for axis in range(3):
            first, second = (points[other] for other in range(3) if other != axis)
            moved = points[axis] + self.scene.warp.shift(axis, first, second)
            bent.append(np.broadcast_to(moved, (len(rows), len(columns))))
        labels = np.zeros((len(rows), len(columns)), np.int16)
        left, right = np.searchsorted(columns, self._low[:, across]), np.searchsorted(columns, self._high[:, across])
        top, bottom = np.searchsorted(rows, self._low[:, down]), np.searchsorted(rows, self._high[:, down])
        meets = (self._low[:, normal] <= depth) & (self._high[:, normal] >= depth) & (right > left) & (bottom > top)
        for k in np.flatnonzero(meets):
            index, shape = self._shapes[k]
            box = (slice(top[k], bottom[k]), slice(left[k], right[k]))
            inside = shape.inside(bent[0][box], bent[1][box], bent[2][box])
            within = self.scene.parts[index].within
            if within:
                inside &= self.members[within][labels[box]]
            labels[box][inside] = index + 1
        return labels[::-1] if down == 2 else labels

    def masks(self, labels: Labels, only: Sequence[str] | None = None) -> dict[str, npt.NDArray[np.bool_]]:
        """The masks of the entities (all, or those of `only`) that show in a label map."""
        present = np.bincount(labels.ravel(), minlength=len(self.scene.parts) + 1) > 0
        wanted = self.members if only is None else [name for name in only if name in self.members]
        tables = {name: self.members[name] for name in wanted}
        return {name: table.take(labels) for name, table in tables.items() if (table & present).any()}


def grid(low: float, high: float, count: int) -> Array:
    """`count` pixel centres from low to high, mm."""
    step = (high - low) / count
    return (low + step * (np.arange(count) + 0.5)).astype(np.float32)
