"""Reading DICOM: tags by pydicom, pixels by SimpleITK (GDCM), so that they are the values that 3D Slicer shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

from MediRoundLib.errors import ImageError
from MediRoundLib.volumes.headers import TAGS, number_of, planes_of, quiet_pydicom, rescale_of, text_of, window_of
from MediRoundLib.volumes.itk import quiet_itk, read_itk
from MediRoundLib.volumes.stacks import Plane, Stack, stacks_of
from MediRoundLib.volumes.volume import Volume

# Objects with pixels that are drawings or doses upon an image, not the image.
_DERIVED = {"SEG", "RTDOSE", "PR", "KO"}
# The PhotometricInterpretation whose low values are bright.
_INVERTED = "MONOCHROME1"


@dataclass(frozen=True)
class _Choice:
    """A stack that `--series` can name by its key: the SeriesInstanceUID, with "#n" where the series has several."""

    key: str
    stack: Stack

    def __str__(self) -> str:
        header = self.stack.present[0].header
        number = text_of(header, "SeriesNumber") or "?"
        description = text_of(header, "SeriesDescription") or "no description"
        slices = len(self.stack.present)
        kind = text_of(header, "Modality") or "?"
        return f"  {number}: {description}, {kind}, {slices} slice{'s' * (slices != 1)}: --series {self.key}"


def is_dicom(path: Path) -> bool:
    """Whether the content is DICOM: by the mark behind the preamble or, without one, by GDCM's judgment."""
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return True
    # A data set without preamble begins with the length or the UID of group 2, or with a tag of group 8.
    if start[:2] not in {b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08"}:
        return False
    try:
        with quiet_itk():
            return bool(sitk.ImageFileReader.GetImageIOFromFileName(str(path)) == "GDCMImageIO")
    except RuntimeError:
        return False


def is_dicomdir(path: Path) -> bool:
    """Whether the file is a DICOMDIR, the table of contents of the folder around it."""
    header = _header(path) if is_dicom(path) else None
    return header is not None and text_of(header.file_meta, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage


def read_dicom(paths: Sequence[Path], series: str | None, origin: str) -> Volume:
    """Read the one stack of slices in these files, or the one that `series` names.

    Args:
        paths: DICOM files; those without an image (reports, structure sets, DICOMDIR) are passed over.
        series: key of a stack, or None.
        origin: what the user called the source, for messages.

    Raises:
        ImageError: no image in them, several stacks and none chosen, or damaged pixels.
    """
    choices = _choices(paths)
    if not choices:
        raise ImageError(
            f"{origin} holds no image: its DICOM is without pixels (a report, a plan, a table of contents) or damaged; "
            "give the folder or file of the images."
        )
    named = [choice for choice in choices if series in (None, choice.key, choice.key.partition("#")[0])]
    if len(named) != 1:
        listed = "\n".join(map(str, named or choices))
        if named:
            raise ImageError(f"{origin} holds {len(named)} image series; choose one of them:\n{listed}")
        raise ImageError(f"{origin} has no series {series}; choose one of these:\n{listed}")
    return _read_stack(named[0].stack, single=len(paths) == 1)


def _header(path: Path) -> Dataset | None:
    """The tags that matter here, without pixels; None where pydicom cannot read them."""
    try:
        with quiet_pydicom():
            return dcmread(path, stop_before_pixels=True, force=True, specific_tags=TAGS)
    except (InvalidDicomError, OSError, ValueError, KeyError, EOFError, NotImplementedError):
        return None


def _choices(paths: Sequence[Path]) -> list[_Choice]:
    planes: dict[str, list[Plane]] = {}
    seen: set[tuple[str, ...]] = set()
    for path in paths:
        header = _header(path)
        if header is None or (len(paths) > 1 and text_of(header, "Modality") in _DERIVED):
            continue
        # The same image twice, as in a folder with a backup in it; careless anonymisers repeat the UID alone.
        names = ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient")
        instance = tuple(text_of(header, name) for name in names)
        if instance[0] and instance in seen:
            continue
        seen.add(instance)
        found = planes_of(path, header)
        if found:
            planes.setdefault(text_of(header, "SeriesInstanceUID") or "unnamed", []).extend(found)
    choices = []
    for uid, members in planes.items():
        stacks = stacks_of(members)
        choices += [_Choice(uid if len(stacks) == 1 else f"{uid}#{k}", stack) for k, stack in enumerate(stacks, 1)]
    return sorted(choices, key=lambda choice: number_of(choice.stack.present[0].header, "SeriesNumber") or 0)


def _read_stack(stack: Stack, single: bool) -> Volume:
    frames: list[NDArray[np.generic] | None] = []
    opened: tuple[Path, sitk.Image, NDArray[np.generic]] | None = None
    for plane in stack.planes:
        if plane is None:
            frames.append(None)
            continue
        if opened is None or opened[0] != plane.path:
            opened = plane.path, *_pixels(plane)
        if plane.frame >= len(opened[2]):
            raise ImageError(f"{plane.path.name} has fewer frames than its tags say; copy or export it again.")
        frames.append(opened[2][plane.frame])
    assert opened is not None
    first = stack.present[0]
    image = _image(frames)
    _place(image, stack, opened[1])
    middle = stack.present[len(stack.present) // 2]
    return Volume(
        image,
        modality=text_of(first.header, "Modality"),
        window=window_of(middle.header, middle.frame),
        inverted=first.photometric == _INVERTED,
        description=f"DICOM {'file' if single else 'series'}",
        oriented=first.orientation is not None,
        calibrated=first.spacing is not None,
        notes=_notes(stack),
    )


def _pixels(plane: Plane) -> tuple[sitk.Image, NDArray[np.generic]]:
    """A file's image, and its values as (frames, rows, columns) or (frames, rows, columns, 3) of uint8."""
    try:
        image, _ = read_itk(plane.path)
    except RuntimeError as error:
        raise ImageError(
            f"The pixels of {plane.path.name} are missing, damaged or of an unknown packing; copy or export it again."
        ) from error
    values = sitk.GetArrayFromImage(image)
    if values.shape[1:3] != plane.size:
        raise ImageError(f"{plane.path.name} is not of the size that its tags say; copy or export it again.")
    if values.ndim == 4:
        return image, (values // (np.iinfo(values.dtype).max // 255)).astype(np.uint8)
    if plane.photometric == _INVERTED:
        values = _undo_itk_inversion(values, plane.header)
    return image, values


def _undo_itk_inversion(values: NDArray[np.generic], header: Dataset) -> NDArray[np.generic]:
    """The values of a MONOCHROME1 image as its tags mean them.

    ITK mirrors the stored numbers within their range before it rescales them, but windows and Hounsfield units belong
    to the numbers as stored.
    """
    bits = number_of(header, "BitsStored") or 16
    ends = -1 if number_of(header, "PixelRepresentation") else 2**bits - 1
    slope, intercept = rescale_of(header, frame=0)
    return (ends * slope + 2 * intercept - values.astype(np.float64)).astype(np.float32)


def _image(frames: Sequence[NDArray[np.generic] | None]) -> sitk.Image:
    """Frames on top of each other; a missing one is filled with the lowest value, black."""
    known = [frame for frame in frames if frame is not None]
    values = np.empty((len(frames), *known[0].shape), np.result_type(*known))
    lowest = min(frame.min() for frame in known)
    for k, frame in enumerate(frames):
        values[k] = lowest if frame is None else frame
    return sitk.GetImageFromArray(values, isVector=values.ndim == 4)


def _place(image: sitk.Image, stack: Stack, source: sitk.Image) -> None:
    """Give the image its origin, spacing and directions. `source` is ITK's image of one of the files."""
    first = stack.present[0]
    if first.orientation is None or first.position is None:
        image.SetOrigin(source.GetOrigin())
        image.SetSpacing(source.GetSpacing())
        image.SetDirection(source.GetDirection())
        return
    column, row, slice_ = source.GetSpacing()
    if first.spacing is not None:
        row, column = first.spacing
    image.SetSpacing((column, row, stack.step or slice_))
    image.SetOrigin(first.position.tolist())
    axes = np.stack([first.orientation[:3], first.orientation[3:], first.normal], axis=1)
    image.SetDirection(axes.ravel().tolist())


def _notes(stack: Stack) -> tuple[str, ...]:
    notes = []
    missing = [str(k) for k, plane in enumerate(stack.planes) if plane is None]
    if missing:
        were = "slice is" if len(missing) == 1 else "slices are"
        notes.append(f"{len(missing)} {were} missing and left blank (--slice {', '.join(missing)}).")
    if stack.step is not None and stack.uneven > max(0.01, 0.02 * stack.step):
        notes.append(f"The slices are not evenly spaced; positions are right to {stack.uneven:.2f} mm.")
    spacing = stack.present[0].spacing
    if stack.slant > 0.5 * min(spacing or (1.0, 1.0)):
        notes.append(
            f"The slices are shifted against each other by up to {stack.slant:.1f} mm (a tilted gantry); "
            "positions are right in the first slice only."
        )
    if stack.present[0].orientation is None and len(stack.planes) > 1:
        last = len(stack.planes) - 1
        notes.append(f"{last + 1} pictures without a position in space; --slice 0 to {last} chooses one.")
    return tuple(notes)
