"""One training step's losses on a batch of dialogues, teacher-forced: true answers, true references."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from MediRoundLib.config import IMAGE_TOKEN
from MediRoundLib.modeling import MediRound
from MediRoundLib.text import IGNORED
from training.losses import (
    LossWeights,
    alignment_loss,
    language_loss,
    mask_dices,
    mask_ious,
    mask_losses,
    named_share,
    naming_loss,
    quality_loss,
)

# Dialogues that the language model reads at a time on a CPU. All at once, padded to the longest, were nearly half
# padding: a dialogue has one round or eight. A GPU is not filled by so few, and a split model gathered for each call.
GROUP = 4


@dataclass(frozen=True)
class Example:
    """One dialogue of R rounds, N of them with a reference, ready for the network; tensors are on the CPU.

    Attributes:
        sam_pixels: (3, S, S) float32, see `imaging.sam_pixels`.
        resized: (height, width) of the image inside them.
        clip_pixels: (3, s, s) float32.
        ids: token ids of the whole dialogue, `IMAGE_TOKEN` once; see `text.encode_dialogue`.
        labels: as many labels, `IGNORED` where the language loss does not count.
        crops: (N, 3, s, s) float32 CLIP pixels of the references' crops, in order.
        boxes: (N, 4) float32 in units of the image's width and height.
        targets: (R, H, W) bool or uint8 masks of 0 and 1; one for each `[SEG]` in `ids`.
        entities: (R,) number of each target's entity, -1 where it is not known; see `entities.entity_ids`.
    """

    sam_pixels: Tensor
    resized: tuple[int, int]
    clip_pixels: Tensor
    ids: list[int]
    labels: list[int]
    crops: Tensor
    boxes: Tensor
    targets: Tensor
    entities: Tensor


def alignment_step(
    model: MediRound, batch: Sequence[Example], weights: LossWeights, prompts: Tensor
) -> dict[str, Tensor]:
    """Training of the language side alone, before stage 1 and without a pretrained base: SAM takes no part.

    Args:
        model: in any device and type.
        batch: at least one dialogue.
        weights: of language and alignment.
        prompts: (E, C), what stands for each entity, see `losses.alignment_loss`.

    Returns:
        0-d tensors "loss", and its weighted parts "ce_loss" and "alignment_loss". Without gradients also "named", the
        share of features that are nearest to the right prompt.
    """
    hidden = _think(model, batch)
    ce_loss = _language_term(model, batch, hidden, weights)
    features = _features(model, batch, hidden)
    aligned = _alignment_term(batch, features, weights, prompts)
    found = {"loss": ce_loss + aligned, "ce_loss": ce_loss, "alignment_loss": aligned}
    if not torch.is_grad_enabled():
        found["named"] = named_share(torch.cat(features), _entities(batch, prompts), prompts)
    return found


def stage1_loss(
    model: MediRound, batch: Sequence[Example], weights: LossWeights | None = None, prompts: Tensor | None = None
) -> dict[str, Tensor]:
    """End-to-end training: language + masks.

    Args:
        model: in any device and type; parameters that do not learn should not require gradients.
        batch: at least one dialogue; sizes and lengths may differ.
        weights: the released ones by default.
        prompts: (E, C), what stands for each entity, see `losses.alignment_loss`; None leaves the alignment out.

    Returns:
        0-d tensors under the released names: "loss" to go backward from, and its weighted parts "ce_loss",
        "mask_bce_loss", "mask_dice_loss", "mask_loss" (the two before together), and "alignment_loss" with `prompts`.
        Without gradients also "dice", the mean Dice coefficient of the masks.
    """
    weights = weights or LossWeights()
    embeddings = model.encode_image(_stack([example.sam_pixels for example in batch], model))
    hidden = _think(model, batch)
    ce_loss = _language_term(model, batch, hidden, weights)
    features = _features(model, batch, hidden)
    logits = _draw(model, embeddings, features, batch)
    targets = [_targets(example, model) for example in batch]
    masks = _mask_terms(logits, targets, weights)
    found = {"loss": ce_loss + masks["mask_loss"], "ce_loss": ce_loss, **masks}
    if prompts is not None:
        found["alignment_loss"] = _alignment_term(batch, features, weights, prompts)
        found["loss"] = found["loss"] + found["alignment_loss"]
    if not torch.is_grad_enabled():
        found["dice"] = _dice(logits, targets)
    return found


def stage2_loss(
    model: MediRound,
    batch: Sequence[Example],
    weights: LossWeights | None = None,
    quality_dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Training of the JCM alone: every feature is corrected and drawn, every score compared with the IoU before it.

    Gradients reach judge and corrector only, whatever else requires them.

    Args:
        model: in any device and type.
        batch: at least one dialogue.
        weights: the released ones by default.
        quality_dtype: see `losses.quality_loss`.

    Returns:
        0-d tensors: "loss", and its weighted parts "quality_loss" (the released code prints it as ce_loss),
        "mask_bce_loss", "mask_dice_loss", "mask_loss" of the corrected masks. Without
        gradients also "dice" and "dice before" correction.
    """
    weights = weights or LossWeights()
    with torch.no_grad():
        embeddings = model.encode_image(_stack([example.sam_pixels for example in batch], model))
        features = seg_features(model, batch)
        targets = [_targets(example, model) for example in batch]
        drawn = _draw(model, embeddings, features, batch)
        ious = [mask_ious(each, truth) for each, truth in zip(drawn, targets, strict=True)]
    logits = _draw(model, embeddings, [model.corrector(each) for each in features], batch)
    masks = _mask_terms(logits, targets, weights)
    quality = torch.zeros((), dtype=quality_dtype, device=model.device)
    for feature, iou in zip(features, ious, strict=True):
        quality = quality + quality_loss(model.judge(feature), iou, quality_dtype)
    quality = weights.quality * quality / sum(len(feature) for feature in features)
    found = {"loss": masks["mask_loss"] + quality, "quality_loss": quality, **masks}
    if not torch.is_grad_enabled():
        found["dice"], found["dice before"] = _dice(logits, targets), _dice(drawn, targets)
    return found


def seg_features(model: MediRound, batch: Sequence[Example]) -> list[Tensor]:
    """For each dialogue of a batch the (R, C) `SEG` features of its rounds."""
    return _features(model, batch, _think(model, batch))


def _think(model: MediRound, batch: Sequence[Example], at_a_time: int | None = None) -> Tensor:
    """(B, T, D) hidden states of all dialogues, padded at the right; each image encoder call takes the whole batch."""
    patches = model.encode_patches(_stack([example.clip_pixels for example in batch], model))
    counts = [len(example.crops) for example in batch]
    if sum(counts):
        crops = model.encode_crops(_join([example.crops for example in batch], model))
        boxes = model.encode_boxes(_join([example.boxes for example in batch], model))
    else:
        crops = boxes = patches.new_zeros(0, patches.shape[-1])
    sequences = [
        model.embed(example.ids, patches[k], own_crops, own_boxes)
        for k, (example, own_crops, own_boxes) in enumerate(
            zip(batch, crops.split(counts), boxes.split(counts), strict=True)
        )
    ]
    return _think_alike(model, sequences, at_a_time or (GROUP if model.device.type == "cpu" else len(batch)))


def _think_alike(model: MediRound, sequences: Sequence[Tensor], at_a_time: int) -> Tensor:
    """(B, T, D) hidden states of sequences of (T', D) embeddings; those that run together are about equally long."""
    by_length = sorted(range(len(sequences)), key=lambda k: len(sequences[k]))
    hidden: dict[int, Tensor] = {}
    for first in range(0, len(sequences), at_a_time):
        group = by_length[first : first + at_a_time]
        lengths = torch.tensor([len(sequences[k]) for k in group], device=model.device)
        embeddings = pad_sequence([sequences[k] for k in group], batch_first=True)
        mask = torch.arange(embeddings.shape[1], device=model.device) < lengths[:, None]
        found = model.think(embeddings, mask=None if bool(mask.all()) else mask)
        hidden |= {k: found[place, : len(sequences[k])] for place, k in enumerate(group)}
    return pad_sequence([hidden[k] for k in range(len(sequences))], batch_first=True)


def _features(model: MediRound, batch: Sequence[Example], hidden: Tensor) -> list[Tensor]:
    """For each dialogue the (R, C) `SEG` features, read at the position before each `[SEG]`."""
    ids = _padded([_expand(example.ids, example.ids, model, IMAGE_TOKEN) for example in batch], IMAGE_TOKEN, model)
    before = ids[:, 1:] == model.config.tokens.seg
    features = model.seg_features(hidden[:, :-1][before])
    return list(features.split(before.sum(1).tolist()))


def _language_term(model: MediRound, batch: Sequence[Example], hidden: Tensor, weights: LossWeights) -> Tensor:
    """The weighted language loss of (B, T, D) hidden states."""
    labels = _padded([_expand(example.labels, example.ids, model, IGNORED) for example in batch], IGNORED, model)
    # The hidden state at a position foretells the next token; only those that count go through the vocabulary.
    counted = labels[:, 1:] != IGNORED
    logits = model.vocabulary_logits(hidden[:, :-1][counted])
    return weights.language * language_loss(logits, labels[:, 1:][counted])


def _alignment_term(
    batch: Sequence[Example], features: Sequence[Tensor], weights: LossWeights, prompts: Tensor
) -> Tensor:
    """The weighted alignment of the dialogues' (R, C) features, by distance and by name."""
    found, entities = torch.cat(list(features)), _entities(batch, prompts)
    aligned = weights.alignment * alignment_loss(found, entities, prompts)
    return aligned + weights.naming * naming_loss(found, entities, prompts) if weights.naming else aligned


def _entities(batch: Sequence[Example], prompts: Tensor) -> Tensor:
    """Numbers of all rounds' entities, where the prompts are."""
    return torch.cat([example.entities for example in batch]).to(prompts.device)


def _dice(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """The mean Dice coefficient of all masks of a batch, whose sizes may differ."""
    return torch.cat([mask_dices(drawn, truth) for drawn, truth in zip(logits, targets, strict=True)]).mean()


def _draw(model: MediRound, embeddings: Tensor, features: Sequence[Tensor], batch: Sequence[Example]) -> list[Tensor]:
    """For each dialogue (R, H, W) float32 logits, from the images' (B, C, h, w) embeddings and (R, C) features each.

    All masks go through the decoder in one call: its many small products cost more to begin than to do.
    """
    counts = torch.tensor([len(own) for own in features], device=embeddings.device)
    low_res = model.decode(embeddings.repeat_interleave(counts, dim=0), torch.cat(list(features)))
    return [
        model.upscale(own, example.resized, (example.targets.shape[-2], example.targets.shape[-1]))
        for own, example in zip(low_res.split(counts.tolist()), batch, strict=True)
    ]


def _mask_terms(logits: Sequence[Tensor], targets: Sequence[Tensor], weights: LossWeights) -> dict[str, Tensor]:
    """The weighted mask losses, averaged over all masks of the batch."""
    terms = [mask_losses(drawn, truth) for drawn, truth in zip(logits, targets, strict=True)]
    count = sum(len(drawn) for drawn in logits)
    bce = weights.bce * torch.stack([term[0] for term in terms]).sum() / count
    dice = weights.dice * torch.stack([term[1] for term in terms]).sum() / count
    return {"mask_bce_loss": bce, "mask_dice_loss": dice, "mask_loss": bce + dice}


def _expand(values: Sequence[int], ids: Sequence[int], model: MediRound, filler: int) -> Tensor:
    """`values`, one for each of `ids`, with `filler` for each patch that takes the place of `IMAGE_TOKEN`."""
    place = list(ids).index(IMAGE_TOKEN)
    return torch.tensor([*values[:place], *[filler] * model.config.image_tokens, *values[place + 1 :]])


def _padded(rows: Sequence[Tensor], filler: int, model: MediRound) -> Tensor:
    return pad_sequence(list(rows), batch_first=True, padding_value=filler).to(model.device)


def _targets(example: Example, model: MediRound) -> Tensor:
    return example.targets.to(model.device)


def _stack(tensors: Sequence[Tensor], model: MediRound) -> Tensor:
    return torch.stack(list(tensors)).to(model.device, model.dtype)


def _join(tensors: Sequence[Tensor], model: MediRound) -> Tensor:
    return torch.cat(list(tensors)).to(model.device, model.dtype)
