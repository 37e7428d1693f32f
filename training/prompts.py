"""What stands for each entity where training begins from a model: the `SEG` features that it answers with itself."""

import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from MediRoundLib.checkpoints import Checkpoint
from MediRoundLib.modeling import MediRound
from training.data.entities import entities
from training.data.mixture import Mixture
from training.data.sources import ExampleBatches, MixtureDialogues
from training.examples import ExampleMaker
from training.files import refusing_foreign
from training.recipe import PhaseRecipe, Recipe
from training.step import Example, seg_features

# Batches of dialogues that the features are gathered from; their samples are none of training's.
BATCHES, FIRST = 100, 90_000_000
# Short dialogues in plain words, for their features alone.
PHASE = PhaseRecipe(steps=BATCHES, batch=16, lr=0.0, warmup=0, max_rounds=4)


def own_prompts(begun: Checkpoint, recipe: Recipe, mixture: Mixture) -> tuple[Tensor, Tensor]:
    """Mean features of a model's answers.

    Args:
        begun: the model and its tokenizer.
        recipe, mixture: what it is shown; the recipe has the model's own sizes.

    Returns:
        (N,) numbers of the entities that were asked for, see `entities.entity_ids`, and their (N, C) features.
    """
    config = begun.model.config
    source = MixtureDialogues(mixture, recipe, PHASE, config.clip_image.size, first=FIRST)
    batches = ExampleBatches(source, ExampleMaker(config, begun.tokenizer), recipe.seed, PHASE)
    numbers = tqdm(range(BATCHES), desc="the model's own answers", file=sys.stderr, leave=False)
    return mean_features(begun.model, (batches(number) for number in numbers))


def prompt_table(begun: Checkpoint, recipe: Recipe, mixture: Mixture) -> Tensor:
    """(E, C): `own_prompts` of every entity, NaN for one that nothing was asked about.

    What pretraining takes for its prompts, and alignment for its aim, where training begins from a checkpoint.
    """
    asked, features = own_prompts(begun, recipe, mixture)
    table = torch.full((len(entities()), features.shape[1]), torch.nan)
    table[asked] = features
    return table


def prompts_path(run: Path) -> Path:
    """Where a run keeps its `prompt_table`."""
    return run / "prompts.pt"


def load_prompts(run: Path, model: MediRound) -> Tensor:
    """The run's (E, C) table; raises MediRoundError where it does not fit the model."""
    with refusing_foreign(prompts_path(run)):
        found: Tensor = torch.load(prompts_path(run), "cpu", weights_only=True)
        if found.shape != (len(entities()), model.config.sam.prompt_dim):
            raise ValueError("prompts of another size")
    return found


@torch.no_grad()
def mean_features(model: MediRound, batches: Iterable[list[Example]]) -> tuple[Tensor, Tensor]:
    """Of each entity in the batches: its number (N,) and the mean of its (N, C) `SEG` features."""
    model.eval()
    found = [(torch.cat([each.entities for each in batch]), torch.cat(seg_features(model, batch))) for batch in batches]
    numbers, features = (torch.cat(column) for column in zip(*found, strict=True))
    features = features.float().cpu()
    known = numbers >= 0
    entities, places = numbers[known].unique(return_inverse=True)
    totals = torch.zeros(len(entities), features.shape[1]).index_add_(0, places, features[known])
    return entities, totals / places.bincount()[:, None]
