"""How fast dialogues are built, and that memory does not grow with the data set.

    python -m training.data.bench --images 200 --processes 2 --json bench.json

draws a small set in SA-Med2D-20M's layout, then builds dialogues from an index of so many images and of ten times as
many, each in a process of its own, and reads an index of a hundred times as many. Printed are dialogues per second and
the largest memory of any process, as a table.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.data.phantoms import draw_phantom
from training.data.sa_med2d import CLASSES, INDEX

DRAWN = 24  # pictures; the index names them again and again
REPOSITORY = Path(__file__).resolve().parents[2]


def write_layout(root: Path, images: int, drawn: int = DRAWN, size: int = 256) -> None:
    """A data set of phantoms in SA-Med2D-20M's layout, whose index names `images` images.

    Each is drawn once in `drawn`; the others are further names for the same files.
    """
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    ids: dict[str, int] = {}
    masks_of: list[tuple[str, list[str]]] = []
    for number in range(min(drawn, images)):
        sample = draw_phantom(np.random.default_rng(number), size)
        stem = f"ct_00--Phantom--Case_{number:05d}--z_{number:04d}"
        Image.fromarray(sample.image).save(root / "images" / f"{stem}.png")
        names = []
        for name, mask in sample.masks.items():
            names.append(f"masks/{stem}--{ids.setdefault(name, len(ids) + 1):04d}_000.png")
            Image.fromarray(mask.astype(np.uint8) * 255).save(root / names[-1])
        masks_of.append((f"images/{stem}.png", names))
    named = {name.replace(" ", "_"): f"{number:04d}" for name, number in ids.items()}
    (root / CLASSES).write_text(json.dumps(named), encoding="utf-8")
    with (root / INDEX).open("w", encoding="utf-8") as file:
        file.write("{\n")
        for k in range(images):
            image, names = masks_of[k % len(masks_of)]
            file.write(f"{json.dumps(image)}: {json.dumps(names)}{',' if k + 1 < images else ''}\n")
        file.write("}\n")


def measured(command: Sequence[str]) -> tuple[float, float]:
    """Seconds that a command takes, and the largest memory of any of its processes in MB."""
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, *command], cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024  # Linux counts in KB


def bench(images: int, processes: int) -> list[dict[str, Any]]:
    """A row for each measurement: what, how many images and dialogues, seconds, MB."""
    rows = []
    for factor in (1, 10):
        for workers in dict.fromkeys((1, processes)):
            with tempfile.TemporaryDirectory() as folder:
                root, out = Path(folder) / "set", Path(folder) / "out"
                write_layout(root, factor * images)
                options = ["--split", "train", "--root", str(root), "--out", str(out), "--processes", str(workers)]
                seconds, peak = measured(["-m", "training.data.build", "--source", "sa-med2d", *options])
                made = (out / "dialogues.json").read_text(encoding="utf-8").count('"task"')
            what = f"build, {workers} process{'es' if workers > 1 else ''}"
            rows.append({"what": what, "images": factor * images, "dialogues": made, "seconds": seconds, "mb": peak})
    for factor in (10, 100):
        with tempfile.TemporaryDirectory() as folder:
            write_layout(Path(folder), factor * images * 10, drawn=4)
            count = f"from training.data.sa_med2d import *; sum(1 for _ in iter_entries(Path({folder!r})))"
            seconds, peak = measured(["-c", count])
        rows.append({"what": "read the index", "images": factor * images * 10, "seconds": seconds, "mb": peak})
    return rows


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["| | images | dialogues | seconds | dialogues / s | images / s | peak MB |", "|" + " --- |" * 7]
    for row in rows:
        made, seconds = row.get("dialogues"), row["seconds"]
        rate = f"{made / seconds:.1f}" if made is not None else ""
        cells = [row["what"], row["images"], "" if made is None else made, f"{seconds:.1f}", rate]
        lines.append("| " + " | ".join(map(str, [*cells, f"{row['images'] / seconds:.0f}", f"{row['mb']:.0f}"])) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.data.bench", description="Measure how dialogues are built."
    )
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    args: Any = parser.parse_args(arguments)
    rows = bench(args.images, args.processes)
    print(as_markdown(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
