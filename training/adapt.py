"""How training begins: what learns in stage 1, from scratch or upon a pretrained base; a corrector's first weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from MediRoundLib.modeling import MediRound
from MediRoundLib.modeling.jcm import Corrector
from training.recipe import LoraRecipe

# Besides LoRA, the released recipe trains these (train_ds.py: trainable_names); CLIP, projector and SAM's encoder rest.
_TRAINED_BESIDES = ("lm_head.", "embed_tokens.", "sam.mask_decoder.", "project_seg.", "bbox_encoder.")


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Adapted:
    """A model in training.

    Attributes:
        model: the model.
        learns: whether the parameter of a name learns in stage 1.
        fresh_jcm: whether the JCM has learned nothing yet.
        finish: brings the model back to its plain form, adapters merged into the weights.
        prompts: (E, C) prompts of pretraining, which stage 1 draws `SEG` features towards; None for a pretrained base.
    """

    model: MediRound
    learns: Callable[[str], bool] = lambda name: True
    finish: Callable[[], object] = _nothing
    prompts: Tensor | None = None
    fresh_jcm: bool = True


def adapt_base(model: MediRound, lora: LoraRecipe, seed: int) -> Adapted:
    """Put LoRA, drawn from `seed`, on the language model's q_proj and v_proj, in place; everything else of it rests."""
    torch.manual_seed(seed)
    language = get_peft_model(
        model.llava.model.language_model,
        LoraConfig(r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=["q_proj", "v_proj"]),
    )
    return Adapted(
        model,
        learns=lambda name: "lora_" in name or any(part in name for part in _TRAINED_BESIDES),
        finish=language.merge_and_unload,
        fresh_jcm=model.config.stage < 2,
    )


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
