"""`mediround evaluate`: Dice, gIoU and cIoU on a file of MR-MedSeg dialogues."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from MediRoundLib.errors import CheckpointError, DialogueFileError, MediRoundError

HELP = "score a checkpoint on dialogues with known masks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Score a checkpoint on MR-MedSeg dialogues. The protocol 'official' repeats the released evaluation: true "
        "answers and references, and only rounds that a later one refers to are judged. 'causal' is what a user gets: "
        "own answers, references found in the words, every round judged. 'single-turn' has names for references "
        "and a dialogue for each round. Dialogues with mistakes are left out and listed; the exit code is then 1."
    )
    parser.add_argument("--model", required=True, metavar="M", help="checkpoint folder, or the name of a shipped one")
    parser.add_argument("--dialogues", required=True, type=Path, metavar="F.json", help="dialogues in MR-MedSeg's form")
    parser.add_argument("--root", type=Path, metavar="DIR", help="what its paths are relative to (default: its folder)")
    parser.add_argument(
        "--protocol", choices=("official", "causal", "single-turn"), default="causal", help="default: %(default)s"
    )
    parser.add_argument(
        "--stage", type=int, choices=(1, 2), help="1 leaves the JCM out, 2 uses it (default: the checkpoint's stage)"
    )
    parser.add_argument("--no-jcm", action="store_true", help="correct nothing: the same as --stage 1")
    parser.add_argument("--no-reference", action="store_true", help="use no references at all (causal only)")
    parser.add_argument("--json", required=True, type=Path, metavar="OUT", help="file for the scores")
    parser.add_argument("--npz", type=Path, metavar="OUT", help="file for the logits, d{dialogue}_r{round} from 0")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument(
        "--dtype", help="auto, float32, bfloat16 or float16 (default: float32 for the official protocol, else auto)"
    )


def run(args: argparse.Namespace) -> int:
    from MediRoundLib.engine import Engine
    from MediRoundLib.evaluate import causal, official, read_good, single_turn
    from MediRoundLib.scoring import report

    if args.protocol != "causal" and args.no_reference:
        raise MediRoundError(f"--no-reference goes with --protocol causal alone, not with {args.protocol}.")
    if args.no_jcm and args.stage == 2:
        raise MediRoundError("--no-jcm and --stage 2 exclude each other; leave one of them out.")
    for path in (args.json, args.npz):
        if path is not None:  # now, not after hours of work
            if path.is_dir():
                raise MediRoundError(f"{path} is a folder; give the name of a file to write.")
            path.parent.mkdir(parents=True, exist_ok=True)
    conversations, left_out = read_good(args.dialogues, args.root or args.dialogues.parent)
    dtype = args.dtype or ("float32" if args.protocol == "official" else "auto")
    engine = Engine.from_pretrained(args.model, device=args.device, dtype=dtype)
    stage = 1 if args.no_jcm else args.stage or engine.config.stage
    if stage > engine.config.stage:
        raise CheckpointError(f"{args.model} is of stage 1 and has no trained JCM; evaluate it with --stage 1.")

    def problem(found: str) -> None:
        left_out.append(f"{args.dialogues}, {found}")

    if args.protocol == "official":
        records = official(engine, conversations, stage, problem=problem)
    elif args.protocol == "single-turn":
        records = single_turn(engine, conversations, jcm=stage == 2, problem=problem)
    else:
        records = causal(engine, conversations, jcm=stage == 2, reference=not args.no_reference, problem=problem)
    total = sum(len(conversation.turns) for conversation in conversations if conversation is not None)
    bar = tqdm(records, total=total, unit="round", desc=args.protocol, file=sys.stderr)
    try:
        found = report(bar, args.npz, conversations)
    except DialogueFileError as error:
        raise DialogueFileError(left_out[0] if left_out else str(error)) from error
    content = {**found, "protocol": args.protocol, "stage": stage, "reference": not args.no_reference}
    if left_out:
        content["left_out"] = left_out
    args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")
    print(table(found))
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    return 1 if left_out else 0


def table(found: dict[str, Any]) -> str:
    """The scores of `scoring.report`, a line a round, and of boxes where the model has them."""
    lines = [f"{'round':>5} {'n':>6} {'Dice':>7} {'gIoU':>7} {'cIoU':>7}"]
    for row in [*found["rounds"], {"round": "all", "n": found["n"], **found["all"]}]:
        lines.append(f"{row['round']:>5} {row['n']:>6} {row['dice']:>7.4f} {row['giou']:>7.4f} {row['ciou']:>7.4f}")
    if boxes := found.get("boxes"):
        lines.append(f"boxes {boxes['n']:>6} IoU {boxes['iou']:.4f}, accuracy {boxes['accuracy']:.4f}")
    return "\n".join(lines)
