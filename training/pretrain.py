"""Pretrain SAM's image encoder and mask decoder on labelled images, each structure prompted by a learned embedding.

At full size MedSAM brings this knowledge. From scratch, `SEG` features would have to teach the encoder through the
language model; here an embedding per entity stands in for the feature, and a dense head names every pixel's
structures beside it. The head is dropped afterwards; the embeddings are what stage 1 draws `SEG` features towards.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from MediRoundLib.config import SamConfig
from MediRoundLib.imaging import as_rgb, sam_pixels
from MediRoundLib.modeling.sam import build_sam
from MediRoundLib.modeling.sam_decoder import decode_masks
from training.augment import augment
from training.data.entities import entities, entity_ids
from training.data.mixture import Mixture
from training.loop import train
from training.recipe import Recipe

# Structures prompted per image; a share of the prompts asks for one that is known to be absent.
PROMPTS = 4
ABSENT_RATE = 0.15
# Weight of an absent structure's pixels in the dense loss: there are many more of them.
ABSENT_WEIGHT = 0.2


@dataclass(frozen=True)
class Batch:
    """S is SAM's image size, E the number of entities, P that of prompts per image; areas are shares in [0, 1].

    pixels (B, 3, S, S); dense (B, E, S / 8, S / 8) areas, with known (B, E) bool; prompted (B, P) entity ids with their
    targets (B, P, S / 4, S / 4) areas.
    """

    pixels: Tensor
    dense: Tensor
    known: Tensor
    prompted: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


class Pretrainer(nn.Module):
    """SAM with an embedding per entity for a prompt, and a dense head on its image embedding."""

    def __init__(self, config: SamConfig, entity_count: int) -> None:
        super().__init__()
        self.sam = build_sam(config)
        dim = config.prompt_dim
        self.prompts = nn.Embedding(entity_count, dim)
        self.dense = nn.ConvTranspose2d(dim, entity_count, 2, stride=2)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        batch = batch.to(self.prompts.weight.device)
        embedding = self.sam.image_encoder(batch.pixels)
        dense = self.dense(embedding)
        there = batch.dense.flatten(2).amax(-1) > 0
        weight = batch.known * torch.where(there, 1.0, ABSENT_WEIGHT)
        dense_bce = (_balanced_bce(dense, batch.dense) * weight).sum() / weight.sum()
        dense_loss = dense_bce + _dice(dense[there], batch.dense[there]).mean()
        low_res = torch.cat(
            [
                decode_masks(self.sam, embedding[k : k + 1], self.prompts(ids))[:, 0]
                for k, ids in enumerate(batch.prompted)
            ]
        )
        target = batch.targets.flatten(0, 1)
        there = target.flatten(1).amax(-1) > 0
        # A small batch may ask for absent structures alone.
        mask_dice = _dice(low_res[there], target[there]).sum() / there.sum().clamp_min(1)
        mask_loss = _balanced_bce(low_res, target).mean() + mask_dice
        return {"loss": dense_loss + mask_loss, "dense": dense_loss, "mask": mask_loss}


def _balanced_bce(logits: Tensor, target: Tensor) -> Tensor:
    """(..., h, w) to (...): cross-entropy in which a small structure's pixels weigh more, lest it be missed at first.

    Positive pixels weigh sqrt(background / structure), at most 20 times the others.
    """
    share = target.mean((-2, -1), keepdim=True)
    positive = ((1 - share) / share.clamp_min(1e-6)).sqrt().clamp(1, 20)
    weight = 1 + target * (positive - 1)
    bce = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (bce * weight).sum((-2, -1)) / weight.sum((-2, -1))


def _dice(logits: Tensor, target: Tensor) -> Tensor:
    """(..., h, w) to (...): 1 minus the soft Dice coefficient."""
    probability = logits.sigmoid()
    return 1 - (2 * (probability * target).sum((-2, -1)) + 1e-3) / (
        probability.sum((-2, -1)) + target.sum((-2, -1)) + 1e-3
    )


class BatchMaker:
    """Step number to a batch; the same number gives the same batch."""

    def __init__(self, mixture: Mixture, recipe: Recipe) -> None:
        self._mixture, self._recipe = mixture, recipe
        self._ids = entity_ids()

    def __call__(self, step: int) -> Batch:
        size, batch = self._recipe.sam().image_size, self._recipe.phases["pretrain"].batch
        items = [self._item(step * batch + k, size) for k in range(batch)]
        return Batch(*(torch.stack(column) for column in zip(*items, strict=True)))

    def _item(self, index: int, size: int) -> tuple[Tensor, ...]:
        rng = self._mixture.rng(index)
        while True:
            sample = augment(self._mixture.draw(index, rng), rng, size, self._recipe.augment)
            if sample.masks:
                break
        pixels, (height, width) = sam_pixels(as_rgb(sample.image), self._recipe.sam())
        full = {
            name: functional.pad(torch.from_numpy(mask).float(), (0, size - width, 0, size - height))
            for name, mask in sample.masks.items()
        }
        dense = torch.zeros(len(self._ids), size // 8, size // 8)
        for name, mask in full.items():
            dense[self._ids[name]] = functional.avg_pool2d(mask[None], 8)[0]
        known = torch.zeros(len(self._ids), dtype=torch.bool)
        known[[self._ids[name] for name in sample.supervised | set(sample.masks)]] = True
        absent = sorted(sample.supervised - set(sample.masks))
        names = list(sample.masks)
        asked = [
            absent[rng.integers(len(absent))]
            if absent and rng.random() < ABSENT_RATE
            else names[rng.integers(len(names))]
            for _ in range(PROMPTS)
        ]
        nothing = torch.zeros(size, size)
        targets = torch.stack([functional.avg_pool2d(full.get(name, nothing)[None], 4)[0] for name in asked])
        return pixels, dense, known, torch.from_numpy(np.array([self._ids[name] for name in asked])), targets


def pretrain(recipe: Recipe, mixture: Mixture, run: Path, workers: int, device: torch.device) -> bool:
    """Run the phase in folder `run`; True when it is complete. `pretrained` reads what it made."""
    torch.manual_seed(recipe.seed)
    model = Pretrainer(recipe.sam(), len(entities())).to(device)
    return train(
        model.parameters(),
        model.state_dict,
        lambda state: _load(model, state),
        BatchMaker(mixture, recipe),
        model.losses,
        recipe.phases["pretrain"],
        run / "pretrain.pt",
        workers,
        "pretrain",
    )


def _load(model: nn.Module, state: dict[str, Tensor]) -> None:
    model.load_state_dict(state)


def pretrained(run: Path) -> tuple[dict[str, Tensor], Tensor]:
    """Of the latest state in `run`: SAM's tensors by segment-anything's names, and each entity's (C,) prompt."""
    state = torch.load(run / "pretrain.pt", "cpu", weights_only=True)["state"]
    sam = {name.removeprefix("sam."): tensor for name, tensor in state.items() if name.startswith("sam.")}
    return sam, state["prompts.weight"]
