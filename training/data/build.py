"""Build a data set of multi-round dialogues in MR-MedSeg's form from labelled images.

    python -m training.data.build --source phantoms --count 100 --out DIR
    python -m training.data.build --source real --root ../shared/data/real --split val --count 100 --out DIR
    python -m training.data.build --source sa-med2d --root SAMed2Dv1 --out DIR --processes 16
    python -m training.data.build --source sa-med2d --root SAMed2Dv1 --out DIR --shard 3/64     (one job of 64)
    python -m training.data.build --source sa-med2d --root SAMed2Dv1 --out DIR --engine ray --shards 512

OUT gets `images/`, `masks/`, `dialogues.json` and, in `parts/`, what each share of the work has made: a build that was
stopped goes on there when it is called again. On a cluster OUT and the data set lie where every node sees them, and so
does this repository.
"""

import argparse
import heapq
import importlib
import json
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from MediRoundLib.errors import MediRoundError
from training.data.arguments import add_source, stated_source
from training.data.scenarios import SCENARIOS
from training.data.shards import MIXED, Plan, build_shard, read_part
from training.files import written_whole

REPOSITORY = Path(__file__).resolve().parents[2]
PLAN = "plan.json"
MOST_SHARES = 1000  # their files are open together when they are put into one


def build(plan: Plan, processes: int = 1, engine: str = "processes", only: int | None = None) -> Path | None:
    """Build all shares, or share `only` (from 0), and put them together as soon as all are there.

    Returns:
        `dialogues.json`, or None where other shares are still to be built.

    Raises:
        MediRoundError: the folder holds a data set that was planned otherwise, or Ray is not installed.
        OSError, ValueError: the source cannot be read.
    """
    _write_plan(plan)
    todo = range(plan.shards) if only is None else [only]
    if engine == "ray":
        _build_on_ray(plan, todo)
    elif processes > 1 and len(todo) > 1:
        # Fresh processes: a forked one may inherit locks of libraries that run threads.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(processes, len(todo)), context) as pool:
            list(pool.map(build_shard, [plan] * len(todo), todo))
    else:
        for shard in todo:
            build_shard(plan, shard)
    return merge(plan)


def _build_on_ray(plan: Plan, todo: Sequence[int]) -> None:
    """The same shares, mapped by Ray Data over the nodes of a cluster."""
    try:
        ray: Any = importlib.import_module("ray")
        importlib.import_module("ray.data")
    except ImportError as error:
        raise MediRoundError("--engine ray needs Ray: pip install -e '.[cluster]'.") from error
    if not ray.is_initialized():
        ray.init(runtime_env={"env_vars": {"PYTHONPATH": str(REPOSITORY)}}, log_to_driver=False)

    def build_row(row: dict[str, Any]) -> dict[str, Any]:
        return {"shard": row["shard"], "dialogues": build_shard(plan, int(row["shard"]))}

    rows = ray.data.from_items([{"shard": shard} for shard in todo], override_num_blocks=len(todo))
    rows.map(build_row).take_all()


def _shares_of(out: Path) -> int | None:
    """How many shares a build in OUT was begun with: it goes on with as many, whatever --processes says now."""
    try:
        return int(json.loads((out / PLAN).read_text(encoding="utf-8"))["shards"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _write_plan(plan: Plan) -> None:
    path, written = Path(plan.out) / PLAN, json.loads(json.dumps(plan.written()))
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != written:
        raise MediRoundError(f"{plan.out} holds a data set that was begun with other settings; give another --out.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def merge(plan: Plan) -> Path | None:
    """Put finished shares together in the images' order, a dialogue at a time; None where one is missing."""
    parts = [plan.part(shard) for shard in range(plan.shards)]
    if not all(part.exists() for part in parts):
        return None
    target = Path(plan.out) / "dialogues.json"
    with written_whole(target) as beside, beside.open("w", encoding="utf-8") as file:
        before = "[\n"
        for _, dialogues in heapq.merge(*map(read_part, parts), key=lambda made: made[0]):
            for dialogue in dialogues:
                file.write(before + json.dumps(dialogue, ensure_ascii=False, indent=1))
                before = ",\n"
        file.write("\n]\n" if before.startswith(",") else "[]\n")
    return target


def _plan(args: Any, parser: argparse.ArgumentParser) -> tuple[Plan, int | None]:
    """The plan that the arguments state, and the one share to build, if they name one."""
    only, shards = None, args.shards or _shares_of(args.out) or max(1, args.processes)
    if args.shard:
        number, _, total = args.shard.partition("/")
        if not (number.isdigit() and total.isdigit() and 1 <= int(number) <= int(total)):
            parser.error("--shard is I/N, with I from 1 to N")
        only, shards = int(number) - 1, int(total)
    if not 1 <= shards <= MOST_SHARES:
        parser.error(f"there can be 1 to {MOST_SHARES} shares")
    source = stated_source(args, parser)
    if args.source == "phantoms" and args.count is None:
        parser.error("--source phantoms needs --count: there is no end to them")
    chosen = tuple(SCENARIOS) if args.scenarios == "all" else tuple(args.scenarios.split(","))
    if unknown := set(chosen) - {*SCENARIOS, MIXED}:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join([*SCENARIOS, MIXED])}")
    if args.rewrite_url and not args.rewrite_model:
        parser.error("--rewrite-url needs --rewrite-model")
    plan = Plan(
        shards=shards,
        count=args.count,
        scenarios=chosen,
        per_image=args.per_image,
        max_rounds=args.max_rounds,
        absent_rate=args.absent_rate,
        rewrite_url=args.rewrite_url,
        rewrite_model=args.rewrite_model,
        **source,
    )
    return plan, only


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.data.build", description="Build a data set of multi-round dialogues."
    )
    add_source(parser)
    add = parser.add_argument
    add("--count", type=int, help="dialogues at most, in all")
    add("--scenarios", default="all", help=f"with commas: {', '.join([*SCENARIOS, MIXED])}; all means the first five")
    add("--per-image", type=int, default=1, help="dialogues about one image at most, each of another scenario")
    add("--max-rounds", type=int, default=12, help="besides what a scenario allows")
    add("--absent-rate", type=float, default=0.0, help="share of rounds that ask for what is not in the image")
    add("--processes", type=int, default=1)
    add("--shards", type=int, help="shares of the work; as many as processes if left out")
    add("--shard", help="I/N: build share I of N alone, for a job of many")
    add("--engine", choices=["processes", "ray"], default="processes")
    add(
        "--rewrite-url",
        default="",
        help="base of an OpenAI-compatible API that rewrites questions; nothing is sent else",
    )
    add("--rewrite-model", default="")
    args = parser.parse_args(arguments)
    plan, only = _plan(args, parser)
    try:
        target = build(plan, args.processes, args.engine, only)
    except (MediRoundError, OSError, ValueError) as error:
        print(f"build: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {target}" if target else f"Wrote {plan.part(only or 0)}; other shares are missing.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
