"""Train a MediRound model.

    python -m training.train --recipe tiny --data ../shared/data/real --run runs/tiny
    python -m training.train --recipe tiny --dialogues train.json --run runs/own
    python -m training.train --recipe tune --begin mediround-tiny --dialogues train.json --run runs/tune
    python -m training.train --recipe full --base BASE --dialogues train.json --root DIR --run runs/full

The first two train from scratch: tokenizer, pretraining of the eyes, stage 1 (end-to-end), stage 2 (JCM), and write a
native checkpoint to RUN/model; a file has to say what its masks show, as those of `training.data.build` do. The third
trains on from a checkpoint, which a recipe may deepen (`layers`). The last adapts a pretrained base, made by `mediround
convert --llava-med --medsam`, with LoRA. A killed run goes on where it stopped when the same command is given again.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from MediRoundLib.checkpoints import Checkpoint, load_native, save_native
from MediRoundLib.config import MediRoundConfig
from MediRoundLib.devices import choose_device
from MediRoundLib.errors import MediRoundError
from MediRoundLib.modeling import MediRound
from MediRoundLib.shipped import checkpoint_folder
from MediRoundLib.text import Tokenizer
from training.adapt import Adapted, adapt_base
from training.augment import STILL
from training.data.mixture import Mixture
from training.data.sources import DialogueSource, ExampleBatches, FileDialogues, MixtureDialogues
from training.examples import ExampleMaker
from training.files import written_whole
from training.grow import check_layers, deepened
from training.memory import settings_named
from training.pretrain import load_pretrained, pretrain, state_path
from training.prompts import load_prompts, prompt_table, prompts_path
from training.recipe import Recipe, load_recipe, plain
from training.stages import STAGES, take_up, train_stage
from training.team import Team, join
from training.tokenizer import train_tokenizer

# Makes the model that the first stage begins with.
Begin = Callable[[], tuple[Adapted, Tokenizer]]

# The settings of a recipe that memory depends on.
LESS_MEMORY = (
    "lower `batch` in the recipe and raise `accumulate` by as much; for a --base also set checkpointing = true and "
    'base = "4bit" under [lora], or split = true for several GPUs'
)
# Sets the phases' samples apart: far more than any phase draws.
PHASE_STRIDE = 10_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        with settings_named(LESS_MEMORY):
            done = _run(args, load_recipe(args.recipe))
    except (MediRoundError, FileNotFoundError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    if not done:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.train", description="Train a MediRound model.")
    parser.add_argument("--recipe", default="tiny", help="a file in training/configs, or a path")
    parser.add_argument("--data", type=Path, help="root of the real sets that the recipe's mixture names")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--begin", help="checkpoint to train on from: a folder, or the name of a shipped one")
    begin.add_argument("--base", type=Path, help="native checkpoint to adapt with LoRA; without both, from scratch")
    parser.add_argument(
        "--dialogues",
        type=Path,
        help="MR-MedSeg JSON to train on, instead of the mixture; several, with shares, are named in a mixture",
    )
    parser.add_argument("--held-out", type=Path, metavar="F.json", help="dialogues to measure on while training")
    parser.add_argument("--root", type=Path, help="root of the paths in dialogue files; default: each file's folder")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run: states and the finished model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare batches")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads on a CPU; 0 leaves its choice")
    return parser


def _run(args: argparse.Namespace, recipe: Recipe) -> bool:
    _refuse_misfits(args, recipe)
    team = join(args.device, recipe.split)
    team.leader_first(lambda: _keep_recipe(args.run / "recipe.toml", recipe))
    device = choose_device(args.device)
    mixture = _mixture(args, recipe)
    begin = _from_base(args.base, recipe) if args.base is not None else _from_whole(args, recipe, mixture, device, team)
    if begin is None:
        return False
    stages = [name for name in STAGES if name in recipe.phases]
    for number, name in enumerate(stages):
        if number == 0 or team.splits:  # what is split cannot be split anew
            adapted, tokenizer = begin()
            take_up(adapted.model, args.run, stages[:number])
            if not team.splits:
                adapted.model.to(device)
        batches, looks = _batches(args, recipe, name, mixture, ExampleMaker(adapted.model.config, tokenizer), team)
        if not train_stage(name, adapted, recipe, batches, looks, args.run, args.workers):
            return False
    if team.leads:
        if team.splits or not stages:
            adapted, tokenizer = begin()
            take_up(adapted.model, args.run, stages)
        model = adapted.finish()
        # Without stage 2 the JCM has learned nothing, and is left out.
        model.config = replace(model.config, name=recipe.name, stage=2 if "stage2" in recipe.phases else 1)
        save_native(args.run / "model", model, tokenizer, dtype=torch.float16)
        print(f"The model is in {args.run / 'model'}.")
    return True


def _refuse_misfits(args: argparse.Namespace, recipe: Recipe) -> None:
    """Raises MediRoundError for settings that do not go with the arguments, before the recipe is kept in the run."""
    if recipe.layers and not args.begin:
        raise MediRoundError("`layers` deepens a checkpoint that is trained on: give --begin, or take it out.")
    if recipe.layers:
        check_layers(MediRoundConfig.load(checkpoint_folder(args.begin) / "config.json"), recipe.layers)
    if "align" in recipe.phases and "pretrain" not in recipe.phases and not args.begin:
        raise MediRoundError("[align] needs [pretrain] before it, or a checkpoint to begin with (--begin).")


def _mixture(args: argparse.Namespace, recipe: Recipe) -> Mixture:
    """What is learned from: --dialogues alone, or else the recipe's mixture, whose names in .json are such files."""
    if args.dialogues is not None:
        return Mixture(None, {}, "train", recipe.seed, {args.dialogues: 1.0}, args.root)
    files = {Path(name): share for name, share in recipe.mixture.items() if name.endswith(".json")}
    others = {name: share for name, share in recipe.mixture.items() if Path(name) not in files}
    return Mixture(args.data, others, "train", recipe.seed, files, args.root)


def _from_base(base: Path, recipe: Recipe) -> Begin:
    half = any(phase.precision == "bf16" for phase in recipe.phases.values())
    return lambda: adapt_base(base, recipe.lora, recipe.seed, half)


def _from_whole(
    args: argparse.Namespace, recipe: Recipe, mixture: Mixture, device: torch.device, team: Team
) -> Begin | None:
    """A model of which everything learns, from a checkpoint or from scratch; None after an interrupt.

    What the language side is aligned to is made first, where masks have names: by pretraining, or else from what the
    checkpoint answers.
    """
    folder = checkpoint_folder(args.begin) if args.begin else None
    if folder:
        sizes = MediRoundConfig.load(folder / "config.json")
        model = {"sam": asdict(sizes.sam), "vision": sizes.vision, "close_up": sizes.close_up}
        recipe = replace(recipe, model=model)
    if not recipe.model:
        raise MediRoundError(f"The recipe {recipe.name} has no [model] for training from scratch; give --begin.")
    needing_names = [name for name in ("pretrain", "align") if name in recipe.phases]
    named = bool(needing_names) and _masks_have_names(mixture, needing_names, folder is not None, team)
    if named and folder:
        team.leader_first(partial(_keep_prompts, prompts_path(args.run), folder, recipe, mixture, device))
    if named and "pretrain" in recipe.phases:
        begun = load_native(folder).model if folder else None
        taken_up = (begun, load_prompts(args.run, begun)) if begun else None
        if not pretrain(recipe, mixture, args.run, args.workers, device, team, taken_up):
            return None
    if folder is None:
        team.leader_first(lambda: _keep_tokenizer(args.run / "tokenizer.model", recipe))

    def begin() -> tuple[Adapted, Tokenizer]:
        first = load_native(folder) if folder else _from_scratch(recipe, args.run)
        if recipe.layers:
            first = deepened(first, recipe.layers)
        prompts = _take_up_eyes(first.model, recipe, args.run) if named else None
        return Adapted(
            first.model, lambda: first.model, prompts=prompts, fresh_jcm=first.config.stage < 2
        ), first.tokenizer

    return begin


def _masks_have_names(mixture: Mixture, phases: Sequence[str], begun: bool, team: Team) -> bool:
    """Whether these phases can be told what the masks show; a model from scratch learns nothing without."""
    if not (unnamed := mixture.unnamed):
        return True
    said = f"{', '.join(map(str, unnamed))} does not name the structures of its masks"
    if not begun:
        raise MediRoundError(f"{said}, which a model from scratch has to know; use --data, --begin or --base.")
    if team.leads:
        print(f"{said}; left out: {' and '.join(phases)}.", file=sys.stderr)
    return False


def _batches(
    args: argparse.Namespace, recipe: Recipe, name: str, mixture: Mixture, maker: ExampleMaker, team: Team
) -> tuple[ExampleBatches, ExampleBatches | None]:
    """What a stage learns from, and what it is measured on meanwhile."""
    phase, config, number = recipe.phases[name], maker.config, list(STAGES).index(name) + 1
    seed = recipe.seed + number
    # Alignment sees images through CLIP alone, so small ones do for it.
    size = config.clip_image.size if name == "align" else config.sam.image_size
    recipe = replace(recipe, model={**recipe.model, "close_up": config.close_up})
    files = {path: FileDialogues(path, args.root or path.parent, seed) for path in mixture.files}
    source = MixtureDialogues(mixture, recipe, phase, size, number * PHASE_STRIDE, files)
    held_out: DialogueSource | None = None
    if args.held_out is not None:
        held_out = FileDialogues(args.held_out, args.root or args.held_out.parent, seed)
    elif phase.check and (kept := mixture.held_out):
        held_out = MixtureDialogues(kept, replace(recipe, augment=STILL), plain(phase), size)
    batches = ExampleBatches(source, maker, seed, phase, team)
    return batches, ExampleBatches(held_out, maker, recipe.seed, plain(phase)) if held_out else None


def _keep_recipe(path: Path, recipe: Recipe) -> None:
    """Put the recipe beside what it makes; raises MediRoundError where the run was begun with another one."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(recipe.text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != recipe.text:
        raise MediRoundError(
            f"This run was begun with the recipe {path}, which differs; give that one, or choose another --run folder."
        )


def _keep_tokenizer(path: Path, recipe: Recipe) -> None:
    """Train the run's tokenizer once; its ids mean nothing with another."""
    if not path.exists():
        with written_whole(path) as beside:
            beside.write_bytes(train_tokenizer(recipe.vocab_size))


def _keep_prompts(path: Path, begin: Path, recipe: Recipe, mixture: Mixture, device: torch.device) -> None:
    """Gather once what a checkpoint answers with."""
    if not path.exists():
        begun = load_native(begin)
        begun.model.to(device)
        with written_whole(path) as beside:
            torch.save(prompt_table(begun, recipe, mixture), beside)


def _from_scratch(recipe: Recipe, run: Path) -> Checkpoint:
    """A fresh model, with the tokenizer of the run."""
    path = run / "tokenizer.model"
    # At stage 0 nothing has been learned, the JCM least of all.
    config = replace(recipe.config(Tokenizer(path.read_bytes(), {}).pieces), stage=0)
    torch.manual_seed(recipe.seed)
    return Checkpoint(MediRound(config), Tokenizer.from_file(path, config.tokens), config)


def _take_up_eyes(model: MediRound, recipe: Recipe, run: Path) -> Tensor | None:
    """Put the run's pretrained eyes into the model; returns the (E, C) prompts of those, or of a checkpoint, if any."""
    if "pretrain" in recipe.phases:
        if not state_path(run).exists():
            return None
        learned = load_pretrained(run, model)
        if not "prompts.".startswith(recipe.phases["pretrain"].frozen):
            return learned
    return load_prompts(run, model) if prompts_path(run).exists() else None


def load_run(run: Path, recipe: Recipe) -> Checkpoint:
    """The model of an unfinished run from scratch, as far as it got, for a look in between."""
    begun = _from_scratch(recipe, run)
    model = begun.model
    _take_up_eyes(model, recipe, run)
    take_up(model, run, STAGES)
    model.config = replace(model.config, stage=2 if (run / "stage2.pt").exists() else 1)
    return Checkpoint(model.eval(), begun.tokenizer, model.config)


if __name__ == "__main__":
    sys.exit(main())
