"""Single questions that do not name what they mean, with explanations, in the manner of MLMR-SD: data for MediSee.

    python -m training.data.implicit --source real --root ../shared/data/real --split train --count 200 --out DIR

writes `images/`, `masks/` and `queries.jsonl`, a line for each question about one structure, with the released fields:
`image`, `mask`, `class_text`, `long`, `short`, `bbox` (left, top, right, bottom in units of width and height),
`long_explanation` and `short_explanation`; and besides `orientation` ("attribute": what it does; "location": where it
lies), `language`, `modality`, `source` and `patient`. The words are those of `tables/implicit.toml`.
"""

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from MediRoundLib.errors import MediRoundError
from training.data.arguments import add_source, stated_source
from training.data.dialogues import write_image
from training.data.entities import TABLES, Entity, Language, entities, neighbour
from training.data.phrases import LANGUAGES
from training.data.samples import LabelledImage
from training.data.shards import FOLDER_SIZE, Plan, items, samples_of
from training.data.structures import Place

ORIENTATIONS = ("attribute", "location")
_SIDES = {"en": {"left": "left", "right": "right"}, "zh": {"left": "左", "right": "右"}}


@dataclass(frozen=True)
class Description:
    """What a structure is, what it does and where it lies, in one language; `side` is "left", "right" or ""."""

    what: str
    does: str
    lies: str
    side: str


@dataclass(frozen=True)
class Query:
    """One question in a long and a short form, with an explanation for either."""

    entity: str
    orientation: str
    language: Language
    long: str
    short: str
    long_explanation: str
    short_explanation: str


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads((TABLES / "implicit.toml").read_text(encoding="utf-8"))


def describe(entity: Entity, language: Language) -> Description | None:
    """The table's description of a structure; None where it has none."""
    first = 0 if language == "en" else 3
    if entity.chain:
        above, below = _beside(entity, language)
        row = _table()["chains"].get(entity.chain)
        if row is None or not above or not below:
            return None
        what, does, lies = (text.format(above=above, below=below) for text in row[first : first + 3])
        return Description(what, does, lies, "")
    rows = _table()["rows"]
    row = rows.get(entity.key) or (rows.get(entity.nouns["en"][0]) if entity.pair else None)
    if row is None:
        return None
    what, does, lies = row[first : first + 3]
    return Description(what, does, lies, entity.key.split(" ")[0] if entity.pair else "")


def _beside(entity: Entity, language: Language) -> tuple[str, str]:
    """The names of what lies above and below a link of a chain, "" where there is nothing; vertebrae for a disc."""
    if entity.chain == "disc":
        keys = [f"vertebra {level}" for level in entity.key.split(" ")[0].split("-")]
    else:
        keys = [neighbour(entity.key, -1), neighbour(entity.key, 1)]
    above, below = (entities()[key].names[language][0] if key else "" for key in keys)
    return above, below


def queries(sample: LabelledImage, rng: np.random.Generator, language: Language) -> Iterator[Query]:
    """One question of each orientation about every structure of an image that no other one fits."""
    known = {name: describe(entities()[name], language) for name in sample.masks if name in entities()}
    for name, own in known.items():
        if own is None:
            continue
        others = [other for key, other in known.items() if other is not None and key != name]
        for orientation in ORIENTATIONS:
            if any(_told(other, orientation) == _told(own, orientation) and other.side == own.side for other in others):
                continue
            yield _query(rng, entities()[name], own, orientation, language)


def _told(description: Description, orientation: str) -> str:
    return description.does if orientation == "attribute" else description.lies


def _query(
    rng: np.random.Generator, entity: Entity, description: Description, orientation: str, language: Language
) -> Query:
    words = _table()[language]
    side = words["side"].format(side=_SIDES[language][description.side]) if description.side else ""
    slots = {
        "what": description.what,
        "does": description.does,
        "lies": description.lies,
        "told": _told(description, orientation),
        "side": side,
        "name": entity.names[language][0],
    }

    def said(form: str) -> str:
        text: str = words[form][int(rng.integers(len(words[form])))]
        if not side:  # "哪个的器官" lacks its side
            text = text.replace("{side}的", "")
        return text.format(**slots)

    forms = (said(form) for form in ("long", "short", "long_explanation", "short_explanation"))
    return Query(entity.key, orientation, language, *forms)


def write_queries(plan: Plan) -> int:
    """Write the questions of a plan's images, one image after the other; returns how many there are."""
    folder = Path(plan.out)
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as file:
        for number, item in enumerate(items(plan)):
            rng = np.random.default_rng([plan.seed, number])
            for k, sample in enumerate(samples_of(plan, item, rng)):
                language = plan.language or LANGUAGES[(number + k) % 2]
                for row in _rows(folder, f"{number // FOLDER_SIZE:05d}/{number:08d}_{k}", sample, rng, language):
                    if plan.count is not None and written >= plan.count:
                        return written
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    written += 1
    return written


def _rows(
    folder: Path, stem: str, sample: LabelledImage, rng: np.random.Generator, language: Language
) -> Iterator[dict[str, Any]]:
    """A line for each question about one image, whose picture and masks are written."""
    picture: Path | None = None
    masks: dict[str, Path] = {}
    for query in queries(sample, rng, language):
        picture = picture or write_image(folder, stem, sample)
        if query.entity not in masks:
            path = folder / "masks" / f"{stem}_{len(masks)}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sample.masks[query.entity].astype(np.uint8) * 255).save(path)
            masks[query.entity] = path
        place, (height, width) = Place.of(sample.masks[query.entity]), sample.image.shape[:2]
        yield {
            "image": picture.relative_to(folder).as_posix(),
            "mask": masks[query.entity].relative_to(folder).as_posix(),
            "class_text": query.entity,
            "long": query.long,
            "short": query.short,
            "long_explanation": query.long_explanation,
            "short_explanation": query.short_explanation,
            "bbox": [
                place.columns[0] / width,
                place.rows[0] / height,
                place.columns[1] / width,
                place.rows[1] / height,
            ],
            "orientation": query.orientation,
            "language": language,
            "modality": sample.modality,
            "source": sample.source,
            "patient": sample.patient,
        }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.data.implicit", description="Write single questions that do not name what they mean."
    )
    add_source(parser)
    parser.add_argument("--count", type=int, required=True, help="questions at most")
    args: Any = parser.parse_args(arguments)
    plan = Plan(count=args.count, **stated_source(args, parser))
    try:
        written = write_queries(plan)
    except (MediRoundError, OSError, ValueError) as error:
        print(f"implicit: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {written} questions to {args.out / 'queries.jsonl'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
