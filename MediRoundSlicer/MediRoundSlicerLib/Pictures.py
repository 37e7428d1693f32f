"""Pictures of a slice with masks upon it, as PNG, with nothing but NumPy and VTK."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

# The longer side of a picture: smaller images are enlarged, larger ones reduced, by whole factors.
SMALLEST, LARGEST = 512, 1024
_TINT = 0.3
# An outline is this share of the longer side.
_OUTLINE = 1 / 256


@dataclass(frozen=True)
class Layer:
    """A mask to be drawn.

    Attributes:
        mask: (H, W) bool on the image.
        colour: red, green, blue in 0..255.
        filled: with a tint of the colour inside a full outline, or else a thin outline alone.
    """

    mask: NDArray[np.bool_]
    colour: tuple[int, int, int]
    filled: bool = True


def picture(image: NDArray[np.uint8], layers: Sequence[Layer] = ()) -> NDArray[np.uint8]:
    """Draw masks on an image, the last on top.

    Args:
        image: (H, W) or (H, W, 3) uint8, square pixels, row 0 at the top.

    Returns:
        The picture, of a size that suits a page: (h, w) where the image is grey and there are no masks, else (h, w, 3).
        The outline of a mask lies inside it, so that its edge is exactly where the mask's is.
    """
    longest = max(image.shape[:2])
    up, down = max(1, round(SMALLEST / longest)), math.ceil(longest / LARGEST)
    shown = _enlarged(image, up)
    if layers and shown.ndim == 2:
        shown = np.repeat(shown[..., None], 3, axis=2)
    thick = max(2, round(longest * up * _OUTLINE))
    for layer in layers:
        mask = layer.mask.repeat(up, axis=0).repeat(up, axis=1)
        colour = np.array(layer.colour, np.float32)
        if layer.filled:
            shown[mask] = np.rint(shown[mask] * (1 - _TINT) + colour * _TINT)
        shown[rim(mask, thick if layer.filled else thick // 2)] = colour
    return _reduced(shown, down)


def rim(mask: NDArray[np.bool_], thickness: int) -> NDArray[np.bool_]:
    """The pixels of a mask that are within `thickness` steps of its outside, which the image's border is too."""
    inner = mask
    for _ in range(thickness):
        around = np.pad(inner, 1)
        inner = inner & around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return mask & ~inner


def png(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W) or (H, W, 3) uint8, row 0 at the top, as a PNG file."""
    height, width = pixels.shape[:2]
    # VTK counts rows from the bottom.
    flat = np.ascontiguousarray(pixels[::-1]).reshape(height * width, -1)
    image = vtk.vtkImageData()
    image.SetDimensions(width, height, 1)
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
    writer = vtk.vtkPNGWriter()
    writer.WriteToMemoryOn()
    writer.SetInputData(image)
    writer.Write()
    return vtk_to_numpy(writer.GetResult()).tobytes()


def _enlarged(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The image `factor` times as large, between pixels by straight lines."""
    if factor == 1:
        return image.copy()
    values = image.astype(np.float32)
    for axis in (0, 1):
        length = values.shape[axis]
        places = np.clip((np.arange(length * factor) + 0.5) / factor - 0.5, 0, length - 1)
        low = places.astype(int)
        share = (places - low).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(values.ndim)])
        high = np.minimum(low + 1, length - 1)
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return np.rint(values).astype(np.uint8)


def _reduced(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The image with each block of `factor` by `factor` pixels as one, their mean; a rest at the border is cut off."""
    if factor == 1:
        return image
    height, width = (length // factor for length in image.shape[:2])
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8).reshape(height, width, *image.shape[2:])
