"""The Mistral language model on a memory of its own: keys and values in place, and no work for what nobody reads."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# The memory grows by whole blocks of so many tokens.
_BLOCK = 256


class KeyValues:
    """Keys and values of one sequence, layer by layer, with room to grow.

    Attributes:
        length: tokens that are held; set it lower to forget the later ones.
    """

    def __init__(self) -> None:
        self.length = 0
        # (2, key heads, room, d) for each layer
        self._layers: list[Tensor] = []
        self._rotation: tuple[Tensor, Tensor] | None = None

    def copy(self) -> "KeyValues":
        """The same sequence, to go on with in another way."""
        made = KeyValues()
        made.length, made._rotation = self.length, self._rotation
        made._layers = [layer.clone() for layer in self._layers]
        return made

    @property
    def nbytes(self) -> int:
        """Memory that it takes, in bytes; a shortened one keeps what it had."""
        return sum(layer.nbytes for layer in self._layers)

    def reserve(self, language: Any, new: Tensor) -> None:
        """Have room for the (T, D) tokens `new` in every layer."""
        room = self._layers[-1].shape[2] if self._layers else 0
        if self.length + len(new) <= room:
            return
        room = -(-(self.length + len(new)) // _BLOCK) * _BLOCK
        cos, sin = language.rotary_emb(new, position_ids=torch.arange(room, device=new.device)[None])
        self._rotation = cos[0, :, None], sin[0, :, None]
        grown = (2, language.config.num_key_value_heads, room, language.layers[0].self_attn.head_dim)
        if not self._layers:
            self._layers = [new.new_empty(grown) for _ in language.layers]
        for number, held in enumerate(self._layers):
            if held.shape[2] < room:
                self._layers[number] = new.new_empty(grown)
                self._layers[number][:, :, : self.length] = held[:, :, : self.length]

    def rotate(self, heads: Tensor) -> Tensor:
        """(T, H, d) queries or keys of the next T tokens, turned to their positions (Su et al. 2021)."""
        assert self._rotation is not None
        cos, sin = (table[self.length : self.length + heads.shape[0]] for table in self._rotation)
        half = heads.shape[-1] // 2
        return heads * cos + torch.cat([-heads[..., half:], heads[..., :half]], dim=-1) * sin

    def write(self, number: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put the (T, H, d) keys and values of new tokens behind what layer `number` holds; (H, all, d) of all."""
        held, end = self._layers[number], self.length + keys.shape[0]
        held[0, :, self.length : end] = keys.transpose(0, 1)
        held[1, :, self.length : end] = values.transpose(0, 1)
        return held[0, :, :end], held[1, :, :end]


def read(language: Any, held: KeyValues, embeddings: Tensor, place: int) -> Tensor:
    """Read new tokens.

    Args:
        language: transformers' MistralModel.
        held: the tokens before; holds the new ones afterwards, and is as it was after an error.
        embeddings: (T, D) of the new tokens.
        place: which of them is wanted.

    Returns:
        (1, D) last hidden state of that one.
    """
    place %= len(embeddings)
    held.reserve(language, embeddings)
    config = language.config
    mask = _mask(held.length, embeddings, config.sliding_window)
    shared = config.num_attention_heads // config.num_key_value_heads
    hidden, seen = embeddings, mask.repeat(shared, 1)
    asked, last = slice(None), len(language.layers) - 1
    for number, layer in enumerate(language.layers):
        if number == last:  # all tokens leave keys and values, and only one goes on
            asked, seen = slice(place, place + 1), mask[place : place + 1].expand(shared, -1)
        normed = _norm(layer.input_layernorm, hidden)
        hidden = hidden[asked] + _attend(layer.self_attn, number, held, normed, asked, seen)
        hidden = hidden + layer.mlp(_norm(layer.post_attention_layernorm, hidden))
    held.length += len(embeddings)
    return _norm(language.norm, hidden)


def _attend(attention: Any, number: int, held: KeyValues, normed: Tensor, asked: slice, seen: Tensor) -> Tensor:
    """Attention of the tokens `asked` of (T, D) to all tokens so far: (T', D)."""
    count, size = normed.shape[0], attention.head_dim
    query = attention.q_proj(normed)
    turned = held.rotate(torch.cat([query, attention.k_proj(normed)], dim=1).view(count, -1, size))
    heads = query.shape[1] // size
    keys, values = held.write(number, turned[:, heads:], attention.v_proj(normed).view(count, -1, size))
    # Heads that share keys stand one below the other, as further queries: (key heads, shared * T', d).
    groups = keys.shape[0]
    shared = heads // groups
    queries = turned[asked, :heads]
    queries = queries.reshape(-1, groups, shared, size).permute(1, 2, 0, 3).reshape(groups, -1, size)
    drawn = functional.scaled_dot_product_attention(
        queries[None], keys[None], values[None], seen, scale=attention.scaling
    )
    out: Tensor = attention.o_proj(drawn.view(groups, shared, -1, size).permute(2, 0, 1, 3).flatten(1))
    return out


def _mask(before: int, embeddings: Tensor, window: int | None) -> Tensor:
    """(T, before + T): 0 where a new token sees another, minus infinity elsewhere."""
    count = len(embeddings)
    mask = embeddings.new_zeros(count, before + count)
    mask[:, before:] = embeddings.new_full((count, count), -torch.inf).triu(1)
    if window is not None and before + count > window:
        mask += torch.full_like(mask, -torch.inf).tril(before - window)
    return mask


def _norm(norm: Any, hidden: Tensor) -> Tensor:
    return functional.rms_norm(hidden, hidden.shape[-1:], norm.weight, norm.variance_epsilon)
