"""Questions for structures that a model never learned, in the images that others are asked in."""

import tomllib
from functools import cache
from pathlib import Path

import numpy as np

from training.data.dialogues import Dialogue, Turn
from training.data.entities import Language, entities
from training.data.phrases import answers, direct_query
from training.data.real import set_folders
from training.data.sets import facts_of

TABLE = Path(__file__).parent / "never_learned.toml"
RELATION = "never learned"


@cache
def _names() -> tuple[str, ...]:
    return tuple(tomllib.loads(TABLE.read_text(encoding="utf-8"))["names"])


def never_learned(data: Path | None) -> list[str]:
    """Keys of the table's structures, without what a set below `data` labels: a model may have been trained on that."""
    labelled = {name for folder in (set_folders(data) if data else ()) for name in facts_of(folder).names.values()}
    return [name for name in _names() if name not in labelled]


def ask_instead(
    dialogue: Dialogue, names: list[str], language: Language, size: tuple[int, int], rng: np.random.Generator
) -> Dialogue:
    """As many rounds as a dialogue has, each for another of the structures `names`, by name; their masks are empty.

    Args:
        size: (height, width) of the image.
        rng: one in the same state draws the same structures in either language.
    """
    chosen = rng.permutation(names)[: len(dialogue.turns)]
    nothing = np.zeros(size, dtype=bool)
    turns = [
        Turn(
            direct_query(rng, entities()[str(name)], language), answers(language)[0], nothing, None, RELATION, str(name)
        )
        for name in chosen
    ]
    return Dialogue(turns, language)
