"""How training begins: what learns in stage 1, from scratch or upon a pretrained base; a corrector's first weights."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor

from MediRoundLib.checkpoints import load_native
from MediRoundLib.modeling import MediRound
from MediRoundLib.modeling.jcm import Corrector
from MediRoundLib.quantization import quantize_language_model
from MediRoundLib.text import Tokenizer
from training.recipe import LoraRecipe

# Besides LoRA, the released recipe trains these (train_ds.py: trainable_names); CLIP, projector and SAM's encoder rest.
_TRAINED_BESIDES = ("lm_head.", "embed_tokens.", "sam.mask_decoder.", "project_seg.", "bbox_encoder.")


@dataclass(frozen=True)
class Adapted:
    """A model in training.

    Attributes:
        model: the model.
        learns: whether the parameter of a name learns in stage 1.
        fresh_jcm: whether the JCM has learned nothing yet.
        finish: the model in its plain form, with what was learned in it.
        prompts: (E, C), what stands for each entity (see `alignment_loss`); None for a pretrained base.
    """

    model: MediRound
    finish: Callable[[], MediRound]
    learns: Callable[[str], bool] = lambda name: True
    prompts: Tensor | None = None
    fresh_jcm: bool = True


def adapt_base(base: Path, lora: LoraRecipe, seed: int, half: bool) -> tuple[Adapted, Tokenizer]:
    """Put LoRA, drawn from `seed`, on the q_proj and v_proj of a checkpoint's language model.

    Args:
        base: folder of a native checkpoint; it is read once more in the end, when adapters are merged into weights that
            were neither rounded nor quantized.
        lora: size of the adapters, and how the base is held meanwhile.
        seed: of the adapters.
        half: whether what rests is held in bfloat16; what learns stays in float32.

    Raises:
        CheckpointError: see `load_native`.
        MediRoundError: the base cannot be held as `lora.base` says; see `quantize_language_model`.
    """
    checkpoint = load_native(base)
    model = checkpoint.model
    if lora.base != "full":
        quantize_language_model(model, lora.base, torch.bfloat16 if half else torch.float32)
    torch.manual_seed(seed)
    adapters = _put_adapters(model, lora)
    if lora.checkpointing:
        model.llava.model.language_model.gradient_checkpointing_enable({"use_reentrant": False})
    if half:
        _halve(model)

    def finish() -> MediRound:
        """A fresh base with the adapters merged into it, and everything else that learned."""
        plain = load_native(base).model
        merged = _put_adapters(plain, lora)
        set_peft_model_state_dict(merged, get_peft_model_state_dict(adapters))
        merged.merge_and_unload()
        learned = {
            name: parameter.detach().cpu()
            for name, parameter in model.named_parameters()
            if not _rests(name) and "lora_" not in name
        }
        plain.load_state_dict(learned, strict=False)
        plain.config = model.config
        return plain

    return Adapted(model, finish, _learns, fresh_jcm=model.config.stage < 2), checkpoint.tokenizer


def _put_adapters(model: MediRound, lora: LoraRecipe) -> PeftModel:
    """Adapters in the language model, in place; what comes back is peft's handle on them."""
    config = LoraConfig(r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=["q_proj", "v_proj"])
    found = get_peft_model(model.llava.model.language_model, config)
    assert isinstance(found, PeftModel)
    return found


def _halve(model: MediRound) -> None:
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and _rests(name):
            parameter.data = parameter.data.to(torch.bfloat16)


def _learns(name: str) -> bool:
    return "lora_" in name or any(part in name for part in _TRAINED_BESIDES)


def _rests(name: str) -> bool:
    """Whether the parameter of a name learns in neither stage."""
    return not _learns(name) and not is_jcm(name)


def is_jcm(name: str) -> bool:
    """Whether the parameter of a name belongs to the Judgment & Correction Mechanism."""
    return name.startswith(("judge.", "corrector."))


def begin_corrector(corrector: Corrector) -> None:
    """Let a fresh corrector change nothing at first, so that stage 2 can only learn what helps.

    GELU(x) - GELU(-x) = x, so layers of (x, -x) pass x through; the units that this leaves over keep their random
    weights and are heard by no output yet. A corrector narrower than twice its input is left as it is.
    """
    width, dim = corrector.fc1.weight.shape
    if width < 2 * dim:
        return
    same = torch.eye(dim)
    both = torch.cat([same, -same])
    with torch.no_grad():
        for layer in (corrector.fc1, corrector.fc2, corrector.fc3):
            layer.bias.zero_()
        corrector.fc1.weight[: 2 * dim] = both
        corrector.fc2.weight[: 2 * dim] = 0
        corrector.fc2.weight[: 2 * dim, : 2 * dim] = torch.cat([both, -both], dim=1)
        corrector.fc3.weight.zero_()
        corrector.fc3.weight[:, : 2 * dim] = both.T
