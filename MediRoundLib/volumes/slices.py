"""One slice of a volume as a radiologist sees it, and the way of its masks back onto the voxels."""

import itertools
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from PIL import Image

from MediRoundLib.errors import ImageError
from MediRoundLib.volumes.volume import Volume

PlaneName = Literal["axial", "coronal", "sagittal", "2d"]

# Components of LPS (0 left, 1 posterior, 2 superior): along which the slices of a plane follow one another, ..
_ACROSS: dict[str, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
# .. and which way is right and down in the picture: the patient's right at the left, anterior or superior up.
_RIGHT_DOWN: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "axial": ((0, 1), (1, 1)),
    "coronal": ((0, 1), (2, -1)),
    "sagittal": ((1, 1), (2, -1)),
}

# Pixels further from square than this are made square for the model, which learned on square ones.
_SQUARE = 1.05
# (centre, width) in Hounsfield units.
_SOFT_TISSUE = (40.0, 400.0)
# A file of unknown modality that reaches down to here holds Hounsfield units: air is at -1000.
_AIR = -500.0
_PERCENTILES = (0.5, 99.5)
# The lowest value is padding or empty background, and says nothing of contrast, where it takes this share of a volume.
_PADDING = 0.1
# Percentiles are taken from about so many voxels, evenly picked.
_SAMPLE = 4_000_000


@dataclass(frozen=True)
class _Layout:
    """How a plane of voxels lies in the picture; axes are the volume's, 0 the fastest.

    `right` and `down` are (axis, whether the picture runs against it); `across` is the axis that `--slice` counts.
    """

    across: int
    right: tuple[int, bool]
    down: tuple[int, bool]

    def take(self, voxels: NDArray[np.generic], index: int) -> NDArray[np.generic]:
        """(z, y, x[, 3]) voxels to the (rows, columns[, 3]) of one slice, as displayed."""
        plane = np.take(voxels, index, axis=2 - self.across)
        return self._turn(plane if self.down[0] > self.right[0] else plane.swapaxes(0, 1))

    def put(self, plane: NDArray[np.generic], voxels: NDArray[np.generic], index: int) -> None:
        """The inverse of `take`, without colours: write (rows, columns) into (z, y, x)."""
        plane = self._turn(plane)
        np.moveaxis(voxels, 2 - self.across, 0)[index] = plane if self.down[0] > self.right[0] else plane.T

    def _turn(self, plane: NDArray[np.generic]) -> NDArray[np.generic]:
        return plane[:: -1 if self.down[1] else 1, :: -1 if self.right[1] else 1]


@dataclass(frozen=True)
class Slice:
    """One slice as displayed.

    Attributes:
        pixels: (H, W) or (H, W, 3) uint8. Pixels are square, or at most 5% off.
        plane: "axial", "coronal" or "sagittal", the nearest to the voxels' own plane; "2d" without orientation.
        index: number of the slice along the volume's axis, from 0.
        spacing: (row, column) distance of `pixels` in mm.
        window: (centre, width) that was applied, or None for colours and 8-bit images as they are.
        volume: what it was taken from.
    """

    pixels: NDArray[np.uint8]
    plane: PlaneName
    index: int
    spacing: tuple[float, float]
    window: tuple[float, float] | None
    volume: Volume
    layout: _Layout

    @property
    def pixel_area(self) -> float | None:
        """Area in mm2 of one voxel in this plane, or None where the file gives no true size."""
        spacing = self.volume.image.GetSpacing()
        return spacing[self.layout.down[0]] * spacing[self.layout.right[0]] if self.volume.calibrated else None

    def mask_to_volume(self, mask: NDArray[np.bool_]) -> sitk.Image:
        """Carry a mask back onto the voxels.

        Args:
            mask: (H, W) bool upon `pixels`.

        Returns:
            A uint8 labelmap of 0 and 1 in the volume's geometry. A voxel is set where the mask is at its centre.

        Raises:
            ImageError: the mask has another shape.
        """
        voxels = np.zeros(self.volume.image.GetSize()[::-1], np.uint8)
        self.layout.put(self._on_voxels(mask), voxels, self.index)
        labelmap = sitk.GetImageFromArray(voxels)
        labelmap.CopyInformation(self.volume.image)
        return labelmap

    def count_voxels(self, mask: NDArray[np.bool_]) -> int:
        """How many voxels `mask_to_volume` sets. Raises ImageError for a mask of another shape."""
        return int(np.count_nonzero(self._on_voxels(mask)))

    def _on_voxels(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The mask at the centres of the slice's voxels, as displayed."""
        if mask.shape != self.pixels.shape[:2]:
            raise ImageError(
                f"The mask has shape {mask.shape}, the slice {self.pixels.shape[:2]}; use a mask drawn on the slice."
            )
        size = self.volume.image.GetSize()
        rows, columns = (
            ((np.arange(size[axis]) + 0.5) * extent / size[axis]).astype(int)
            for (axis, _), extent in zip((self.layout.down, self.layout.right), mask.shape, strict=True)
        )
        return mask[np.ix_(rows, columns)]


def take_slice(
    volume: Volume,
    plane: Literal["axial", "coronal", "sagittal"] | None = None,
    index: int | None = None,
    window: float | None = None,
    level: float | None = None,
) -> Slice:
    """Show one slice; nothing is interpolated across slices, so an oblique volume is shown in its own planes.

    Args:
        volume: what to look at.
        plane: the anatomical plane nearest to the voxels' plane wanted; None for the plane of acquisition.
        index: the slice along the volume's axis, from 0; None for the middle one.
        window, level: width and centre of the grey window, both or neither. By default the file's own window, soft
            tissue for CT, and else the range from the 0.5th to the 99.5th percentile of the volume.

    Raises:
        ImageError: no such plane or slice, or a window that cannot be.
    """
    name, layout = _layout(volume, plane)
    size, spacing = volume.image.GetSize(), volume.image.GetSpacing()
    count = size[layout.across]
    if index is None:
        index = count // 2
    if not 0 <= index < count:
        which = "only slice 0" if count == 1 else f"slices 0 to {count - 1}"
        raise ImageError(f"There is no slice {index}: the {name} plane of this image has {which} (--slice).")
    applied = _window(volume, window, level)
    voxels = sitk.GetArrayViewFromImage(volume.image)
    pixels = _grey(layout.take(voxels, index), applied)
    if volume.inverted:
        pixels = 255 - pixels
    pixels, spaced = _square(pixels, (spacing[layout.down[0]], spacing[layout.right[0]]))
    return Slice(np.ascontiguousarray(pixels), name, index, spaced, applied, volume, layout)


def _layout(volume: Volume, plane: str | None) -> tuple[PlaneName, _Layout]:
    if not volume.oriented:
        if plane is not None:
            raise ImageError(f"This image has no {plane} plane, as its file gives no orientation; leave out --plane.")
        return "2d", _Layout(across=2, right=(0, False), down=(1, False))
    directions = np.array(volume.image.GetDirection()).reshape(3, 3)  # a column an axis, in LPS
    # The image axis of each LPS component; as a whole, so that an image at 45 degrees still has three planes.
    axes = max(itertools.permutations(range(3)), key=lambda axes: sum(abs(directions[k, axes[k]]) for k in range(3)))
    if plane is None:
        plane = next(name for name, component in _ACROSS.items() if axes[component] == 2)
    (right, right_sign), (down, down_sign) = _RIGHT_DOWN[plane]
    layout = _Layout(
        across=axes[_ACROSS[plane]],
        right=(axes[right], bool(directions[right, axes[right]] * right_sign < 0)),
        down=(axes[down], bool(directions[down, axes[down]] * down_sign < 0)),
    )
    size = volume.image.GetSize()
    if layout.across != 2 and size[2] == 1:
        raise ImageError(f"This image is a single slice, so it has no {plane} plane; leave out --plane.")
    return cast(PlaneName, plane), layout


def _window(volume: Volume, window: float | None, level: float | None) -> tuple[float, float] | None:
    """(centre, width) to apply, or None for pixels that are grey levels or colours already."""
    if window is not None or level is not None:
        if volume.is_colour:
            raise ImageError("A colour image has no grey window; leave out --window and --level.")
        if window is None or level is None:
            raise ImageError("A window's width and its level go together; give both --window and --level.")
        if not (np.isfinite(window) and np.isfinite(level) and window > 0):
            raise ImageError(f"A window of width {window:g} at level {level:g} shows nothing; give a width above 0.")
        return level, window
    if volume.is_colour:
        return None
    if volume.window is not None:
        return volume.window
    if volume.image.GetPixelID() == sitk.sitkUInt8:
        return None
    return _default_window(volume)


def _default_window(volume: Volume) -> tuple[float, float]:
    values = sitk.GetArrayViewFromImage(volume.image).ravel()
    values = values[:: max(1, values.size // _SAMPLE)]
    values = values[np.isfinite(values)].astype(np.float64)
    lowest = values.min(initial=np.inf)
    if volume.modality == "CT" or (not volume.modality and np.isfinite(lowest) and lowest <= _AIR):
        return _SOFT_TISSUE
    tissue = values[values > lowest]
    if 0 < tissue.size < (1 - _PADDING) * values.size:
        values = tissue
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, _PERCENTILES)
    if high <= low:
        low, high = values.min(), values.max()
    return float(low + high) / 2, float(high - low) or 1.0


def _grey(values: NDArray[np.generic], window: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Values to 0..255: black at centre - width / 2 and below, white at centre + width / 2 and above."""
    if window is None:
        return values.astype(np.uint8)
    centre, width = window
    scaled = (values.astype(np.float64) - (centre - width / 2)) * (255 / width)
    return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255)).astype(np.uint8)


def _square(pixels: NDArray[np.uint8], spacing: tuple[float, float]) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Resample to the finer of the two spacings where pixels are not square; the picture's edges stay in place."""
    fine = min(spacing)
    if max(spacing) <= _SQUARE * fine:
        return pixels, spacing
    height, width = (max(1, round(n * step / fine)) for n, step in zip(pixels.shape, spacing, strict=False))
    resized = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
    return resized, (spacing[0] * pixels.shape[0] / height, spacing[1] * pixels.shape[1] / width)
