"""What the folder of a set of labelled images says about it: what its labels mean, its modality, its left and right.

`classes.json` names the labels (`{"1": "kidney left", "2": "spleen"}`); a label that it leaves out is not used.
`set.toml` beside it need not be there. It may hold

    modality = "CT"   # or "MR-T1", "X-ray", .. : "CT" is shown in a soft-tissue window, the rest between percentiles
    lateral = true    # a mirror turns left organs into right ones: axial and coronal planes, radiographs

Where it is silent, `ct.nii.gz` is CT and `mr.nii.gz` MR, and volumes are lateral, since they are read as axial slices.
Of pictures neither is known then: they are not mirrored where their labels name a side.
"""

import json
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from MediRoundLib.errors import MediRoundError
from training.data.entities import TABLE, entity_key

# What the sets that the shipped recipes name would say in a `set.toml`: modality and laterality.
SHIPPED: dict[str, tuple[str, bool]] = {
    "openkbp_head_neck_ct": ("CT", True),
    "totalsegmentator_ct": ("CT", True),
    "hippocampus_mr": ("MR-T1", False),
    "hvsmr_cardiac_mr": ("MR", False),
    "chd_cardiac_ct": ("CT", False),
    "spider_lumbar_mr": ("MR-T2", False),
    "kidney_mr": ("MR-T2", True),
    "edd_endoscopy": ("endoscopy", False),
    "brisc_brain_tumour_mr": ("MR-T1", False),
    "liver_us": ("ultrasound", False),
}
# Labels that name no one structure: they are neither targets nor known absences.
UNNAMED = {"partially visible vertebra", "vertebrae above T12", "intervertebral discs above T12"}


@dataclass(frozen=True)
class SetFacts:
    """What is known of a set.

    Attributes:
        names: label to the key of its entity.
        modality: "" where the set does not say.
        lateral: as `LabelledImage` has it; None where the set does not say.
    """

    names: dict[int, str]
    modality: str
    lateral: bool | None


@lru_cache(maxsize=64)
def facts_of(folder: Path) -> SetFacts:
    """What the set in `folder` says.

    Raises:
        MediRoundError: one of its two files cannot be understood, or a label names no entity.
        OSError: there is no `classes.json`.
    """
    modality, lateral = SHIPPED.get(folder.name, ("", None))
    stated = _stated(folder / "set.toml")
    return SetFacts(_names(folder / "classes.json"), stated.get("modality", modality), stated.get("lateral", lateral))


def _names(path: Path) -> dict[int, str]:
    try:
        content = {int(label): str(name) for label, name in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, AttributeError) as error:
        raise MediRoundError(
            f'{path} is no JSON object of labels and their names, such as {{"1": "liver"}}.'
        ) from error
    return {label: _entity(name, path) for label, name in content.items() if name not in UNNAMED}


def _entity(name: str, path: Path) -> str:
    try:
        return entity_key(name)
    except KeyError as error:
        raise MediRoundError(
            f"{path} has the label {name!r}, which names no known structure; add it, or an alias for one, to {TABLE}, "
            "or take it out."
        ) from error


def _stated(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MediRoundError(f"{path} is no TOML: {error}.") from error
    kinds = {"modality": str, "lateral": bool}
    if wrong := sorted(name for name, value in content.items() if not isinstance(value, kinds.get(name, ()))):
        raise MediRoundError(
            f'{path} states {", ".join(wrong)}; it may state modality = "CT" (or another word) and lateral = true or '
            "false."
        )
    return content
