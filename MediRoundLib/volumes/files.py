"""Reading a source of any kind: a DICOM folder or file, a NIfTI, NRRD or MetaImage volume, a PNG or JPEG picture."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from PIL import Image, UnidentifiedImageError

from MediRoundLib.errors import ImageError
from MediRoundLib.volumes.dicom import is_dicom, is_dicomdir, read_dicom
from MediRoundLib.volumes.itk import quiet_itk, read_itk
from MediRoundLib.volumes.volume import Volume

KINDS = "a DICOM folder or file, or a NIfTI, NRRD, MHA, PNG or JPEG file"

_PICTURES = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG"}
_VOLUMES = {"NiftiImageIO": "NIfTI", "NrrdImageIO": "NRRD", "MetaImageIO": "MetaImage"}


def read_volume(source: str | Path, series: str | None = None) -> Volume:
    """Read an image.

    Args:
        source: a folder with one DICOM series (deeper folders are searched too), a DICOM file, a DICOMDIR, or a NIfTI,
            NRRD, MetaImage, PNG or JPEG file. What a file is is told by its content, not by its name.
        series: SeriesInstanceUID (with "#n" where a series holds several stacks) to choose from a DICOM source.

    Raises:
        ImageError: nothing there, no image, a damaged one, or several series and none chosen (the message lists them).
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise ImageError(f"There is no file or folder {source}; give {KINDS}.")
    try:
        return _read(path, series)
    except OSError as error:
        raise ImageError(f"{source} cannot be opened ({error.strerror or error}); check who may read it.") from error


def _read(path: Path, series: str | None) -> Volume:
    if path.is_dir():
        return _read_folder(path, series)
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is an empty file; copy it again, or give {KINDS}.")
    if is_dicomdir(path):
        return _read_folder(path.parent, series)
    if is_dicom(path):
        return read_dicom([path], series, origin=str(path))
    if series is not None:
        raise ImageError(f"{path} is no DICOM, so it has no series {series}; leave out --series.")
    with path.open("rb") as file:
        start = file.read(8)
    for magic, name in _PICTURES.items():
        if start.startswith(magic):
            return _read_picture(path, name)
    return _read_plain(path)


def _read_folder(folder: Path, series: str | None) -> Volume:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom(path)]
    if not paths:
        raise ImageError(f"There is no DICOM file in the folder {folder}; give {KINDS}.")
    return read_dicom(paths, series, origin=str(folder))


def _read_picture(path: Path, name: str) -> Volume:
    """A PNG or JPEG as a volume of one slice, transparency dropped."""
    try:
        with Image.open(path, formats=["PNG", "JPEG"]) as picture:
            mode = picture.mode
            if mode in {"I;16", "I;16B", "I"}:
                pixels = np.asarray(picture).astype(np.uint16)
            else:
                pixels = np.asarray(picture.convert("L" if mode in {"1", "L", "LA"} else "RGB"))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} is a damaged {name} picture ({error}); export it again.") from error
    image = sitk.GetImageFromArray(pixels[None], isVector=pixels.ndim == 3)
    image.SetSpacing(_picture_spacing(path))
    return Volume(image, description=f"{name} picture", oriented=False, calibrated=False)


def _picture_spacing(path: Path) -> tuple[float, float, float]:
    """The spacing that ITK, and so 3D Slicer, reads from the picture's resolution: labelmaps have to lie upon it."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            reader.ReadImageInformation()
    except RuntimeError:  # a picture that Pillow reads and ITK does not, for example without an ending to its name
        return 1.0, 1.0, 1.0
    column, row = reader.GetSpacing()[:2]
    return column, row, 1.0


def _read_plain(path: Path) -> Volume:
    """A file that carries its own geometry."""
    try:
        image, reader = read_itk(path)
    except RuntimeError as error:
        raise ImageError(
            f"{path} cannot be read as an image: it is damaged or of an unknown kind; give {KINDS}."
        ) from error
    if reader == "NiftiImageIO" and _ends_early(path):
        raise ImageError(f"{path} ends before its last slice; copy it again.")
    description = f"{_VOLUMES.get(reader, 'Image')} file"
    while image.GetDimension() > 3 and image.GetSize()[-1] == 1:
        image = image[..., 0]
    if image.GetDimension() > 3:
        raise ImageError(
            f"{path} has {image.GetDimension()} dimensions, {' x '.join(map(str, image.GetSize()))}; "
            "save the volume of one time point or channel to a file of its own."
        )
    flat = image.GetDimension() == 2
    if flat:
        image = sitk.JoinSeries(image)
    return Volume(_displayable(image, path), description=description, oriented=not flat)


def _ends_early(path: Path) -> bool:
    """Whether a NIfTI-1 file is cut off: ITK reads such a file without complaint, and makes up what is missing."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            header = file.read(352)
            order = {(348).to_bytes(4, "little"): "<", (348).to_bytes(4, "big"): ">"}.get(header[:4])
            if order is None or header[344:347] != b"n+1":  # NIfTI-2, or voxels in a file of their own
                return False
            count, *extents = struct.unpack_from(f"{order}8h", header, 40)
            (bits,) = struct.unpack_from(f"{order}h", header, 72)
            (start,) = struct.unpack_from(f"{order}f", header, 108)
            left = int(start) + math.prod(extents[:count]) * bits // 8 - len(header)
            while left > 0 and (read := len(file.read(min(left, 1 << 24)))):
                left -= read
            return left > 0
    except EOFError:
        return True


def _displayable(image: sitk.Image, path: Path) -> sitk.Image:
    """The image itself, or its colours as 8-bit RGB; refuses what is neither grey nor colour."""
    components = image.GetNumberOfComponentsPerPixel()
    if components == 1 and not any(word in image.GetPixelIDTypeAsString() for word in ("complex", "label")):
        return image
    if components in {3, 4} and image.GetPixelID() == sitk.sitkVectorUInt8:
        return image if components == 3 else sitk.Compose([sitk.VectorIndexSelectionCast(image, k) for k in range(3)])
    raise ImageError(
        f"{path} holds {components} values of {image.GetPixelIDTypeAsString()} a voxel, which is neither a grey nor an "
        "8-bit colour image; save one component of it to a file of its own."
    )
