"""From an image and a reference's mask to the tensors that the network reads."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from torch.nn import functional

from MediRoundLib.config import ClipImageConfig, SamConfig
from MediRoundLib.errors import ImageError
from MediRoundLib.modeling.sam import PIXEL_MEAN, PIXEL_STD

# Of `View.close_up`, in a picture of at most so many pixels a side: grey levels up to this are dark, what is less than
# so many pixels thick is a speck or a strip, and this share of its side is left free around what shows.
_COARSE = 256
DARKEST = 20
THIN = 5
MARGIN = 0.03
# A predicted reference of at most so many pixels is no reference: the whole image stands in for it.
NEAR_EMPTY = 9


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) uint8 to a contiguous (H, W, 3) uint8.

    Raises:
        ImageError: another shape or data type, or an empty image.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise ImageError(f"The image has pixels of type {image.dtype}; window it to 8 bits (uint8) first.")
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(f"The image has shape {image.shape}; (height, width) or (height, width, 3) is needed.")
    return np.ascontiguousarray(image)


@dataclass(frozen=True)
class View:
    """The part of an image that a model looks at: the whole of it, or the square around what shows.

    Attributes:
        size: (H, W) of the image.
        square: (top, left, side) in its pixels, which may reach beyond its borders; None for the whole image.
    """

    size: tuple[int, int]
    square: tuple[int, int, int] | None = None

    @classmethod
    def of(cls, image: NDArray[np.uint8], close_up: bool) -> Self:
        """What a model whose config says `close_up`, or does not, looks at in (H, W, 3) uint8."""
        return cls.close_up(image) if close_up else cls(image.shape[:2])

    @classmethod
    def close_up(cls, image: NDArray[np.uint8]) -> Self:
        """The square around what shows in (H, W, 3) uint8 on black, specks and strips such as a table left out.

        A dark border carries nothing and takes from a small model the pixels that it has for the patient.
        """
        step = -(-max(image.shape[:2]) // _COARSE)
        shows = Image.fromarray((image[::step, ::step].max(2) > DARKEST).astype(np.uint8) * 255)
        core = shows.filter(ImageFilter.MinFilter(THIN)).getbbox()
        # What shows in strips alone is what there is to see.
        left, top, right, bottom = core or shows.getbbox() or (0, 0, *shows.size)
        grown = THIN // 2 if core else 0  # the filter took so much from every side
        first = max(0, top - grown) * step, max(0, left - grown) * step
        end = min(image.shape[0], (bottom + grown) * step), min(image.shape[1], (right + grown) * step)
        return cls(image.shape[:2], _square(first, end))

    def take(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """What of (H, W, ..) pixels or of a mask lies in view; 0 beyond the image."""
        if self.square is None:
            return pixels
        inside, outside = self._places()
        side = self.square[2]
        taken = np.zeros((side, side, *pixels.shape[2:]), dtype=pixels.dtype)
        taken[inside] = pixels[outside]
        return taken

    def put(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of the view to (H, W) of the image; minus infinity out of view."""
        if self.square is None:
            return logits
        inside, outside = self._places()
        whole = np.full(self.size, -np.inf, dtype=np.float32)
        whole[outside] = logits[inside]
        return whole

    def _places(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where view and image overlap, in the view's pixels and in the image's."""
        assert self.square is not None
        (top, left, side), (height, width) = self.square, self.size
        inside = slice(max(0, -top), min(side, height - top)), slice(max(0, -left), min(side, width - left))
        outside = slice(max(0, top), min(height, top + side)), slice(max(0, left), min(width, left + side))
        return inside, outside


def _square(first: tuple[int, int], end: tuple[int, int]) -> tuple[int, int, int]:
    """(top, left, side) of the square with a margin around rows and columns from `first` to `end`."""
    height, width = end[0] - first[0], end[1] - first[1]
    side = max(height, width)
    side += 2 * round(MARGIN * side)
    return first[0] - (side - height) // 2, first[1] - (side - width) // 2, side


def is_grey(image: NDArray[np.uint8]) -> bool:
    """Whether the three channels of (H, W, 3) are one."""
    return np.array_equal(image[:, :, 0], image[:, :, 1]) and np.array_equal(image[:, :, 0], image[:, :, 2])


def sam_pixels(image: NDArray[np.uint8], config: SamConfig) -> tuple[Tensor, tuple[int, int]]:
    """SAM's input: longest side to `image_size`, ImageNet normalisation, zero padding at right and bottom.

    Args:
        image: (H, W, 3) uint8.
        config: sizes.

    Returns:
        (3, S, S) float32, and the (height, width) that the image takes in it.
    """
    resized = ResizeLongestSide(config.image_size).apply_image(image)
    height, width = resized.shape[:2]
    pixels = torch.from_numpy(resized).permute(2, 0, 1).float()
    pixels = (pixels - torch.tensor(PIXEL_MEAN)[:, None, None]) / torch.tensor(PIXEL_STD)[:, None, None]
    return functional.pad(pixels, (0, config.image_size - width, 0, config.image_size - height)), (height, width)


class ClipPixels:
    """Turns pictures into CLIP's input with PIL's bicubic resize, as the released code did.

    transformers' default processor resizes with torchvision, which differs by a grey level here and there.
    """

    def __init__(self, config: ClipImageConfig) -> None:
        self._size = config.size
        self._mean = 255 * torch.tensor(config.mean)[:, None, None]
        self._std = 255 * torch.tensor(config.std)[:, None, None]

    def __call__(self, image: NDArray[np.uint8]) -> Tensor:
        """(H, W, 3) uint8, or (H, W) of one grey for all, to (3, size, size) float32; a longer side loses its ends."""
        size, (height, width) = self._size, image.shape[:2]
        shortest = min(height, width)
        high, wide = size * height // shortest, size * width // shortest
        resized = np.array(Image.fromarray(image).resize((wide, high), Image.Resampling.BICUBIC))
        top, left = (high - size) // 2, (wide - size) // 2
        middle = torch.from_numpy(resized[top : top + size, left : left + size]).view(size, size, -1).permute(2, 0, 1)
        return (middle.float() - self._mean) / self._std


@dataclass(frozen=True)
class ReferenceInput:
    """What the network sees of a reference: a crop (N, N, 3) or (N, N) uint8 on black; a box in units of the image."""

    crop: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    whole_image: bool = False


def box_of(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """(x_min, y_min, x_max, y_max) of a non-empty (H, W) mask over (W, H, W, H); maxima are inclusive, so below 1."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    height, width = mask.shape
    return (
        float(columns[0] / width),
        float(rows[0] / height),
        float(columns[-1] / width),
        float(rows[-1] / height),
    )


def crop_square(image: NDArray[np.uint8], mask: NDArray[np.bool_], bounds: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Black outside `mask`, cropped to the extent of `bounds`, padded with black at right and bottom to a square.

    Args:
        image: (H, W, 3) uint8, or (H, W) of one grey for all; the crop is alike.
        mask: (H, W) bool.
        bounds: (H, W) bool, not empty.
    """
    rows, columns = np.nonzero(bounds.any(1))[0], np.nonzero(bounds.any(0))[0]
    place = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside = image[place] * (mask[place] if image.ndim == 2 else mask[place][:, :, None])
    side = max(inside.shape[:2])
    square = np.zeros((side, side, *image.shape[2:]), dtype=np.uint8)
    square[: inside.shape[0], : inside.shape[1]] = inside
    return square


def reference_input(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> ReferenceInput:
    """A reference as training saw it: bounds from the mask; a nearly empty mask makes the whole image the reference.

    Args:
        image: (H, W, 3) uint8, or (H, W) of one grey for all.
        mask: (H, W) bool.
    """
    whole = int(np.count_nonzero(mask)) <= NEAR_EMPTY
    if whole:
        mask = np.ones_like(mask)
    return ReferenceInput(crop_square(image, mask, mask), box_of(mask), whole)


def released_reference_input(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> ReferenceInput | None:
    """A predicted reference as the released *evaluation* makes it.

    Departs from `reference_input`: non-zero pixels, not the mask, decide both the fallback (red channel only) and the
    crop's bounds. None where even the whole image is black: the released code then leaves the ground truth in place.
    """
    whole = int(((image[:, :, 0] > 0) & mask).sum()) <= NEAR_EMPTY
    if whole:
        mask = np.ones_like(mask)
    bright = (image > 0).any(2) & mask
    if not bright.any():
        return None
    return ReferenceInput(crop_square(image, mask, bright), box_of(mask), whole)
