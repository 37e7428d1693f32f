"""Phantoms: labelled medical-looking images that the project draws itself, as slices, volumes and DICOM studies.

python -m training.data.phantoms --dicom DIR [--kind abdomen] [--seed 0]
python -m training.data.phantoms --sheet FILE.png [--seed 0]
"""

import argparse
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.data.anatomy import SCENES
from training.data.looks import (
    CT_LOOKS,
    MODALITIES,
    Paint,
    blur,
    display,
    enlarge,
    hidden_entities,
    mix_paint,
    render_hu,
    render_mr,
    render_ultrasound,
    smooth_noise,
    to_grey,
)
from training.data.samples import LabelledImage, Mask, Pixels
from training.data.shapes import PLANES, Cutter, Plane, Scene, grid


@dataclass(frozen=True)
class View:
    """A way to cut a kind of scene.

    Attributes:
        depth: range of the plane's place along its normal, mm.
        centre: coordinates of the middle of the picture along its columns and rows, mm.
        half: half the side of the square picture, mm.
        weight: how often it is chosen.
    """

    plane: Plane
    depth: tuple[float, float]
    centre: tuple[float, float]
    half: float
    weight: float = 1.0


VIEWS: dict[str, tuple[View, ...]] = {
    "chest": (View("axial", (-90, 100), (0, 0), 178, 4.0), View("coronal", (-40, 30), (0, -5), 182, 1.0)),
    "abdomen": (View("axial", (-70, 100), (0, 0), 182, 4.0), View("coronal", (-20, 50), (0, 0), 190, 1.0)),
    "pelvis": (View("axial", (-50, 90), (0, 0), 192, 4.0), View("coronal", (-20, 30), (0, 10), 195, 1.0)),
    "spine": (View("sagittal", (-4, 4), (20, -85), 155, 5.0), View("coronal", (2, 8), (0, -75), 160, 0.5)),
    "brain": (View("axial", (-40, 60), (0, 0), 104, 5.0), View("coronal", (-40, 40), (0, -5), 104, 1.0)),
    "head_neck": (View("axial", (-130, 60), (0, -5), 105, 6.0), View("coronal", (-15, 35), (0, -30), 125, 1.0)),
}

# The probe on the right upper abdomen.
ULTRASOUND_VIEWS = (View("axial", (0, 60), (-60, 0), 90, 4.0), View("coronal", (-20, 50), (-60, 0), 90, 1.0))

LOOKS: dict[str, tuple[str, ...]] = {
    "chest": ("ct_soft", "ct_soft", "ct_lung", "ct_lung", "ct_bone", "mr_t1", "mr_t2", "xray", "xray"),
    "abdomen": ("ct_soft", "ct_soft", "ct_soft", "mr_t1", "mr_t2", "mr_t2", "ultrasound"),
    "pelvis": ("ct_soft", "ct_soft", "ct_bone", "mr_t1", "mr_t2"),
    "spine": ("mr_t2", "mr_t2", "mr_t2", "mr_t1", "ct_bone"),
    "brain": ("mr_t1", "mr_t1", "mr_t2", "mr_flair", "ct_soft"),
    "head_neck": ("ct_soft", "ct_soft", "ct_soft", "mr_t1", "mr_t2"),
}

# What one can tell in a radiograph or a scan; other structures of the scene are there but get no label.
SEEN_IN_XRAY = ("left lung", "right lung", "heart", "trachea", "lung infection", "lung nodule")
SEEN_IN_ULTRASOUND = ("liver", "liver tumor", "gallbladder", "right kidney", "inferior vena cava", "aorta")
LUNG_LESIONS = ("lung infection", "lung nodule")
LESIONS = (*LUNG_LESIONS, "liver tumor", "kidney tumor", "kidney cyst", "bladder tumor", "brain tumor")
# Structures of these names run through several regions, so that a scene without such a label says nothing of them.
EVERYWHERE = ("vertebra", "spin", "disc", "rib", "aorta", "vena cava", "esophagus", "trachea", "sacrum", "brainstem")
LESION_RATE = 0.7  # share of slices through a scene with lesions that are laid through one of them
SMALLEST = 0.0005  # share of the picture below which a structure is too small to be asked for


def possible_entities(kind: str) -> frozenset[str]:
    """Every entity that scenes of a kind can hold."""
    return _possible()[kind]


@cache
def _possible() -> dict[str, frozenset[str]]:
    # A lesion comes with a chance, so names are gathered over many scenes (about 3 ms each, once a process).
    return {
        kind: frozenset(name for seed in range(24) for name in build(np.random.default_rng(seed)).entities())
        for kind, build in SCENES.items()
    }


def _known(kind: str, look: str) -> frozenset[str]:
    """Entities whose absence is known: the scene's own, and those of other regions of the body."""
    own = possible_entities(kind)
    if look == "xray":
        own = own & frozenset(SEEN_IN_XRAY)
    if look == "ultrasound":
        return own & frozenset(SEEN_IN_ULTRASOUND)
    # Chest and abdomen share organs at the diaphragm, as do abdomen and pelvis: only the far kinds count.
    far = {"brain": ("abdomen", "pelvis", "chest"), "head_neck": ("abdomen", "pelvis")}
    others = frozenset(name for other in far.get(kind, ("brain",)) for name in possible_entities(other))
    return own | frozenset(name for name in others if not any(word in name for word in EVERYWHERE))


def _radiograph(rng: np.random.Generator, cutter: Cutter, paint: Paint, size: int) -> tuple[Pixels, dict[str, Mask]]:
    """A frontal chest radiograph: attenuation summed along y over coronal cuts, with the outlines of what one sees."""
    low, high = cutter.scene.bounds[:, 1]
    half, fine = 172.0 * float(rng.uniform(0.92, 1.08)), min(size, 96)
    middle = float(rng.uniform(-5, 25))
    columns, rows = grid(-half, half, fine), grid(middle - half, middle + half, fine)
    density = np.maximum(paint.value + 1000, 0) / 1000 + np.maximum(paint.value - 150, 0) / 260
    total = np.zeros((fine, fine), np.float32)
    seen: dict[str, Mask] = {}
    for depth in grid(float(low), float(high), 22):
        labels = cutter.cut("coronal", float(depth), columns, rows)
        total += density[labels]
        for name, mask in cutter.masks(labels, SEEN_IN_XRAY).items():
            seen[name] = seen[name] | mask if name in seen else mask
    for side in ("left lung", "right lung"):
        if side in seen and "heart" in seen:
            seen[side] = seen[side] & ~seen["heart"]
    for lesion in LUNG_LESIONS:
        if lesion in seen:  # what lies behind the heart cannot be seen
            seen[lesion] = seen[lesion] & ~seen.get("heart", np.zeros_like(seen[lesion]))
    total = enlarge(total, size)
    total = blur(total, size / 256) + smooth_noise(rng, (size, size), size // 4) * np.float32(0.06)
    total += rng.standard_normal((size, size), np.float32) * np.float32(rng.uniform(0.03, 0.12))
    body = total[total > 1.0]
    bottom, top = (float(value) for value in np.quantile(body, [0.02, 0.97]))
    bright = np.clip((total - bottom * 0.8) / (top - bottom * 0.8), 0, 1)
    masks = {name: enlarge(mask.astype(np.float32), size) > 0.5 for name, mask in seen.items()}
    return to_grey(bright ** np.float32(rng.uniform(0.7, 1.0)), 0.0, 1.02), masks


def _depth(rng: np.random.Generator, scene: Scene, view: View) -> float:
    """Where to cut: anywhere in the view's range, or through a lesion in that range."""
    normal = PLANES[view.plane][2]
    lesions = [shape for part in scene.parts if part.entity in LESIONS for shape in part.shapes]
    if lesions and rng.random() < LESION_RATE:
        low, high = lesions[int(rng.integers(len(lesions)))].bounds()[:, normal]
        depth = float(rng.uniform(0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high))
        if view.depth[0] <= depth <= view.depth[1]:
            return depth
    return float(rng.uniform(*view.depth))


def _slice(
    rng: np.random.Generator, views: Sequence[View], look: str, cutter: Cutter, paint: Paint, size: int
) -> tuple[Pixels, dict[str, Mask], Plane]:
    """One slice in one of the views, with the masks of everything that has a name in it."""
    weights = np.asarray([view.weight for view in views])
    view = views[int(rng.choice(len(views), p=weights / weights.sum()))]
    half = view.half * rng.uniform(0.86, 1.12)
    across, down = (middle + rng.uniform(-0.05, 0.05) * half for middle in view.centre)
    columns, rows = grid(across - half, across + half, size), grid(down - half, down + half, size)
    labels = cutter.cut(view.plane, _depth(rng, cutter.scene, view), columns, rows)
    masks = cutter.masks(labels)
    sharp = float(rng.uniform(0.5, 1.0)) * size / 256
    if look == "ultrasound":
        pixels, fan = render_ultrasound(rng, labels, paint)
        masks = {name: mask & fan for name, mask in masks.items() if name in SEEN_IN_ULTRASOUND}
    elif look in CT_LOOKS:
        pixels = render_hu(rng, labels, paint, sharp)
    else:
        pixels = render_mr(rng, labels, paint, sharp)
    return display(rng, pixels, look), masks, view.plane


def draw_phantom(
    rng: np.random.Generator, size: int = 256, kind: str | None = None, look: str | None = None
) -> LabelledImage:
    """Draws one labelled slice or radiograph.

    Args:
        rng: source of everything random; equal states draw equal phantoms.
        size: height and width in pixels.
        kind: one of `SCENES` (chest, abdomen, pelvis, spine, brain, head_neck), None chooses.
        look: one of `LOOKS[kind]` (ct_soft, mr_t1, xray, ..), None chooses.

    Returns:
        The image (size, size) uint8 and the masks of all structures that cover more than a few pixels.
    """
    kind = kind or str(rng.choice(list(SCENES)))
    look = look or str(rng.choice(LOOKS[kind]))
    scene = SCENES[kind](rng)
    cutter, paint = Cutter(scene), mix_paint(rng, scene, look)
    lateral = True
    if look == "xray":
        image, masks = _radiograph(rng, cutter, paint, size)
    else:
        views = ULTRASOUND_VIEWS if look == "ultrasound" else VIEWS[kind]
        image, masks, plane = _slice(rng, views, look, cutter, paint, size)
        lateral = plane != "sagittal" and look != "ultrasound"
    hidden = hidden_entities(scene, paint, look)
    area = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    smallest = SMALLEST * size * size
    kept = {name: mask for name, mask in masks.items() if area[name] >= smallest and name not in hidden}
    # What is in the picture, but too small or too faint for a label, is neither a target nor absent.
    supervised = _known(kind, look) - {name for name in area if area[name] and name not in kept}
    patient = f"phantom-{int(rng.integers(2**48)):012x}"
    return LabelledImage(image, kept, MODALITIES[look], f"phantom-{kind}", patient, supervised, lateral)


def phantom_volume(
    rng: np.random.Generator,
    kind: str = "abdomen",
    look: str = "ct_soft",
    shape: tuple[int, int, int] = (48, 256, 256),
    spacing: tuple[float, float, float] = (4.0, 1.4, 1.4),
) -> tuple[npt.NDArray[np.int16], dict[str, Mask]]:
    """Draws a volume of axial slices centred on the scene.

    Args:
        shape, spacing: (z, y, x) voxels and mm. z grows to the head, y to the back, x to the patient's left.

    Returns:
        The int16 array: HU for the CT looks, 0..1000 for MR; and each entity's bool array of the same shape.

    Raises:
        ValueError: the look is a projection or ultrasound, which has no volume.
    """
    if look not in CT_LOOKS and not look.startswith("mr_"):
        raise ValueError(f"No volume has the look {look!r}; choose one of {', '.join(LOOKS[kind])} that is CT or MR.")
    scene = SCENES[kind](rng)
    cutter, paint = Cutter(scene), mix_paint(rng, scene, look)
    sides = [(-0.5 * n * s, 0.5 * n * s) for n, s in zip(shape, spacing, strict=True)]
    depths, rows, columns = (grid(low, high, n) for (low, high), n in zip(sides, shape, strict=True))
    volume = np.zeros(shape, np.int16)
    masks: dict[str, Mask] = {}
    sharp = 0.7 * 1.4 / spacing[1]
    for k, depth in enumerate(depths):
        labels = cutter.cut("axial", float(depth), columns, rows)
        ct = look in CT_LOOKS
        pixels = render_hu(rng, labels, paint, sharp) if ct else render_mr(rng, labels, paint, sharp) * 1000
        volume[k] = np.rint(np.clip(pixels, -1024, 3071)).astype(np.int16)
        for name, mask in cutter.masks(labels).items():
            masks.setdefault(name, np.zeros(shape, bool))[k] = mask
    return volume, masks


def contact_sheet(path: Path, seed: int = 0, size: int = 192) -> None:
    """Writes a PNG that shows, for each kind and look, one phantom and beside it the same with its labels in colour."""
    tiles: list[list[Pixels]] = []
    colours = np.random.default_rng(1).integers(60, 255, (256, 3))
    for kind in SCENES:
        row: list[Pixels] = []
        for look in dict.fromkeys(LOOKS[kind]):
            sample = draw_phantom(np.random.default_rng([seed, len(tiles), len(row)]), size, kind, look)
            plain = np.repeat(sample.image[..., None], 3, axis=2)
            shown = plain.astype(np.float32)
            for name, mask in sample.masks.items():
                shown[mask] = 0.55 * shown[mask] + 0.45 * colours[zlib.crc32(name.encode()) % len(colours)]
            row += [plain, shown.astype(np.uint8)]
        tiles.append(row)
    longest = max(len(row) for row in tiles)
    blank = np.zeros((size, size, 3), np.uint8)
    rows = [np.concatenate(row + [blank] * (longest - len(row)), axis=1) for row in tiles]
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draw phantoms.")
    parser.add_argument("--dicom", type=Path, help="folder for a DICOM study")
    parser.add_argument("--sheet", type=Path, help="PNG file for a contact sheet")
    parser.add_argument("--kind", choices=list(SCENES), default="abdomen")
    parser.add_argument("--seed", type=int, default=0)
    args: Any = parser.parse_args(arguments)
    if not args.dicom and not args.sheet:
        parser.error("give --dicom DIR or --sheet FILE")
    if args.sheet:
        contact_sheet(args.sheet, args.seed)
    if args.dicom:
        # pydicom is needed for this alone; training machines draw phantoms without it.
        from training.data.phantom_dicom import write_dicom_study

        files = write_dicom_study(args.dicom, args.kind, args.seed)
        print(f"Wrote {len(files)} slices of a phantom {args.kind} to {args.dicom}")


if __name__ == "__main__":
    main()
