"""Train plain U-Nets on the same slices and measure them on the same targets as the dialogues.

    python -m training.baseline --data ../shared/data/real --run runs/unet --model mediround-tiny

One U-Net (MONAI's) a set learns from the train patients. Then every round of the dialogues that `training.evaluate`
makes about the validation patients is answered with the U-Net's mask of the structure that the round asks for. It is
told the structure and reads no words, so it is a yardstick for the masks alone. A killed run goes on where it stopped
when the same command is given again. RUN gets a state for each set and `specialist.md`, `.json` and `.png`.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from MediRoundLib.devices import choose_device
from MediRoundLib.engine import Engine
from MediRoundLib.errors import MediRoundError
from MediRoundLib.masks import INSIDE, read_mask
from MediRoundLib.metrics import overlap
from MediRoundLib.mr_medseg import Conversation
from MediRoundLib.scoring import Scored, labels
from training.data.real import cases, set_folders
from training.held_out import held_out
from training.measure import Setting, ask_all
from training.memory import settings_named
from training.provenance import weights_digest
from training.recipe import PhaseRecipe, load_recipe
from training.report import write_sheet
from training.retell import FIRST
from training.sheets import SPECIALIST
from training.unet import Batches, SetSlices, build_unet, draw_masks, train_unet


def answer(net: torch.nn.Module, held: SetSlices, name: str, conversations: Sequence[Conversation]) -> list[Scored]:
    """Every round with the U-Net's mask of its structure; nothing is drawn for one that it never learned."""
    found = []
    for conversation in conversations:
        with Image.open(conversation.image) as opened:
            image = np.asarray(opened)
        masks = dict(zip(held.structures, draw_masks(net, image, held.size), strict=True))
        for k, turn in enumerate(conversation.turns):
            target = read_mask(turn.target) == INSIDE
            drawn = masks.get(conversation.about["entities"][k], np.zeros_like(target))
            found.append(Scored(k + 1, overlap(drawn, target), labels={**labels(conversation, k), "source": name}))
    return found


def run(args: argparse.Namespace) -> str | None:
    """Train, measure and write; returns the tables, None after an interrupt."""
    folders = {path.name: path for path in set_folders(args.data)}
    wanted = args.sets or [name for name, path in folders.items() if cases(path, "val")]
    if unknown := sorted(set(wanted) - set(folders)):
        raise MediRoundError(f"There is no set {', '.join(unknown)} below {args.data}.")
    device, recipe = choose_device(args.device), load_recipe("tiny")
    warmup = min(50, args.steps // 10 + 1)
    phase = PhaseRecipe(args.steps, args.batch, args.lr, warmup, weight_decay=0.01)
    sets = held_out(args.data, wanted, args.run / "dialogues", args.per_set)[FIRST]
    drawn: list[Scored] = []
    for name, conversations in sets.items():
        held = SetSlices.read(folders[name], args.size)
        torch.manual_seed(recipe.seed)
        net = build_unet(len(held.structures)).to(device)
        batches = Batches(held, recipe.augment, args.batch, recipe.seed)
        if not train_unet(net, batches, phase, args.run, name, args.workers):
            return None
        drawn += answer(net, held, name, [each for each in conversations if each is not None])
    runs: Mapping[str, list[Scored]] = {"U-Net": drawn}
    if args.model:
        engine = Engine.from_pretrained(args.model, device=args.device)
        ways = (Setting("with JCM"), Setting("without JCM", jcm=False))
        runs = {**{way.name: ask_all(engine, sets, way, _unfit) for way in ways}, **runs}
    weights = weights_digest(args.model) if args.model else ""
    return write_sheet("specialist", SPECIALIST, dict(runs), args.run, args.model or "U-Net", weights)


def _unfit(problem: str) -> None:
    raise MediRoundError(problem)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.baseline", description="Train and measure a plain U-Net for each set."
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="root of the real sets")
    add("--run", type=Path, required=True, help="folder of states and results")
    add("--sets", nargs="+", metavar="SET", help="those alone; default: all with validation patients")
    add("--model", help="a checkpoint to set beside: a folder, or the name of a shipped one")
    add("--steps", type=int, default=1500, help="of each U-Net (default: %(default)s)")
    add("--batch", type=int, default=8, help="slices a step (default: %(default)s)")
    add("--lr", type=float, default=8e-3, help="learning rate (default: %(default)s)")
    add("--size", type=int, default=288, help="longest side of what the U-Nets see, at most (default: %(default)s)")
    add("--per-set", type=int, default=40, help="dialogues of each set, at most (default: %(default)s)")
    add("--workers", type=int, default=0, help="processes that prepare batches")
    add("--threads", type=int, default=0, help="torch's threads on a CPU; 0 leaves its choice")
    add("--device", default="auto")
    args = parser.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        with settings_named("lower --batch or --size, or use --device cpu"):
            tables = run(args)
    except (MediRoundError, FileNotFoundError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    if tables is None:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return 0
    print(tables)
    print(f"Written to {args.run}: specialist.{{md,json,png}}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
