"""Holding the language model's weights in 4 or 8 bits, through bitsandbytes. The vision parts stay as they are."""

import logging
from typing import Literal

import torch
from torch import nn

from MediRoundLib.errors import MediRoundError
from MediRoundLib.modeling import MediRound

# Input features that reach so far are multiplied in float16, not in 8 bits: one of them would leave few of the 255 steps
# to all the others (Dettmers et al. 2022, Section 3.2). bitsandbytes' own default is none.
OUTLIER = 6.0


def quantize_language_model(model: MediRound, bits: Literal["4bit", "8bit"], dtype: torch.dtype) -> None:
    """Replace the linear layers of the Mistral blocks, in place; the weights shrink when the model moves to its device.

    Args:
        model: on the CPU, in float32.
        bits: '4bit' (NF4, Dettmers et al. 2023, Section 3) or '8bit' (LLM.int8(), Dettmers et al. 2022).
        dtype: type in which 4-bit layers compute.

    Raises:
        MediRoundError: another value of `bits`, or bitsandbytes is not installed.
    """
    if bits not in ("4bit", "8bit"):
        raise MediRoundError(f"There is no quantization {bits}; use 4bit, 8bit or none.")
    try:
        import bitsandbytes
    except ImportError as error:
        raise MediRoundError(
            f"quantize={bits!r} needs the package bitsandbytes: pip install 'mediround[quantize]'."
        ) from error
    # In 8 bits it says of every product that the input is cast to float16, as it has to be.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    layers = model.llava.model.language_model.layers
    for name, module in list(layers.named_modules()):
        if not isinstance(module, nn.Linear):
            continue
        weight = module.weight.data
        small: nn.Module
        if bits == "4bit":
            small = bitsandbytes.nn.Linear4bit(
                module.in_features, module.out_features, bias=False, compute_dtype=dtype, quant_type="nf4"
            )
            small.weight = bitsandbytes.nn.Params4bit(weight, requires_grad=False, quant_type="nf4")
        else:
            small = bitsandbytes.nn.Linear8bitLt(
                module.in_features, module.out_features, bias=False, has_fp16_weights=False, threshold=OUTLIER
            )
            small.weight = bitsandbytes.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
        parent, _, child = name.rpartition(".")
        setattr(layers.get_submodule(parent), child, small)
