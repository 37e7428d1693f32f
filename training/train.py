"""Train a MediRound model.

    python -m training.train --recipe tiny --data ../shared/data/real --run runs/tiny
    python -m training.train --recipe tune --begin mediround-tiny --dialogues train.json --run runs/tune
    python -m training.train --recipe full --base BASE --dialogues train.json --root DIR --run runs/full

The first trains from scratch: tokenizer, pretraining of SAM, stage 1 (end-to-end), stage 2 (JCM), and writes a native
checkpoint to RUN/model. The second trains on from a checkpoint. The third adapts a pretrained base, made by `mediround
convert --llava-med --medsam`, with LoRA. A killed run goes on where it stopped when the same command is given again.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from MediRoundLib.checkpoints import Checkpoint, load_native, save_native
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
from training.pretrain import pretrain, pretrained
from training.recipe import Recipe, load_recipe, plain
from training.stages import STAGES, train_stage
from training.team import join
from training.tokenizer import train_tokenizer

# Sets the phases' samples apart: far more than any phase draws.
PHASE_STRIDE = 10_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        done = _run(args, load_recipe(args.recipe))
    except (MediRoundError, FileNotFoundError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    except torch.OutOfMemoryError:
        print(
            "training: the device ran out of memory; lower `batch` in the recipe, or use --device cpu.", file=sys.stderr
        )
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
    parser.add_argument("--dialogues", type=Path, help="MR-MedSeg JSON to train on, instead of the mixture")
    parser.add_argument("--held-out", type=Path, metavar="F.json", help="dialogues to measure on while training")
    parser.add_argument("--root", type=Path, help="root of the paths in dialogue files; default: each file's folder")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run: states and the finished model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare batches")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads on a CPU; 0 leaves its choice")
    return parser


def _run(args: argparse.Namespace, recipe: Recipe) -> bool:
    team = join()
    team.leader_first(lambda: _keep_recipe(args.run / "recipe.toml", recipe))
    device = choose_device(args.device)
    mixture = Mixture(args.data, recipe.mixture, "train", recipe.seed) if args.dialogues is None else None
    if args.base is not None:
        half = any(phase.precision == "bf16" for phase in recipe.phases.values())
        adapted, tokenizer = adapt_base(args.base, recipe.lora, recipe.seed, half)
    else:
        begun = load_native(checkpoint_folder(args.begin)) if args.begin else None
        if begun:
            recipe = replace(recipe, model={"sam": asdict(begun.config.sam)})
        if not recipe.model:
            raise MediRoundError(f"The recipe {recipe.name} has no [model] for training from scratch; give --begin.")
        sam = begun.model.sam.state_dict() if begun else None
        if (
            mixture is not None
            and "pretrain" in recipe.phases
            and not pretrain(recipe, mixture, args.run, args.workers, device, team, sam)
        ):
            return False
        if begun is None:
            team.leader_first(lambda: _keep_tokenizer(args.run / "tokenizer.model", recipe))
            begun = _from_scratch(recipe, args.run)
        tokenizer = begun.tokenizer
        adapted = _with_pretrained(begun, recipe, args.run)
    adapted.model.to(device)
    maker = ExampleMaker(adapted.model.config, tokenizer)
    config = adapted.model.config
    for number, name in enumerate(STAGES, start=1):
        if name not in recipe.phases:
            continue
        phase = recipe.phases[name]
        # Alignment sees images through CLIP alone, so small ones do for it.
        size = config.clip_image.size if name == "align" else config.sam.image_size
        held_out: DialogueSource | None = None
        if args.dialogues is not None:
            seed = recipe.seed + number
            source: DialogueSource = FileDialogues(args.dialogues, args.root or args.dialogues.parent, seed)
            if args.held_out is not None:
                held_out = FileDialogues(args.held_out, args.root or args.held_out.parent, seed)
        else:
            assert mixture is not None
            source = MixtureDialogues(mixture, recipe, phase, size, first=number * PHASE_STRIDE)
            if phase.check and (kept := mixture.held_out):
                held_out = MixtureDialogues(kept, replace(recipe, augment=STILL), plain(phase), size)
        batches = ExampleBatches(source, maker, recipe.seed + number, phase, team)
        looks = ExampleBatches(held_out, maker, recipe.seed, plain(phase)) if held_out else None
        if not train_stage(name, adapted, recipe, batches, looks, args.run, args.workers):
            return False
    if team.leads:
        model = adapted.finish()
        # Without stage 2 the JCM has learned nothing, and is left out.
        model.config = replace(config, name=recipe.name, stage=2 if "stage2" in recipe.phases else 1)
        save_native(args.run / "model", model, tokenizer, dtype=torch.float16)
        print(f"The model is in {args.run / 'model'}.")
    return True


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
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        beside.write_bytes(train_tokenizer(recipe.vocab_size))
        beside.replace(path)


def _from_scratch(recipe: Recipe, run: Path) -> Checkpoint:
    """A fresh model, with the tokenizer of the run."""
    path = run / "tokenizer.model"
    # At stage 0 nothing has been learned, the JCM least of all.
    config = replace(recipe.config(Tokenizer(path.read_bytes(), {}).pieces), stage=0)
    torch.manual_seed(recipe.seed)
    return Checkpoint(MediRound(config), Tokenizer.from_file(path, config.tokens), config)


def _with_pretrained(begun: Checkpoint, recipe: Recipe, run: Path) -> Adapted:
    """The model with everything trainable, and with the run's pretrained SAM in it where the recipe has that phase."""
    model, fresh_jcm = begun.model, begun.config.stage < 2
    if "pretrain" not in recipe.phases or not (run / "pretrain.pt").exists():
        return Adapted(model, lambda: model, fresh_jcm=fresh_jcm)
    sam, prompts = pretrained(run)
    model.sam.load_state_dict(sam)
    return Adapted(model, lambda: model, prompts=prompts, fresh_jcm=fresh_jcm)


def load_run(run: Path, recipe: Recipe) -> Checkpoint:
    """The model of an unfinished run from scratch, as far as it got, for a look in between."""
    begun = _from_scratch(recipe, run)
    model = _with_pretrained(begun, recipe, run).model
    for name in STAGES:
        if (run / f"{name}.pt").exists():
            model.load_state_dict(torch.load(run / f"{name}.pt", "cpu", weights_only=True)["state"], strict=False)
    model.config = replace(model.config, stage=2 if (run / "stage2.pt").exists() else 1)
    return Checkpoint(model.eval(), begun.tokenizer, model.config)


if __name__ == "__main__":
    sys.exit(main())
