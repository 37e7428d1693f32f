"""Tensor names: every checkpoint, native ones too, uses those of the released code; the modules have their own.

Module names come from transformers and change between its versions; released names do not. So files speak released
names, and this table is the only place that knows both.
"""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

# (released prefix, module prefix); the first that fits wins.
_PREFIXES = (
    ("lm_head.", "llava.lm_head."),
    ("model.vision_tower.vision_tower.vision_model.", "llava.model.vision_tower."),
    ("model.mm_projector.0.", "llava.model.multi_modal_projector.linear_1."),
    ("model.mm_projector.2.", "llava.model.multi_modal_projector.linear_2."),
    ("model.visual_model.", "sam."),
    ("model.text_hidden_fcs.0.", "project_seg."),
    ("model.bbox_encoder.", "bbox_encoder."),
    ("model.mask_quality_MLP.", "judge."),
    ("model.refine_MLP.", "corrector."),
    ("model.", "llava.model.language_model."),
)
# The first releases of transformers 5 keep one level more around CLIP's tower.
_OLD_TOWER = "llava.model.vision_tower.vision_model."
_TOWER = "llava.model.vision_tower."

JCM_PREFIXES = ("model.mask_quality_MLP.", "model.refine_MLP.")
VISION_PREFIX = "model.vision_tower.vision_tower.vision_model."
SAM_PREFIX = "model.visual_model."
# Parts that are no weights: written by some versions of transformers, computed by others.
_COMPUTED = re.compile(r"(rotary_emb\.inv_freq|embeddings\.position_ids|visual_model\.pixel_(mean|std))$")


def name_some(names: Sequence[str], most: int = 3) -> str:
    """'a, b, c and 12 more': enough names to find the trouble by."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def is_computed(name: str) -> bool:
    """Whether a tensor of this released name is derived from the config and need not be stored."""
    return bool(_COMPUTED.search(name))


def to_released(name: str) -> str:
    """A module's tensor name to the released one."""
    if name.startswith(_OLD_TOWER):
        name = _TOWER + name.removeprefix(_OLD_TOWER)
    for released, module in _PREFIXES:
        if name.startswith(module):
            return released + name.removeprefix(module)
    raise ValueError(f"{name} belongs to no known part of the model")


def released_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's state dict under released names; tensors are shared with the model, not copied."""
    return {to_released(name): tensor for name, tensor in model.state_dict().items()}


def module_state(model: nn.Module, released: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Released names to those of `model`.

    Returns:
        The state dict for `model.load_state_dict`, and the released names of the model that `released` lacks.
    """
    wanted = {to_released(name): name for name in model.state_dict()}
    missing = [name for name in wanted if name not in released]
    return {module: released[name] for name, module in wanted.items() if name in released}, missing
