"""Holding the language model's weights in 4 or 8 bits, through bitsandbytes. The vision parts stay as they are."""

import logging
from importlib import import_module
from typing import Any, Literal

import torch
from torch import nn

from MediRoundLib.errors import MediRoundError
from MediRoundLib.modeling import MediRound

Bits = Literal["4bit", "8bit"]

# Bits that a weight takes, its share of the scales included: in 4 bits one of 8 bits for 64 weights and one of 32 bits
# for 256 of those (Dettmers et al. 2023, Section 3); the scales of 8 bits, one a row, are next to nothing.
BITS_EACH: dict[Bits, float] = {"4bit": 4.127, "8bit": 8.0}

# Input features that reach so far are multiplied in float16, not in 8 bits: one of them would leave few of 255 steps to
# all the others (Dettmers et al. 2022, Section 3.2). bitsandbytes' own default is none.
OUTLIER = 6.0

_LAYERS = "llava.model.language_model.layers."


def check_bits(bits: str) -> None:
    """Whether there is such a quantization here.

    Raises:
        MediRoundError: there is not, or bitsandbytes is not installed.
    """
    if bits not in BITS_EACH:
        raise MediRoundError(f"There is no quantization {bits}; use 4bit, 8bit or none.")
    try:
        import_module("bitsandbytes")
    except ImportError as error:
        raise MediRoundError(
            f"quantize={bits!r} needs the package bitsandbytes: pip install 'mediround[quantize]'."
        ) from error


def quantize_language_model(model: MediRound, bits: Bits, dtype: torch.dtype) -> None:
    """Replace the linear layers of the Mistral blocks, in place; the weights shrink when the model moves to its device.

    Args:
        model: on the CPU.
        bits: '4bit' (NF4, Dettmers et al. 2023, Section 3) or '8bit' (LLM.int8(), Dettmers et al. 2022).
        dtype: type in which 4-bit layers compute.

    Raises:
        MediRoundError: see `check_bits`.
    """
    for name in quantized_names(model):
        quantize_linear(model, name, bits, dtype)


def quantized_names(model: MediRound) -> list[str]:
    """Names of the linear layers that are held in few bits."""
    return [name for name, each in model.named_modules() if name.startswith(_LAYERS) and isinstance(each, nn.Linear)]


def quantize_linear(model: MediRound, name: str, bits: Bits, dtype: torch.dtype) -> nn.Module:
    """Replace one linear layer, as `quantize_language_model` does all of them. Returns the new one."""
    check_bits(bits)
    import bitsandbytes

    # In 8 bits it says of every product that the input is cast to float16, as it has to be.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    parent, _, child = name.rpartition(".")
    plain = getattr(model.get_submodule(parent), child)
    small: nn.Module
    if bits == "4bit":
        small = bitsandbytes.nn.Linear4bit(
            plain.in_features, plain.out_features, bias=False, compute_dtype=dtype, quant_type="nf4"
        )
        small.weight = bitsandbytes.nn.Params4bit(plain.weight.data, requires_grad=False, quant_type="nf4")
    else:
        small = bitsandbytes.nn.Linear8bitLt(
            plain.in_features, plain.out_features, bias=False, has_fp16_weights=False, threshold=OUTLIER
        )
        # Only what comes from the CPU is quantized by it.
        small.weight = bitsandbytes.nn.Int8Params(plain.weight.data.cpu(), requires_grad=False, has_fp16_weights=False)
    setattr(model.get_submodule(parent), child, small)
    return small


def weight_bytes(module: nn.Module) -> int:
    """Memory in bytes of a module's parameters, with the scales of those in few bits."""
    return sum(
        parameter.nbytes + _scale_bytes(each, parameter)
        for each in module.modules()
        for parameter in each.parameters(recurse=False)
    )


def _scale_bytes(layer: Any, parameter: Any) -> int:
    if (state := getattr(parameter, "quant_state", None)) is not None:  # 4 bits
        nested = [state.offset, state.state2.absmax, state.state2.code] if state.nested else []
        return sum(each.nbytes for each in (state.absmax, state.code, *nested))
    # 8 bits: the first use takes them from the parameter into the layer.
    scales = getattr(parameter, "SCB", None)
    if scales is None:
        scales = getattr(getattr(layer, "state", None), "SCB", None)
    return 0 if scales is None else scales.nbytes
