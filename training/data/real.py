"""Reader of real labelled images: folders of volumes (NIfTI pairs) and of slices (PNG pairs) with a `classes.json`.

The layout is that of `../shared/data/real` (see its README): `volumes/SET/PATIENT/{ct,mr}.nii.gz` with `labels.nii.gz`,
`slices/SET/{images,labels}/NAME.png`. A set may say its modality and more in a `set.toml`, see `sets`. Labels are whole
numbers up to 65535; volumes may be of any number format, and fractions are kept. Patients are split into train and val,
never slices.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from PIL import Image

from MediRoundLib.errors import MediRoundError
from MediRoundLib.imaging import DARKEST
from training.data.samples import LabelledImage
from training.data.sets import facts_of

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
# A volume of fractions is taken for whole numbers, such as HU, where it spans as much as this.
WHOLE_SPAN = 1000.0
INT16, MOST_LABELS = np.iinfo(np.int16), np.iinfo(np.uint16).max
# What a volume's name says, where its set does not state a modality.
MODALITIES, UNKNOWN = {"ct.nii.gz": "CT", "mr.nii.gz": "MR"}, "unknown"
GREY_OR_RGB = ("L", "RGB", "I;16", "I", "F")
# Of the sets that do not say which patients are for validation, every sixth is.
VAL_EVERY = 6


@dataclass(frozen=True)
class RealSlice:
    """One slice as stored.

    Attributes:
        pixels: (H, W) int16 or float32, or (H, W[, 3]) uint8 where it is a picture.
        labels: (H, W) whole numbers.
        names: what they mean.
        source, patient, supervised, modality, lateral: as `LabelledImage` has them.
    """

    pixels: NDArray[Any]
    labels: NDArray[np.integer[Any]]
    names: dict[int, str]
    source: str
    patient: str
    supervised: frozenset[str]
    modality: str
    lateral: bool | None

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
        if self.pixels.dtype == np.uint8:
            pixels = self.pixels.astype(np.uint8, copy=False)
        else:
            low, high = _window(self.pixels, self.modality, rng)
            scaled = (self.pixels.astype(np.float32) - low) / ((high - low) or 1.0)
            pixels = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
        present = self.present
        masks = {name: self.labels == value for value, name in self.names.items() if name in present}
        # A structure of which a sliver shows is neither there nor known to be absent.
        supervised = self.supervised - (set(self._areas) - present)
        return LabelledImage(pixels, masks, self.modality, self.source, self.patient, supervised, self.lateral)


def _window(pixels: NDArray[Any], modality: str, rng: np.random.Generator | None) -> tuple[float, float]:
    """Lowest and highest value shown; a CT's fractions are no HU."""
    if modality == "CT" and pixels.dtype == np.int16:
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
    folder, facts = case.folder / case.name, facts_of(case.folder)
    path = _volume_path(folder)
    modality = facts.modality or MODALITIES.get(path.name, UNKNOWN)
    try:
        read, area = _radiological(folder / "labels.nii.gz")
        volume = _stored(_radiological(path)[0], modality)
    except RuntimeError:
        warnings.warn(f"{case.folder.name}/{case.name} cannot be read and is left out", stacklevel=2)
        return
    labels = _whole(read, folder / "labels.nii.gz")
    if volume.shape != labels.shape:
        raise MediRoundError(f"{path} and the labels beside it are of different sizes; give them the same voxels.")
    for value, name in facts.names.items():
        if name in LARGEST_AREAS and area * (labels == value).sum((1, 2)).max() > LARGEST_AREAS[name]:
            labels[labels == value] = 0
    supervised = frozenset(facts.names[int(v)] for v in np.unique(labels) if int(v) in facts.names)
    said = (facts.names, case.folder.name, case.patient, supervised, modality, facts.lateral is not False)
    for axial, mask in zip(volume, labels, strict=True):
        if (mask > 0).sum() >= SMALLEST:
            stored = RealSlice(axial, mask, *said)
            if (stored.shown().image > DARKEST).mean() >= SHOWING:
                yield stored


def _volume_path(folder: Path) -> Path:
    found = [path for path in folder.glob("*.nii.gz") if path.name != "labels.nii.gz"]
    if len(found) != 1:
        raise MediRoundError(
            f"{folder} holds {len(found)} volumes beside labels.nii.gz; put one there, ct or mr.nii.gz."
        )
    return found[0]


def _stored(volume: NDArray[Any], modality: str) -> NDArray[np.int16] | NDArray[np.float32]:
    """The volume in int16 where that says the same, else in float32: of fractions, and of values beyond 16 bits.

    In CT the latter are metal or filling, and cut off.
    """
    volume = np.nan_to_num(volume)
    low, high = float(volume.min()), float(volume.max())
    whole = volume.dtype.kind != "f" or high - low >= WHOLE_SPAN
    if whole and (modality == "CT" or (low >= INT16.min and high <= INT16.max)):
        return np.rint(np.clip(volume, INT16.min, INT16.max)).astype(np.int16)
    return volume.astype(np.float32)


def _whole(values: NDArray[Any], path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Labels in as few bits as they need; raises MediRoundError for values that are none."""
    if not (values.min() >= 0 and values.max() <= MOST_LABELS and (values == np.rint(values)).all()):
        raise MediRoundError(f"{path} holds values that are no labels; they are whole numbers from 0 to {MOST_LABELS}.")
    return values.astype(np.uint8) if values.max() <= 255 else values.astype(np.uint16)


def _radiological(path: Path) -> tuple[NDArray[np.generic], float]:
    """(z, y, x) voxels with the patient's right at the left and the front at the top of each axial slice.

    Beside them the area of a slice's pixel in mm2.
    """
    image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    across, down, _ = image.GetSpacing()
    return sitk.GetArrayFromImage(image), across * down


def _read_picture(case: Case) -> Iterator[RealSlice]:
    facts = facts_of(case.folder)
    path = case.folder / "labels" / f"{case.name}.png"
    image, labels = Image.open(case.folder / "images" / path.name).copy(), Image.open(path)
    if image.mode not in GREY_OR_RGB:  # an average of palette indices is no colour
        image = image.convert("RGB")
    if len(labels.getbands()) > 1:
        raise MediRoundError(f"{path} is in colours; save its labels as one channel of whole numbers.")
    scale = min(1.0, LONGEST / max(image.size))
    size = (round(image.width * scale), round(image.height * scale))
    pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    mask = _whole(np.asarray(labels.resize(size, Image.Resampling.NEAREST)), path)
    known, modality = frozenset(facts.names.values()), facts.modality or UNKNOWN
    yield RealSlice(pixels, mask, facts.names, case.folder.name, case.patient, known, modality, facts.lateral)
