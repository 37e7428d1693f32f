"""Labelled images from an MR-MedSeg file: what its dialogues show of each image, where they say what their masks are.

Files of `training.data.build` do (`"entities"` in `"about"`); MR-MedSeg's own do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from MediRoundLib.errors import DialogueFileError
from MediRoundLib.masks import INSIDE, read_mask
from MediRoundLib.mr_medseg import Conversation
from training.data.entities import entities
from training.data.samples import LabelledImage, Mask

_VALIDATE = "python -m training.data.validate names every such mask."


def entity_of(conversation: Conversation, k: int) -> str:
    """Key of what round `k` (from 0) asks for, "" where the file does not say or it is not in `entities.toml`."""
    named = conversation.about.get("entities")
    found = named[k] if isinstance(named, list) and k < len(named) else ""
    return found if found in entities() else ""


@dataclass
class _Picture:
    """What the dialogues about one image say: its structures' masks, and what they ask for that is not in it."""

    about: Mapping[str, Any]
    masks: dict[str, list[Path]] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)


class FileImages:
    """The images of a file that have structures with a name."""

    def __init__(self, conversations: Sequence[Conversation]) -> None:
        self._pictures: dict[Path, _Picture] = {}
        for conversation in conversations:
            picture = self._pictures.setdefault(conversation.image, _Picture(conversation.about))
            relations = conversation.about.get("relations", ())
            for k, turn in enumerate(conversation.turns):
                entity = entity_of(conversation, k)
                if entity and relations[k : k + 1] == ["absent"]:
                    picture.absent.add(entity)
                elif entity:
                    picture.masks.setdefault(entity, []).append(turn.target)

    @cached_property
    def structures(self) -> dict[str, list[Path]]:
        """For each structure, in alphabetical order, the images that have it."""
        found: dict[str, list[Path]] = {}
        for path, picture in self._pictures.items():
            for entity in picture.masks:
                found.setdefault(entity, []).append(path)
        return dict(sorted(found.items()))

    def draw(self, rng: np.random.Generator) -> LabelledImage:
        """A random image, structures evenly: one that is in few images is not drowned by one that is in all."""
        places = list(self.structures.values())[int(rng.integers(len(self.structures)))]
        return self._read(places[int(rng.integers(len(places)))])

    def _read(self, path: Path) -> LabelledImage:
        picture = self._pictures[path]
        with Image.open(path) as opened:
            image = np.asarray(opened.convert("RGB"))
        # Rounds may show a lesion organ by organ, or one structure several times.
        masks = {
            name: np.any([_shown(each, (image.shape[0], image.shape[1])) for each in dict.fromkeys(own)], axis=0)
            for name, own in picture.masks.items()
        }
        if not any(mask.any() for mask in masks.values()):
            raise DialogueFileError(f"No mask of {path} shows anything, which is 255; {_VALIDATE}")
        about = {name: str(picture.about.get(name, "")) for name in ("modality", "source", "patient")}
        lateral = picture.about.get("lateral")
        return LabelledImage(
            image=image,
            masks={name: mask for name, mask in masks.items() if mask.any()},
            **about,
            supervised=frozenset(masks) | picture.absent,
            lateral=lateral if isinstance(lateral, bool) else None,
        )


def _shown(path: Path, size: tuple[int, int]) -> Mask:
    """The (H, W) mask in a file; raises DialogueFileError for one of another size."""
    mask: Mask = read_mask(path) == INSIDE
    if mask.shape != size:
        raise DialogueFileError(f"The mask {path} is of another size than its image; {_VALIDATE}")
    return mask
