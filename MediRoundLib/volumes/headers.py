"""What a DICOM header says, read with patience: tags may be absent, empty, or tucked into functional groups."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from MediRoundLib.volumes.stacks import Plane

TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "InstanceNumber",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "BitsStored",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom's warnings: they quote the values of odd tags, a patient's name among them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def text_of(header: Dataset, tag: str) -> str:
    """A tag's value as one line of text, "" where it is absent or unreadable."""
    value = _value(header, tag)
    return "" if value is None else re.sub(r"\s+", " ", str(value)).strip()


def numbers_of(header: Dataset, tag: str, count: int) -> tuple[float, ...] | None:
    """The first `count` finite numbers of a tag, or None where it has fewer."""
    value = _value(header, tag)
    try:
        found = tuple(map(float, value[:count] if isinstance(value, MultiValue) else [value]))
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and np.all(np.isfinite(found)) else None


def number_of(header: Dataset, tag: str) -> int | None:
    """A tag's integer, or None."""
    found = numbers_of(header, tag, 1)
    return None if found is None else int(found[0])


def window_of(header: Dataset, frame: int) -> tuple[float, float] | None:
    """(centre, width) of the first window, or None."""
    group = _group(header, frame, "FrameVOILUTSequence")
    centre, width = numbers_of(group, "WindowCenter", 1), numbers_of(group, "WindowWidth", 1)
    if centre is None or width is None or width[0] <= 0:
        return None
    return centre[0], width[0]


def rescale_of(header: Dataset, frame: int) -> tuple[float, float]:
    """(slope, intercept) from stored numbers to values."""
    group = _group(header, frame, "PixelValueTransformationSequence")
    slope, intercept = numbers_of(group, "RescaleSlope", 1), numbers_of(group, "RescaleIntercept", 1)
    return (slope or (1.0,))[0], (intercept or (0.0,))[0]


def planes_of(path: Path, header: Dataset) -> list[Plane]:
    """The 2D images of a file, one a frame; none where it has no pixels."""
    rows, columns = number_of(header, "Rows"), number_of(header, "Columns")
    if not rows or not columns:
        return []
    instance, frames = number_of(header, "InstanceNumber") or 0, number_of(header, "NumberOfFrames") or 1
    planes = []
    for frame in range(frames):
        spacing = numbers_of(_group(header, frame, "PixelMeasuresSequence"), "PixelSpacing", 2)
        position = numbers_of(_group(header, frame, "PlanePositionSequence"), "ImagePositionPatient", 3)
        orientation = _orientation(_group(header, frame, "PlaneOrientationSequence"))
        # A single position for many frames, as in a dose or a cine, is no position of each.
        placed = position is not None and orientation is not None
        if frames > 1 and _value(header, "PerFrameFunctionalGroupsSequence") is None:
            placed = False
        planes.append(
            Plane(
                path=path,
                frame=frame,
                header=header,
                size=(rows, columns),
                photometric=text_of(header, "PhotometricInterpretation"),
                position=np.array(position) if placed else None,
                orientation=orientation if placed else None,
                spacing=(spacing[0], spacing[1]) if spacing is not None and min(spacing) > 0 else None,
                order=(instance, frame),
            )
        )
    return planes


def _orientation(group: Dataset) -> NDArray[np.float64] | None:
    """ImageOrientationPatient made exactly orthonormal, or None where it is no pair of directions."""
    found = numbers_of(group, "ImageOrientationPatient", 6)
    if found is None:
        return None
    along_row, along_column = np.array(found[:3]), np.array(found[3:])
    if not np.allclose([np.linalg.norm(along_row), np.linalg.norm(along_column)], 1, atol=0.01):
        return None
    along_row /= np.linalg.norm(along_row)
    along_column -= (along_column @ along_row) * along_row
    length = np.linalg.norm(along_column)
    if length < 0.99:
        return None
    return np.concatenate([along_row, along_column / length])


def _group(header: Dataset, frame: int, name: str) -> Dataset:
    """The functional group `name` of a frame: its own, else the one that frames share, else the header itself."""
    for groups, k in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        items = header.get(groups)
        if items and k < len(items) and items[k].get(name):
            found: Dataset = items[k][name][0]
            return found
    return header


def _value(header: Dataset, tag: str) -> Any:
    """A tag's value, decoded here; None where there is none."""
    with quiet_pydicom():
        try:
            return header.get(tag)
        except (ValueError, TypeError, KeyError, NotImplementedError):
            return None
