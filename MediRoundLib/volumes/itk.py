"""SimpleITK's reader and writer without their chatter on stderr."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk  # noqa: N813


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Silence ITK's warnings: they go to stderr past Python, and may quote tags of a patient."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def read_itk(path: Path) -> tuple[sitk.Image, str]:
    """A file's image, and the name of the ITK reader that knew it.

    Raises:
        RuntimeError: ITK cannot read it.
        MemoryError: it is larger than the memory that is free.
    """
    with quiet_itk():
        reader = sitk.ImageFileReader.GetImageIOFromFileName(str(path))
        try:
            return sitk.ReadImage(str(path), imageIO=reader), reader
        except RuntimeError as error:
            if "allocat" in str(error).lower() or "bad_alloc" in str(error):
                raise MemoryError(str(error)) from error
            raise


def write_itk(image: sitk.Image, path: Path) -> None:
    """Write an image, compressed, in the form that the file's name says. Raises OSError where that is not possible."""
    try:
        with quiet_itk():
            sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        raise OSError(errno.EIO, "the image cannot be written", str(path)) from error
