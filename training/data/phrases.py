"""Words for questions and answers, from `tables/phrases.toml` and `tables/entities.toml`."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from training.data.entities import Attribute, Entity, Language, attributes, entities

TABLE = Path(__file__).parent / "tables" / "phrases.toml"
Relation = Literal["direct", "other", "next", "previous", "lesion", "organ", "spatial", "attribute"]
DIRECTIONS = ("left", "right", "above", "below")
# Chance that a direct question is one of the short forms ("left kidney, please.") and no full sentence.
SHORT_RATE = 0.1


@cache
def phrase_table() -> Mapping[str, Any]:
    """The whole table: language -> answers, frames, objects, relations and so on."""
    with TABLE.open("rb") as file:
        return tomllib.load(file)


def answers(language: Language) -> Sequence[str]:
    """The answer templates; the first is the default forced answer."""
    found: Sequence[str] = phrase_table()[language]["answers"]
    return found


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def any_name(rng: np.random.Generator, entity: Entity, language: Language) -> str:
    """One of the entity's names, the usual one more often than not."""
    names = entity.names[language]
    return names[0] if rng.random() < 0.6 else _pick(rng, names)


def direct_query(rng: np.random.Generator, entity: Entity, language: Language) -> str:
    """A question by name that leans on nothing."""
    words, name = phrase_table()[language], any_name(rng, entity, language)
    if rng.random() < SHORT_RATE:
        return _pick(rng, words["direct"]).format(name=name)
    return _pick(rng, words["frames"]).format(x=_with_article(name, language))


def relation_query(
    rng: np.random.Generator,
    relation: Relation,
    entity: Entity,
    language: Language,
    round_number: int | None,
    direction: str = "",
    attribute: Attribute | None = None,
    of_lesion: bool = False,
) -> str:
    """A question that leans on an earlier round.

    Args:
        relation: any but "direct".
        entity: the target.
        round_number: the round from 1 that the text names; None says "it", "its" or nothing and means the round before.
        direction: one of `DIRECTIONS`, for "spatial".
        attribute: the description used, for "attribute".
        of_lesion: whether the reference is a lesion, for "organ": a lesion lies in an organ, a part in a structure.
    """
    words = phrase_table()[language]
    if relation == "attribute":
        assert attribute is not None
        description = _pick(rng, attribute.phrases[language])
    else:
        forms = words["relations"][relation]
        # A place is put into words with "it" as well, so spatial questions have no list of their own for that.
        kind = "implicit" if round_number is None and "implicit" in forms else "explicit"
        description = _pick(rng, forms[kind])
    if direction:
        description = description.replace("{place}", _pick(rng, words["spatial"][direction]))
    reference = words["pronoun"] if round_number is None else _pick(rng, words["objects"]).format(n=round_number)
    prefix = base = ""
    if "{base}" in description:
        base = _pick(rng, words["bases"]).format(n=round_number)
        description = description.replace("{base}", "").strip()
        if language == "zh":
            prefix = base + "，"
        elif rng.random() < 0.4:
            prefix = base[0].upper() + base[1:] + ", "
        else:
            description = f"{description} {base}"
    x = description.format(
        name=any_name(rng, entity, language),
        noun=_pick(rng, entity.nouns[language]),
        kind=words["kinds"]["lesion" if of_lesion else "part"],
        ref=reference,
    )
    frames = words["frames"]
    if relation == "spatial":  # its words say "in the image" already
        frames = [frame for frame in frames if not any(word in frame for word in ("image", "scan", "slice", "图"))]
    sentence = _pick(rng, frames).format(x=x)
    if prefix and language == "en" and not sentence.startswith("I "):
        sentence = sentence[0].lower() + sentence[1:]
    return prefix + sentence


def _with_article(name: str, language: Language) -> str:
    return name if language == "zh" else f"the {name}"


def corpus_lines() -> Iterator[str]:
    """Sentences of both languages that hold every phrase and every name, for training a tokenizer."""
    languages: tuple[Language, ...] = ("en", "zh")
    known = list(entities().values())
    for language in languages:
        words = phrase_table()[language]
        yield from words["answers"]
        names = [name for entity in known for name in entity.names[language]]
        for k, name in enumerate(names):
            for step in range(3):
                frame = words["frames"][(3 * k + step) % len(words["frames"])]
                yield frame.format(x=_with_article(name, language))
            yield words["direct"][k % len(words["direct"])].format(name=name)
        yield from _relation_lines(language, known)


def _relation_lines(language: Language, known: Sequence[Entity]) -> Iterator[str]:
    """Every description with every frame once, over changing entities, rounds, references and directions."""
    words = phrase_table()[language]
    objects, bases = words["objects"], words["bases"]
    places = [place for direction in DIRECTIONS for place in words["spatial"][direction]]
    descriptions = [d for row in words["relations"].values() for forms in row.values() for d in forms]
    descriptions += [phrase for attribute in attributes() for phrase in attribute.phrases[language]]
    count = 0
    for description in descriptions:
        for frame in words["frames"][count % 3 :: 3]:
            count += 1
            entity, number = known[count * 7 % len(known)], count % 12 + 1
            reference = words["pronoun"] if count % 4 == 0 else objects[count % len(objects)].format(n=number)
            base = bases[count % len(bases)].format(n=number)
            filled = description.replace("{place}", places[count % len(places)]).format(
                name=entity.names[language][0],
                noun=entity.nouns[language][0],
                kind=words["kinds"]["lesion" if count % 2 else "part"],
                ref=reference,
                base="" if language == "zh" else base,
            )
            sentence = frame.format(x=filled)
            yield f"{base}，{sentence}" if language == "zh" and "{base}" in description else sentence
