"""Reader of real labelled images: folders of volumes (NIfTI pairs) and of slices (PNG pairs) with a `classes.json`.

The layout is that of `../shared/data/real` (see its README): `volumes/SET/PATIENT/{ct,mr}.nii.gz` with `labels.nii.gz`,
`slices/SET/{images,labels}/NAME.png`. Patients are split into train and val, never slices.
"""

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from PIL import Image

from MediRoundLib.imaging import DARKEST
from training.data.entities import entity_key
from training.data.samples import LabelledImage

# Modality and laterality that no file states. Where a set is missing here, its images are "unknown" and not lateral.
SETS = {
    "openkbp_head_neck_ct": ("CT", True),
    "totalsegmentator_ct": ("CT", True),
    "hippocampus_mr": ("MR-T1", False),
    "hvsmr_cardiac_mr": ("MR", False),
    "chd_cardiac_ct": ("CT", False),
    "spider_lumbar_mr": ("MR-T2", False),
    "kidney_mr": ("MR-T2", True),
    "edd_endoscopy": ("endoscopy", False),
    "brisc_brain_tumour_mr": ("MR-T1", False),
    "liver_us": ("ultrasound", False),
}
# Labels that name no one structure: they are neither targets nor known absences.
UNNAMED = {"partially visible vertebra", "vertebrae above T12", "intervertebral discs above T12"}
SOFT_TISSUE = (40.0, 400.0)  # level and width in HU
# A mask of fewer pixels is left out as a target: a structure's last sliver.
SMALLEST = 12
# A slice that shows less than this share of anything was cut out around a structure, and is no image of a patient.
SHOWING = 0.02
# Cross-sections in mm2 that no such structure has: a volume whose label is larger holds something else under its name,
# such as the avoidance region behind the spinal cord that some radiotherapy plans call after it.
LARGEST_AREAS = {"spinal cord": 1000.0}
# Slices are shrunk to this longest side once, at reading: training shows none larger.
LONGEST = 320
# Of the sets that do not say which patients are for validation, every sixth is.
VAL_EVERY = 6


@dataclass(frozen=True)
class RealSlice:
    """One slice as stored.

    `pixels` is (H, W) int16, or (H, W[, 3]) uint8 where it is a picture; `labels` is (H, W) uint8, and `names` says
    what its values mean.
    """

    pixels: NDArray[np.int16] | NDArray[np.uint8]
    labels: NDArray[np.uint8]
    names: dict[int, str]
    source: str
    patient: str
    supervised: frozenset[str]

    @cached_property
    def _areas(self) -> dict[str, int]:
        """Pixels of each structure of which any show."""
        values, counts = np.unique(self.labels, return_counts=True)
        return {self.names[int(v)]: int(n) for v, n in zip(values, counts, strict=True) if int(v) in self.names}

    @property
    def present(self) -> frozenset[str]:
        return frozenset(name for name, area in self._areas.items() if area >= SMALLEST)

    def shown(self, rng: np.random.Generator | None = None) -> LabelledImage:
        """The slice as displayed: CT in a soft-tissue window, MR between its percentiles; with `rng`, about so."""
        modality, lateral = SETS.get(self.source, ("unknown", False))
        if self.pixels.dtype == np.uint8:
            pixels = self.pixels.astype(np.uint8, copy=False)
        else:
            low, high = _window(self.pixels, modality, rng)
            scaled = (self.pixels.astype(np.float32) - low) / max(high - low, 1e-3)
            pixels = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
        present = self.present
        masks = {name: self.labels == value for value, name in self.names.items() if name in present}
        # A structure of which a sliver shows is neither there nor known to be absent.
        supervised = self.supervised - (set(self._areas) - present)
        return LabelledImage(pixels, masks, modality, self.source, self.patient, supervised, lateral)


def _window(pixels: NDArray[np.generic], modality: str, rng: np.random.Generator | None) -> tuple[float, float]:
    """Lowest and highest value shown."""
    if modality == "CT":
        level, width = SOFT_TISSUE
        if rng is not None:
            level, width = level + rng.normal(0, 25), width * np.exp(rng.normal(0, 0.25))
        return level - width / 2, level + width / 2
    low, high = np.percentile(pixels.astype(np.float32), (0.5, 99.5))
    if rng is not None:
        low, high = low - rng.uniform(0, 0.1) * (high - low), high + rng.uniform(-0.15, 0.25) * (high - low)
    return float(low), float(high)


@dataclass(frozen=True)
class Case:
    """One file's worth of a set: a patient's volume, or one picture. `name` is the folder's or the picture's."""

    folder: Path
    name: str

    @property
    def patient(self) -> str:
        return self.name.split("_")[0] if _holds_pictures(self.folder) else self.name


def read_set(folder: Path, split: str) -> list[RealSlice]:
    """All labelled slices of one set's train or val patients."""
    return [stored for case in cases(folder, split) for stored in read_case(case)]


def cases(folder: Path, split: str) -> list[Case]:
    """One set's volumes or pictures of its train or val patients, in alphabetical order."""
    if _holds_pictures(folder):
        names = sorted(path.stem for path in (folder / "images").glob("*.png"))
    else:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    found = [Case(folder, name) for name in names]
    patients = {patient: place for place, patient in enumerate(sorted({case.patient for case in found}))}
    return [case for case in found if _is_val(case, patients) == (split == "val")]


def read_case(case: Case) -> list[RealSlice]:
    """The labelled slices of a volume, from the feet to the head, or the one picture; what cannot be read is empty."""
    return list(_read_picture(case) if _holds_pictures(case.folder) else _read_volume(case))


def _holds_pictures(folder: Path) -> bool:
    return (folder / "images").is_dir()


@lru_cache(maxsize=64)
def _names(folder: Path) -> dict[int, str]:
    """What the values of a set's labels mean."""
    content = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    return {int(k): entity_key(name) for k, name in content.items() if name not in UNNAMED}


def iter_samples(root: Path, split: str) -> Iterator[LabelledImage]:
    """Every labelled slice below `root` (`../shared/data/real`) of the train or val patients, in a default window."""
    for folder in set_folders(root):
        for stored in read_set(folder, split):
            yield stored.shown()


def set_folders(root: Path) -> list[Path]:
    """The sets' folders below `root`, sorted; raises FileNotFoundError where there is none."""
    found = sorted(path.parent for path in root.glob("*/*/classes.json"))
    if not found:
        raise FileNotFoundError(
            f"{root} holds no sets of labelled images (volumes/SET/classes.json, slices/SET/classes.json)"
        )
    return found


def _is_val(case: Case, patients: dict[str, int]) -> bool:
    said = case.folder / case.name / "split.txt"
    if said.exists():
        return said.read_text().strip() == "val"
    return len(patients) > 1 and patients[case.patient] % VAL_EVERY == VAL_EVERY // 2


def _read_volume(case: Case) -> Iterator[RealSlice]:
    folder, names = case.folder / case.name, _names(case.folder)
    (path,) = (p for p in folder.glob("*.nii.gz") if p.name != "labels.nii.gz")
    try:
        labels, area = _radiological(folder / "labels.nii.gz")
        labels = labels.astype(np.uint8)
        volume = np.clip(_radiological(path)[0], -32768, 32767).astype(np.int16)
    except RuntimeError:
        warnings.warn(f"{case.folder.name}/{case.name} cannot be read and is left out", stacklevel=2)
        return
    for value, name in names.items():
        if name in LARGEST_AREAS and area * (labels == value).sum((1, 2)).max() > LARGEST_AREAS[name]:
            labels[labels == value] = 0
    supervised = frozenset(names[int(v)] for v in np.unique(labels) if int(v) in names)
    for axial, mask in zip(volume, labels, strict=True):
        if (mask > 0).sum() >= SMALLEST:
            stored = RealSlice(axial, mask, names, case.folder.name, case.patient, supervised)
            if (stored.shown().image > DARKEST).mean() >= SHOWING:
                yield stored


def _radiological(path: Path) -> tuple[NDArray[np.generic], float]:
    """(z, y, x) voxels with the patient's right at the left and the front at the top of each axial slice.

    Beside them the area of a slice's pixel in mm2.
    """
    image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    across, down, _ = image.GetSpacing()
    return sitk.GetArrayFromImage(image), across * down


def _read_picture(case: Case) -> Iterator[RealSlice]:
    names = _names(case.folder)
    image, labels = (Image.open(case.folder / part / f"{case.name}.png") for part in ("images", "labels"))
    scale = min(1.0, LONGEST / max(image.size))
    size = (round(image.width * scale), round(image.height * scale))
    pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    mask = np.asarray(labels.resize(size, Image.Resampling.NEAREST))
    yield RealSlice(pixels, mask, names, case.folder.name, case.patient, frozenset(names.values()))
