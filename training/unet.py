"""A specialist for scale: MONAI's plain U-Net for one set, with one output for each of the set's structures.

Each output has its own sigmoid, not a softmax over all, since structures of some sets overlap and not every patient has
every label. It sees the slices at their own size, changed as the recipe changes them for the model.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from MediRoundLib.errors import MediRoundError
from MediRoundLib.imaging import as_rgb
from training.augment import AugmentConfig, augment
from training.data.real import RealSlice, read_set
from training.loop import Task, train
from training.recipe import PhaseRecipe

# The sides of its input are multiples of this: it halves them four times.
STRIDE = 16
CHANNELS = (16, 32, 64, 128, 256)

Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class SetSlices:
    """The train slices of one set.

    Attributes:
        slices: all of them.
        places: structure to the indices of the slices that it is in.
        size: side of the network's input: the longest of any slice, as far as `largest` allows.
    """

    slices: Sequence[RealSlice]
    places: dict[str, list[int]]
    size: int

    @classmethod
    def read(cls, folder: Path, largest: int) -> "SetSlices":
        """Raises MediRoundError where there is nothing to learn from."""
        slices = read_set(folder, "train")
        places: dict[str, list[int]] = {}
        for k, each in enumerate(slices):
            for name in sorted(each.present):
                places.setdefault(name, []).append(k)
        if not places:
            raise MediRoundError(f"The set {folder.name} has no labelled slices to train; leave it out of --sets.")
        longest = min(largest, max(max(each.labels.shape) for each in slices))
        return cls(slices, dict(sorted(places.items())), -(-longest // STRIDE) * STRIDE)

    @property
    def structures(self) -> list[str]:
        return list(self.places)


def build_unet(structures: int) -> nn.Module:
    """MONAI's U-Net with residual units and its own defaults for the rest; raises MediRoundError without MONAI."""
    try:
        nets: Any = importlib.import_module("monai.networks.nets")
    except ImportError as error:
        raise MediRoundError("The baseline needs MONAI: pip install 'mediround[baseline]'.") from error
    net: nn.Module = nets.UNet(
        spatial_dims=2,
        in_channels=3,
        out_channels=structures,
        channels=CHANNELS,
        strides=(2,) * (len(CHANNELS) - 1),
        num_res_units=2,
    )
    return net


class Batches:
    """Step number to a batch: pixels (B, 3, S, S), targets and which of them are known (B, structures, ..)."""

    def __init__(self, held: SetSlices, config: AugmentConfig, batch: int, seed: int) -> None:
        self._held, self._config, self._batch, self._seed = held, config, batch, seed

    def __call__(self, step: int) -> Batch:
        items = [self._item(step * self._batch + k) for k in range(self._batch)]
        pixels, targets, known = (torch.stack(column) for column in zip(*items, strict=True))
        return pixels, targets, known

    def _item(self, index: int) -> Batch:
        rng, held = np.random.default_rng([self._seed, index]), self._held
        names = held.structures
        # Structures evenly, as the model's own mixture draws them.
        places = held.places[names[int(rng.integers(len(names)))]]
        sample = held.slices[places[int(rng.integers(len(places)))]].shown(rng)
        sample = augment(sample, rng, held.size, self._config)
        nothing = np.zeros(sample.image.shape[:2], bool)
        masks = np.stack([sample.masks.get(name, nothing) for name in names])
        known = torch.tensor([name in sample.supervised or name in sample.masks for name in names])
        return _square(_planes(sample.image), held.size), _square(torch.from_numpy(masks).float(), held.size), known


def unet_losses(net: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Cross-entropy of the known structures, and soft Dice of those that are in the image."""
    device = next(net.parameters()).device
    pixels, targets, known = (each.to(device) for each in batch)
    logits = net(pixels)
    bce = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean((-2, -1))
    chances, seen = logits.sigmoid(), targets.amax((-2, -1)) > 0
    both, total = (chances * targets).sum((-2, -1)), (chances + targets).sum((-2, -1))
    dice = 1 - (2 * both + 1) / (total + 1)
    bce_loss = (bce * known).sum() / known.sum().clamp_min(1)
    dice_loss = (dice * seen).sum() / seen.sum().clamp_min(1)
    return {"loss": bce_loss + dice_loss, "bce": bce_loss, "dice": dice_loss}


def train_unet(net: nn.Module, batches: Batches, phase: PhaseRecipe, run: Path, label: str, workers: int) -> bool:
    """Train on, from RUN/LABEL.pt where that holds a state; False after an interrupt."""

    def restore(state: dict[str, Tensor]) -> None:
        net.load_state_dict(state)

    net.train()
    task = Task(label, net, net.state_dict, restore, batches, lambda batch: unet_losses(net, batch))
    return train(task, phase, run, workers)


def draw_masks(net: nn.Module, image: NDArray[np.uint8], size: int) -> NDArray[np.bool_]:
    """(structures, H, W) bool at the image's own size; `image` is (H, W[, 3]) uint8, `size` the network's side."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    device = next(net.parameters()).device
    with torch.inference_mode():
        planes = functional.interpolate(
            _planes(image)[None], inner, mode="bilinear", align_corners=False, antialias=True
        )
        logits = net.eval()(_square(planes[0], size)[None].to(device))[..., : inner[0], : inner[1]]
        full = functional.interpolate(logits, (height, width), mode="bilinear")
    drawn: NDArray[np.bool_] = (full[0] > 0).cpu().numpy()
    return drawn


def _planes(image: NDArray[np.uint8]) -> Tensor:
    """(3, H, W) from -1 to 1."""
    return torch.from_numpy(as_rgb(image)).permute(2, 0, 1).float() / 127.5 - 1


def _square(planes: Tensor, size: int) -> Tensor:
    """Zeros at right and bottom up to (.., size, size)."""
    return functional.pad(planes, (0, size - planes.shape[-1], 0, size - planes.shape[-2]))
