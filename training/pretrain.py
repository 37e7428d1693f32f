"""Pretrain the eyes of a model on labelled images: SAM's encoder and mask decoder, and CLIP's vision tower.

At full size MedSAM and CLIP bring this knowledge. From scratch, `SEG` features would have to teach SAM through the
language model; here an embedding per entity stands in for the feature, and a dense head names every pixel's structures
beside it. The vision tower learns to name the structures in every patch of an image and the one that a reference's crop
shows, and to say where a patch lies. The heads are dropped afterwards; the embeddings are what stage 1 draws `SEG`
features towards.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from MediRoundLib.config import ClipImageConfig, MediRoundConfig, SamConfig
from MediRoundLib.errors import MediRoundError
from MediRoundLib.imaging import ClipPixels, as_rgb, crop_square, sam_pixels
from MediRoundLib.modeling import MediRound
from MediRoundLib.modeling.clip import class_features, patch_features
from MediRoundLib.modeling.sam import build_sam
from MediRoundLib.modeling.sam_decoder import decode_masks
from MediRoundLib.modeling.sam_encoder import encode_image
from training.augment import STILL
from training.data.entities import entities, entity_ids
from training.data.mixture import Mixture
from training.data.sources import draw_augmented
from training.loop import Task, let_learn, train
from training.losses import mask_dices
from training.recipe import Recipe
from training.team import ALONE, Team

# Structures prompted per image; a share of the prompts asks for one that is known to be absent.
PROMPTS = 3
ABSENT_RATE = 0.15
# Weight of an absent structure's pixels in the dense loss: there are many more of them.
ABSENT_WEIGHT = 0.2
# Weight of naming the structure that a crop shows.
CROP_WEIGHT = 0.3
# Weight of saying where a patch lies. A tower that only names what a patch shows loses the place on the way, and the
# language model finds nothing "to the left of it" then.
PLACE_WEIGHT = 2.0


@dataclass(frozen=True)
class Batch:
    """S is SAM's image size, s CLIP's, G and g the sides of their grids of patches, P the number of prompts per image.

    pixels (B, 3, S, S) and clip (B, 3, s, s); for each of K structures known to be in an image or not: known (K, 2),
    number of the image and of the entity, with dense (K, 2 G, 2 G) and patches (K, g, g); crops (B, 3, s, s), each of
    the structure whose entity id is in cropped (B,); prompted (B, P) entity ids with their targets (B, P, 4 G, 4 G).
    Dense, patches and targets are shares of each pixel's area, from 0 to 1.
    """

    pixels: Tensor
    clip: Tensor
    dense: Tensor
    patches: Tensor
    known: Tensor
    crops: Tensor
    cropped: Tensor
    prompted: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


class Pretrainer(nn.Module):
    """SAM with an embedding per entity for a prompt and a dense head on its image embedding; a tower of three heads."""

    def __init__(self, config: SamConfig, vision: Mapping[str, Any], entity_count: int) -> None:
        """`vision` holds keyword arguments of transformers' CLIPVisionConfig."""
        super().__init__()
        self.sam = build_sam(config)
        dim = config.prompt_dim
        self.prompts = nn.Embedding(entity_count, dim)
        self.dense = nn.ConvTranspose2d(dim, entity_count, 2, stride=2)
        self.tower = CLIPVisionModel(CLIPVisionConfig(**vision))
        self.patches = nn.Linear(vision["hidden_size"], entity_count)
        self.crops = nn.Linear(vision["hidden_size"], entity_count)
        self.places = nn.Linear(vision["hidden_size"], 2)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        batch = batch.to(self.prompts.weight.device)
        found = self._sam_losses(batch) if _learn(self.sam, self.prompts, self.dense) else {}
        if _learn(self.tower):
            found |= self._tower_losses(batch)
        parts = [value for name, value in found.items() if name != "dice"]
        return {"loss": torch.stack(parts).sum(), **found}

    def _sam_losses(self, batch: Batch) -> dict[str, Tensor]:
        embedding = encode_image(self.sam.image_encoder, batch.pixels)
        dense_loss = _named_areas(self.dense(embedding)[batch.known.unbind(1)], batch.dense)
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
        found = {"dense": dense_loss, "mask": mask_loss}
        if not torch.is_grad_enabled():
            found["dice"] = mask_dices(low_res[there], target[there] > 0.5).mean()
        return found

    def _tower_losses(self, batch: Batch) -> dict[str, Tensor]:
        layer, known = MediRoundConfig.feature_layer, batch.known.unbind(1)
        features = patch_features(self.tower, batch.clip, layer)
        named = self.patches(features).transpose(1, 2)
        shown = self.crops(class_features(self.tower, batch.crops, layer)[:, 0]).float()
        return {
            "patch": _named_areas(named.unflatten(2, batch.patches.shape[1:])[known], batch.patches),
            "crop": CROP_WEIGHT * functional.cross_entropy(shown, batch.cropped),
            "place": PLACE_WEIGHT * _misplaced(self.places(features).float(), batch.patches.shape[-1]),
        }


def _learn(*parts: nn.Module) -> bool:
    """Whether anything in them does."""
    return any(parameter.requires_grad for part in parts for parameter in part.parameters())


def _misplaced(places: Tensor, side: int) -> Tensor:
    """Mean squared error of (B, side * side, 2) rows and columns of patches, from -1 to 1."""
    line = torch.linspace(-1, 1, side, device=places.device)
    true = torch.cartesian_prod(line, line)
    return functional.mse_loss(places, true.expand_as(places))


def _named_areas(logits: Tensor, areas: Tensor) -> Tensor:
    """How badly (K, h, w) logits name the structures of (K, h, w) areas; absent ones count for less."""
    logits, there = logits.float(), areas.flatten(1).amax(-1) > 0
    weight = torch.where(there, 1.0, ABSENT_WEIGHT)
    bce = (_balanced_bce(logits, areas) * weight).sum() / weight.sum()
    return bce + _dice(logits[there], areas[there]).mean()


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
        vision = recipe.model["vision"]
        self._clip = ClipPixels(ClipImageConfig(size=vision["image_size"]))
        self._grid = vision["image_size"] // vision["patch_size"]

    def __call__(self, step: int) -> Batch:
        items = [self._item(index) for index in self._team.share(step, self._recipe.phases["pretrain"].batch)]
        pixels, clip, dense, patches, known, crops, cropped, prompted, targets = zip(*items, strict=True)
        pairs = [torch.stack([torch.full_like(ids, k), ids], dim=1) for k, ids in enumerate(known)]
        return Batch(
            torch.stack(pixels),
            torch.stack(clip),
            torch.cat(dense),
            torch.cat(patches),
            torch.cat(pairs),
            torch.stack(crops),
            torch.stack(cropped),
            torch.stack(prompted),
            torch.stack(targets),
        )

    def _item(self, index: int) -> tuple[Tensor, ...]:
        """One image's part of a `Batch`, in the order of its fields."""
        sam = self._recipe.sam()
        rng = self._mixture.rng(index)
        while True:
            sample = draw_augmented(self._mixture, self._recipe, index, rng, sam.image_size)
            if sample.masks:
                break
        rgb = as_rgb(sample.image)
        pixels, (height, width) = sam_pixels(rgb, sam)
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
        shown = names[rng.integers(len(names))]
        return (
            pixels,
            self._clip(rgb),
            _areas([full.get(name, nothing) for name in known], sam.patch_size // 2),
            self._patch_areas([sample.masks.get(name, np.zeros(rgb.shape[:2], bool)) for name in known]),
            torch.tensor([self._ids[name] for name in known]),
            self._clip(crop_square(rgb, sample.masks[shown], sample.masks[shown])),
            torch.tensor(self._ids[shown]),
            torch.tensor([self._ids[name] for name in asked]),
            _areas([full.get(name, nothing) for name in asked], sam.patch_size // 4),
        )

    def _patch_areas(self, masks: list[NDArray[np.bool_]]) -> Tensor:
        """(N, g, g): the share of each of CLIP's patches that a mask covers; they lie in the image's middle square."""
        height, width = masks[0].shape
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        middle = torch.from_numpy(np.stack(masks))[:, top : top + side, left : left + side].float()
        return functional.adaptive_avg_pool2d(middle, self._grid)


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
    begin: tuple[MediRound, Tensor] | None = None,
) -> bool:
    """Run the phase in folder `run`; True when it is complete. `load_pretrained` reads what it made.

    `begin` is a model whose SAM and vision tower are trained on, and the prompts that stand for its own features (see
    `prompts.prompt_table`); without it all is fresh. What the phase names as `frozen` rests: "prompts.", so that the
    language model's features stay true, "tower.", or "sam." or parts of it (with "dense." the tower learns alone).
    """
    torch.manual_seed(recipe.seed)
    model = Pretrainer(recipe.sam(), recipe.model["vision"], len(entities()))
    if begin and not state_path(run).exists():
        begun, prompts = begin
        model.sam.load_state_dict(begun.sam.state_dict())
        model.tower.load_state_dict(begun.llava.model.vision_tower.state_dict())
        model.prompts.weight.data = torch.where(prompts.isnan(), model.prompts.weight.data, prompts)
    let_learn(model, recipe.phases["pretrain"])
    if not _learn(model.sam, model.tower):
        raise MediRoundError("pretrain: `frozen` leaves nothing to learn; take sam. or tower. out of it.")
    model.to(device)

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


def state_path(run: Path) -> Path:
    return run / "pretrain.pt"


def load_pretrained(run: Path, model: MediRound) -> Tensor:
    """Put the eyes of the latest state in `run` into a model of their size; returns (E, C), each entity's prompt."""
    state = torch.load(state_path(run), "cpu", weights_only=True)["state"]
    for part, name in ((model.sam, "sam."), (model.llava.model.vision_tower, "tower.")):
        part.load_state_dict({key.removeprefix(name): each for key, each in state.items() if key.startswith(name)})
    prompts: Tensor = state["prompts.weight"]
    return prompts
