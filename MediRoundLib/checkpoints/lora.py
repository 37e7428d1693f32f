"""Takes off what peft and data-parallel training wrap around tensor names, and merges low-rank updates."""

import re
from collections.abc import Mapping

from torch import Tensor

from MediRoundLib.errors import CheckpointError

# The released recipe's. The rank r comes from the tensors, alpha is in none of them.
LORA_ALPHA = 16.0
PEFT_PREFIX = "base_model.model."
_LORA = re.compile(r"^(?P<layer>.+)\.lora_(?P<side>[AB])(\.\w+)?\.weight$")


def plain_names(state: Mapping[str, Tensor], alpha: float = LORA_ALPHA) -> dict[str, Tensor]:
    """Strip `module.`, `base_model.model.` and `.base_layer`, and merge LoRA pairs.

    W + alpha / r * B A, computed in float32 (Hu et al. 2021, Section 4.1).

    Raises:
        CheckpointError: a LoRA pair is incomplete, has no weight to be added to or does not fit it, or two names are
            one without their wrappings.
    """
    plain: dict[str, Tensor] = {}
    pairs: dict[str, dict[str, Tensor]] = {}
    for wrapped, tensor in state.items():
        name = wrapped.removeprefix("module.").removeprefix(PEFT_PREFIX).replace(".base_layer.", ".")
        match = _LORA.match(name)
        group, key = (pairs.setdefault(match["layer"], {}), match["side"]) if match else (plain, name)
        if key in group:
            raise CheckpointError(f"The weights hold {name} twice under different wrappings; keep one of them.")
        group[key] = tensor
    for layer, pair in pairs.items():
        weight = plain.get(f"{layer}.weight")
        if weight is None or set(pair) != {"A", "B"}:
            raise CheckpointError(
                f"The LoRA of {layer} is incomplete: lora_A, lora_B and the layer's weight are needed; "
                "fetch every file of the checkpoint."
            )
        a, b = pair["A"].float(), pair["B"].float()
        if (b.shape[0], a.shape[1]) != tuple(weight.shape) or a.shape[0] != b.shape[1]:
            raise CheckpointError(f"The LoRA of {layer} does not fit its weight; the files are of two models.")
        plain[f"{layer}.weight"] = weight.float() + alpha / a.shape[0] * (b @ a)
    return plain
