"""CLIP's vision tower up to the layer whose features LLaVA reads: what comes after it is not computed."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from MediRoundLib.modeling.attention import attend


def patch_features(tower: Any, pixels: Tensor, layer: int) -> Tensor:
    """(B, 3, s, s) pixels to the (B, P, D) features of all patches, behind `layer` (as in `hidden_states`)."""
    hidden, layers = _begin(tower, pixels, layer)
    for each in layers:
        hidden = _step(each, hidden, hidden)
    return hidden[:, 1:]


def class_features(tower: Any, pixels: Tensor, layer: int) -> Tensor:
    """(B, 3, s, s) pixels to the (B, 1, D) features of CLS, behind `layer`: the last step is taken for it alone."""
    hidden, layers = _begin(tower, pixels, layer)
    for each in layers[:-1]:
        hidden = _step(each, hidden, hidden)
    return _step(layers[-1], hidden[:, :1], hidden) if layers else hidden[:, :1]


def _begin(tower: Any, pixels: Tensor, layer: int) -> tuple[Tensor, list[Any]]:
    """(B, P + 1, D) embeddings with CLS in front, and the layers to go through."""
    parts = tower.embeddings
    convolution = parts.patch_embedding
    side, count = convolution.kernel_size[0], pixels.shape[-1] // convolution.kernel_size[0]
    # A convolution whose patches do not overlap: one matrix product.
    patches = pixels.unflatten(3, (count, side)).unflatten(2, (count, side)).permute(0, 2, 4, 1, 3, 5).flatten(3)
    embedded = functional.linear(patches.flatten(1, 2), convolution.weight.flatten(1))
    first = parts.class_embedding.expand(len(pixels), 1, -1)
    hidden = tower.pre_layrnorm(torch.cat([first, embedded], dim=1) + parts.position_embedding.weight)
    layers = list(tower.encoder.layers)
    return hidden, layers[: layer + 1 + len(layers) if layer < 0 else layer]


def _step(layer: Any, hidden: Tensor, seen: Tensor) -> Tensor:
    """One layer for the (B, T, D) tokens of `hidden`, which attend to the (B, P + 1, D) tokens `seen`."""
    attention = layer.self_attn
    normed = layer.layer_norm1(seen)
    asked = normed if hidden is seen else normed[:, : hidden.shape[1]]
    query, key, value = (
        each.view(*each.shape[:2], attention.num_heads, -1).transpose(1, 2)
        for each in (attention.q_proj(asked), attention.k_proj(normed), attention.v_proj(normed))
    )
    attended = attend(query, key, value)
    hidden = hidden + attention.out_proj(attended.transpose(1, 2).flatten(2))
    return hidden + layer.mlp(layer.layer_norm2(hidden))
