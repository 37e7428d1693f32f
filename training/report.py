"""Make the tables and plots of an evaluation in the papers' layout, each with one command.

    python -m training.report --what beta --model mediround-tiny --data ../shared/data/real --out runs/tiny/report

`--what` is one of the names that `--help` lists, several, or `all`. OUT gets NAME.md, NAME.json and NAME.png of each.
The dialogues are made up as `training.evaluate` does, or come from MR-MedSeg files (`--dialogues`).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from MediRoundLib.engine import Engine
from MediRoundLib.errors import MediRoundError
from MediRoundLib.scoring import Scored
from training.evaluate import complain
from training.held_out import add_arguments, load_sets
from training.measure import Protocol, Setting, ask_all
from training.plots import save
from training.provenance import weights_digest
from training.sheets import SHEETS, Sheet


def write_sheet(
    name: str,
    sheet: Sheet,
    runs: dict[str, list[Scored]],
    out: Path,
    model: str,
    weights: str = "",
    protocol: Protocol = "causal",
) -> str:
    """Write one report's three files; returns its Markdown. `weights` is the digest of what was measured."""
    tables = sheet.tables(runs)
    asked = "" if protocol == "causal" else f" (protocol {protocol})"
    markdown = f"# {sheet.about}{asked}\n\n" + "\n".join(table.markdown() for table in tables)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(markdown, encoding="utf-8")
    content = {
        "what": name,
        "about": sheet.about,
        "model": model,
        "weights": weights,
        "protocol": protocol,
        "tables": [table.content() for table in tables],
    }
    (out / f"{name}.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    save(out / f"{name}.png", lambda figure: sheet.draw(figure, runs), sheet.size)
    return markdown


def main(arguments: Sequence[str] | None = None) -> int:
    listed = "; ".join(f"{name}: {sheet.about}" for name, sheet in SHEETS.items())
    parser = argparse.ArgumentParser(
        prog="python -m training.report", description="Make the tables and plots of an evaluation.", epilog=listed
    )
    parser.add_argument("--what", nargs="+", choices=[*SHEETS, "all"], default=["all"], metavar="NAME")
    parser.add_argument("--model", required=True, help="a checkpoint's folder, or the name of a shipped one")
    add_arguments(parser)
    parser.add_argument(
        "--protocol", choices=["causal", "official"], default="causal", help="how rounds are asked (default: causal)"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(arguments)
    sheets = SHEETS if "all" in args.what else {name: SHEETS[name] for name in args.what}
    if args.dialogues and "all" in args.what:  # a file's dialogues are not told in other words
        sheets = {name: sheet for name, sheet in SHEETS.items() if len({each.telling for each in sheet.settings}) == 1}
    if args.protocol != "causal" and "all" in args.what:  # those that compare protocols have their own
        sheets = {name: sheet for name, sheet in sheets.items() if not sheet.compares_protocols}
    tellings = list(dict.fromkeys(each.telling for sheet in sheets.values() for each in sheet.settings))
    left_out: list[str] = []
    asked: dict[Setting, list[Scored]] = {}  # several sheets share some ways of asking
    try:
        settings = {name: sheet.under(args.protocol) for name, sheet in sheets.items()}
        digest = weights_digest(args.model)
        engine = Engine.from_pretrained(args.model, device=args.device)
        sets = load_sets(args, tellings, left_out.append)
        for name, sheet in sheets.items():
            runs = {}
            for setting in settings[name]:
                way = replace(setting, name="")
                if way not in asked:
                    asked[way] = ask_all(engine, sets[setting.telling], setting, left_out.append)
                runs[setting.name] = asked[way]
            print(write_sheet(name, sheet, runs, args.out, args.model, digest, args.protocol))
    except (MediRoundError, FileNotFoundError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    print(f"Written to {args.out}: " + ", ".join(f"{name}.{{md,json,png}}" for name in sheets))
    return complain(left_out)


if __name__ == "__main__":
    sys.exit(main())
