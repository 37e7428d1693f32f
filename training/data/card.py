"""The data card of a set of dialogues: what is in it, in tables and plots.

    python -m training.data.card DIR/dialogues.json --out CARD

writes `card.md` and `card.png` to CARD. Dialogues are read one at a time. Files that say nothing about scenario,
modality and structures (`"about"`), such as the released ones, are counted by round, way of referring and language.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from MediRoundLib.language import CHINESE
from training.data.json_stream import iter_list
from training.data.scenarios import SCENARIOS

UNKNOWN = "not said"
MOST_ENTITIES = 25  # in the plot; the table has all
_TAG = re.compile(r"\[[A-Z0-9-]+:[^\]]*\]")
# How a question refers to an earlier round, the first that fits.
REFERRING = {
    "output of round N": re.compile(r"\bround \d|\bturn \d|第\d+轮", re.I),
    "instance N": re.compile(r"\binstance \d|实例\s*\d|\[\d+\]", re.I),
    "its, or nothing said": re.compile(""),
}
LANGUAGE_NAMES = {"en": "English", "zh": "Chinese"}


@dataclass
class Counts:
    """How much there is of everything; only counts are kept."""

    dialogues: int = 0
    rounds: int = 0
    images: set[int] = field(default_factory=set)  # hashes of their paths
    patients: set[int] = field(default_factory=set)
    by: dict[str, Counter[Any]] = field(default_factory=dict)

    def add(self, kind: str, value: Any, number: int = 1) -> None:
        self.by.setdefault(kind, Counter())[value] += number

    def of(self, kind: str) -> Counter[Any]:
        return self.by.get(kind, Counter())


def count(path: Path) -> Counts:
    """Count a file's dialogues.

    Raises:
        OSError, ValueError: the file cannot be read, or is no list of dialogues.
    """
    counts = Counts()
    for entry in iter_list(path):
        try:
            messages = entry["conversations"]
            humans = [message["value"] for message in messages[::2]]
            leans = ["ind" in message for message in messages[::2]]
        except (TypeError, KeyError) as error:
            raise ValueError(f"dialogue {counts.dialogues + 1} is none of MR-MedSeg's form") from error
        _count_dialogue(counts, entry.get("about", {}), humans, leans)
    return counts


def _count_dialogue(counts: Counts, about: Mapping[str, Any], humans: Sequence[str], leans: Sequence[bool]) -> None:
    counts.dialogues += 1
    counts.rounds += len(humans)
    tag = _TAG.search(humans[0]) if humans else None
    counts.images.add(hash(tag[0] if tag else ""))
    if "patient" in about:
        counts.patients.add(hash((about.get("source"), about["patient"])))
    for kind in ("scenario", "modality", "source"):
        counts.add(kind, about.get(kind, UNKNOWN))
    said = " ".join(_TAG.sub("", text) for text in humans)
    counts.add("language", LANGUAGE_NAMES["zh" if CHINESE.search(said) else "en"])
    counts.add("length", len(humans))
    counts.add("scenario rounds", (about.get("scenario", UNKNOWN), len(humans)))
    for number, (text, lean) in enumerate(zip(humans, leans, strict=True), start=1):
        counts.add("round", number)
        if lean:
            counts.add("leaning round", number)
            words = _TAG.sub("", text)
            counts.add("referring", next(name for name, pattern in REFERRING.items() if pattern.search(words)))
    for kind, values in (("entity", about.get("entities", ())), ("relation", about.get("relations", ()))):
        for value in values:
            counts.add(kind, value)


def as_markdown(counts: Counts, name: str) -> str:
    """The card's text."""
    lines = [
        f"# Data card: {name}",
        "",
        f"{counts.dialogues} dialogues of {counts.rounds} rounds about {len(counts.images)} images"
        + (f" of {len(counts.patients)} patients (or phantoms)." if counts.patients else "."),
        "",
        "![Counts by scenario, round, modality and structure](card.png)",
        "",
        "## Scenarios",
        "",
    ]
    scenarios = [*SCENARIOS, *sorted(set(counts.of("scenario")) - set(SCENARIOS))]
    rows: list[tuple[Any, ...]] = []
    for scenario in scenarios:
        lengths = {n: k for (kind, n), k in counts.of("scenario rounds").items() if kind == scenario}
        if dialogues := sum(lengths.values()):
            rounds = sum(n * k for n, k in lengths.items())
            limit = SCENARIOS[scenario].rounds if scenario in SCENARIOS else ""
            rows.append((scenario, dialogues, rounds, f"{rounds / dialogues:.1f}", max(lengths), limit))
    lines += _table(("scenario", "dialogues", "rounds", "mean", "longest", "limit"), rows)
    lines += ["", "## Rounds", ""]
    rows = [
        (n, k, counts.of("leaning round")[n], counts.of("length")[n]) for n, k in sorted(counts.of("round").items())
    ]
    lines += _table(("round", "questions", "that lean on an earlier one", "dialogues that end here"), rows)
    for title, kind, what in (
        ("Modalities", "modality", "dialogues"),
        ("Sources", "source", "dialogues"),
        ("Languages", "language", "dialogues"),
        ("Ways of referring", "referring", "rounds"),
        ("Relations", "relation", "rounds"),
        ("Structures", "entity", "rounds"),
    ):
        found = counts.of(kind)
        if found and set(found) != {UNKNOWN}:
            total = sum(found.values())
            rows = [(value, k, f"{100 * k / total:.1f}") for value, k in found.most_common()]
            lines += ["", f"## {title}", "", *_table((kind, what, "%"), rows)]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]


def plot(counts: Counts, path: Path) -> None:
    """Four bar charts: scenarios, rounds, modalities, the most frequent structures."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(11, 9), layout="constrained", height_ratios=(1, 1.6))
    for panel, kind, title in (
        (axes[0, 0], "scenario", "Dialogues by scenario"),
        (axes[1, 0], "modality", "Dialogues by modality"),
    ):
        found = counts.of(kind).most_common()[::-1]
        panel.barh([str(name) for name, _ in found], [number for _, number in found], color="#4878a8")
        panel.set_title(title)
    rounds = sorted(counts.of("round"))
    axes[0, 1].bar(rounds, [counts.of("round")[n] for n in rounds], color="#c8d6e5", label="all")
    axes[0, 1].bar(
        rounds, [counts.of("leaning round")[n] for n in rounds], color="#4878a8", label="lean on an earlier one"
    )
    axes[0, 1].set(title="Questions by round", xlabel="round", xticks=rounds)
    axes[0, 1].legend(frameon=False)
    found = counts.of("entity").most_common(MOST_ENTITIES)[::-1]
    axes[1, 1].barh([str(name) for name, _ in found], [number for _, number in found], color="#4878a8")
    axes[1, 1].set_title(
        f"Rounds by structure ({min(MOST_ENTITIES, len(counts.of('entity')))} of {len(counts.of('entity'))})"
    )
    for panel in axes.flat:
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.data.card", description="Write a data card.")
    parser.add_argument("dialogues", type=Path, help="the JSON file")
    parser.add_argument("--out", type=Path, help="folder of card.md and card.png; the file's own if left out")
    args: Any = parser.parse_args(arguments)
    out: Path = args.out or args.dialogues.parent
    try:
        counts = count(args.dialogues)
        if not counts.dialogues:
            raise ValueError("there is no dialogue in it")
    except (OSError, ValueError) as error:
        print(f"card: {args.dialogues}: {error}", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    (out / "card.md").write_text(as_markdown(counts, args.dialogues.parent.name), encoding="utf-8")
    plot(counts, out / "card.png")
    print(f"Wrote {out / 'card.md'} and {out / 'card.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
