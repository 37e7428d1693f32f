"""What a model looks at: the square around what shows, with masks and logits brought there and back."""

from dataclasses import replace

import numpy as np
import pytest
from builders import picture, small_engine
from numpy.typing import NDArray

from MediRoundLib.bench import bench
from MediRoundLib.engine import Engine
from MediRoundLib.imaging import View
from training.augment import close_up
from training.data.samples import LabelledImage
from training.examples import ExampleMaker, TaughtRound

Reference = int | NDArray[np.bool_] | None
QUERIES = ["Segment the left lung.", "Segment the tumor.", "Segment the liver."]
# Rows and columns of the patient in `scene`.
PATIENT = slice(20, 60), slice(90, 120)


def scene() -> NDArray[np.uint8]:
    """(100, 140, 3): a patient of 40 x 30 pixels, a thin table below, a speck, and noise too dark to show."""
    image = np.random.default_rng(0).integers(0, 15, (100, 140, 3), dtype=np.uint8)
    image[PATIENT] = picture(40, 30) // 2 + 100
    image[80, 60:100] = 200
    image[5, 5] = 255
    return image


@pytest.fixture
def close() -> Engine:
    """An engine whose model looks at the square around what shows."""
    engine = small_engine()
    engine.config = replace(engine.config, close_up=True)
    return engine


def test_the_patient_fills_the_view() -> None:
    image = scene()
    view = View.close_up(image)
    assert view.square == (19, 84, 42)  # 40 pixels and a margin of 1; the patient's columns are in the middle
    taken = view.take(image)
    assert taken.shape == (42, 42, 3)
    assert np.array_equal(taken[1:41, 6:36], image[PATIENT])


def test_parts_that_lie_apart_are_all_in_view() -> None:
    image = np.zeros((100, 140, 3), np.uint8)
    image[40:60, 10:30] = image[40:60, 100:120] = 90
    view = View.close_up(image)
    assert view.square is not None
    assert view.take(image).any(2).sum() == 800
    assert view.square[2] == 110 + 2 * 3


@pytest.mark.parametrize("size", [(100, 140), (140, 100), (1100, 700)])
def test_what_is_all_dark_is_seen_whole(size: tuple[int, int]) -> None:
    view = View.close_up(np.zeros((*size, 3), np.uint8))
    mask = np.ones(size, bool)
    assert view.take(mask).sum() == mask.sum()


def test_a_large_picture_is_searched_coarsely_and_misses_nothing() -> None:
    image = np.zeros((1200, 900, 3), np.uint8)
    image[103:1007, 211:690] = 90
    taken = View.close_up(image).take(image[:, :, 0])
    assert (taken > 0).sum() == (image[:, :, 0] > 0).sum()


def test_there_and_back_beyond_the_border() -> None:
    """A view of a picture that shows everywhere is larger than the picture."""
    image = picture(70, 90)
    view = View.close_up(np.maximum(image, 50))
    assert view.square is not None
    assert min(view.square[:2]) < 0
    logits = np.random.default_rng(0).normal(size=image.shape[:2]).astype(np.float32)
    assert np.array_equal(view.put(view.take(logits)), logits)


def test_a_dialogue_is_that_about_the_cut_picture(close: Engine) -> None:
    image = scene()
    view = View.close_up(image)
    whole, cut = close.open(image), small_engine().open(view.take(image))
    reference = np.zeros(image.shape[:2], bool)
    reference[25:40, 95:110] = True
    pairs: list[tuple[Reference, Reference]] = [(None, None), (1, 1), (reference, view.take(reference))]
    for query, (ours_sees, theirs_sees) in zip(QUERIES, pairs, strict=True):
        ours, theirs = whole.ask(query, ours_sees), cut.ask(query, theirs_sees)
        assert ours.mask.shape == image.shape[:2]
        assert ours.quality == theirs.quality
        assert np.array_equal(view.take(ours.logits), view.take(view.put(theirs.logits)))
        outside = np.ones(image.shape[:2], bool)
        outside[19:61, 84:126] = False
        assert not ours.mask[outside].any()


def test_a_reference_out_of_view_is_the_whole_view(close: Engine) -> None:
    image = scene()
    out = np.zeros(image.shape[:2], bool)
    out[70:, :50] = True
    assert close.open(image).ask("Segment the liver.", reference=out).whole_image


def test_recomputing_sees_the_same(close: Engine) -> None:
    assert bench(close, rounds=3, repeats=1, size=64)["equal"] is True


def test_training_sees_what_the_engine_sees(close: Engine) -> None:
    image = scene()
    target = np.zeros(image.shape[:2], bool)
    target[30:50, 95:110] = True
    far = np.zeros_like(target)
    far[90:, :20] = True
    maker = ExampleMaker(close.config, close.tokenizer)
    rounds = [
        TaughtRound("<image>\nSegment the liver.", "It is [SEG].", target),
        TaughtRound("[CROPPEDIMAGE][BBOXINPUT] And its tumor.", "It is [SEG].", target, target),
        TaughtRound("[CROPPEDIMAGE][BBOXINPUT] And its cyst.", "It is [SEG].", target, far),
    ]
    example = maker(image, rounds)
    opened = close.encode(image)
    assert example.resized == opened.resized
    assert np.array_equal(example.targets[0].numpy(), opened.view.take(target))
    for box, mask in zip(example.boxes, (target, far), strict=True):
        assert tuple(box.tolist()) == pytest.approx(opened.reference(mask).box)


def test_labels_follow_the_view() -> None:
    image = scene()
    mask, far = np.zeros((2, *image.shape[:2]), bool)
    mask[30:50, 95:110], far[90:, :20] = True, True
    seen = close_up(LabelledImage(image, {"liver": mask, "spleen": far}, "CT", "test", "1", frozenset({"liver"})))
    assert seen.image.shape == (42, 42, 3)
    assert set(seen.masks) == {"liver"}
    assert seen.masks["liver"].sum() == mask.sum()
