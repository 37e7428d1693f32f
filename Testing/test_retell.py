"""Dialogues told in another language or in new words: the same rounds, and words that no template holds."""

import re
from collections.abc import Iterator

import numpy as np
import pytest

from MediRoundLib.language import CHINESE
from training.data.dialogues import Dialogue, build_dialogue
from training.data.entities import Language, attributes
from training.data.phantoms import draw_phantom
from training.data.phrases import LANGUAGES, RELATIONS, phrase_table, sentences
from training.data.structures import Structures
from training.retell import FIRST, Telling, paraphrases, retell

# Structures, kinds and references stand in slots of other names in the templates; here all slots are one.
_SLOT = re.compile(r"(?:the )?\{\w+\}")


@pytest.fixture(scope="module")
def dialogues() -> list[tuple[Dialogue, Structures]]:
    found = []
    for seed in range(8):
        sample = draw_phantom(np.random.default_rng([5, seed]))
        structures = Structures(sample)
        dialogue = build_dialogue(sample, np.random.default_rng(seed), "en", 8, 0.1, structures=structures)
        if dialogue is not None and dialogue.leans:
            found.append((dialogue, structures))
    assert len({turn.relation for dialogue, _ in found for turn in dialogue.turns}) > 3
    return found


@pytest.mark.parametrize("telling", [FIRST, *(Telling(lang, "paraphrases") for lang in LANGUAGES), Telling("zh")])
def test_only_the_words_change(dialogues: list[tuple[Dialogue, Structures]], telling: Telling) -> None:
    for dialogue, structures in dialogues:
        told = retell(dialogue, structures, telling, np.random.default_rng(0))
        assert told.language == telling.language
        for one, other in zip(dialogue.turns, told.turns, strict=True):
            assert (one.entity, one.relation, one.reference) == (other.entity, other.relation, other.reference)
            assert one.target is other.target
            assert bool(CHINESE.search(other.query)) == (telling.language == "zh")
            assert not set("{}") & set(other.query)
            assert "[SEG]" in other.answer
        again = retell(dialogue, structures, telling, np.random.default_rng(0))
        assert [turn.query for turn in again.turns] == [turn.query for turn in told.turns]


def bare(sentence: str) -> str:
    """A sentence's words alone, its slots all alike."""
    return re.sub(r"\W+", " ", _SLOT.sub("SLOT", sentence).casefold()).strip()


def written(language: str) -> Iterator[tuple[str, str]]:
    """(relation, sentence) of the table of paraphrases."""
    table = paraphrases()[language]
    yield from (("direct", sentence) for sentence in table["direct"])
    for relation in RELATIONS:
        for form in ("explicit", "implicit"):
            yield from ((relation, sentence) for sentence in table[relation][form])


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_template_holds_a_paraphrase(language: str) -> None:
    templates = {bare(sentence) for relation in ("direct", *RELATIONS) for sentence in sentences(relation, language)}  # type: ignore[arg-type]
    frames = {bare(frame) for frame in phrase_table()[language]["frames"]}
    for relation, sentence in written(language):
        assert bare(sentence) not in templates, sentence
        assert bare(sentence) not in frames, sentence
        if relation in ("direct", "part", "lesion", "organ"):
            assert "{name}" in sentence, f"{sentence} leaves open which structure is meant"
    # What {x} holds makes an attribute's question explicit or not.
    found = [bare(f"{relation} {sentence}") for relation, sentence in written(language) if relation != "attribute"]
    assert len(found) == len(set(found)), "one stands twice"


@pytest.mark.parametrize("language", LANGUAGES)
def test_slots_are_those_that_are_filled(language: Language) -> None:
    for relation, sentence in written(language):
        slots = set(re.findall(r"\{(\w+)\}", sentence))
        assert slots <= {"name", "noun", "ref", "place", "x"}
        assert ("place" in slots) == (relation == "spatial")
        assert ("x" in slots) == (relation == "attribute")
    assert set(paraphrases()[language]["places"]) == {"left", "right", "above", "below"}
    assert attributes()[0].phrases[language][0].count("{ref}") == 1
