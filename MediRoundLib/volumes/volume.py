"""What every reader returns."""

from dataclasses import dataclass

import SimpleITK as sitk  # noqa: N813  (its own documentation's name)


@dataclass(frozen=True)
class Volume:
    """An image in physical space, as its file has it: no voxel is moved or resampled.

    Attributes:
        image: 3D, in LPS millimetres. Either one component (values after the rescale tags, Hounsfield units in CT), or
            three of uint8 (red, green, blue). A picture has one slice, a cine one slice a frame.
        modality: DICOM's word ("CT", "MR", ..), "" where the file does not say.
        window: (centre, width) of the first window in the DICOM tags, or None.
        inverted: low values are shown bright (DICOM's MONOCHROME1).
        description: what kind of file it was; nothing of a patient.
        oriented: whether the directions are those of a patient. Pictures and cines have none; they are shown as stored.
        calibrated: whether the spacing in a slice is in true millimetres.
        notes: sentences for the user about what was done to read it, such as missing slices.
    """

    image: sitk.Image
    modality: str = ""
    window: tuple[float, float] | None = None
    inverted: bool = False
    description: str = ""
    oriented: bool = True
    calibrated: bool = True
    notes: tuple[str, ...] = ()

    @property
    def is_colour(self) -> bool:
        return self.image.GetNumberOfComponentsPerPixel() == 3
