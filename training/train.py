"""Train a MediRound model.

    python -m training.train --recipe tiny --data ../shared/data/real --run runs/tiny
    python -m training.train --recipe lora --base BASE --dialogues train.json --root DIR --run runs/lora

The first trains from scratch: tokenizer, pretraining of SAM, stage 1 (end-to-end), stage 2 (JCM), and writes a native
checkpoint to RUN/model. The second adapts a pretrained base, made by `mediround convert --llava-med --medsam`, with
LoRA. A killed run goes on where it stopped when the same command is given again.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from MediRoundLib.checkpoints import Checkpoint, load_native, save_native
from MediRoundLib.config import MediRoundConfig
from MediRoundLib.devices import choose_device
from MediRoundLib.errors import MediRoundError
from MediRoundLib.modeling import MediRound
from MediRoundLib.text import Tokenizer
from training.adapt import Adapted, adapt_base, begin_corrector
from training.data.mixture import Mixture
from training.data.sources import DialogueSource, ExampleBatches, FileDialogues, MixtureDialogues
from training.examples import ExampleMaker
from training.loop import train
from training.pretrain import pretrain, pretrained
from training.recipe import Recipe, load_recipe
from training.step import Example, alignment_step, stage1_loss, stage2_loss
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
    parser.add_argument("--base", type=Path, help="native stage 0 checkpoint to adapt with LoRA; else from scratch")
    parser.add_argument("--dialogues", type=Path, help="MR-MedSeg JSON to train on, instead of the mixture")
    parser.add_argument("--root", type=Path, help="root of the paths in --dialogues; default: its folder")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run: states and the finished model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare batches")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads on a CPU; 0 leaves its choice")
    return parser


def _run(args: argparse.Namespace, recipe: Recipe) -> bool:
    device = choose_device(args.device)
    mixture = Mixture(args.data, recipe.mixture, "train", recipe.seed) if args.dialogues is None else None
    if args.base is not None:
        checkpoint = load_native(args.base)
        adapted = adapt_base(checkpoint.model, recipe.lora, recipe.seed)
        tokenizer = checkpoint.tokenizer
    else:
        if not recipe.model:
            raise MediRoundError(f"The recipe {recipe.name} has no [model] for training from scratch; give --base.")
        if (
            mixture is not None
            and "pretrain" in recipe.phases
            and not pretrain(recipe, mixture, args.run, args.workers, device)
        ):
            return False
        tokenizer = _tokenizer(args.run / "tokenizer.model", recipe)
        adapted = _from_scratch(recipe, tokenizer, args.run)
    adapted.model.to(device)
    maker = ExampleMaker(adapted.model.config, tokenizer)
    config = adapted.model.config
    stages = (
        ("align", _align, config.clip_image.size),  # sees images through CLIP alone, so small ones do for it
        ("stage1", _stage1, config.sam.image_size),
        ("stage2", _stage2, config.sam.image_size),
    )
    for number, (name, stage, size) in enumerate(stages, start=1):
        if name not in recipe.phases:
            continue
        phase = recipe.phases[name]
        source: DialogueSource
        if args.dialogues is not None:
            source = FileDialogues(args.dialogues, args.root or args.dialogues.parent, recipe.seed + number)
        else:
            assert mixture is not None
            source = MixtureDialogues(mixture, recipe, phase, size, first=number * PHASE_STRIDE)
        if not stage(adapted, recipe, ExampleBatches(source, maker, phase.batch), args.run, args.workers):
            return False
    adapted.finish()
    # Without stage 2 the JCM has learned nothing, and is left out.
    adapted.model.config = replace(config, name=recipe.name, stage=2 if "stage2" in recipe.phases else 1)
    save_native(args.run / "model", adapted.model, tokenizer, dtype=torch.float16)
    print(f"The model is in {args.run / 'model'}.")
    return True


def _tokenizer(path: Path, recipe: Recipe) -> Tokenizer:
    """The run's tokenizer, trained once and kept, since its ids mean nothing with another."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        beside.write_bytes(train_tokenizer(recipe.vocab_size))
        beside.replace(path)
    pieces = Tokenizer(path.read_bytes(), {}).pieces
    return Tokenizer.from_file(path, recipe.config(pieces).tokens)


def _from_scratch(recipe: Recipe, tokenizer: Tokenizer, run: Path) -> Adapted:
    """A fresh model, everything trainable, with the pretrained SAM in it where the recipe has that phase."""
    torch.manual_seed(recipe.seed)
    model = MediRound(recipe.config(tokenizer.pieces))
    if "pretrain" not in recipe.phases or not (run / "pretrain.pt").exists():
        return Adapted(model)
    sam, prompts = pretrained(run)
    model.sam.load_state_dict(sam)
    return Adapted(model, prompts=prompts)


def _align(adapted: Adapted, recipe: Recipe, batches: Callable[[int], list[Example]], run: Path, workers: int) -> bool:
    """The language side of a model from scratch, before it may touch SAM."""
    if adapted.prompts is None:
        return True
    model, prompts = adapted.model, adapted.prompts.to(adapted.model.device)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not _is_jcm(name) and not name.startswith("sam."))
    model.train()

    def losses(batch: list[Example]) -> dict[str, Tensor]:
        found = alignment_step(model, batch, recipe.loss, prompts)
        return {"loss": found["loss"], "ce": found["ce_loss"], "align": found["alignment_loss"]}

    return _train_part(model, losses, batches, recipe, "align", run, workers)


def _stage1(adapted: Adapted, recipe: Recipe, batches: Callable[[int], list[Example]], run: Path, workers: int) -> bool:
    model = adapted.model
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(adapted.learns(name) and not _is_jcm(name))
    model.train()
    prompts = None if adapted.prompts is None else adapted.prompts.to(model.device)
    weights = replace(recipe.loss, alignment=recipe.loss.alignment * recipe.phases["stage1"].alignment)

    def losses(batch: list[Example]) -> dict[str, Tensor]:
        found = stage1_loss(model, batch, weights, prompts)
        aligned = {"align": found["alignment_loss"]} if prompts is not None else {}
        return {"loss": found["loss"], "ce": found["ce_loss"], "mask": found["mask_loss"], **aligned}

    return _train_part(model, losses, batches, recipe, "stage1", run, workers)


def _stage2(adapted: Adapted, recipe: Recipe, batches: Callable[[int], list[Example]], run: Path, workers: int) -> bool:
    model = adapted.model
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(_is_jcm(name))
    if adapted.fresh_jcm:
        begin_corrector(model.corrector)
    # No dropout: the JCM learns about the features that inference will make.
    model.eval()

    def losses(batch: list[Example]) -> dict[str, Tensor]:
        found = stage2_loss(model, batch, recipe.loss)
        return {"loss": found["loss"], "quality": found["quality_loss"], "mask": found["mask_loss"]}

    return _train_part(model, losses, batches, recipe, "stage2", run, workers)


def _is_jcm(name: str) -> bool:
    return name.startswith(("judge.", "corrector."))


def _train_part(
    model: nn.Module,
    losses: Callable[[list[Example]], dict[str, Tensor]],
    batches: Callable[[int], list[Example]],
    recipe: Recipe,
    name: str,
    run: Path,
    workers: int,
) -> bool:
    """Train the parameters that require gradients; they are kept in RUN/NAME.pt."""
    learning = {key: parameter for key, parameter in model.named_parameters() if parameter.requires_grad}

    def state() -> dict[str, Tensor]:
        return {key: parameter.detach() for key, parameter in learning.items()}

    def restore(kept: dict[str, Tensor]) -> None:
        if kept.keys() != learning.keys():
            raise ValueError("parameters of other names")
        model.load_state_dict(kept, strict=False)

    return train(
        learning.values(), state, restore, batches, losses, recipe.phases[name], run / f"{name}.pt", workers, name
    )


def load_run(run: Path, recipe: Recipe) -> Checkpoint:
    """The model of an unfinished run from scratch, as far as it got, for a look in between."""
    tokenizer = _tokenizer(run / "tokenizer.model", recipe)
    model = _from_scratch(recipe, tokenizer, run).model
    for name in ("align", "stage1", "stage2"):
        if (run / f"{name}.pt").exists():
            model.load_state_dict(torch.load(run / f"{name}.pt", "cpu", weights_only=True)["state"], strict=False)
    config: MediRoundConfig = model.config
    return Checkpoint(model.eval(), tokenizer, config)


if __name__ == "__main__":
    sys.exit(main())
