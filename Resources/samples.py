"""Draws the studies that ship with the Slicer module as sample data, and their thumbnails.

python -m Resources.samples [--out MediRoundSlicer/Resources/Samples]

They are phantoms of `training.data.phantoms`: nothing in them stems from a patient. A file that is drawn anew may
differ from the shipped one in its bytes, as compressors and rounding differ; its checksum, which is printed here, is to
be changed in `SampleStudies.py` then.
"""

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813
from PIL import Image

from training.data.phantoms import phantom_volume

FOLDER = Path(__file__).resolve().parent.parent / "MediRoundSlicer" / "Resources" / "Samples"
# (z, y, x): voxels, and mm.
SHAPE, SPACING = (30, 224, 224), (6.0, 1.7, 1.7)
# HU are rounded to multiples of this, which is below the noise and makes files a third smaller.
STEP = 4
WINDOW, LEVEL = 400, 40
THUMBNAIL = 260


@dataclass(frozen=True)
class Sample:
    """A study: its file's name without suffix, the kind of scene, the seed, and the slice of the thumbnail."""

    name: str
    kind: str
    seed: int
    shown: int


SAMPLES = (Sample("drawn_ct_abdomen", "abdomen", 4, 14), Sample("drawn_ct_chest", "chest", 5, 16))


def draw(sample: Sample) -> npt.NDArray[np.int16]:
    """The study's HU of SHAPE; z grows to the head, y to the back, x to the left of the one who is drawn."""
    volume, _ = phantom_volume(np.random.default_rng(sample.seed), sample.kind, "ct_soft", SHAPE, SPACING)
    return (np.rint(volume / STEP) * STEP).astype(np.int16)


def write(sample: Sample, folder: Path) -> list[Path]:
    """Writes a study as compressed NRRD and its thumbnail as PNG. Returns the files."""
    volume = draw(sample)
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin([-0.5 * (n - 1) * step for n, step in zip(SHAPE[::-1], SPACING[::-1], strict=True)])
    study, thumbnail = folder / f"{sample.name}.nrrd", folder / f"{sample.name}.png"
    sitk.WriteImage(image, str(study), useCompression=True, compressionLevel=9)
    bright = np.clip((volume[sample.shown] - (LEVEL - WINDOW / 2)) / WINDOW, 0, 1) * 255
    picture = Image.fromarray(np.rint(bright).astype(np.uint8))
    picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC).save(thumbnail, optimize=True)
    return [study, thumbnail]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER, help="default: %(default)s")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        for path in write(sample, args.out):
            print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}  {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
