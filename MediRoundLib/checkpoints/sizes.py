"""A model's sizes, read from tensors and from a LLaVA-Med style `config.json`."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from MediRoundLib.config import SamConfig
from MediRoundLib.errors import CheckpointError

# Where LLaVA-Med's config.json is silent; transformers' own defaults differ.
_LANGUAGE_DEFAULTS = {"rope_theta": 1e6, "rms_norm_eps": 1e-5, "hidden_act": "silu", "max_position_embeddings": 32768}
_LANGUAGE_FIELDS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
)


def below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def children(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered children `prefix` has: layers, blocks."""
    return len({name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix)})


def sam_sizes(state: Mapping[str, Tensor]) -> SamConfig:
    """Sizes of segment-anything's parts, read from its tensors (stock names, no prefix).

    The number of heads of the decoder leaves no trace in the tensors: 8, as everywhere. A block whose window is as
    large as the grid of patches is a global one.

    Raises:
        CheckpointError: a tensor is missing, or blocks have windows of several sizes.
    """
    try:
        patch = state["image_encoder.patch_embed.proj.weight"].shape[-1]
        grid, width = (state["image_encoder.pos_embed"].shape[k] for k in (1, 3))
        reach = [
            (state[f"image_encoder.blocks.{k}.attn.rel_pos_h"].shape[0] + 1) // 2
            for k in range(children(state, "image_encoder.blocks."))
        ]
        windows = {size for size in reach if size != grid}
        if len(windows) > 1:
            raise CheckpointError(
                f"SAM's image encoder has windows of {sorted(windows)}; use a checkpoint with windows of one size."
            )
        return SamConfig(
            image_size=grid * patch,
            patch_size=patch,
            width=width,
            depth=len(reach),
            heads=width // state["image_encoder.blocks.0.attn.rel_pos_h"].shape[1],
            mlp_ratio=_ratio(state["image_encoder.blocks.0.mlp.lin1.weight"].shape[0], width),
            window=windows.pop() if windows else grid,
            global_blocks=tuple(k for k, size in enumerate(reach) if size == grid),
            prompt_dim=state["prompt_encoder.no_mask_embed.weight"].shape[1],
            mask_channels=state["prompt_encoder.mask_downscaling.3.weight"].shape[0],
            decoder_depth=children(state, "mask_decoder.transformer.layers."),
            decoder_mlp=state["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
            multimask_outputs=state["mask_decoder.mask_tokens.weight"].shape[0] - 1,
            iou_head_depth=children(state, "mask_decoder.iou_prediction_head.layers."),
            iou_head_width=state["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
        )
    except KeyError as error:
        raise CheckpointError(
            f"The weights lack SAM's tensor {error}; they are not MediRound's or MedSAM's, or a shard is missing."
        ) from error


def _ratio(hidden: int, width: int) -> float:
    """A factor that gives `hidden` again when segment-anything multiplies `width` by it and rounds down."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)


def language_sizes(config: Mapping[str, Any], vocab_size: int) -> dict[str, Any]:
    """The Mistral fields of a LLaVA-Med style `config.json`.

    Raises:
        CheckpointError: a size is missing, or positions are scaled, which no MediRound does.
    """
    if config.get("rope_scaling"):
        raise CheckpointError(
            "config.json asks for rope_scaling, which MediRound's Mistral has not; copy LLaVA-Med's own config.json."
        )
    fields: dict[str, Any] = {name: config.get(name, value) for name, value in _LANGUAGE_DEFAULTS.items()}
    try:
        fields.update({name: config[name] for name in _LANGUAGE_FIELDS})
    except KeyError as error:
        raise CheckpointError(
            f"The checkpoint's config.json lacks {error}; copy the base model's config.json."
        ) from error
    if config.get("head_dim") is not None:
        fields["head_dim"] = config["head_dim"]
    return {**fields, "vocab_size": vocab_size, "sliding_window": config.get("sliding_window")}
