"""Random changes that an image may undergo and stay what it is. Left and right are kept honest."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from MediRoundLib.imaging import View, as_rgb
from training.data.looks import smooth_noise
from training.data.samples import LabelledImage, flip

# Share of the distorted masks that stray, and the standard deviation of their shift, in their own sizes.
STRAY_RATE, STRAY = 0.15, 1.0


@dataclass(frozen=True)
class AugmentConfig:
    """Strengths. `flip` is a probability, the others are standard deviations or ranges."""

    flip: float = 0.5
    rotate: float = 8.0  # degrees
    shift: float = 0.06  # of the image's side
    zoom: tuple[float, float] = (0.85, 2.0)
    stretch: float = 0.05
    bend: float = 0.0  # of the image's side
    shade: float = 0.0  # of the logarithm of brightness, smoothly over the image
    gamma: float = 0.2
    contrast: float = 0.15
    noise: float = 0.03
    smallest: int = 12  # pixels that a structure must keep


# Points along a side at which a bend or a shade is drawn; it runs smoothly between them.
POINTS = 5
# No change but that of size: for held-out patients.
STILL = AugmentConfig(flip=0, rotate=0, shift=0, zoom=(1, 1), stretch=0, bend=0, shade=0, gamma=0, contrast=0, noise=0)


def close_up(sample: LabelledImage) -> LabelledImage:
    """What a model with `close_up` sees of the sample; structures out of view leave the masks."""
    view = View.close_up(as_rgb(sample.image))
    masks = {name: view.take(mask) for name, mask in sample.masks.items()}
    return replace(
        sample, image=view.take(sample.image), masks={name: mask for name, mask in masks.items() if mask.any()}
    )


def augment(sample: LabelledImage, rng: np.random.Generator, size: int, config: AugmentConfig) -> LabelledImage:
    """A changed copy whose longest side is `size` pixels; structures that leave the picture leave the masks.

    A mirrored image swaps the words left and right (see `flip`). Zooming in looks at the structures, not at the air.
    """
    if rng.random() < config.flip:
        sample = flip(sample)
    height, width = sample.image.shape[:2]
    scale = size / max(height, width)
    out_h, out_w = max(1, round(height * scale)), max(1, round(width * scale))
    names = list(sample.masks)
    image = sample.image if sample.image.ndim == 3 else sample.image[:, :, None]
    channels = image.shape[2]
    stack = np.concatenate([image, *(sample.masks[name][:, :, None].astype(np.uint8) * 255 for name in names)], axis=2)
    planes = torch.from_numpy(stack).permute(2, 0, 1)[None].float()
    grid = functional.affine_grid(_affine(sample, rng, config), [1, 1, out_h, out_w], align_corners=False)
    if config.bend:
        waves = np.stack([smooth_noise(rng, (out_h, out_w), POINTS) for _ in "xy"], axis=-1)
        grid = grid + torch.from_numpy(waves) * (2 * config.bend)
    moved = functional.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0].numpy()
    pixels = _grey_levels(moved[:channels].transpose(1, 2, 0), rng, config)
    masks = {name: plane > 127.5 for name, plane in zip(names, moved[channels:], strict=True)}
    masks = {name: mask for name, mask in masks.items() if mask.sum() >= config.smallest}
    cut_away = set(names) - set(masks)
    return replace(
        sample,
        image=pixels if channels == 3 else pixels[:, :, 0],
        masks=masks,
        # A structure of which a sliver is left is neither there nor known to be absent.
        supervised=sample.supervised - cut_away,
    )


def _affine(sample: LabelledImage, rng: np.random.Generator, config: AugmentConfig) -> torch.Tensor:
    """(1, 2, 3) map from output to input coordinates in [-1, 1]."""
    height, width = sample.image.shape[:2]
    zoom = np.exp(rng.uniform(np.log(config.zoom[0]), np.log(config.zoom[1])))
    angle = np.deg2rad(rng.normal(0, config.rotate))
    stretch = np.exp(rng.normal(0, config.stretch))
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle) * height / width], [np.sin(angle) * width / height, np.cos(angle)]]
    )
    matrix = rotation @ np.diag([1 / (zoom * stretch), stretch / zoom])
    centre = np.zeros(2)
    if zoom > 1:
        # Towards the middle of the structures, as far as the zoom allows without showing what is outside.
        union = np.any(list(sample.masks.values()), axis=0) if sample.masks else np.ones((height, width), bool)
        rows, columns = np.nonzero(union)
        middle = np.array([columns.mean() / width, rows.mean() / height]) * 2 - 1
        room = 1 - 1 / zoom
        centre = np.clip(middle + rng.normal(0, 0.15, 2), -room, room)
    centre = centre + rng.normal(0, config.shift, 2)
    return torch.tensor(np.concatenate([matrix, centre[:, None]], axis=1), dtype=torch.float32)[None]


def _grey_levels(pixels: NDArray[np.float32], rng: np.random.Generator, config: AugmentConfig) -> NDArray[np.uint8]:
    """(H, W, C) grey levels 0..255 with another gamma, shade, contrast, brightness and noise."""
    level = np.clip(pixels / 255, 0, 1) ** np.exp(rng.normal(0, config.gamma))
    if config.shade:
        shade = smooth_noise(rng, (level.shape[0], level.shape[1]), POINTS)
        level = level * np.exp(shade * abs(rng.normal(0, config.shade)))[:, :, None]
    level = (level - 0.5) * np.exp(rng.normal(0, config.contrast)) + 0.5 + rng.normal(0, config.contrast / 3)
    level = level + rng.normal(0, abs(rng.normal(0, config.noise)), (*level.shape[:2], 1))
    return np.rint(np.clip(level, 0, 1) * 255).astype(np.uint8)


def distort(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """An (H, W) mask as a model might draw it: shifted, of another size, sometimes with a side cut off; never empty.

    A few stray, as where a model draws the structure beside the one that was asked for; one that would leave the image
    stays as it is.
    """
    rows, columns = np.nonzero(mask)
    middle = np.array([rows.mean(), columns.mean()])
    sides = np.array([np.ptp(rows), np.ptp(columns)]) + 1
    scale, spread = np.exp(rng.normal(0, 0.2)), STRAY if rng.random() < STRAY_RATE else 0.12
    shift = rng.normal(0, spread, 2) * sides
    # Where each pixel of the distorted mask looks in the true one.
    places = [(np.arange(size) - middle[k] - shift[k]) / scale + middle[k] for k, size in enumerate(mask.shape)]
    seen = [np.rint(place).astype(int) for place in places]
    inside = [(where >= 0) & (where < size) for where, size in zip(seen, mask.shape, strict=True)]
    clipped = [np.clip(where, 0, size - 1) for where, size in zip(seen, mask.shape, strict=True)]
    drawn: NDArray[np.bool_] = mask[np.ix_(*clipped)] & inside[0][:, None] & inside[1][None, :]
    if rng.random() < 0.3:
        away = rng.normal(0, 1, 2)
        grid = np.indices(mask.shape).astype(float) - (middle + shift)[:, None, None]
        reach = np.abs(away * sides).sum() / 2
        drawn = drawn & (np.tensordot(away, grid, 1) < rng.uniform(0, 1) * reach)
    return drawn if drawn.any() else mask
