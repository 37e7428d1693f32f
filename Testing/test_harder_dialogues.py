"""Dialogues made harder than their true words and masks: strange sentences, other tokens, poor references."""

import re

import numpy as np
import pytest
import torch
from builders import small_checkpoint
from numpy.typing import NDArray

from MediRoundLib.checkpoints import Checkpoint
from MediRoundLib.dialogue import PastRound
from MediRoundLib.naming import structure_name
from MediRoundLib.references import resolve
from MediRoundLib.text import IGNORED, REFERENCE, first_turn
from training.augment import distort
from training.data.dialogues import build_dialogue
from training.data.entities import Language, entities
from training.data.phantoms import draw_phantom
from training.data.phrases import (
    DIRECTIONS,
    RELATIONS,
    direct_query,
    loose_frame,
    phrase_table,
    relation_query,
    whole_question,
)
from training.data.rounds import means
from training.examples import ExampleMaker, TaughtRound
from training.step import Example


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_loose_sentence_keeps_what_matters(language: Language) -> None:
    rng, lung = np.random.default_rng(0), entities()["left lung"]
    direct = [direct_query(rng, lung, language, loose=True) for _ in range(50)]
    assert all(any(name in query for name in lung.names[language]) for query in direct)
    assert len(set(direct)) > 40
    related = [relation_query(rng, "other", lung, language, 3, loose=True) for _ in range(50)]
    assert all("3" in query for query in related)
    assert not any("{" in query for query in direct + related)
    frames = phrase_table()[language]["frames"]
    assert len({loose_frame(rng, frames, language) for _ in range(200)} - set(frames)) > 150


@pytest.mark.parametrize("language", ["en", "zh"])
def test_whole_questions_say_what_they_must(language: Language) -> None:
    """Every one of a relation that leans on something names its round or none; those by name and of parts the name."""
    table = phrase_table()[language]["questions"]
    assert set(table) == {"direct", "places", *RELATIONS}
    for relation in ("direct", *RELATIONS):
        for kind, forms in table[relation].items():
            assert len(forms) == len(set(forms)) >= 15, f"{relation} {kind}"
            for form in forms:
                slots = re.findall(r"\{(\w+)\}", form)
                assert len(slots) == len(set(slots)), form
                assert set(slots) <= {"name", "noun", "ref", "place", "x"}, form
                assert ("ref" in slots) == (kind == "explicit" and relation != "spatial"), form
                assert ("place" in slots) == (relation == "spatial"), form
                assert ("x" in slots) == (relation == "attribute"), form
                assert ("name" in slots) == (relation in ("direct", "part", "lesion", "organ")), form
    for forms in table["places"].values():
        assert all(form.count("{ref}") == 1 for form in forms)
    assert len({len(forms) for forms in (table["places"]["left"], table["places"]["right"])}) == 1


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_engine_reads_whole_questions_right(language: Language) -> None:
    """Nearly all, whatever round they lean on: what it misreads is not taught."""
    vertebra, left, right = (entities()[name] for name in ("vertebra L2", "left kidney", "right kidney"))
    rng = np.random.default_rng(0)
    asked = [direct_query(rng, each, language) for each in (vertebra, left)]
    past = [PastRound(k + 1, query, structure_name(query)) for k, query in enumerate(asked)]
    for relation in RELATIONS:
        if relation == "attribute":  # its descriptions are of other structures
            continue
        for number in (1, 2, None):
            sides = DIRECTIONS if relation == "spatial" else [""]
            queries = [whole_question(rng, relation, right, language, number, sides[k % len(sides)]) for k in range(40)]
            right_ones = [means(query, past, 1 if number is None else number - 1) for query in queries]
            assert np.mean(right_ones) > 0.85, f"{relation} {number}"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_aside_means_a_round(language: Language) -> None:
    past = [PastRound(1, "Segment the left lung.", "left lung"), PastRound(2, "Segment the liver.", "liver")]
    for aside in phrase_table()[language]["asides"]:
        assert resolve(aside, past) is None, aside


def test_loose_dialogues_are_those_of_the_seed_otherwise() -> None:
    def queries(loose: float) -> list[str]:
        sample = draw_phantom(np.random.default_rng(1), kind="abdomen")
        dialogue = build_dialogue(sample, np.random.default_rng(2), max_rounds=6, loose=loose)
        assert dialogue is not None
        return [turn.query for turn in dialogue.turns]

    assert queries(0.0) == queries(0.0)
    assert queries(1.0) != queries(0.0)


def test_a_relation_is_asked_as_often_as_its_weight_says() -> None:
    def count(weights: dict[str, float]) -> int:
        sample = draw_phantom(np.random.default_rng(1), kind="abdomen")
        made = [build_dialogue(sample, np.random.default_rng(k), max_rounds=8, weights=weights) for k in range(20)]
        return sum(turn.relation == "spatial" for dialogue in made if dialogue for turn in dialogue.turns)

    assert count({"spatial": 0.0}) == 0 < count({}) < count({"spatial": 3.0})


def disc(size: int = 64, radius: int = 10) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:size, : size + 20]
    found: NDArray[np.bool_] = (rows - 30) ** 2 + (columns - 40) ** 2 < radius**2
    return found


def test_distorted_masks_are_poor_ones_of_the_same_thing() -> None:
    true = disc()
    ious = []
    for seed in range(200):
        mask = distort(true, np.random.default_rng(seed))
        assert (mask.shape, mask.dtype) == (true.shape, np.dtype(bool))
        assert mask.any()
        ious.append((mask & true).sum() / (mask | true).sum())
    assert 0.45 < np.mean(ious) < 0.8
    strayed = np.mean(np.array(ious) < 0.05)
    assert 0.01 < strayed < 0.1, "a few lie beside the structure, as where the model drew its neighbour"
    single = np.zeros((5, 5), bool)
    single[0, 4] = True
    assert all(distort(single, np.random.default_rng(seed)).any() for seed in range(100))


FIRST = "Segment the left lung in this image."


def two_rounds(checkpoint: Checkpoint, second: str) -> tuple[ExampleMaker, Example]:
    """FIRST, and a second question that leans on it."""
    mask = disc()
    rounds = [
        TaughtRound(first_turn(FIRST), "It is [SEG].", mask),
        TaughtRound(f"{REFERENCE} {second}", "It is [SEG].", mask, mask),
    ]
    maker = ExampleMaker(checkpoint.model.config, checkpoint.tokenizer)
    return maker, maker(np.zeros((64, 84), np.uint8), rounds)


def test_garbled_tokens_are_those_of_the_queries_alone() -> None:
    checkpoint, second = small_checkpoint(), "Segment the other one."
    maker, example = two_rounds(checkpoint, second)
    garbled = maker.garbled(example, 0.5, 0.0, 0.0, np.random.default_rng(0))
    pairs = list(zip(example.ids, garbled.ids, example.labels, strict=True))
    changed = [(before, label) for before, after, label in pairs if before != after]
    words = sum(len(checkpoint.tokenizer.encode(said)) for said in (FIRST, second))
    assert 0.25 * words < len(changed) < 0.75 * words
    assert all(label == IGNORED and 3 <= before < checkpoint.tokenizer.pieces for before, label in changed)
    assert garbled.labels == example.labels
    assert maker.garbled(example, 0.0, 0.0, 0.0, np.random.default_rng(0)).ids == example.ids


def test_muddled_is_what_leans_alone() -> None:
    """The first question stays as it is; of the second a part goes, another one each time."""
    checkpoint, second = small_checkpoint(), "Segment the other one, if you please, and thank you."
    maker, example = two_rounds(checkpoint, second)
    words = checkpoint.tokenizer.encode(f" {second} ")
    begin = example.ids.index(checkpoint.config.tokens.box) + 1
    spoken = range(begin, begin + len(words) - 1)
    shares = []
    for seed in range(60):
        muddled = maker.garbled(example, 0.0, 1.0, 0.0, np.random.default_rng(seed))
        changed = [k for k, (old, new) in enumerate(zip(example.ids, muddled.ids, strict=True)) if old != new]
        assert set(changed) <= set(spoken)
        shares.append(len(changed) / len(spoken))
    assert min(shares) < 0.3
    assert 0.4 < np.mean(shares) < 0.6
    assert max(shares) > 0.7
    kept = [
        maker.garbled(example, 0.0, 0.3, 0.0, np.random.default_rng(seed)).ids == example.ids for seed in range(200)
    ]
    assert 0.6 < np.mean(kept) < 0.8


def test_forgotten_is_what_was_asked_by_name() -> None:
    """A part of the first question goes; the second one, and its mask, stay."""
    checkpoint, second = small_checkpoint(), "Segment the other one, if you please, and thank you."
    maker, example = two_rounds(checkpoint, second)
    box = example.ids.index(checkpoint.config.tokens.box)
    shares = []
    for seed in range(30):
        forgotten = maker.garbled(example, 0.0, 0.0, 1.0, np.random.default_rng(seed))
        assert forgotten.ids[box:] == example.ids[box:]
        assert torch.equal(forgotten.boxes, example.boxes)
        changed = sum(old != new for old, new in zip(example.ids, forgotten.ids, strict=True))
        shares.append(changed / len(checkpoint.tokenizer.encode(FIRST)))
    assert 0.35 < np.mean(shares) < 0.65
