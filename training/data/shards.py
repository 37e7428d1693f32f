"""Builds one share of a data set: the part of the work that a process, a cluster's node or a later run takes on.

Image k of a source belongs to share k mod n, and what is made of it depends on the seed and k alone: any number of
shares gives the same data set, and a share that was killed goes on behind the last image that it wrote down.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from MediRoundLib.mr_medseg import entry_of
from training.data.dialogues import build_dialogue, possible_scenarios, write_dialogue, write_image
from training.data.entities import Language
from training.data.phrases import LANGUAGES
from training.data.rewrite import Rewriter
from training.data.samples import LabelledImage
from training.data.scenarios import SCENARIOS
from training.data.structures import Structures

MIXED = "mixed"
FOLDER_SIZE = 1000  # images in one folder at most


@dataclass(frozen=True)
class Plan:
    """What to build; everything that decides what comes out.

    Attributes:
        source: "phantoms", "real" or "sa-med2d". root: folder of the latter two.
        split: "train" or "val" patients.
        out: folder of the data set.
        shards: number of shares.
        count: dialogues at most, in all; None for as many as there are.
        scenarios: of `SCENARIOS`, and "mixed" for dialogues of all relations.
        per_image: dialogues about one image at most, each of another scenario.
        slices: slices of one volume at most, drawn at random; None for all.
        language: None takes English and Chinese in turn.
        rewrite_url, rewrite_model: an OpenAI-compatible address that rewrites the questions, "" for none.
    """

    source: str
    out: str
    root: str = ""
    split: str = "train"
    seed: int = 0
    shards: int = 1
    count: int | None = None
    scenarios: tuple[str, ...] = tuple(SCENARIOS)
    per_image: int = 1
    slices: int | None = None
    language: Language | None = None
    max_rounds: int = 12
    absent_rate: float = 0.0
    rewrite_url: str = ""
    rewrite_model: str = ""

    def part(self, shard: int) -> Path:
        """The file that a share writes down what it made, when it is complete."""
        return Path(self.out) / "parts" / f"{shard + 1:05d}-of-{self.shards:05d}.jsonl"

    def written(self) -> dict[str, Any]:
        """The plan as `plan.json` keeps it; where the data lie does not matter."""
        return {key: value for key, value in asdict(self).items() if key not in ("out", "root")}


def build_shard(plan: Plan, shard: int) -> int:
    """Build share `shard` (from 0), or what is missing of it.

    Returns:
        How many dialogues it holds.

    Raises:
        OSError, ValueError: the source cannot be read.
    """
    part = plan.part(shard)
    if part.exists():
        return sum(len(made) for _, made in read_part(part))
    part.parent.mkdir(parents=True, exist_ok=True)
    unfinished = part.with_suffix(".part")
    held, last = _resume(unfinished)
    wanted = None if plan.count is None else _share(plan.count, shard, plan.shards)
    rewriter = Rewriter(plan.rewrite_url, plan.rewrite_model) if plan.rewrite_url else None
    with unfinished.open("a", encoding="utf-8") as file:
        for number, item in itertools.islice(enumerate(items(plan)), shard, None, plan.shards):
            if wanted is not None and held >= wanted:
                break
            if number <= last:
                continue
            left = None if wanted is None else wanted - held
            held += _write_down(file, number, itertools.islice(_dialogues_of(plan, number, item, rewriter), left))
    unfinished.rename(part)
    return held


def read_part(path: Path) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The images of a share that have dialogues: their numbers and the dialogues as MR-MedSeg has them."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            content = json.loads(line)
            yield content["image"], content["dialogues"]


def _write_down(file: TextIO, number: int, made: Iterable[dict[str, Any]]) -> int:
    dialogues = list(made)
    if dialogues:
        file.write(json.dumps({"image": number, "dialogues": dialogues}, ensure_ascii=False) + "\n")
        file.flush()
    return len(dialogues)


def _resume(unfinished: Path) -> tuple[int, int]:
    """How many dialogues an unfinished share holds, and its last image (-1 for none); cuts off half a line."""
    if not unfinished.exists():
        return 0, -1
    held, last, end = 0, -1, 0
    with unfinished.open("r+b") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            content = json.loads(line)
            held, last, end = held + len(content["dialogues"]), content["image"], end + len(line)
        file.truncate(end)
    return held, last


def _share(count: int, shard: int, shards: int) -> int:
    return count // shards + (shard < count % shards)


def items(plan: Plan) -> Iterator[Any]:
    """What the source holds: numbers of phantoms, cases of real sets, entries of SA-Med2D-20M's index."""
    # Each source is imported where it is asked for: they need packages of their own.
    if plan.source == "phantoms":
        return iter(itertools.count())
    if plan.source == "sa-med2d":
        from training.data.sa_med2d import iter_entries

        return iter_entries(Path(plan.root), plan.split)
    from training.data.real import cases, set_folders

    found = [case for folder in set_folders(Path(plan.root)) for case in cases(folder, plan.split)]
    order = np.random.default_rng(plan.seed).permutation(len(found))
    return (found[int(k)] for k in order)


def samples_of(plan: Plan, item: Any, rng: np.random.Generator) -> Iterator[LabelledImage]:
    """The labelled images of one item."""
    if plan.source == "phantoms":
        from training.data.phantoms import draw_phantom

        yield draw_phantom(rng)
    elif plan.source == "sa-med2d":
        from training.data.sa_med2d import read_entry

        sample = read_entry(Path(plan.root), item)
        if sample is not None:
            yield sample
    else:
        from training.data.real import read_case

        slices = read_case(item)
        places = np.sort(rng.permutation(len(slices))[: plan.slices])
        yield from (slices[int(k)].shown() for k in places)


def _dialogues_of(plan: Plan, number: int, item: Any, rewriter: Rewriter | None) -> Iterator[dict[str, Any]]:
    """The dialogues about image (or volume) `number`, their pictures and masks written."""
    rng = np.random.default_rng([plan.seed, number])
    for k, sample in enumerate(samples_of(plan, item, rng)):
        stem = f"{number // FOLDER_SIZE:05d}/{number:08d}" + (f"_{k}" if plan.source == "real" else "")
        yield from build_image(plan, stem, sample, number + k, rng, rewriter)


def build_image(
    plan: Plan, stem: str, sample: LabelledImage, turn: int, rng: np.random.Generator, rewriter: Rewriter | None = None
) -> Iterator[dict[str, Any]]:
    """Dialogues about one image, as MR-MedSeg has them; `turn` says whose turn it is, English or Chinese."""
    folder = Path(plan.out)
    structures = Structures(sample, with_wholes=True)
    possible = [name for name in possible_scenarios(structures) if name in plan.scenarios]
    if MIXED in plan.scenarios and structures.masks:
        possible.append(MIXED)
    if not possible:
        return
    weights = np.array([SCENARIOS[name].weight if name in SCENARIOS else 1.0 for name in possible])
    chosen = rng.choice(possible, min(plan.per_image, len(possible)), replace=False, p=weights / weights.sum())
    picture = None
    for k, name in enumerate(chosen):
        language = plan.language or LANGUAGES[(turn + k) % 2]
        scenario = "" if name == MIXED else str(name)
        dialogue = build_dialogue(sample, rng, language, plan.max_rounds, plan.absent_rate, scenario, structures)
        if dialogue is None or not dialogue.leans:
            continue
        if rewriter is not None:
            dialogue = rewriter(dialogue)
        picture = picture or write_image(folder, stem, sample)
        yield entry_of(write_dialogue(folder, f"{stem}_{k}", picture, sample, dialogue), folder)
