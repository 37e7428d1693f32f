"""A dialogue told anew: the same rounds in another language, or in words that no template holds."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from MediRoundLib.dialogue import PastRound
from MediRoundLib.errors import ReferenceNotFound
from MediRoundLib.references import resolve
from training.data.dialogues import Dialogue, Turn
from training.data.entities import Entity, Language, entities
from training.data.phrases import Relation, answers, direct_query, phrase_table, relation_query
from training.data.structures import Step, Structures

PARAPHRASES = Path(__file__).parent / "paraphrases.toml"
Words = Literal["templates", "paraphrases", "unknown"]


@dataclass(frozen=True)
class Telling:
    """How dialogues are put into words.

    "unknown" stands for other questions about the same images, see `never_learned`; they have masks of their own.
    """

    language: Language = "en"
    words: Words = "templates"

    @property
    def name(self) -> str:
        return f"{self.words}_{self.language}"


# How dialogues are made up to begin with.
FIRST = Telling()


@cache
def paraphrases() -> Mapping[str, Any]:
    """The whole table: language -> direct, refs, places, and for each relation explicit and implicit questions."""
    return tomllib.loads(PARAPHRASES.read_text(encoding="utf-8"))


def retell(dialogue: Dialogue, structures: Structures, telling: Telling, rng: np.random.Generator) -> Dialogue:
    """The same rounds in other words: each leans on the same earlier one, as outspokenly or not, and has its mask."""
    past: list[PastRound] = []
    turns = []
    for k, turn in enumerate(dialogue.turns):
        if turn.reference is None:
            query = _direct(rng, entities()[turn.entity], telling)
        else:
            number = None if _is_implicit(turn, k, past) else turn.reference + 1
            query = _related(rng, dialogue.turns, turn, number, structures, telling)
        past.append(PastRound(k + 1, turn.query, ""))
        turns.append(replace(turn, query=query, answer=answers(telling.language)[0]))
    return replace(dialogue, turns=turns, language=telling.language)


def _is_implicit(turn: Turn, k: int, past: Sequence[PastRound]) -> bool:
    """Whether a question means the round before without saying so."""
    try:
        found = resolve(turn.query, past)
    except ReferenceNotFound:
        return False
    return turn.reference == k - 1 and (found is None or not found.explicit)


def _direct(rng: np.random.Generator, entity: Entity, telling: Telling) -> str:
    if telling.words == "templates":
        return direct_query(rng, entity, telling.language)
    sentence = _pick(rng, paraphrases()[telling.language]["direct"])
    return sentence.format(name=entity.names[telling.language][0])


def _related(
    rng: np.random.Generator,
    turns: Sequence[Turn],
    turn: Turn,
    number: int | None,
    structures: Structures,
    telling: Telling,
) -> str:
    """A question that leans on round `number`, None for the round before."""
    assert turn.reference is not None
    source, entity, language = turns[turn.reference], entities()[turn.entity], telling.language
    step = _step(structures, source, turn)
    relation = cast(Relation, turn.relation)
    if telling.words == "templates":
        of_lesion = entities()[source.entity].lesion
        return relation_query(
            rng, relation, entity, language, number, step.direction, step.attribute, of_lesion, step.named
        )
    words = paraphrases()[language]
    reference = phrase_table()[language]["pronoun"] if number is None else _pick(rng, words["refs"]).format(n=number)
    said = step.attribute.phrases[language][0].format(ref=reference) if step.attribute else ""
    sentence = _pick(rng, words[relation]["implicit" if number is None else "explicit"])
    filled = sentence.format(
        name=entity.names[language][0],
        noun=entity.nouns[language][0],
        ref=reference,
        place=words["places"][step.direction] if step.direction else "",
        x=said,
    )
    return filled[0].upper() + filled[1:]


def _step(structures: Structures, source: Turn, turn: Turn) -> Step:
    """How the target of a round came from that of the round it leans on."""
    return next(
        step
        for step in structures.steps(source.entity, source.target)
        if (step.relation, step.entity) == (turn.relation, turn.entity) and np.array_equal(step.target, turn.target)
    )


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]
