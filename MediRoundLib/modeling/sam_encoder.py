"""segment-anything's image encoder with fused attention: the same network on the same modules, exact to rounding."""

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention, Block, window_partition, window_unpartition
from torch import Tensor
from torch.nn import functional

from MediRoundLib.modeling.attention import attend_by_products, learns_on_cpu

# Numbers that the relative positions of one piece of an attention may take: more queries go piece by piece.
_BIAS_NUMBERS = 1 << 26


def encode_image(encoder: ImageEncoderViT, pixels: Tensor) -> Tensor:
    """(B, 3, S, S) normalised and padded pixels to the (B, C, h, w) embedding."""
    hidden: Tensor = encoder.patch_embed(pixels)
    if encoder.pos_embed is not None:
        hidden = hidden + encoder.pos_embed
    for block in encoder.blocks:
        hidden = _block(block, hidden)
    embedding: Tensor = encoder.neck(hidden.permute(0, 3, 1, 2))
    return embedding


def _block(block: Block, hidden: Tensor) -> Tensor:
    normed = block.norm1(hidden)
    if block.window_size > 0:
        windows, padded = window_partition(normed, block.window_size)
        attended = window_unpartition(_attend(block.attn, windows), block.window_size, padded, hidden.shape[1:3])
    else:
        attended = _attend(block.attn, normed)
    hidden = hidden + attended
    return hidden + block.mlp(block.norm2(hidden))


def _attend(attention: Attention, hidden: Tensor) -> Tensor:
    """Attention within each (h, w) window of (B, h, w, D).

    The relative positions are a sum of one term for rows and one for columns (Li et al. 2022, Section 4.1); they go
    into the fused kernel as its mask.
    """
    batch, height, width, _ = hidden.shape
    # (B, heads, hw, d) each
    query, key, value = (
        attention.qkv(hidden).view(batch, height * width, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    )
    if not attention.use_rel_pos:
        drawn = functional.scaled_dot_product_attention(query, key, value, scale=attention.scale)
        return _joined(attention, drawn, hidden)
    rows = _offsets(attention.rel_pos_h, height)
    columns = _offsets(attention.rel_pos_w, width)
    if learns_on_cpu(query):
        drawn = _attend_learning(query, attention.scale, key, value, rows, columns)
        return _joined(attention, drawn, hidden)
    step = max(1, min(height, _BIAS_NUMBERS // (batch * attention.num_heads * width * height * width)))
    pieces = []
    for top in range(0, height, step):
        own = query[:, :, top * width : (top + step) * width]
        by_row, by_column = _by_place(own.unflatten(2, (-1, width)), rows[top : top + step], columns)
        bias = (by_row[..., :, None] + by_column[..., None, :]).flatten(4).flatten(2, 3)
        pieces.append(functional.scaled_dot_product_attention(own, key, value, bias, scale=attention.scale))
    return _joined(attention, pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2), hidden)


def _attend_learning(query: Tensor, scale: float, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The same for a step of training on a CPU, where the fused kernel's backward pass through a mask is slow.

    The two terms of a relative position become further features: of the query what they say of each row and column, of
    the key a 1 for its own row and column.
    """
    height, width = len(rows), len(columns)
    terms = _by_place(query.unflatten(2, (height, width)), rows, columns)
    told = torch.cat([query * scale, *(each.flatten(2, 3).to(query.dtype) for each in terms)], dim=-1)
    row = torch.eye(height, dtype=key.dtype).repeat_interleave(width, dim=0)
    column = torch.eye(width, dtype=key.dtype).repeat(height, 1)
    own = torch.cat([row, column], dim=-1).expand(*key.shape[:2], -1, -1)
    return attend_by_products(told, torch.cat([key, own], dim=-1), value)


def _by_place(query: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """What (B, heads, h', w, d) queries say of the row (.., h) and of the column (.., w) of a key."""
    return query @ rows.transpose(1, 2), torch.einsum("bnhwc,wkc->bnhwk", query, columns)


def _joined(attention: Attention, drawn: Tensor, like: Tensor) -> Tensor:
    out: Tensor = attention.proj(drawn.transpose(1, 2).reshape(like.shape))
    return out


def _offsets(table: Tensor, length: int) -> Tensor:
    """(length, length, d): what the table says of query place i and key place j."""
    places = torch.arange(length, device=table.device)
    return table[places[:, None] - places[None, :] + length - 1]
