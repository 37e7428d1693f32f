"""The training losses: by hand on small masks, and a batch against its dialogues one by one."""

import math

import numpy as np
import pytest
import torch
from builders import picture, small_checkpoint

from MediRoundLib.checkpoints import Checkpoint
from training.examples import ExampleMaker, TaughtRound
from training.losses import (
    SPREAD,
    LossWeights,
    alignment_loss,
    language_loss,
    mask_ious,
    mask_losses,
    named_share,
    naming_loss,
    quality_loss,
)
from training.step import GROUP, Example, stage1_loss, stage2_loss

QUERIES = ("Segment the left lung.", "Segment the other one.", "Segment the tumor of it.")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return small_checkpoint()


def example(checkpoint: Checkpoint, rounds: int, height: int, referenced: bool = True) -> Example:
    """`rounds` rounds about an image of another shape; each but the first refers to the one before."""
    taught: list[TaughtRound] = []
    for k in range(rounds):
        mask = np.zeros((height, 90), dtype=bool)
        mask[5 * k : 20 + 5 * k, 10 : 40 + k] = True
        reference = taught[-1].target if taught and referenced else None
        tokens = "[CROPPEDIMAGE][BBOXINPUT]" if reference is not None else ""
        turn = ("<image>\n" if k == 0 else tokens) + f" {QUERIES[k]}"
        taught.append(TaughtRound(turn, "It is [SEG].", mask, reference))
    return ExampleMaker(checkpoint.config, checkpoint.tokenizer)(picture(height, seed=rounds), taught)


def test_batch_is_its_dialogues(checkpoint: Checkpoint) -> None:
    """Padding and shared encoder calls change nothing: masks are averaged over masks, words over words."""
    batch = [example(checkpoint, 3, 70), example(checkpoint, 1, 50), example(checkpoint, 2, 110, referenced=False)]
    batch += [example(checkpoint, rounds, 60) for rounds in (1, 3, 2, 1)]
    assert len(batch) > GROUP, "the language model reads more than one group"
    with torch.no_grad():
        for loss in (stage1_loss, stage2_loss):
            whole, alone = loss(checkpoint.model, batch), [loss(checkpoint.model, [each]) for each in batch]
            for name, found in whole.items():
                if name == "loss":
                    continue
                words = [sum(label >= 0 for label in each.labels) for each in batch]
                share = words if name == "ce_loss" else [len(each.targets) for each in batch]
                parts = sum(float(one[name]) * n for one, n in zip(alone, share, strict=True))
                assert float(found) == pytest.approx(parts / sum(share), rel=1e-5)
            names = set(whole) - {"loss", "mask_bce_loss", "mask_dice_loss", "dice", "dice before"}
            assert float(whole["loss"]) == pytest.approx(sum(float(whole[name]) for name in names))


def test_stage_1_trains_everything_but_the_jcm(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    model.zero_grad()
    stage1_loss(model, [example(checkpoint, 3, 70)])["loss"].backward()
    for part in (model.llava, model.sam.image_encoder, model.sam.mask_decoder, model.project_seg, model.bbox_encoder):
        assert any(p.grad is not None and bool(p.grad.any()) for p in part.parameters())
    assert all(p.grad is None for part in (model.judge, model.corrector) for p in part.parameters())


def test_stage_2_trains_the_jcm_alone(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    model.zero_grad()
    stage2_loss(model, [example(checkpoint, 3, 70)])["loss"].backward()
    for part in (model.judge, model.corrector):
        assert all(p.grad is not None and bool(p.grad.any()) for p in part.parameters())
    encoders = (model.llava, model.sam.image_encoder, model.project_seg, model.bbox_encoder)
    assert all(p.grad is None for part in encoders for p in part.parameters())


def test_weights_scale_their_terms(checkpoint: Checkpoint) -> None:
    batch = [example(checkpoint, 2, 70)]
    with torch.no_grad():
        released = stage1_loss(checkpoint.model, batch)
        plain = stage1_loss(checkpoint.model, batch, LossWeights(language=3, bce=1, dice=1))
    assert float(plain["ce_loss"]) == pytest.approx(3 * float(released["ce_loss"]))
    assert float(plain["mask_bce_loss"]) == pytest.approx(float(released["mask_bce_loss"]) / 2)
    assert float(plain["mask_dice_loss"]) == pytest.approx(float(released["mask_dice_loss"]) * 2)


def test_losses_by_hand() -> None:
    logits = torch.tensor([[[0.0, 100.0], [-100.0, -100.0]]])
    target = torch.tensor([[[1, 1], [0, 0]]], dtype=torch.uint8)
    bce, dice = mask_losses(logits, target)
    assert float(bce) == pytest.approx(math.log(2) / 4)
    assert float(dice) == pytest.approx(1 - (2 * 1.5 / 1000 + 1e-6) / (3.5 / 1000 + 1e-6))
    assert mask_ious(logits, target).tolist() == pytest.approx([0.5])
    assert mask_ious(-logits.abs(), torch.zeros_like(target)).tolist() == [0.0]
    scores, ious = torch.tensor([0.5, 0.25]), torch.tensor([1.0, 0.0])
    expected = -math.log(0.5) - math.log(0.75)
    assert float(quality_loss(scores, ious)) == pytest.approx(expected)
    assert quality_loss(scores, ious, torch.bfloat16).dtype == torch.bfloat16
    assert float(language_loss(torch.zeros(3, 8), torch.tensor([0, 1, 7]))) == pytest.approx(math.log(8))


def test_alignment_leaves_out_what_it_does_not_know() -> None:
    """An entity that is not named, and one whose prompt is NaN; the nearest prompt is sought among the others."""
    prompts = torch.tensor([[0.0, 0.0], [torch.nan, torch.nan], [1.0, 1.0]])
    features = torch.tensor([[0.9, 0.9], [0.2, 0.0], [9.0, 9.0], [9.0, 9.0]], requires_grad=True)
    entities = torch.tensor([2, 2, 1, -1])
    loss = alignment_loss(features, entities, prompts)
    loss.backward()
    assert loss.item() == pytest.approx((0.01 + 0.01 + 0.64 + 1.0) / 4)
    assert features.grad is not None
    assert features.grad[:2].abs().min() > 0
    assert not features.grad[2:].any()
    assert named_share(features.detach(), entities, prompts).item() == 0.5
    assert alignment_loss(features, torch.tensor([1, 1, -1, -1]), prompts) == 0


def test_naming_is_the_surer_the_nearer() -> None:
    prompts = torch.tensor([[0.0, 0.0], [torch.nan, torch.nan], [3.0, 0.0]])
    entities = torch.tensor([0, 2, 1, -1])

    def loss(*places: float) -> float:
        features = torch.tensor([[place, 1.0] for place in places])
        return naming_loss(features, entities, prompts).item()

    half = math.log(2)
    assert loss(1.5, 1.5, 0.0, 0.0) == pytest.approx(half), "both prompts are as near"
    nearer, further = math.exp(-1 / (2 * SPREAD**2)), math.exp(-4 / (2 * SPREAD**2))
    assert loss(1.0, 2.0, 9.0, 9.0) == pytest.approx(-math.log(nearer / (nearer + further)))
    assert loss(3.0, 0.0, 0.0, 0.0) > half > loss(0.0, 3.0, 0.0, 0.0)
    assert naming_loss(torch.ones(1, 2), torch.tensor([1]), prompts) == 0
