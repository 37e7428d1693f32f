"""`mediround bench`: the time of a round on this machine, beside recomputing everything as the released evaluation."""

import argparse
import importlib.util
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MediRoundLib.errors import MediRoundError
from MediRoundLib.shipped import DEFAULT

if TYPE_CHECKING:
    from MediRoundLib.engine import Engine
    from MediRoundLib.quantization import Bits

# All numbers, their report, and what is wrong with them.
_Found = tuple[dict[str, Any], str, str | None]

HELP = "measure the time of a round on this machine, three ways"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Hold one dialogue, in which every round refers to the one before, on the same weights in three ways: 'cold' "
        "opens an image and asks the first round, 'warm' is every later round on the engine's caches, 'released' "
        "recomputes everything in every round, as the released evaluation does. Ends with code 2 where logits differ, "
        "in half precision where masks do."
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
    parser.add_argument(
        "--compile", action="store_true", help="let torch.compile make SAM faster; it takes up to minutes first"
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--quantize",
        nargs="+",
        choices=("4bit", "8bit"),
        metavar="BITS",
        help="measure instead what a language model in 4bit, 8bit or both takes of memory and does to masks and "
        "scores, beside the same weights unquantised",
    )
    instead.add_argument(
        "--start",
        action="store_true",
        help="measure instead how long the Slicer module's engine process takes to its first answer",
    )
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
        MediRoundError: a package is missing or options do not fit (said first), or the answers differ (said last).
    """
    if args.plot is not None and (args.quantize or args.start):
        raise MediRoundError("The plot is of time by round, three ways; leave --plot, or --quantize and --start, out.")
    if args.start and (args.size is not None or args.compile):
        raise MediRoundError(
            "The engine process loads checkpoints and compiles nothing; leave --size or --compile out."
        )
    if args.plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise MediRoundError("The plot needs matplotlib; install it (pip install matplotlib) or leave --plot out.")
    for path in (args.json, args.markdown, args.plot):
        if path is not None:  # now, not after the measurement
            path.parent.mkdir(parents=True, exist_ok=True)
    measure = _few_bits if args.quantize else _start if args.start else _three_ways
    found, text, fault = measure(args)
    print(text)
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8", newline="\n")
    if args.markdown is not None:
        args.markdown.write_text(text, encoding="utf-8", newline="\n")
    if fault is not None:
        raise MediRoundError(fault)
    return 0


def _three_ways(args: argparse.Namespace) -> _Found:
    from MediRoundLib.bench import bench
    from MediRoundLib.bench.report import lost, plot, report

    engine = _engine(args)
    with _bar(2 * args.repeats * args.rounds + 1, "round") as bar:
        found = bench(engine, args.rounds, args.repeats, args.pixels, bar.update)
    if args.plot is not None:
        plot(found, args.plot)
    return found, report(found), None if found["equal"] else lost(found)


def _few_bits(args: argparse.Namespace) -> _Found:
    from MediRoundLib.bench.few_bits import bench_few_bits
    from MediRoundLib.bench.report import report_few_bits
    from MediRoundLib.devices import choose_device
    from MediRoundLib.quantization import check_bits

    bits = list(dict.fromkeys(args.quantize))
    for each in bits:
        check_bits(each)
    with _bar((len(bits) + 1) * (args.repeats + 1), "dialogue") as bar:
        found = bench_few_bits(
            partial(_engine, args),
            choose_device(args.device),
            bits,
            args.rounds,
            args.repeats,
            args.pixels,
            bar.update,
        )
    broken = [row["bits"] or "unquantised" for row in found["models"] if not row["finite"]]
    fault = f"The logits are no numbers here: {', '.join(broken)}; report this output." if broken else None
    return found, report_few_bits(found), fault


def _start(args: argparse.Namespace) -> _Found:
    from MediRoundLib.bench.report import report_start
    from MediRoundLib.bench.start import bench_start

    load = {"checkpoint": args.model, "device": args.device, "dtype": args.dtype, "quantize": None}
    with _bar(args.repeats, "start") as bar:
        found = bench_start(load, args.repeats, args.pixels, bar.update)
    return found, report_start(found), None


def _bar(total: int, unit: str) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, desc="bench", file=sys.stderr)


def _engine(args: argparse.Namespace, quantize: "Bits | None" = None) -> "Engine":
    from MediRoundLib.devices import choose_device, choose_dtype, memory_named
    from MediRoundLib.engine import Engine

    if args.size is None:
        return Engine.from_pretrained(args.model, args.device, args.dtype, quantize, args.compile)
    from MediRoundLib.bench import queries
    from MediRoundLib.shapes import SHAPES, check_memory, random_checkpoint

    device = choose_device(args.device)
    dtype = choose_dtype(args.dtype, device)
    check_memory(SHAPES[args.size], device, dtype, quantize)
    with memory_named(device):
        checkpoint = random_checkpoint(SHAPES[args.size], queries(args.rounds), device, dtype, quantize)
        return Engine(checkpoint, device, dtype, args.compile)
