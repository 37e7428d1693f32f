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

    engine = _engine(args)
    with tqdm(total=2 * args.repeats * args.rounds + 1, unit="round", desc="bench", file=sys.stderr) as bar:
        found = bench(engine, args.rounds, args.repeats, args.pixels, bar.update)
    print(report(found))
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8", newline="\n")
    if args.markdown is not None:
        args.markdown.write_text(report(found), encoding="utf-8", newline="\n")
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

    if args.size is None:
        return Engine.from_pretrained(args.model, args.device, args.dtype)
    from MediRoundLib.bench import queries
    from MediRoundLib.shapes import SHAPES, check_memory, random_checkpoint

    device = choose_device(args.device)
    dtype = choose_dtype(args.dtype, device)
    check_memory(SHAPES[args.size], device, dtype)
    with memory_named(device):
        return Engine(random_checkpoint(SHAPES[args.size], queries(args.rounds), device, dtype), device, dtype)


def report(found: dict[str, Any]) -> str:
    """What `bench.bench` found as Markdown that reads well in a terminal, too; times in milliseconds."""
    hardware, growth, rounds = found["hardware"], found["growth"], found["rounds"]
    runs_on = f"{hardware['gpu']}, {hardware['cpu']}" if hardware["gpu"] else hardware["cpu"]
    by_round = _aligned(
        ["round", "tokens", "engine", "state", "released", "ratio", "so far", "ratio"],
        [
            [
                *(row["round"], row["tokens"], _ms(row["engine"]), row["state"]),
                *(_ms(row["released"]), f"{row['ratio']:.1f}", _ms(row["so_far"]), f"{row['ratio_so_far']:.1f}"),
            ]
            for row in found["by_round"]
        ],
    )
    breakdown = _aligned(
        ["way", *found["breakdown"]["cold"]],
        [[way, *map(_ms, own.values())] for way, own in found["breakdown"].items()],
    )
    allowed = "not limited in half precision" if found["limit"] is None else f"{found['limit']:g} is allowed"
    known = [f"{way.replace('_', ' ')} {peak / 1e6:.0f} MB" for way, peak in found["peak"].items() if peak is not None]
    return f"""\
{found["model"]}: {found["parameters"] / 1e6:.1f} million parameters, {found["dtype"]} on {found["device"]}
{runs_on}; {hardware["threads"]} of {hardware["cores"]} threads; torch {found["versions"]["torch"]}
image {found["size"]} x {found["size"]}; medians of {found["repeats"]}, in milliseconds

{by_round}

- engine: cold is opening the image and the first round, warm every later round
- released: the whole dialogue recomputed every round, as the released evaluation does; so far: without rounds to come
- growth, round {rounds} / round 2: engine {growth["engine"]:.2f}, released {growth["released"]:.2f}, \
so far {growth["so_far"]:.2f}
- peak memory: {", ".join(known) or "unknown here"}
- logits of engine and released differ by at most {found["difference"]:.2g} ({allowed}; two rounds in a row differ \
by {found["spread"]:.2g} or more)

{breakdown}
"""


def _aligned(head: list[Any], rows: list[list[Any]]) -> str:
    """A Markdown table whose columns are as wide as what they hold."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * (width - 1) + ":" for width in widths])
    lines = (" | ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"| {line} |" for line in lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"


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
