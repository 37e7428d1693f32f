"""Augmentation: masks follow the image, left stays left, what is cut away is neither there nor known to be absent."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from training.augment import STILL, AugmentConfig, augment
from training.data.samples import LabelledImage, flip

NOTHING = STILL
MOVES = replace(AugmentConfig(), flip=0.5, gamma=0, contrast=0, noise=0, rotate=25, stretch=0.2, bend=0.03)
LEFT, RIGHT = "left kidney", "right kidney"


def square(height: int, width: int, row: int, column: int, side: int) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), dtype=bool)
    mask[row : row + side, column : column + side] = True
    return mask


def sample(lateral: bool = True, height: int = 90, width: int = 120) -> LabelledImage:
    """The right kidney is white at the image's left, the left one grey at its right."""
    masks = {RIGHT: square(height, width, 30, 20, 24), LEFT: square(height, width, 36, 75, 20)}
    image = np.zeros((height, width), dtype=np.uint8)
    image[masks[RIGHT]], image[masks[LEFT]] = 240, 120
    known = frozenset({LEFT, RIGHT, "liver", "left lung"})
    return LabelledImage(image, masks, "CT", "test", "nobody", known, lateral)


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_nothing_changes_nothing() -> None:
    before = sample()
    after = augment(before, np.random.default_rng(0), 120, NOTHING)
    np.testing.assert_array_equal(after.image, before.image)
    for name, mask in before.masks.items():
        np.testing.assert_array_equal(after.masks[name], mask)
    assert replace(after, image=before.image, masks=before.masks) == before


def test_masks_follow_the_image() -> None:
    """Each structure has a colour channel of its own, which shows where it went whatever was done to the picture."""
    seen = 0
    for seed in range(40):
        before = sample()
        channels = [before.masks[RIGHT], before.masks[LEFT], np.zeros_like(before.masks[LEFT])]
        before = replace(before, image=np.stack(channels, axis=2).astype(np.uint8) * 255)
        after = augment(before, np.random.default_rng(seed), 150, MOVES)
        assert after.image.shape == (112, 150, 3)
        names = (LEFT, RIGHT) if "right lung" in after.supervised else (RIGHT, LEFT)
        for channel, name in enumerate(names):
            if name in after.masks:
                assert dice(after.masks[name], after.image[:, :, channel] > 127) > 0.99
                seen += 1
    assert seen > 60


def test_a_bend_moves_parts_of_an_image_apart() -> None:
    """By about its share of the side, and not all the same way, as a shift would."""
    moved = []
    for seed in range(30):
        after = augment(sample(), np.random.default_rng(seed), 120, replace(NOTHING, bend=0.02))
        where = {name: np.argwhere(mask).mean(0) for name, mask in after.masks.items()}
        still = {name: np.argwhere(mask).mean(0) for name, mask in sample().masks.items()}
        moved.append([where[name] - still[name] for name in (LEFT, RIGHT)])
    assert 0.01 * 120 < np.std([each for each, _ in moved]) < 0.03 * 120
    assert np.std([one - other for one, other in moved]) > 0.01 * 120


def test_a_shade_changes_brightness_smoothly() -> None:
    """Masks and places stay; neighbours are shaded alike, the two ends of an image are not."""
    plain = replace(sample(), image=np.full((90, 120), 100, np.uint8))
    ratios = []
    for seed in range(30):
        after = augment(plain, np.random.default_rng(seed), 120, replace(NOTHING, shade=0.3))
        np.testing.assert_array_equal(after.masks[LEFT], plain.masks[LEFT])
        level = after.image.astype(float) + 1
        ratios.append([np.log(level[:, 60] / level[:, 63]).std(), np.log(level[:, 0] / level[:, -1]).std()])
    near, far = np.mean(ratios, axis=0)
    assert near < 0.05 < far


def test_left_and_right_stay_honest() -> None:
    """What a lateral image shows at its right is the patient's left, mirrored or not."""
    config = replace(NOTHING, flip=0.5)
    mirrored = 0
    for seed in range(20):
        after = augment(sample(), np.random.default_rng(seed), 120, config)
        columns = {name: np.nonzero(mask)[1].mean() for name, mask in after.masks.items()}
        assert columns[RIGHT] < columns[LEFT]
        whiter = after.image[after.masks[LEFT]].mean() > after.image[after.masks[RIGHT]].mean()
        assert after.supervised == {LEFT, RIGHT, "liver", "right lung" if whiter else "left lung"}
        mirrored += int(whiter)
    assert 4 < mirrored < 16


def test_an_image_without_sides_keeps_its_names() -> None:
    """In a sagittal plane, left and right of the picture are front and back."""
    after = augment(sample(lateral=False), np.random.default_rng(0), 120, replace(NOTHING, flip=1))
    assert np.nonzero(after.masks[RIGHT])[1].mean() > np.nonzero(after.masks[LEFT])[1].mean()
    assert after.image[after.masks[RIGHT]].min() == 240
    assert "left lung" in after.supervised


def test_the_chambers_of_the_heart_keep_their_names() -> None:
    masks = {"left ventricle": square(90, 120, 30, 20, 24), "left lung": square(90, 120, 30, 70, 24)}
    before = replace(sample(), masks=masks, supervised=frozenset(masks))
    assert set(flip(before).masks) == flip(before).supervised == {"left ventricle", "right lung"}


def test_slivers_are_neither_there_nor_known_to_be_absent() -> None:
    before = sample()
    masks = {**before.masks, "spleen": square(90, 120, 0, 0, 3), "liver": square(90, 120, 60, 50, 8)}
    before = replace(before, masks=masks, supervised=before.supervised | {"spleen"})
    after = augment(before, np.random.default_rng(0), 120, replace(NOTHING, smallest=12))
    assert set(after.masks) == {LEFT, RIGHT, "liver"}
    assert after.supervised == {LEFT, RIGHT, "liver", "left lung"}
    half = augment(before, np.random.default_rng(0), 60, replace(NOTHING, smallest=17))
    assert set(half.masks) == {LEFT, RIGHT}
    assert half.supervised == {LEFT, RIGHT, "left lung"}


def test_what_leaves_the_picture_leaves_the_masks() -> None:
    left = 0
    for seed in range(30):
        after = augment(sample(), np.random.default_rng(seed), 100, replace(NOTHING, zoom=(3, 3)))
        for name in (LEFT, RIGHT):
            assert (name in after.masks) == (name in after.supervised)
            left += name not in after.masks
        assert all(mask.sum() >= NOTHING.smallest for mask in after.masks.values())
        assert "liver" in after.supervised
    assert left > 5


@pytest.mark.parametrize(("height", "width", "shape"), [(90, 120, (75, 100)), (120, 90, (100, 75)), (8, 900, (1, 100))])
def test_the_longest_side_gets_the_size(height: int, width: int, shape: tuple[int, int]) -> None:
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    before = replace(sample(), image=picture, masks={})
    after = augment(before, np.random.default_rng(0), 100, AugmentConfig())
    assert after.image.shape == (*shape, 3)
    assert after.image.dtype == np.uint8


def test_a_rotation_turns_squares_and_does_not_shear_them() -> None:
    """In an image that is not square, too: the corners keep their distances."""
    before = sample()
    after = augment(before, np.random.default_rng(3), 120, replace(NOTHING, rotate=30))
    for name, mask in before.masks.items():
        turned = np.cov(np.argwhere(after.masks[name]).T)
        own = np.cov(np.argwhere(mask).T)
        assert turned == pytest.approx(own, abs=2.5)
        assert after.masks[name].sum() == pytest.approx(mask.sum(), rel=0.03)
    assert not np.array_equal(after.masks[LEFT], before.masks[LEFT])


def test_colours_stay_together() -> None:
    before = sample()
    colours = np.stack([before.image, before.image // 2, before.image // 4], axis=2)
    config = replace(MOVES, noise=0.05)
    after = augment(replace(before, image=colours), np.random.default_rng(1), 120, config)
    inside = after.image[after.masks[RIGHT] | after.masks[LEFT]].mean(0)
    assert inside[0] > inside[1] > inside[2]


def test_equal_generators_give_equal_samples() -> None:
    one, two = (augment(sample(), np.random.default_rng(8), 96, AugmentConfig()) for _ in range(2))
    other = augment(sample(), np.random.default_rng(9), 96, AugmentConfig())
    np.testing.assert_array_equal(one.image, two.image)
    assert not np.array_equal(one.image, other.image)
    assert one.masks.keys() == two.masks.keys()
    for name, mask in one.masks.items():
        np.testing.assert_array_equal(mask, two.masks[name])
