"""What the engine process holds of dialogues and images: within a bound of bytes, the longest unused goes first."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from MediRoundLib.engine import Dialogue
    from MediRoundLib.rounds import EncodedImage


@dataclass(frozen=True)
class _Entry:
    """An encoded image, or a dialogue about one; `key` is the image's."""

    key: bytes
    image: EncodedImage
    dialogue: Dialogue | None = None

    @property
    def nbytes(self) -> int:
        """Without the image where it is a dialogue: all dialogues about an image share its own entry."""
        return self.image.nbytes if self.dialogue is None else self.dialogue.nbytes - self.image.nbytes


class Held:
    """
    ```
    key = image_key(pixels)
    held.add_image(key, engine.encode(pixels))
    held.add(name, engine.begin(held.image(key)), key)
    held.dialogue(name)                 # None once it had to go; so is `image`
    held.keep_within(bound)
    ```
    """

    def __init__(self) -> None:
        # Longest unused first: dialogues by their names, images by their keys. Whoever uses a dialogue uses its image
        # afterwards, so that an image stays for as long as any dialogue about it.
        self._entries: OrderedDict[str | bytes, _Entry] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Memory that all of it takes, in bytes."""
        return sum(entry.nbytes for entry in self._entries.values())

    def image(self, key: bytes) -> EncodedImage | None:
        if key not in self._entries:
            return None
        self._use(key)
        return self._entries[key].image

    def add_image(self, key: bytes, image: EncodedImage) -> None:
        self._entries[key] = _Entry(key, image)

    def dialogue(self, name: str) -> Dialogue | None:
        if name not in self._entries:
            return None
        self._use(name)
        return self._entries[name].dialogue

    def add(self, name: str, dialogue: Dialogue, key: bytes) -> None:
        """Hold a dialogue about the image of that key, which is held."""
        self._entries[name] = _Entry(key, self._entries[key].image, dialogue)
        self._use(name)

    def rounds(self, name: object) -> int | None:
        """How many rounds a dialogue has, None where there is none of that name; it does not count as a use."""
        entry = self._entries.get(name) if isinstance(name, str) else None
        return None if entry is None or entry.dialogue is None else len(entry.dialogue.rounds)

    def drop(self, name: str) -> None:
        """Forget a dialogue, if it is there; its image stays."""
        self._entries.pop(name, None)

    def clear(self) -> None:
        self._entries.clear()

    def keep_only(self, name: str) -> bool:
        """Forget everything but a dialogue and its image. Returns whether there was anything else."""
        others = self._entries.keys() - self._parts(name)
        for other in others:
            del self._entries[other]
        return bool(others)

    def keep_within(self, bound: int) -> None:
        """Forget what was not used for longest; never the dialogue used last, nor its image."""
        dialogues = (name for name in reversed(self._entries) if isinstance(name, str))
        spared = self._parts(next(dialogues, ""))
        over = self.nbytes - bound
        for name in [name for name in self._entries if name not in spared]:
            if over <= 0:
                break
            over -= self._entries.pop(name).nbytes

    def _use(self, name: str | bytes) -> None:
        self._entries.move_to_end(name)
        self._entries.move_to_end(self._entries[name].key)

    def _parts(self, name: str) -> set[str | bytes]:
        """A dialogue and its image, as far as they are there."""
        return {name, self._entries[name].key} if name in self._entries else set()


def image_key(pixels: NDArray[np.generic]) -> bytes:
    """Equal for equal images, whatever asks for them: a dialogue, a branch of it, or a prefetch."""
    words = hashlib.blake2b(repr((pixels.shape, pixels.dtype.str)).encode(), digest_size=16)
    words.update(pixels.tobytes())
    return words.digest()
