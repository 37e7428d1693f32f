"""Check a file of MR-MedSeg dialogues and the images and masks that it names.

    python -m training.data.validate train.json --root DIR

prints every problem with file, dialogue and turn (both from 1), and how many there are. Checked are the form of the
JSON, the order of human and gpt messages, tags, `ind`, that paths stay inside the root and lead to files, that masks
have one channel of 0 and 255 and their image's size, and that references are not empty. Dialogues are read one at a
time. The exit code is 0 where all is well, 1 where there are problems, and 2 where the file cannot be read.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from MediRoundLib.mr_medseg import entry_problems
from training.data.json_stream import iter_list


def problems(json_path: Path, root: Path, ones: bool = False) -> Iterator[tuple[int, list[str]]]:
    """For each dialogue its number from 1 and all that is wrong with it.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no list in JSON, from where on it cannot be read.
    """
    for number, entry in enumerate(iter_list(json_path), start=1):
        yield number, entry_problems(entry, number, str(json_path), root, ones)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.data.validate", description="Check a file of MR-MedSeg dialogues."
    )
    parser.add_argument("dialogues", type=Path, help="the JSON file")
    parser.add_argument("--root", type=Path, help="folder that the paths are relative to; the file's own if left out")
    parser.add_argument("--limit", type=int, default=100, help="problems printed at most")
    parser.add_argument(
        "--ones", action="store_true", help="let masks of 0 and 1 pass; the released loader reads those as empty"
    )
    args: Any = parser.parse_args(arguments)
    path: Path = args.dialogues
    number = bad = found = 0
    try:
        for number, wrong in problems(path, args.root or path.parent, args.ones):  # noqa: B007
            for problem in wrong[: max(0, args.limit - found)]:
                print(problem)
            found += len(wrong)
            bad += bool(wrong)
        if not number:
            raise ValueError("an MR-MedSeg file is a list of at least one dialogue")
    except OSError as error:
        print(f"{path}: the file of dialogues cannot be read: {error.strerror}.", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"{path}: this is no JSON list in UTF-8: {error}.", file=sys.stderr)
        return 2
    if found > args.limit:
        print(f"and {found - args.limit} more; --limit shows more of them.")
    print(f"{number} dialogues: {found} problems in {bad} of them." if found else f"{number} dialogues, no problem.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
