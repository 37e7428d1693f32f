"""Masks of dialogues: every reader sees the same pixels in a file, a palette's too."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from MediRoundLib.errors import DialogueFileError
from MediRoundLib.masks import INSIDE, pixel_problems, read_mask

TRUTH = np.zeros((4, 6), dtype=bool)
TRUTH[1:3, 2:5] = True


def palette(inside: int, colours: dict[int, tuple[int, int, int]]) -> Image.Image:
    """A mask of a palette in which index `inside` marks the structure."""
    image = Image.new("P", (6, 4))
    image.putdata((TRUTH * inside).ravel().tolist())
    image.putpalette([level for k in range(256) for level in colours.get(k, (k, k, k))])
    return image


def problems(path: Path) -> list[str]:
    return list(pixel_problems([("Here", "MASK-DECODE", path)], ones=False))


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_masks_of_one_channel_are_read(tmp_path: Path, mode: str) -> None:
    image = palette(255, {}) if mode == "P" else Image.fromarray(TRUTH.astype(np.uint8) * 255).convert(mode)
    image.save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as opened:
        assert opened.mode == mode
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png") == INSIDE, TRUTH)
    found = problems(tmp_path / "mask.png")
    assert len(found) == (mode == "1")
    assert all("of mode 1" in each for each in found), "the released loader reads none"


def test_a_palette_s_values_are_its_indices(tmp_path: Path) -> None:
    """As the released code has it; where colours say something else, the validator tells."""
    path = tmp_path / "mask.png"
    palette(255, {255: (200, 0, 0)}).save(path)
    np.testing.assert_array_equal(read_mask(path) == INSIDE, TRUTH)
    (found,) = problems(path)
    assert "colours of the mask" in found
    palette(1, {1: (255, 255, 255)}).save(path)
    assert not (read_mask(path) == INSIDE).any()
    (found,) = problems(path)
    assert "holds the value 1" in found


def test_what_is_no_mask_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    for mode in ("RGB", "I;16"):
        Image.new(mode, (6, 4)).save(path)
        with pytest.raises(DialogueFileError, match=rf"mask\.png is of mode {mode}; save it with one 8-bit"):
            read_mask(path)
    path.write_bytes(b"no picture")
    with pytest.raises(DialogueFileError, match="cannot be opened as a mask"):
        read_mask(path)
