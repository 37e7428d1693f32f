"""The CLIP vision tower of a LLaVA-Med style checkpoint: its own folder, sizes, preprocessing and tensors."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from torch import Tensor
from transformers import CLIPVisionConfig

from MediRoundLib.checkpoints.files import read_json, read_weights
from MediRoundLib.checkpoints.names import VISION_PREFIX
from MediRoundLib.checkpoints.sizes import children
from MediRoundLib.config import ClipImageConfig
from MediRoundLib.errors import CheckpointError

_FIELDS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
)
# Attention heads by width of OpenAI's CLIP ViTs (Radford et al. 2021, Table 19): tensors do not tell them.
_OPENAI_HEADS = {768: 12, 1024: 16}
# Some versions of transformers write `vision_model.` before these, some do not; a whole CLIP has its text half beside.
_TOWER = re.compile(r"^(vision_model\.)?(?P<name>(embeddings|encoder|pre_layrnorm|post_layernorm)\..+)$")


@dataclass(frozen=True)
class VisionTower:
    """CLIP's fields for transformers, its preprocessing, and its tensors under released names."""

    fields: dict[str, Any]
    image: ClipImageConfig
    tensors: dict[str, Tensor]


def find_tower(folder: Path, config: Mapping[str, Any]) -> Path | None:
    """The CLIP tower's own folder, as `mm_vision_tower` names it: beside `config.json`, or in the local hub cache."""
    name = config.get("mm_vision_tower")
    if not isinstance(name, str):
        return None
    if (folder / name / "config.json").exists():
        return folder / name
    try:
        cached = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None  # a path, not a hub name
    return Path(cached).parent if isinstance(cached, str) else None


def read_tower(folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> VisionTower:
    """The vision tower of the checkpoint in `folder`.

    Args:
        folder: the checkpoint's.
        config: its `config.json`.
        state: its tensors under released names; where they hold the tower, its own folder's weights are left alone.

    Raises:
        CheckpointError: the tower is in neither of the two, or its sizes are unknown.
    """
    own = find_tower(folder, config)
    inside = {name: tensor for name, tensor in state.items() if name.startswith(VISION_PREFIX)}
    way_out = f"put CLIP's folder beside config.json under the name that it gives ({config.get('mm_vision_tower')})"
    if own is None:
        if not inside:
            raise CheckpointError(
                f"{folder} has neither the weights of the CLIP vision tower nor its folder; {way_out}."
            )
        fields = _fields_from_tensors(inside, way_out)
        return VisionTower(fields, ClipImageConfig(size=fields["image_size"]), inside)
    fields = _fields_from_config(read_json(own / "config.json"))
    if not inside:
        matches = ((_TOWER.match(name), tensor) for name, tensor in read_weights(own).items())
        inside = {VISION_PREFIX + match["name"]: tensor for match, tensor in matches if match}
    return VisionTower(fields, _preprocessing(own, fields["image_size"]), inside)


def _fields_from_config(content: Mapping[str, Any]) -> dict[str, Any]:
    """Of a vision tower's config, or of a whole CLIP's; what it leaves out has transformers' default."""
    try:
        whole = CLIPVisionConfig(**{name: value for name, value in _vision_part(content).items() if name in _FIELDS})
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"The CLIP tower's config.json is not usable ({error}); fetch it again.") from error
    return {name: getattr(whole, name) for name in _FIELDS}


def _vision_part(content: Mapping[str, Any]) -> Mapping[str, Any]:
    part = content.get("vision_config", content)
    return part if isinstance(part, Mapping) else content


def _fields_from_tensors(tensors: Mapping[str, Tensor], way_out: str) -> dict[str, Any]:
    """Sizes that the tensors show; the others are OpenAI CLIP's."""
    try:
        width, _, _, patch = tensors[VISION_PREFIX + "embeddings.patch_embedding.weight"].shape
        places = tensors[VISION_PREFIX + "embeddings.position_embedding.weight"].shape[0] - 1
        inner = tensors[VISION_PREFIX + "encoder.layers.0.mlp.fc1.weight"].shape[0]
    except KeyError as error:
        raise CheckpointError(f"The CLIP vision tower lacks {error}; fetch every shard, or {way_out}.") from error
    if width not in _OPENAI_HEADS:
        raise CheckpointError(f"A CLIP vision tower of width {width} has an unknown number of heads; {way_out}.")
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": children(tensors, VISION_PREFIX + "encoder.layers."),
        "num_attention_heads": _OPENAI_HEADS[width],
        "image_size": round(places**0.5) * patch,
        "patch_size": patch,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    }


def _preprocessing(tower: Path, image_size: int) -> ClipImageConfig:
    """From `preprocessor_config.json` where there is one, else OpenAI CLIP's."""
    path = tower / "preprocessor_config.json"
    if not path.exists():
        return ClipImageConfig(size=image_size)
    content = read_json(path)
    size = content.get("size", image_size)
    size = size.get("shortest_edge") if isinstance(size, dict) else size
    if size != image_size:
        raise CheckpointError(f"{path} resizes to {size} pixels, the tower reads {image_size}; fetch both files again.")
    default = ClipImageConfig()
    mean, std = content.get("image_mean", default.mean), content.get("image_std", default.std)
    return ClipImageConfig(size, (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))
