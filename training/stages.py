"""What learns in each stage behind pretraining, and from which losses."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from MediRoundLib.modeling import MediRound
from training.adapt import Adapted, begin_corrector, is_jcm
from training.data.sources import ExampleBatches
from training.loop import Task, let_learn, train
from training.recipe import Recipe
from training.step import Example, alignment_step, stage1_loss, stage2_loss

Losses = Callable[[list[Example]], dict[str, Tensor]]

# How the progress bar and TensorBoard call what the steps give; the rest is left out there.
_SHOWN = {
    "loss": "loss",
    "ce_loss": "ce",
    "mask_loss": "mask",
    "quality_loss": "quality",
    "alignment_loss": "align",
    "named": "named",
    "dice": "dice",
    "dice before": "dice before",
}


def _align(adapted: Adapted, recipe: Recipe) -> Losses | None:
    """The language side alone, before it may touch SAM; None where nothing says what structures stand for."""
    if adapted.prompts is None:
        return None
    model, prompts = adapted.model, adapted.prompts.to(adapted.model.device)
    let_learn(model, recipe.phases["align"], lambda name: not is_jcm(name) and not name.startswith("sam."))
    model.train()
    return lambda batch: alignment_step(model, batch, recipe.loss, prompts)


def _stage1(adapted: Adapted, recipe: Recipe) -> Losses:
    """End to end, all but the JCM."""
    model, phase = adapted.model, recipe.phases["stage1"]
    let_learn(model, phase, lambda name: adapted.learns(name) and not is_jcm(name))
    model.train()
    prompts = None if adapted.prompts is None else adapted.prompts.to(model.device)
    loss = recipe.loss
    weights = replace(loss, alignment=loss.alignment * phase.alignment, naming=loss.naming * phase.alignment)
    return lambda batch: stage1_loss(model, batch, weights, prompts)


def _stage2(adapted: Adapted, recipe: Recipe) -> Losses:
    """The JCM alone."""
    model = adapted.model
    let_learn(model, recipe.phases["stage2"], is_jcm)
    if adapted.fresh_jcm:
        begin_corrector(model.corrector)
    # No dropout: the JCM learns about the features that inference will make.
    model.eval()
    return lambda batch: stage2_loss(model, batch, recipe.loss)


# In the order in which they are trained.
STAGES: Mapping[str, Callable[[Adapted, Recipe], Losses | None]] = {
    "align": _align,
    "stage1": _stage1,
    "stage2": _stage2,
}


def train_stage(
    name: str,
    adapted: Adapted,
    recipe: Recipe,
    batches: ExampleBatches,
    held_out: ExampleBatches | None,
    run: Path,
    workers: int,
) -> bool:
    """Train one of `STAGES`; what learns is kept in RUN/NAME.pt. False after an interrupt."""
    found = STAGES[name](adapted, recipe)
    if found is None:
        return True
    losses = found
    learning = {key for key, parameter in adapted.model.named_parameters() if parameter.requires_grad}

    def shown(batch: list[Example]) -> dict[str, Tensor]:
        return {_SHOWN[key]: value for key, value in losses(batch).items() if key in _SHOWN}

    def state() -> dict[str, Tensor]:
        return {key: parameter.detach() for key, parameter in adapted.model.named_parameters() if key in learning}

    def restore(kept: dict[str, Tensor]) -> None:
        if kept.keys() != learning:
            raise ValueError("parameters of other names")
        adapted.model.load_state_dict(kept, strict=False)

    layers = list(adapted.model.llava.model.language_model.layers)
    task = Task(name, adapted.model, state, restore, batches, shown, held_out, layers)
    return train(task, recipe.phases[name], run, workers, batches.team)


def take_up(model: MediRound, run: Path, names: Iterable[str]) -> None:
    """Put into the model what the stages of these names have learned in RUN so far."""
    for name in names:
        if (run / f"{name}.pt").exists():
            kept = torch.load(run / f"{name}.pt", "cpu", weights_only=True)["state"]
            model.load_state_dict(kept, strict=False)
