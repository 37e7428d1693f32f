"""Measure a model on validation patients, as the model card states it.

    python -m training.evaluate --model mediround-tiny --data ../shared/data/real --out runs/tiny/evaluation

Dialogues are made up from the labels of the validation patients of every set and from fresh phantoms, written as
MR-MedSeg files below OUT, and asked with the JCM, without it, and without references: the way a user asks (`--protocol
causal`), as the released evaluation does (`official`), or each round alone under its name (`single-turn`). OUT holds
`results.json` (with the SHA-256 of the weights), `results.md` and `rounds.png`. The tables of the papers are made by
`python -m training.report`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MediRoundLib.engine import Engine
from MediRoundLib.errors import MediRoundError
from MediRoundLib.metrics import Scores
from training.held_out import add_arguments, load_sets
from training.measure import Protocol, Setting, ask_all, summarise
from training.plots import lines, save
from training.provenance import weights_digest
from training.retell import FIRST, Telling
from training.tables import Table, score_table

# Of the groups in results.json those that are few enough for the model card.
SHOWN_KINDS = ("scenario", "relation", "modality", "difficulty")


def settings(protocol: Protocol, telling: Telling = FIRST) -> list[Setting]:
    """The ways of asking under a protocol; asked alone, a round has no reference to take away."""
    found = [
        Setting("with JCM", protocol, telling=telling),
        Setting("without JCM", protocol, jcm=False, telling=telling),
        Setting("without reference", protocol, shown="nothing", telling=telling),
    ]
    return found[:2] if protocol == "single-turn" else found


def as_markdown(results: dict[str, Any]) -> str:
    """All rounds, by round, and of the first way of asking by set and by group."""
    tables = [score_table("all rounds", {name: Scores(**found["all"]) for name, found in results.items()})]
    numbers = sorted({number for found in results.values() for number in found["rounds"]}, key=int)
    columns = ("Dice / gIoU / cIoU by round", *map(str, numbers))
    rows = [(name, *(_three(found["rounds"].get(number)) for number in numbers)) for name, found in results.items()]
    tables.append(Table(columns, rows))
    first, found = next(iter(results.items()))
    for kind, groups in {"set": found["sets"], **{kind: found["by"].get(kind, {}) for kind in SHOWN_KINDS}}.items():
        if groups:
            tables.append(score_table(f"{kind} ({first})", {name: Scores(**own) for name, own in groups.items()}))
    return "\n".join(table.markdown() for table in tables)


def _three(own: dict[str, Any] | None) -> str:
    return f"{100 * own['dice']:.1f} / {100 * own['giou']:.1f} / {100 * own['ciou']:.1f}" if own else ""


def plot_rounds(results: dict[str, Any], path: Path) -> None:
    """Dice by round, a line for each setting."""
    found = {
        name: {int(number): own["dice"] for number, own in each["rounds"].items()} for name, each in results.items()
    }
    title = "Dice by round on validation patients"
    save(path, lambda figure: lines(figure, found, "round", "Dice", title, whole=True))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description="Measure a model on validation patients."
    )
    parser.add_argument("--model", required=True, help="a checkpoint's folder, or the name of a shipped one")
    add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--protocol", choices=["causal", "official", "single-turn"], default="causal")
    parser.add_argument("--language", choices=["en", "zh"], default="en")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(arguments)
    left_out: list[str] = []
    try:
        engine = Engine.from_pretrained(args.model, device=args.device)
        telling = Telling(args.language)
        sets = load_sets(args, [telling], left_out.append)[telling]
        asked = {each.name: ask_all(engine, sets, each, left_out.append) for each in settings(args.protocol, telling)}
        results = {name: summarise(rounds) for name, rounds in asked.items()}
        digest = weights_digest(args.model)
    except (MediRoundError, FileNotFoundError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    asked_as = {"protocol": args.protocol, "language": args.language}
    content = {"model": args.model, "weights": digest, **asked_as, "asked": results}
    (args.out / "results.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    tables = as_markdown(results)
    (args.out / "results.md").write_text(tables, encoding="utf-8")
    plot_rounds(results, args.out / "rounds.png")
    print(tables)
    print(f"Written to {args.out}: results.json, results.md, rounds.png")
    return complain(left_out)


def complain(left_out: Sequence[str]) -> int:
    """Name what was left out, once each; returns the exit code."""
    for line in dict.fromkeys(left_out):
        print(f"left out: {line}", file=sys.stderr)
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
