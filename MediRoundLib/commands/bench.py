"""`mediround bench`: the time of a round on this machine, beside recomputing everything as the released evaluation."""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MediRoundLib.errors import MediRoundError
from MediRoundLib.shipped import DEFAULT

if TYPE_CHECKING:
    from MediRoundLib.engine import Engine

HELP = "measure the time of a round on this machine, three ways"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Hold one dialogue, in which every round refers to the one before, on the same weights in three ways: 'cold' "
        "opens an image and asks the first round, 'warm' is every later round on the engine's caches, 'released' "
        "recomputes everything in every round, as the released evaluation does. Ends with code 2 where logits differ."
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--model", metavar="M", default=DEFAULT, help="a checkpoint's folder or name (%(default)s)")
    source.add_argument(
        "--size",
        choices=("tiny", "mid", "full"),
        help="random weights instead of a checkpoint: mediround-tiny's sizes, 89 million parameters, or LLaVA-Med-7B "
        "with MedSAM",
    )
    parser.add_argument("--rounds", metavar="N", type=_at_least(2), default=12, help="default: %(default)s")
    parser.add_argument("--repeats", metavar="N", type=_at_least(1), default=3, help="default: %(default)s")
    parser.add_argument(
        "--pixels", metavar="N", type=_at_least(16), default=512, help="side of the square image; default: %(default)s"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; default: %(default)s")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16; default: %(default)s")
    parser.add_argument("--json", metavar="OUT", type=Path, help="file for all numbers")
    parser.add_argument("--markdown", metavar="OUT", type=Path, help="file for the tables, to be read")
    parser.add_argument("--plot", metavar="PNG", type=Path, help="file for a plot of time by round")


def _at_least(least: int) -> Any:
    def count(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least {least}")
        return int(text)

    return count


def run(args: argparse.Namespace) -> int:
    """Measure, print, write.

    Raises:
        MediRoundError: matplotlib is missing (said first), or the logits of the ways differ (said last).
    """
    if args.plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise MediRoundError("The plot needs matplotlib; install it (pip install matplotlib) or leave --plot out.")
    for path in (args.json, args.markdown, args.plot):
        if path is not None:  # now, not after the measurement
            path.parent.mkdir(parents=True, exist_ok=True)
    from tqdm import tqdm

    from MediRoundLib.bench import bench
    from MediRoundLib.bench.report import lost, plot, report

    engine = _engine(args)
    with tqdm(total=2 * args.repeats * args.rounds + 1, unit="round", desc="bench", file=sys.stderr) as bar:
        found = bench(engine, args.rounds, args.repeats, args.pixels, bar.update)
    print(report(found))
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8", newline="\n")
    if args.markdown is not None:
        args.markdown.write_text(report(found), encoding="utf-8", newline="\n")
    if args.plot is not None:
        plot(found, args.plot)
    if not found["equal"]:
        raise MediRoundError(lost(found))
    return 0


def _engine(args: argparse.Namespace) -> "Engine":
    from MediRoundLib.devices import choose_device, choose_dtype, memory_named
    from MediRoundLib.engine import Engine

    if args.size is None:
        return Engine.from_pretrained(args.model, args.device, args.dtype)
    from MediRoundLib.bench import queries
    from MediRoundLib.shapes import SHAPES, check_memory, random_checkpoint

    device = choose_device(args.device)
    dtype = choose_dtype(args.dtype, device)
    check_memory(SHAPES[args.size], device, dtype)
    with memory_named(device):
        return Engine(random_checkpoint(SHAPES[args.size], queries(args.rounds), device, dtype), device, dtype)
