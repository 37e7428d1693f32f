"""Collects the parts of a phantom's scene, each a little different every time; parts that several scenes share."""

from collections.abc import Sequence

import numpy as np

from training.data.shapes import Array, Blob, Part, Scene, Shape, Warp, rotation, tube

SIDES = (("right", -1.0), ("left", 1.0))  # x grows to the patient's left


class Draft:
    """Collects the parts of one scene and varies each of them a little.

    Args:
        stretch: factors on x, y, z: one patient is broad, another one tall.
    """

    def __init__(self, rng: np.random.Generator, warp: float = 4.0) -> None:
        self.rng = rng
        self.stretch = rng.uniform(0.92, 1.08, 3).astype(np.float32)
        self.parts: list[Part] = []
        waves = np.concatenate([rng.uniform(-0.035, 0.035, (3, 2)), rng.uniform(0, 6.28, (3, 1))], axis=1)
        self.warp = Warp(waves.astype(np.float32), float(rng.uniform(0.3, 1.0) * warp))

    def shape(
        self,
        centre: tuple[float, float, float],
        radii: tuple[float, float, float],
        tilt: tuple[float, float, float] = (0, 0, 0),
        boxy: float = 0.0,
        lumps: float = 0.03,
        vary: float = 0.09,
        ripple: float = 4.0,
    ) -> Blob:
        """A blob whose place, size and tilt (degrees about x, y, z) vary by about `vary`.

        Args:
            boxy: 0 draws an ellipsoid, 1 a rounded box.
            lumps: how high the lumps on its surface are, in radii.
            ripple: how many lumps there are, in waves a radius times 2 pi.
        """
        rng = self.rng
        size = np.asarray(radii, np.float32) * rng.uniform(1 - vary, 1 + vary, 3).astype(np.float32)
        place = np.asarray(centre, np.float32) + size * rng.uniform(-vary, vary, 3).astype(np.float32)
        angles = np.asarray(tilt) + rng.uniform(-60, 60, 3) * vary
        waves = np.concatenate([rng.uniform(-ripple, ripple, (3, 3)), rng.uniform(0, 6.28, (3, 1))], axis=1)
        axes = rotation(list(angles))
        return Blob(place * self.stretch, size * self.stretch, boxy, axes, waves.astype(np.float32), lumps)

    def add(self, entity: str, tissue: str, *shapes: Shape, within: str = "") -> None:
        """Paints a part over what is there."""
        self.parts.append(Part(entity, tissue, shapes, within))

    def tube(
        self,
        entity: str,
        tissue: str,
        points: Sequence[Sequence[float]],
        radius: float | Sequence[float],
        within: str = "",
        wander: float = 3.0,
    ) -> None:
        """Paints a tube; its points wander by up to `wander` mm, together and each on its own by a third of it."""
        line = np.asarray(points) + self.rng.uniform(-1, 1, 3) * wander
        line = line + self.rng.uniform(-1, 1, line.shape) * (wander / 3)
        radii = np.asarray(radius) * self.rng.uniform(0.88, 1.12)
        self.add(entity, tissue, *tube(line * self.stretch, radii), within=within)

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def lesions(self, entity: str, tissue: str, organ: str, count: int, size: tuple[float, float]) -> None:
        """Paints up to `count` lesions of `size` mm radius somewhere inside blobs of an organ."""
        inner = [part for part in self.parts if organ in (part.entity, part.within)]
        blobs = [shape for part in inner for shape in part.shapes if isinstance(shape, Blob)]
        shapes = []
        for _ in range(count):
            host = blobs[int(self.rng.integers(len(blobs)))]
            spot = self.rng.normal(size=3)
            spot *= self.rng.uniform(0.1, 0.75) / np.linalg.norm(spot)
            centre = host.centre + host.axes @ (spot * host.radii).astype(np.float32)
            radii = (self.rng.uniform(*size) * self.rng.uniform(0.75, 1.3, 3)).astype(np.float32)
            x, y, z = (float(v) for v in centre / self.stretch)
            shapes.append(self.shape((x, y, z), (float(radii[0]), float(radii[1]), float(radii[2])), lumps=0.08))
        if shapes:
            self.add(entity, tissue, *shapes, within=organ)

    def scene(self) -> Scene:
        """The finished scene, leaning by a few degrees."""
        boxes = [shape.bounds() for part in self.parts[:1] for shape in part.shapes]
        box: Array = np.stack([np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0)])
        return Scene(tuple(self.parts), box, self.warp).turned(list(self.rng.uniform(-5, 5, 3)))


def trunk(draft: Draft, half_width: float = 165, half_depth: float = 112) -> None:
    """Skin, fat and the muscle wall."""
    fat = draft.rng.uniform(8, 26)
    draft.add("", "fat", draft.shape((0, 0, 0), (half_width, half_depth, 400), boxy=0.5, lumps=0.01, vary=0.03))
    wall = (half_width - fat, half_depth - fat * 0.9, 390)
    draft.add("", "muscle", draft.shape((0, 2, 0), wall, boxy=0.45, lumps=0.01, vary=0.02))


def column(draft: Draft, y: float, body: float, name: str = "vertebra") -> None:
    """A straight spine for cuts across it: vertebra with arch and processes, canal and cord."""
    draft.tube(name, "marrow", [(0, y, -300), (0, y, 300)], body, wander=2)
    for _, side in SIDES:
        draft.tube(name, "bone", [(side * 14, y + body, -300), (side * 16, y + body + 14, 300)], 8, wander=1)
        draft.add(name, "bone", draft.shape((side * 30, y + body + 8, 0), (17, 5, 300), (0, 0, side * -10), vary=0.05))
    draft.add(name, "bone", draft.shape((0, y + body + 30, 0), (5, 17, 300), vary=0.05))
    draft.tube("spinal canal", "csf", [(0, y + body + 6, -300), (0, y + body + 6, 300)], 9.5, wander=1)
    draft.tube(
        "spinal cord", "cord", [(0, y + body + 6, -300), (0, y + body + 6, 300)], 5.0, within="spinal canal", wander=1
    )
