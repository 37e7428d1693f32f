"""Words for questions and answers, from the tables of phrases, relations and entities in `tables/`."""

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np

from training.data.entities import TABLES, Attribute, Entity, Language, attributes, entities

Relation = Literal["direct", "other", "next", "previous", "part", "lesion", "organ", "spatial", "attribute"]
RELATIONS: tuple[Relation, ...] = ("other", "next", "previous", "part", "lesion", "organ", "spatial", "attribute")
LANGUAGES: tuple[Language, Language] = ("en", "zh")
DIRECTIONS = ("left", "right", "above", "below")
# Chance that a direct question is one of the short forms ("left kidney, please.") and no full sentence.
SHORT_RATE = 0.1
# Chance that a question of place or attribute names its round in front: "Based on instance 1, .. above it ..".
BASE_RATE = 0.25
# Of the questions told freely so many are whole ones of everyday words; the others are strange sentences.
WHOLE_RATE = 0.6
# Spatial questions say "in the image" themselves.
_IN_THE_IMAGE = ("image", "scan", "slice", "图")


@cache
def phrase_table() -> Mapping[str, Any]:
    """The whole table: language -> answers, frames, objects, relations, questions and so on."""
    found: dict[str, dict[str, Any]] = {}
    for language in LANGUAGES:
        for name in ("phrases", "relations", "questions"):
            part = tomllib.loads((TABLES / f"{name}_{language}.toml").read_text(encoding="utf-8"))
            found.setdefault(language, {}).update(part[language])
    return found


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


def direct_query(rng: np.random.Generator, entity: Entity, language: Language, loose: bool = False) -> str:
    """A question by name that leans on nothing; with `loose` it is told freely, as in `relation_query`."""
    words, name = phrase_table()[language], any_name(rng, entity, language)
    if loose and rng.random() < WHOLE_RATE:
        return _pick(rng, words["questions"]["direct"]["whole"]).format(name=name)
    if loose:
        return loose_frame(rng, words["frames"], language).format(x=_with_article(name, language))
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
    named: bool = False,
    loose: bool = False,
) -> str:
    """A question that leans on an earlier round.

    Args:
        relation: any but "direct".
        entity: the target.
        round_number: the round from 1 that the text names; None says "it", "its" or nothing and means the round before.
        direction: one of `DIRECTIONS`, for "spatial".
        attribute: the description used, for "attribute".
        of_lesion: whether the reference is a lesion, for "organ": a lesion lies in an organ, a part in a structure.
        named: whether the target must be named, since another structure would fit the words without it.
        loose: whether it is told freely, for training: a `whole_question`, or a description in a `loose_frame`.
    """
    if loose and rng.random() < WHOLE_RATE:
        return whole_question(rng, relation, entity, language, round_number, direction, attribute)
    words = phrase_table()[language]
    forms = attribute.phrases[language] if attribute else _descriptions(relation, language, round_number is None)
    description = _pick(rng, [form for form in forms if "{name}" in form] if named else forms)
    if direction:
        description = description.replace("{place}", _pick(rng, words["spatial"][direction]))
        description = description.replace("{way}", _pick(rng, words["ways"][direction]))
    reference = _reference(rng, words, round_number)
    prefix = base = ""
    in_front = relation in ("spatial", "attribute") and round_number is not None and rng.random() < BASE_RATE
    if "{base}" in description or in_front:
        base = _pick(rng, words["bases"]).format(n=round_number)
        reference = words["pronoun"]
        description = description.replace("{base}", "").strip()
        if language == "zh":
            prefix = base + "，"
        elif in_front or rng.random() < 0.4:
            prefix = base[0].upper() + base[1:] + ", "
        else:
            description = f"{description} {base}"
    x = description.format(
        name=any_name(rng, entity, language),
        noun=_pick(rng, entity.nouns[language]),
        kind=words["kinds"]["lesion" if of_lesion else "part"],
        ref=reference,
    )
    frames = _frames(relation, language)
    sentence = (loose_frame(rng, frames, language) if loose else _pick(rng, frames)).format(x=x)
    if prefix and language == "en" and not sentence.startswith("I "):
        sentence = sentence[0].lower() + sentence[1:]
    return prefix + sentence


def whole_question(
    rng: np.random.Generator,
    relation: Relation,
    entity: Entity,
    language: Language,
    round_number: int | None,
    direction: str = "",
    attribute: Attribute | None = None,
) -> str:
    """A question in everyday words from `questions_LANGUAGE.toml`; arguments as for `relation_query`.

    Where another structure could be meant too, all of them say the name.
    """
    words = phrase_table()[language]
    questions = words["questions"]
    reference = _reference(rng, words, round_number)
    kind = "whole" if attribute else "implicit" if round_number is None else "explicit"
    sentence = _pick(rng, questions[relation][kind]).format(
        name=any_name(rng, entity, language),
        noun=_pick(rng, entity.nouns[language]),
        ref=reference,
        place=_pick(rng, questions["places"][direction]).format(ref=reference) if direction else "",
        x=_pick(rng, attribute.phrases[language]).format(ref=reference) if attribute else "",
    )
    return sentence[:1].upper() + sentence[1:]


def _reference(rng: np.random.Generator, words: Mapping[str, Any], round_number: int | None) -> str:
    """What stands for {ref}: "it" for the round before, or words with the round's number."""
    found: str = words["pronoun"] if round_number is None else _pick(rng, words["objects"]).format(n=round_number)
    return found


def loose_frame(rng: np.random.Generator, frames: Sequence[str], language: Language) -> str:
    """A sentence around {x} made of pieces that need not go together: halves of two frames, and asides.

    What a model must not learn from is the sentence; so it meets some of which only {x} means anything.
    """
    asides = phrase_table()[language]["asides"]
    head, tail = (_pick(rng, frames).split("{x}")[side] for side in (0, 1))
    parts = [head if rng.random() < 0.5 else "", "{x}", tail if rng.random() < 0.5 else ""]
    for place in (3, 1, 0):
        if rng.random() < 0.5:
            parts.insert(place, _pick(rng, asides))
    if language == "zh":
        return "".join(parts)
    return " ".join(part.strip() for part in parts if part)


def _descriptions(relation: Relation, language: Language, implicit: bool) -> Sequence[str]:
    forms = phrase_table()[language]["relations"][relation]
    if not implicit:
        found: Sequence[str] = forms["explicit"]
        return found
    # A place is put into words with "it" as well.
    said_of_it = [form for form in forms["explicit"] if "{place}" in form]
    return [*forms["implicit"], *said_of_it]


def _frames(relation: Relation, language: Language) -> Sequence[str]:
    frames: Sequence[str] = phrase_table()[language]["frames"]
    if relation == "spatial":
        return [frame for frame in frames if not any(word in frame for word in _IN_THE_IMAGE)]
    return frames


def sentences(relation: Relation, language: Language) -> Iterator[str]:
    """Every sentence that a relation can be asked with, its slots unfilled; those of one structure for an attribute."""
    if relation == "direct":
        descriptions: Sequence[str] = ["{name}"]
    elif relation == "attribute":
        descriptions = min((attribute.phrases[language] for attribute in attributes()), key=len)
    else:
        descriptions = [form for implicit in (False, True) for form in _descriptions(relation, language, implicit)]
    for description in dict.fromkeys(descriptions):
        for frame in _frames(relation, language):
            yield frame.replace("{x}", description)
    if relation == "direct":
        yield from phrase_table()[language]["direct"]
    for forms in phrase_table()[language]["questions"][relation].values():
        yield from forms


def _with_article(name: str, language: Language) -> str:
    return name if language == "zh" else f"the {name}"


def corpus_lines() -> Iterator[str]:
    """Sentences of both languages that hold every phrase and every name, for training a tokenizer."""
    known = list(entities().values())
    for language in LANGUAGES:
        words = phrase_table()[language]
        yield from words["answers"]
        yield from words["asides"]
        yield from _whole_lines(language)
        names = [name for entity in known for name in entity.names[language]]
        for k, name in enumerate(names):
            for step in range(3):
                frame = words["frames"][(3 * k + step) % len(words["frames"])]
                yield frame.format(x=_with_article(name, language))
            yield words["direct"][k % len(words["direct"])].format(name=name)
        yield from _relation_lines(language, known)


def _whole_lines(language: Language) -> Iterator[str]:
    """Every whole question, with the same words in its slots: other lines have those in all their variety."""
    words = phrase_table()[language]
    reference, entity = words["objects"][0].format(n=1), entities()["left kidney"]
    slots = {"name": entity.names[language][0], "noun": entity.nouns[language][0], "ref": reference, "x": reference}
    for forms in words["questions"].values():
        for form in itertools.chain.from_iterable(forms.values()):
            yield form.format(**slots, place=words["questions"]["places"]["left"][0].format(ref=reference))


def _relation_lines(language: Language, known: Sequence[Entity]) -> Iterator[str]:
    """Every description with every frame once, over changing entities, rounds, references and directions."""
    words = phrase_table()[language]
    objects, bases = words["objects"], words["bases"]
    places = [place for direction in DIRECTIONS for place in words["spatial"][direction]]
    ways = [way for direction in DIRECTIONS for way in words["ways"][direction]]
    descriptions = [d for row in words["relations"].values() for forms in row.values() for d in forms]
    descriptions += [phrase for attribute in attributes() for phrase in attribute.phrases[language]]
    count = 0
    for description in descriptions:
        for frame in words["frames"][count % 3 :: 3]:
            count += 1
            entity, number = known[count * 7 % len(known)], count % 12 + 1
            reference = words["pronoun"] if count % 4 == 0 else objects[count % len(objects)].format(n=number)
            base = bases[count % len(bases)].format(n=number)
            placed = description.replace("{place}", places[count % len(places)])
            filled = placed.replace("{way}", ways[count % len(ways)]).format(
                name=entity.names[language][0],
                noun=entity.nouns[language][0],
                kind=words["kinds"]["lesion" if count % 2 else "part"],
                ref=reference,
                base="" if language == "zh" else base,
            )
            sentence = frame.format(x=filled)
            yield f"{base}，{sentence}" if language == "zh" and "{base}" in description else sentence
