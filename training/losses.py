"""The released training losses as pure functions on tensors: sums over masks, so that a batch can be averaged as one.

Sources: MediRound (arXiv 2511.12110), Section 4 and 5.1; where the released code departs from it, the code is followed
(Edisonhimself/MediRound at 770a5c7, `model/mediround.py`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

# Dice sums are divided by this before the epsilon joins them, which makes the epsilon count as 1000 times itself.
DICE_SCALE = 1000.0
DICE_EPSILON = 1e-6
IOU_EPSILON = 1e-6
# How far from the prompt of its entity a `SEG` feature may well be, in `naming_loss`; prompts lie some 5 apart.
SPREAD = 1.5


@dataclass(frozen=True)
class LossWeights:
    """Factors of the released recipe. Stage 1: language, bce, dice; stage 2: bce, dice, quality.

    `alignment` and `naming` are not in it: in a model without a pretrained base they draw `SEG` features towards what
    stands for their entities, the prompts of pretraining or those of `prompts`, and away from what stands for others.
    """

    language: float = 1.0
    bce: float = 2.0
    dice: float = 0.5
    quality: float = 2.0
    alignment: float = 0.0
    naming: float = 0.0


def language_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the tokens that count.

    Args:
        logits: (M, vocabulary) at the position *before* each token.
        labels: (M,) token ids.
    """
    return functional.cross_entropy(logits.float(), labels)


def mask_losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy (mean over an image's pixels) and Dice loss, each summed over N masks.

    Args:
        logits: (N, H, W) at the size of the image.
        targets: (N, H, W) of 0 and 1, any type.
    """
    targets = targets.to(logits.dtype)
    bce = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").flatten(1).mean(1).sum()
    chances, truth = logits.sigmoid().flatten(1), targets.flatten(1)
    overlap = 2 * (chances / DICE_SCALE * truth).sum(1)
    total = (chances / DICE_SCALE).sum(1) + (truth / DICE_SCALE).sum(1)
    dice = (1 - (overlap + DICE_EPSILON) / (total + DICE_EPSILON)).sum()
    return bce, dice


def mask_dices(logits: Tensor, targets: Tensor) -> Tensor:
    """(N,) Dice coefficients (0..1) of the masks `logits > 0`; 1 for an empty mask of nothing. Args as `mask_ious`."""
    overlap, total = _areas(logits, targets)
    return torch.where(total > 0, 2 * overlap / total.clamp_min(1), 1.0)


def mask_ious(logits: Tensor, targets: Tensor) -> Tensor:
    """(N,) intersection over union of the masks `logits > 0`, which the judge learns to foretell; 0 for an empty union.

    Args:
        logits: (N, H, W).
        targets: (N, H, W) of 0 and 1, any type.
    """
    overlap, total = _areas(logits, targets)
    return overlap / (total - overlap + IOU_EPSILON)


def _areas(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) pixels that mask and target share, and (N,) pixels of the two together, shared ones twice."""
    drawn, truth = logits > 0, targets > 0
    overlap = (drawn & truth).flatten(1).sum(1)
    return overlap, drawn.flatten(1).sum(1) + truth.flatten(1).sum(1)


def quality_loss(scores: Tensor, ious: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Binary cross-entropy between the judge's scores and the true IoUs, summed over N masks.

    Args:
        scores: (N,) in [0, 1].
        ious: (N,) in [0, 1].
        dtype: the released code computes it in bfloat16, where scores above 0.998 become 1 and their gradients explode;
            pass that type to repeat its numbers.
    """
    with torch.autocast(scores.device.type, enabled=False):  # which refuses this loss in every type
        return functional.binary_cross_entropy(scores.to(dtype), ious.to(dtype), reduction="sum")


def alignment_loss(features: Tensor, entities: Tensor, prompts: Tensor) -> Tensor:
    """Mean squared distance of `SEG` features from the prompts that stand for their entities.

    Args:
        features: (N, C).
        entities: (N,) numbers of entities; -1 is left out.
        prompts: (E, C); an entity whose row is NaN is left out.
    """
    _, known = _there_and_known(entities, prompts)
    if not known.any():
        return features.new_zeros(())
    return functional.mse_loss(features[known], prompts[entities[known]].to(features.dtype))


def naming_loss(features: Tensor, entities: Tensor, prompts: Tensor) -> Tensor:
    """Mean cross-entropy of naming entities by their features: the nearer a prompt, the likelier its name.

    The likelihoods are those of normal distributions around the prompts, with a standard deviation of SPREAD. Where a
    question is hard, this learns faster than `alignment_loss`, which spends most on features that are right already.
    Arguments as there.
    """
    there, known = _there_and_known(entities, prompts)
    if not known.any():
        return features.new_zeros(())
    with torch.autocast(features.device.type, enabled=False):  # differences of large squares
        mine, candidates = features[known].float(), prompts[there].float()
        squared = mine.square().sum(1)[:, None] - 2 * mine @ candidates.T + candidates.square().sum(1)
        places = there.cumsum(0)[entities[known]] - 1
        return functional.cross_entropy(-squared / (2 * SPREAD**2), places)


def named_share(features: Tensor, entities: Tensor, prompts: Tensor) -> Tensor:
    """Share (0..1) of `SEG` features whose nearest prompt is that of their entity; arguments as `alignment_loss`."""
    there, known = _there_and_known(entities, prompts)
    nearest = torch.cdist(features[known].float(), prompts[there].float()).argmin(1)
    return (there.nonzero()[nearest, 0] == entities[known]).float().mean()


def _there_and_known(entities: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
    """(E,) which prompts are not NaN, and (N,) which of the entities are named and have such a prompt."""
    there = prompts.isfinite().all(1)
    return there, (entities >= 0) & there[entities]
