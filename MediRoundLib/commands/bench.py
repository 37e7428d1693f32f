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
    source.add_argument("--shape", choices=("tiny-random", "full"), help="random weights of these sizes, no checkpoint")
    parser.add_argument("--rounds", metavar="N", type=_at_least(2), default=12, help="default: %(default)s")
    parser.add_argument("--repeats", metavar="N", type=_at_least(1), default=3, help="default: %(default)s")
    parser.add_argument(
        "--size", metavar="PIXELS", type=_at_least(16), default=512, help="of the square image; default: %(default)s"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; default: %(default)s")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16; default: %(default)s")
    parser.add_argument("--json", metavar="OUT", type=Path, help="file for all numbers")
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
    for path in (args.json, args.plot):
        if path is not None:  # now, not after the measurement
            path.parent.mkdir(parents=True, exist_ok=True)
    from tqdm import tqdm

    from MediRoundLib.bench import bench

    engine = _engine(args)
    with tqdm(total=3 * args.repeats + 1, unit="dialogue", desc="bench", file=sys.stderr) as bar:
        found = bench(engine, args.rounds, args.repeats, args.size, bar.update)
    print(table(found))
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8", newline="\n")
    if args.plot is not None:
        plot(found, args.plot)
    if not found["equal"]:
        raise MediRoundError(
            f"The engine's logits differ by {found['difference']:.2g} from recomputing everything, and "
            f"{found['limit']:g} is allowed in {found['dtype']}: do not trust its masks here, and report this output."
        )
    return 0


def _engine(args: argparse.Namespace) -> "Engine":
    from MediRoundLib.devices import choose_device, choose_dtype, memory_named
    from MediRoundLib.engine import Engine

    if args.shape is None:
        return Engine.from_pretrained(args.model, args.device, args.dtype)
    from MediRoundLib.bench import queries
    from MediRoundLib.shapes import SHAPES, random_checkpoint

    device = choose_device(args.device)
    dtype = choose_dtype(args.dtype, device)
    with memory_named(device):
        return Engine(random_checkpoint(SHAPES[args.shape], queries(args.rounds), device, dtype), device, dtype)


def table(found: dict[str, Any]) -> str:
    """What `bench.bench` found, in milliseconds."""
    hardware, growth = found["hardware"], found["growth"]
    runs_on = f"{hardware['gpu']}, {hardware['cpu']}" if hardware["gpu"] else hardware["cpu"]
    lines = [
        f"{found['model']}: {found['parameters'] / 1e6:.1f} million parameters, {found['dtype']} on {found['device']}",
        f"{runs_on}; {hardware['threads']} of {hardware['cores']} threads; torch {found['versions']['torch']}",
        f"image {found['size']} x {found['size']}; medians of {found['repeats']}, in ms\n",
        f"{'round':>5} {'tokens':>7} {'engine':>9} {'':4} {'released':>9} {'ratio':>6} {'so far':>9} {'ratio':>6}",
    ]
    lines += [
        f"{row['round']:>5} {row['tokens']:>7} {_ms(row['engine'])} {row['state']} {_ms(row['released'])} "
        f"{row['ratio']:>6.1f} {_ms(row['so_far'])} {row['ratio_so_far']:>6.1f}"
        for row in found["by_round"]
    ]
    lines += [
        "cold: opening the image and the first round. released: the whole dialogue recomputed every round, as the",
        "released evaluation does. so far: the same without the rounds to come.",
        f"growth, round {found['rounds']} / round 2: engine {growth['engine']:.2f}, released {growth['released']:.2f}, "
        f"so far {growth['so_far']:.2f}\n",
    ]
    parts = list(found["breakdown"]["cold"])
    lines.append(f"{'part':>8}" + "".join(f"{part:>12}" for part in parts))
    for way, own in found["breakdown"].items():
        lines.append(f"{way:>8}" + "".join(f"{own[part] * 1e3:>12.2f}" for part in parts))
    allowed = "not limited in half precision" if found["limit"] is None else f"{found['limit']:g} is allowed"
    lines.append(
        f"\nlogits of engine and released differ by at most {found['difference']:.2g} ({allowed}; "
        f"two rounds in a row differ by {found['spread']:.2g} or more)"
    )
    return "\n".join(lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:>9.2f}"


def plot(found: dict[str, Any], path: Path) -> None:
    """Time by round of all ways, as a picture; needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    numbers = [row["round"] for row in found["by_round"]]
    for way, label in (
        ("released", "released: the whole dialogue recomputed"),
        ("so_far", "the dialogue so far recomputed"),
        ("engine", "engine: cold in round 1, then warm"),
    ):
        axes.plot(numbers, [row[way] * 1e3 for row in found["by_round"]], marker="o", label=label)
    axes.set(xlabel="round", ylabel="milliseconds", yscale="log", xticks=numbers)
    hardware = found["hardware"]
    axes.set_title(
        f"{found['model']}, {found['dtype']}, {hardware['gpu'] or hardware['cpu']}, threads: {hardware['threads']}",
        fontsize="medium",
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize="small")
    figure.savefig(path, format="png")
