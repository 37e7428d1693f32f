"""Pretrain SAM's image encoder and mask decoder on labelled images, each structure prompted by a learned embedding.

At full size MedSAM brings this knowledge. From scratch, `SEG` features would have to teach the encoder through the
language model; here an embedding per entity stands in for the feature, and a dense head names every pixel's
structures beside it. The head is dropped afterwards; the embeddings are what stage 1 draws `SEG` features towards.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from MediRoundLib.config import SamConfig
from MediRoundLib.imaging import as_rgb, sam_pixels
from MediRoundLib.modeling.sam import build_sam
from MediRoundLib.modeling.sam_decoder import decode_masks
from training.augment import STILL, augment
from training.data.entities import entities, entity_ids
from training.data.mixture import Mixture
from training.loop import Task, train
from training.losses import mask_dices
from training.recipe import Recipe
from training.team import ALONE, Team

# Structures prompted per image; a share of the prompts asks for one that is known to be absent.
PROMPTS = 3
ABSENT_RATE = 0.15
# Weight of an absent structure's pixels in the dense loss: there are many more of them.
ABSENT_WEIGHT = 0.2


@dataclass(frozen=True)
class Batch:
    """S is SAM's image size, G the side of its grid of patches, P the number of prompts per image.

    pixels (B, 3, S, S); for each of K structures known to be in an image or not: known (K, 2), number of the image and
    of the entity, with dense (K, 2 G, 2 G); prompted (B, P) entity ids with their targets (B, P, 4 G, 4 G). Dense and
    targets are shares of each pixel's area, from 0 to 1.
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
        dense = self.dense(embedding)[batch.known[:, 0], batch.known[:, 1]].float()
        there = batch.dense.flatten(1).amax(-1) > 0
        weight = torch.where(there, 1.0, ABSENT_WEIGHT)
        dense_bce = (_balanced_bce(dense, batch.dense) * weight).sum() / weight.sum()
        dense_loss = dense_bce + _dice(dense[there], batch.dense[there]).mean()
        # All images in one call: the decoder's many small products cost more to begin than to do.
        low_res = decode_masks(
            self.sam,
            embedding.repeat_interleave(batch.prompted.shape[1], dim=0),
            self.prompts(batch.prompted).flatten(0, 1),
        )[:, 0].float()
        target = batch.targets.flatten(0, 1)
        there = target.flatten(1).amax(-1) > 0
        # A small batch may ask for absent structures alone.
        mask_dice = _dice(low_res[there], target[there]).sum() / there.sum().clamp_min(1)
        mask_loss = _balanced_bce(low_res, target).mean() + mask_dice
        found = {"loss": dense_loss + mask_loss, "dense": dense_loss, "mask": mask_loss}
        if not torch.is_grad_enabled():
            found["dice"] = mask_dices(low_res[there], target[there] > 0.5).mean()
        return found


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

    def __init__(self, mixture: Mixture, recipe: Recipe, team: Team = ALONE) -> None:
        self._mixture, self._recipe, self._team = mixture, recipe, team
        self._ids = entity_ids()

    def __call__(self, step: int) -> Batch:
        items = [self._item(index) for index in self._team.share(step, self._recipe.phases["pretrain"].batch)]
        pixels, dense, known, prompted, targets = zip(*items, strict=True)
        pairs = [torch.stack([torch.full_like(ids, k), ids], dim=1) for k, ids in enumerate(known)]
        return Batch(
            torch.stack(pixels), torch.cat(dense), torch.cat(pairs), torch.stack(prompted), torch.stack(targets)
        )

    def _item(self, index: int) -> tuple[Tensor, ...]:
        """One image's pixels, dense areas, known ids, prompted ids and targets; see `Batch`."""
        sam = self._recipe.sam()
        rng = self._mixture.rng(index)
        while True:
            sample = augment(self._mixture.draw(index, rng), rng, sam.image_size, self._recipe.augment)
            if sample.masks:
                break
        pixels, (height, width) = sam_pixels(as_rgb(sample.image), sam)
        nothing = torch.zeros(sam.image_size, sam.image_size)
        full = {
            name: functional.pad(
                torch.from_numpy(mask).float(), (0, sam.image_size - width, 0, sam.image_size - height)
            )
            for name, mask in sample.masks.items()
        }
        known = sorted(sample.supervised | set(sample.masks))
        absent = sorted(sample.supervised - set(sample.masks))
        names = list(sample.masks)
        asked = [
            absent[rng.integers(len(absent))]
            if absent and rng.random() < ABSENT_RATE
            else names[rng.integers(len(names))]
            for _ in range(PROMPTS)
        ]
        return (
            pixels,
            _areas([full.get(name, nothing) for name in known], sam.patch_size // 2),
            torch.tensor([self._ids[name] for name in known]),
            torch.tensor([self._ids[name] for name in asked]),
            _areas([full.get(name, nothing) for name in asked], sam.patch_size // 4),
        )


def _areas(masks: list[Tensor], side: int) -> Tensor:
    """(N, S / side, S / side): the share of each square of `side` pixels that a mask covers."""
    return functional.avg_pool2d(torch.stack(masks), side)


def pretrain(
    recipe: Recipe,
    mixture: Mixture,
    run: Path,
    workers: int,
    device: torch.device,
    team: Team = ALONE,
    begin: Mapping[str, Tensor] | None = None,
) -> bool:
    """Run the phase in folder `run`; True when it is complete. `pretrained` reads what it made.

    `begin` holds the tensors of a SAM to train on from; without it all is fresh.
    """
    torch.manual_seed(recipe.seed)
    model = Pretrainer(recipe.sam(), len(entities())).to(device)
    if begin:
        model.sam.load_state_dict(begin)

    def restore(state: dict[str, Tensor]) -> None:
        model.load_state_dict(state)

    held_out = mixture.held_out if recipe.phases["pretrain"].check else None
    task = Task(
        "pretrain",
        model,
        model.state_dict,
        restore,
        BatchMaker(mixture, recipe, team),
        model.losses,
        BatchMaker(held_out, replace(recipe, augment=STILL)) if held_out else None,
    )
    return train(task, recipe.phases["pretrain"], run, workers, team)


def pretrained(run: Path) -> tuple[dict[str, Tensor], Tensor]:
    """Of the latest state in `run`: SAM's tensors by segment-anything's names, and each entity's (C,) prompt."""
    state = torch.load(run / "pretrain.pt", "cpu", weights_only=True)["state"]
    sam = {name.removeprefix("sam."): tensor for name, tensor in state.items() if name.startswith("sam.")}
    return sam, state["prompts.weight"]
