"""The command-line arguments that say which images a data set is made from, common to all that make one."""

import argparse
from pathlib import Path
from typing import Any

from training.data.phrases import LANGUAGES


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add --source, --root, --split, --out, --slices, --language and --seed."""
    add = parser.add_argument
    add("--source", choices=["phantoms", "real", "sa-med2d"], required=True)
    add("--root", type=Path, help="folder of the images, for real and sa-med2d")
    add("--split", choices=["train", "val"], default="train", help="patients; phantoms have none")
    add("--out", type=Path, required=True)
    add("--slices", type=int, help="slices of one volume at most")
    add("--language", choices=LANGUAGES, help="both in turn if left out")
    add("--seed", type=int, default=0)


def stated_source(args: Any, parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Those arguments as fields of a `Plan`; ends the program with a sentence where the images' folder is missing."""
    if args.source != "phantoms" and args.root is None:
        parser.error(f"--source {args.source} needs --root")
    return {
        "source": args.source,
        "out": str(args.out),
        "root": str(args.root or ""),
        "split": args.split,
        "slices": args.slices,
        "language": args.language,
        "seed": args.seed,
    }
