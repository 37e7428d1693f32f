"""Reader of SA-Med2D-20M as it is published: 4.6 million images, of which no list is ever held.

    SAMed2Dv1/
      SAMed2D_v1.json                    {"images/NAME.png": ["masks/NAME--0001_000.png", ..], ..}
      SAMed2D_v1_class_mapping_id.json   names of classes and their ids, either way round
      images/ct_00--AbdomenCT1K--Case_00001--x_0018.png         modality--data set--case--axis_slice
      masks/ct_00--AbdomenCT1K--Case_00001--x_0018--0001_000.png   ..--class_instance: 0 outside

Masks of one class are put together. A class whose name `entities.toml` does not know is left out, and so is a mask that
has not its image's size or fills the whole picture.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.entities import entity_key
from training.data.json_stream import iter_object
from training.data.samples import LabelledImage, Mask

INDEX, CLASSES = "SAMed2D_v1.json", "SAMed2D_v1_class_mapping_id.json"
SMALLEST = 0.0005  # share of the picture; a smaller structure is not asked for
LARGEST = 0.95  # share above which a mask outlines nothing
VAL_EVERY = 20  # of so many patients one is for validation
MODALITIES = {
    "ct": "CT",
    "mr": "MR",
    "pet": "PET",
    "ultrasound": "ultrasound",
    "x": "X-ray",
    "endoscopy": "endoscopy",
    "dermoscopy": "dermoscopy",
    "fundus": "fundus photography",
}
SEQUENCES = {
    "t1": "MR-T1",
    "t1w": "MR-T1",
    "mprage": "MR-T1",
    "t1c": "MR-T1C",
    "t1ce": "MR-T1C",
    "t1gd": "MR-T1C",
    "t2": "MR-T2",
    "t2w": "MR-T2",
    "flair": "MR-FLAIR",
    "adc": "MR-ADC",
    "dwi": "MR-DWI",
    "cmr": "MR-cardiac",
    "lge": "MR-LGE",
}
# Axes of the volumes that slices are cut across so that left and right show; 2D radiographs have none.
LATERAL_AXES = ("y", "z")


@dataclass(frozen=True)
class Entry:
    """One image and its masks, relative to the data set's folder."""

    image: str
    masks: tuple[str, ...]

    @property
    def _parts(self) -> list[str]:
        return Path(self.image).stem.split("--")

    @property
    def source(self) -> str:
        return self._parts[1] if len(self._parts) > 1 else "unknown"

    @property
    def patient(self) -> str:
        """Data set and case."""
        return "--".join(self._parts[1:3]) if len(self._parts) > 2 else self._parts[0]

    @property
    def modality(self) -> str:
        first, _, second = self._parts[0].partition("_")
        return SEQUENCES.get(second, "MR") if first == "mr" else MODALITIES.get(first, "unknown")

    @property
    def lateral(self) -> bool:
        """Whether a mirrored image exchanges left and right, as far as its name tells."""
        return self.modality == "X-ray" or (len(self._parts) > 3 and self._parts[3].startswith(LATERAL_AXES))

    @property
    def is_val(self) -> bool:
        return zlib.crc32(self.patient.encode()) % VAL_EVERY == 0


def iter_entries(root: Path, split: str | None = None) -> Iterator[Entry]:
    """The images of the index, one at a time and in its order; of the train or val patients, None for all.

    Raises:
        OSError, ValueError: the index cannot be read.
    """
    for image, masks in iter_object(root / INDEX):
        entry = Entry(image, tuple(masks))
        if split is None or entry.is_val == (split == "val"):
            yield entry


@lru_cache(maxsize=4)
def class_names(root: Path) -> Mapping[int, str]:
    """The entity of every class id that `entities.toml` knows."""
    content = json.loads((root / CLASSES).read_text(encoding="utf-8"))
    found = {}
    for key, value in content.items():
        number, name = (key, value) if str(key).isdigit() else (value, key)
        try:
            found[int(number)] = entity_key(str(name))
        except KeyError:
            continue
    return found


def read_entry(root: Path, entry: Entry) -> LabelledImage | None:
    """One image with the masks of the classes that are known; None where none is left or the image is no picture."""
    names = class_names(root)
    try:
        with Image.open(_inside(root, entry.image)) as opened:
            image = np.asarray(opened if opened.mode == "L" else opened.convert("RGB"))
    except OSError:
        return None
    masks: dict[str, Mask] = {}
    for path in entry.masks:
        number = Path(path).stem.split("--")[-1].strip("-").partition("_")[0]
        name = names.get(int(number), "") if number.isdigit() else ""
        mask = _mask(root, path, image.shape[:2]) if name else None
        if mask is not None:
            masks[name] = masks[name] | mask if name in masks else mask
    area = image.shape[0] * image.shape[1]
    masks = {name: mask for name, mask in masks.items() if SMALLEST * area <= np.count_nonzero(mask) <= LARGEST * area}
    if not masks:
        return None
    # What has no mask may still be there: the sets label little of what shows.
    return LabelledImage(image, masks, entry.modality, entry.source, entry.patient, frozenset(masks), entry.lateral)


def _mask(root: Path, path: str, size: tuple[int, ...]) -> Mask | None:
    try:
        with Image.open(_inside(root, path)) as opened:
            mask = np.asarray(opened.convert("L")) > 0
    except OSError:
        return None
    return mask if mask.shape == size else None


def _inside(root: Path, path: str) -> Path:
    """The file of a path in the index, which must not lead out of the data set."""
    file = (root / path).resolve()
    if not file.is_relative_to(root.resolve()):
        raise FileNotFoundError(path)
    return file
