"""segment-anything's mask decoder for one mask a prompt: the same network on the same modules, exact to rounding.

What is the same for every prompt on an image is computed once (`Canvas`), nothing is computed for the masks and the
IoU that nobody asks for, and the two upscaling convolutions, whose patches do not overlap, are plain matrix products.
"""

from dataclasses import dataclass
from typing import Any

import torch
from segment_anything.modeling import MaskDecoder, Sam
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn
from torch.nn import functional

from MediRoundLib.modeling.attention import attend


@dataclass(frozen=True)
class Canvas:
    """An image as the mask decoder sees it before any prompt; made by `prepare`.

    Attributes:
        size: (h, w) of the embedding.
        keys: (1, hw, C) embedding with the "no mask" prompt.
        places: (1, hw, C) positions.
        first: what the first layer makes of both; see `_project`.
    """

    size: tuple[int, int]
    keys: Tensor
    places: Tensor
    first: tuple[Tensor, Tensor, Tensor]

    @property
    def nbytes(self) -> int:
        """Memory that it takes, in bytes."""
        return sum(each.nbytes for each in (self.keys, self.places, *self.first))


def prepare(sam: Sam, embedding: Tensor) -> Canvas:
    """What `draw` needs of an image's (1, C, h, w) embedding."""
    prompts = sam.prompt_encoder
    keys = embedding.flatten(2).transpose(1, 2) + prompts.no_mask_embed.weight
    places = prompts.get_dense_pe().to(embedding.dtype).flatten(2).transpose(1, 2).contiguous()
    first = _project(sam.mask_decoder.transformer.layers[0], keys, places)
    return Canvas((embedding.shape[2], embedding.shape[3]), keys, places, first)


def draw(sam: Sam, canvas: Canvas, features: Tensor) -> Tensor:
    """One mask for each of the (N, C) features, which stand where SAM has point and box prompts.

    Returns:
        (N, 1, 4h, 4w) mask logits at the decoder's own resolution.
    """
    decoder = sam.mask_decoder
    transformer = decoder.transformer
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(features), -1, -1), features[:, None]], dim=1)
    queries, keys = tokens, canvas.keys
    for number, layer in enumerate(transformer.layers):
        key, value, back = _project(layer, keys, canvas.places) if number else canvas.first
        if layer.skip_first_layer_pe:
            queries = layer.norm1(layer.self_attn(queries, queries, queries))
        else:
            placed = queries + tokens
            queries = layer.norm1(queries + layer.self_attn(placed, placed, queries))
        to_image = layer.cross_attn_token_to_image
        queries = layer.norm2(queries + _attend(to_image, to_image.q_proj(queries + tokens), key, value))
        queries = layer.norm3(queries + layer.mlp(queries))
        to_token = layer.cross_attn_image_to_token
        told = to_token.k_proj(queries + tokens), to_token.v_proj(queries)
        keys = layer.norm4(keys + _attend(to_token, back, *told))
    final = transformer.final_attn_token_to_image
    # The token of the single mask: the one behind that of the IoU.
    query, token = queries[:, 1:2], tokens[:, 1:2]
    seen = _attend(final, final.q_proj(query + token), final.k_proj(keys + canvas.places), final.v_proj(keys))
    brush = decoder.output_hypernetworks_mlps[0](transformer.norm_final_attn(query + seen))
    return _paint(decoder, keys, brush, canvas.size)


def decode_masks(sam: Sam, embedding: Tensor, features: Tensor) -> Tensor:
    """`draw` on an image's (1, C, h, w) embedding, once; of (N, C, h, w) each feature gets its own."""
    return draw(sam, prepare(sam, embedding), features)


def _project(layer: Any, keys: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the image's tokens: key and value for the prompt's queries, and the queries that they ask back."""
    placed = keys + places
    to_image = layer.cross_attn_token_to_image
    return to_image.k_proj(placed), to_image.v_proj(keys), layer.cross_attn_image_to_token.q_proj(placed)


def _attend(attention: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of (N or 1, T, D) projected tensors."""
    count = max(query.shape[0], key.shape[0])
    query, key, value = (
        each.view(each.shape[0], -1, attention.num_heads, each.shape[2] // attention.num_heads)
        .expand(count, -1, -1, -1)
        .transpose(1, 2)
        for each in (query, key, value)
    )
    out: Tensor = attention.out_proj(attend(query, key, value).transpose(1, 2).flatten(2))
    return out


def _paint(decoder: MaskDecoder, keys: Tensor, brush: Tensor, size: tuple[int, int]) -> Tensor:
    """Upscale (N, hw, C) tokens fourfold and multiply with the (N, 1, c) `brush`: (N, 1, 4h, 4w) logits."""
    grow, norm, bend, grow_again, bend_again = decoder.output_upscaling
    fine = _grown(grow, keys)  # (N, hw, 4, c'): the four pixels of each place
    fine = bend(functional.layer_norm(fine, fine.shape[-1:], norm.weight, norm.bias, norm.eps))
    finest = bend_again(_grown(grow_again, fine)).flatten(1, 3)  # (N, hw * 4 * 4, c)
    drawn = (finest @ brush.transpose(1, 2)).view(-1, *size, 2, 2, 2, 2)
    # Rows are (h, row of 2, row of 2), columns alike.
    return drawn.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, 1, 4 * size[0], 4 * size[1])


def _grown(convolution: nn.ConvTranspose2d, hidden: Tensor) -> Tensor:
    """A transposed convolution with kernel and stride 2 on (.., C): (.., 4, c), pixels row by row."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (4 c, C)
    assert convolution.bias is not None
    return functional.linear(hidden, weight, convolution.bias.repeat(4)).unflatten(-1, (4, -1))
