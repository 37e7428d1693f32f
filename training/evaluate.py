"""Measure a model on validation patients, as the model card states it.

    python -m training.evaluate --model mediround-tiny --data ../shared/data/real --out runs/tiny/evaluation

Dialogues are made up from the labels of the validation patients of every set and from fresh phantoms, written as
MR-MedSeg files below OUT, and asked the way a user asks (protocol `causal`): with the JCM, without it, and without
references. OUT holds `results.json`, `results.md` and `rounds.png`.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from MediRoundLib.engine import Engine
from MediRoundLib.errors import MediRoundError
from MediRoundLib.evaluate import causal
from MediRoundLib.metrics import Overlap, Scores, correlation, overlap, scores, scores_by_round
from MediRoundLib.mr_medseg import Conversation, read_conversations
from training.data.dialogues import export
from training.data.mixture import PHANTOMS
from training.data.phantoms import draw_phantom
from training.data.real import read_set, set_folders
from training.data.samples import LabelledImage

# Far from the seeds of training, so that no phantom of training is drawn again.
PHANTOM_SEED = 1_000_003
ABSENT_RATE = 0.1


@dataclass(frozen=True)
class Setting:
    """One way of asking."""

    name: str
    jcm: bool = True
    reference: bool = True


SETTINGS = (Setting("with JCM"), Setting("without JCM", jcm=False), Setting("without reference", reference=False))


@dataclass(frozen=True)
class Asked:
    """One evaluated round: its set, number from 1, overlap with the truth, and the quality of what was drawn."""

    source: str
    round: int
    overlap: Overlap
    quality: float | None
    lost: bool


def validation_images(data: Path | None, name: str) -> Iterable[LabelledImage]:
    """The validation images of one set in a fixed random order, or endless fresh phantoms."""
    if name == PHANTOMS:
        return (draw_phantom(np.random.default_rng([PHANTOM_SEED, k])) for k in itertools.count())
    assert data is not None
    (folder,) = (path for path in set_folders(data) if path.name == name)
    held = read_set(folder, "val")
    order = np.random.default_rng(0).permutation(len(held))
    return (held[int(k)].shown() for k in order)


def ask_all(engine: Engine, sets: dict[str, list[Conversation]], setting: Setting) -> list[Asked]:
    """Ask every dialogue in one way."""
    asked = []
    bar = tqdm(total=sum(len(c.turns) for cs in sets.values() for c in cs), desc=setting.name, file=sys.stderr)
    for name, conversations in sets.items():
        for record in causal(engine, conversations, setting.jcm, setting.reference):
            found = overlap(record.logits > 0, record.target)
            asked.append(Asked(name, record.round + 1, found, record.quality_drawn, record.lost))
            bar.update()
    bar.close()
    return asked


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Probability that a value of `positive` exceeds one of `negative`, ties counting half; None where one is empty."""
    if not positive or not negative:
        return None
    difference = np.subtract.outer(np.array(positive), np.array(negative))
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def summarise(asked: Sequence[Asked]) -> dict[str, Any]:
    """Scores over everything, by round and by set; how well quality tells good from poor and present from absent.

    Structures that are not in the image are left out of Dice, gIoU and cIoU, and counted in `absent`.
    """
    there = [each for each in asked if each.overlap.truth]
    absent = [each for each in asked if not each.overlap.truth]
    whole, rounds = scores_by_round([(each.round, each.overlap) for each in there])
    by_set = {name: scores([e.overlap for e in there if e.source == name]) for name in _names(there)}
    judged = [(each.quality, each.overlap.iou) for each in there if each.quality is not None]
    result: dict[str, Any] = {
        "all": asdict(whole),
        "rounds": {number: asdict(own) for number, own in rounds.items()},
        "sets": {name: asdict(own) for name, own in by_set.items()},
        "lost_references": sum(each.lost for each in asked),
        "quality_correlation": correlation([q for q, _ in judged], [iou for _, iou in judged]),
    }
    if absent:
        said = [each.quality for each in absent if each.quality is not None]
        result["absent"] = {
            "n": len(absent),
            "left_empty": sum(each.overlap.drawn == 0 for each in absent) / len(absent),
            "auroc": auroc([q for q, _ in judged], said),
        }
    return result


def _names(asked: Iterable[Asked]) -> list[str]:
    return list(dict.fromkeys(each.source for each in asked))


def as_markdown(results: dict[str, Any]) -> str:
    """Three tables: all rounds, by round, by set."""

    def row(label: str, cell: Callable[[Scores], str], own: dict[str, Any]) -> str:
        return f"| {label} | {cell(Scores(**own))} |"

    def three(own: Scores) -> str:
        return f"{own.n} | {100 * own.dice:.1f} | {100 * own.giou:.1f} | {100 * own.ciou:.1f}"

    lines = ["| all rounds | n | Dice | gIoU | cIoU |", "| --- | --- | --- | --- | --- |"]
    lines += [row(name, three, found["all"]) for name, found in results.items()]
    numbers = sorted({number for found in results.values() for number in found["rounds"]}, key=int)
    lines += ["", "| Dice / gIoU / cIoU by round | " + " | ".join(map(str, numbers)) + " |"]
    lines.append("| --- |" + " --- |" * len(numbers))
    for name, found in results.items():
        cells = []
        for number in numbers:
            own = found["rounds"].get(number)
            cells.append(f"{100 * own['dice']:.1f} / {100 * own['giou']:.1f} / {100 * own['ciou']:.1f}" if own else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    first = next(iter(results))
    lines += ["", f"| set ({first}) | n | Dice | gIoU | cIoU |", "| --- | --- | --- | --- | --- |"]
    lines += [row(name, three, own) for name, own in results[first]["sets"].items()]
    return "\n".join(lines) + "\n"


def plot_rounds(results: dict[str, Any], path: Path) -> None:
    """Dice by round, a line for each setting."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    for name, found in results.items():
        numbers = [int(number) for number in found["rounds"]]
        axes.plot(numbers, [100 * own["dice"] for own in found["rounds"].values()], marker="o", label=name)
    axes.set(xlabel="round", ylabel="Dice (%)", ylim=(0, None), title="Dice by round on validation patients")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description="Measure a model on validation patients."
    )
    parser.add_argument("--model", required=True, help="a checkpoint's folder, or the name of a shipped one")
    parser.add_argument("--data", type=Path, help="root of the real sets; without it phantoms alone")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--per-set", type=int, default=40, help="dialogues of each set, at most")
    parser.add_argument("--language", choices=["en", "zh"], default="en")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(arguments)
    try:
        engine = Engine.from_pretrained(args.model, device=args.device)
        names = [PHANTOMS] + ([path.name for path in set_folders(args.data)] if args.data else [])
        sets = {}
        for name in names:
            images, rng = validation_images(args.data, name), np.random.default_rng(len(name))
            folder = args.out / "dialogues" / name
            path = export(images, folder, rng, args.per_set, args.language, absent_rate=ABSENT_RATE)
            if json.loads(path.read_text(encoding="utf-8")):
                sets[name] = read_conversations(path, folder)
        results = {setting.name: summarise(ask_all(engine, sets, setting)) for setting in SETTINGS}
    except (MediRoundError, FileNotFoundError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    (args.out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    tables = as_markdown(results)
    (args.out / "results.md").write_text(tables, encoding="utf-8")
    plot_rounds(results, args.out / "rounds.png")
    print(tables)
    print(f"Written to {args.out}: results.json, results.md, rounds.png, dialogues/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
