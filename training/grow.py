"""A checkpoint whose language model has more layers and answers as before, to be trained on: block expansion.

Wu et al. 2024 (LLaMA Pro, arXiv 2401.02415), Section 3.2: behind some layers stands a copy whose two projections back
into the residual stream are zero, so that it changes nothing until it has learned something. There the old layers rest;
here everything learns.
"""

from dataclasses import replace

import torch
from torch import Tensor

from MediRoundLib.checkpoints import Checkpoint
from MediRoundLib.checkpoints.assemble import build_model
from MediRoundLib.checkpoints.native import stored_state
from MediRoundLib.config import MediRoundConfig
from MediRoundLib.errors import MediRoundError

_LAYERS = "model.layers."
_BACK = ("self_attn.o_proj.weight", "mlp.down_proj.weight")


def check_layers(config: MediRoundConfig, layers: int) -> None:
    """Raises MediRoundError where a model has more layers than that in its language model, or less than half."""
    old = int(config.language["num_hidden_layers"])
    if not old <= layers <= 2 * old:
        raise MediRoundError(
            f"The recipe asks for {layers} layers, and the checkpoint has {old}; give `layers` from {old} to {2 * old}."
        )


def deepened(begun: Checkpoint, layers: int) -> Checkpoint:
    """The checkpoint with `layers` layers in its language model, the new ones spread evenly among the old.

    It shares tensors with `begun`. Raises as `check_layers`.
    """
    check_layers(begun.config, layers)
    old = int(begun.config.language["num_hidden_layers"])
    if layers == old:
        return begun
    config = replace(begun.config, language={**begun.config.language, "num_hidden_layers": layers})
    copied = {(k + 1) * old // (layers - old) - 1 for k in range(layers - old)}
    sources = sorted([*range(old), *copied])
    found: dict[str, Tensor] = {}
    for name, tensor in stored_state(begun.model).items():
        number, _, part = name.removeprefix(_LAYERS).partition(".")
        if not name.startswith(_LAYERS):
            found[name] = tensor
            continue
        for place, source in enumerate(sources):
            if source == int(number):
                silent = part in _BACK and source in sources[:place]  # the second of the two is the copy
                found[f"{_LAYERS}{place}.{part}"] = torch.zeros_like(tensor) if silent else tensor.clone()
    return Checkpoint(build_model(config, found, "the deepened checkpoint"), begun.tokenizer, config)
