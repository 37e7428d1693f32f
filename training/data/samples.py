"""A labelled image: what every source of training data yields, real or drawn."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class LabelledImage:
    """One 2D medical image as displayed, with a mask for every labelled structure that is in it.

    Attributes:
        image: (H, W) or (H, W, 3) uint8. The patient's right is at the image's left where `lateral` is true.
        masks: entity name (canonical English, see `entities.toml`) to (H, W) bool; non-empty ones only. Masks may
            overlap: a lesion also belongs to the mask of its organ.
        modality: such as "CT", "MR-T1", "MR-T2", "X-ray", "ultrasound", "endoscopy".
        source: the data set or phantom kind.
        patient: an id that is equal for all images of one patient.
        supervised: entities that would carry a mask if they were in the image, so that their absence is known.
        lateral: True where mirroring the image turns the left organ into the right one (axial and coronal planes,
            radiographs); False for sagittal planes, endoscopy, ultrasound; None where it is not known.
    """

    image: Pixels
    masks: dict[str, Mask]
    modality: str
    source: str
    patient: str
    supervised: frozenset[str]
    lateral: bool | None = True


def mirrored_name(entity: str) -> str:
    """The entity with the words left and right exchanged: "left kidney" -> "right kidney"."""
    other = {"left": "right", "right": "left"}
    return " ".join(other.get(word, word) for word in entity.split(" "))


# The chambers of the heart carry "left" and "right" in their names but are told apart by what they look like and
# connect to, so mirroring the image leaves their names alone.
_NAMED_NOT_PLACED = ("left ventricle", "right ventricle", "left atrium", "right atrium")


def _name_after_flip(entity: str) -> str:
    return entity if entity in _NAMED_NOT_PLACED else mirrored_name(entity)


def flip(sample: LabelledImage) -> LabelledImage:
    """The sample mirrored left-right, with left and right exchanged in its names if it is lateral.

    Where that is not known, one whose names say left or right stays as it is: either way might teach them wrongly.
    """
    named = (*sample.masks, *sample.supervised)
    if sample.lateral is None and any(_name_after_flip(entity) != entity for entity in named):
        return sample
    rename: Callable[[str], str] = _name_after_flip if sample.lateral else str
    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[:, ::-1]),
        masks={rename(entity): np.ascontiguousarray(mask[:, ::-1]) for entity, mask in sample.masks.items()},
        supervised=frozenset(rename(entity) for entity in sample.supervised),
    )
