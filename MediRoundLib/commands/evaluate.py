"""`mediround evaluate`: Dice, gIoU and cIoU on a file of MR-MedSeg dialogues."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from MediRoundLib.errors import CheckpointError, MediRoundError

HELP = "score a checkpoint on dialogues with known masks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Score a checkpoint on MR-MedSeg dialogues. The protocol 'official' repeats the released evaluation: true "
        "answers and references, and only rounds that a later one refers to are judged. 'causal' is what a user gets: "
        "own answers, references found in the words, every round judged."
    )
    parser.add_argument("--model", required=True, metavar="M", help="checkpoint folder, or the name of a shipped one")
    parser.add_argument("--dialogues", required=True, type=Path, metavar="F.json", help="dialogues in MR-MedSeg's form")
    parser.add_argument("--root", type=Path, metavar="DIR", help="what its paths are relative to (default: its folder)")
    parser.add_argument("--protocol", choices=("official", "causal"), default="causal", help="default: %(default)s")
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
    from MediRoundLib.evaluate import causal, official
    from MediRoundLib.mr_medseg import read_conversations
    from MediRoundLib.scoring import report

    if args.protocol == "official" and args.no_reference:
        raise MediRoundError("The official protocol has its references in the dialogues; use --protocol causal.")
    if args.no_jcm and args.stage == 2:
        raise MediRoundError("--no-jcm and --stage 2 exclude each other; leave one of them out.")
    for path in (args.json, args.npz):
        if path is not None:  # now, not after hours of work
            if path.is_dir():
                raise MediRoundError(f"{path} is a folder; give the name of a file to write.")
            path.parent.mkdir(parents=True, exist_ok=True)
    conversations = read_conversations(args.dialogues, args.root or args.dialogues.parent)
    dtype = args.dtype or ("float32" if args.protocol == "official" else "auto")
    engine = Engine.from_pretrained(args.model, device=args.device, dtype=dtype)
    stage = 1 if args.no_jcm else args.stage or engine.config.stage
    if stage > engine.config.stage:
        raise CheckpointError(f"{args.model} is of stage 1 and has no trained JCM; evaluate it with --stage 1.")
    if args.protocol == "official":
        records = official(engine, conversations, stage)
    else:
        records = causal(engine, conversations, jcm=stage == 2, reference=not args.no_reference)
    total = sum(len(conversation.turns) for conversation in conversations)
    found = report(tqdm(records, total=total, unit="round", desc=args.protocol, file=sys.stderr), args.npz)
    content = {**found, "protocol": args.protocol, "stage": stage, "reference": not args.no_reference}
    args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")
    print(table(found))
    return 0


def table(found: dict[str, Any]) -> str:
    """The scores of `scoring.report`, a line a round."""
    lines = [f"{'round':>5} {'n':>6} {'Dice':>7} {'gIoU':>7} {'cIoU':>7}"]
    for row in [*found["rounds"], {"round": "all", "n": found["n"], **found["all"]}]:
        lines.append(f"{row['round']:>5} {row['n']:>6} {row['dice']:>7.4f} {row['giou']:>7.4f} {row['ciou']:>7.4f}")
    return "\n".join(lines)
