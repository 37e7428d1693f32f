"""The mask files of dialogues: their values, read in one way everywhere, and what may be wrong with them. No torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from MediRoundLib.errors import DialogueFileError

# What Pillow raises on files that are missing or damaged.
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
INSIDE = 255


def read_mask(path: Path) -> NDArray[np.uint8]:
    """(H, W) values of a mask file, `INSIDE` where the structure is.

    Raises:
        DialogueFileError: it cannot be opened, or has more than one channel of 8 bits.
    """
    try:
        with Image.open(path) as opened:
            if opened.mode in ("L", "P", "1"):
                return mask_values(opened)
            mode = opened.mode
    except UNREADABLE as error:
        raise DialogueFileError(f"{path} cannot be opened as a mask; check --root and the paths.") from error
    raise DialogueFileError(f"The mask {path} is of mode {mode}; save it with one 8-bit channel of 0 and 255.")


def mask_values(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W) values of an opened mask; of a palette's colours their indices, which the released code compares, too."""
    return np.asarray(image.convert("L") if image.mode == "1" else image)


def pixel_problems(used: Sequence[tuple[str, str, Path]], ones: bool) -> Iterator[str]:
    """What is wrong with the pixels of one dialogue's files, each given with its place and its tag.

    With `ones` masks of 0 and 1 pass; the released loader reads those as empty.
    """
    size: tuple[int, int] | None = None
    for where, tag, path in dict.fromkeys(used):
        try:
            with Image.open(path) as image:
                image.load()
        except UNREADABLE as error:
            yield f"{where}: {path} is no image that can be opened: {error}."
            continue
        if tag == "IMAGE256":
            size = image.size
            continue
        if image.mode not in ("L", "P"):
            yield f"{where}: the mask {path} is of mode {image.mode}; save it with one 8-bit channel of 0 and 255."
            continue
        if size not in (None, image.size):
            yield (
                f"{where}: the mask {path} has {image.width} x {image.height} pixels and the image "
                f"{size[0]} x {size[1]}; they must be equal."
            )
        values = mask_values(image)
        held = np.flatnonzero(np.bincount(values.ravel())).tolist()
        others = [value for value in held if value not in (0, INSIDE)]
        if others and not (ones and others == [1] and INSIDE not in held):
            yield f"{where}: the mask {path} holds the value {others[0]}; only 0 and 255 are allowed."
        elif tag == "MASK-ENCODE" and held == [0]:
            yield f"{where}: the reference {path} is empty; a turn can only lean on a mask with pixels."
        elif image.mode == "P" and not np.array_equal(np.asarray(image.convert("L")), values):
            # The released code crops by the colours.
            yield f"{where}: the colours of the mask {path} are not its values 0 and 255; save it without a palette."
