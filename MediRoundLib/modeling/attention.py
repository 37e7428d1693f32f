"""Attention by the way that is fastest where it is computed; exact to rounding."""

from torch import Tensor
from torch.nn import functional


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention of (.., T, d) queries to (.., K, d) keys and values, scaled by 1 / sqrt(d).

    The fused kernel of a CPU is slow on its way back where many learn from few: there plain products take its place.
    """
    if learns_on_cpu(query):
        return attend_by_products(query * query.shape[-1] ** -0.5, key, value)
    return functional.scaled_dot_product_attention(query, key, value)


def learns_on_cpu(query: Tensor) -> bool:
    """Whether gradients will go back through these queries on a CPU."""
    return query.requires_grad and query.device.type == "cpu"


def attend_by_products(scaled: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of queries that are scaled already."""
    return (scaled @ key.transpose(-1, -2)).softmax(-1).to(value.dtype) @ value
