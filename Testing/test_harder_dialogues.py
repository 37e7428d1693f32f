"""Dialogues made harder than their true words and masks: strange sentences, other tokens, poor references."""

import numpy as np
import pytest
from builders import small_checkpoint
from numpy.typing import NDArray

from MediRoundLib.dialogue import PastRound
from MediRoundLib.references import resolve
from MediRoundLib.text import IGNORED, REFERENCE, first_turn
from training.augment import distort
from training.data.dialogues import build_dialogue
from training.data.entities import Language, entities
from training.data.phantoms import draw_phantom
from training.data.phrases import direct_query, loose_frame, phrase_table, relation_query
from training.examples import ExampleMaker, TaughtRound


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
    assert np.mean(np.array(ious) < 0.05) < 0.02
    single = np.zeros((5, 5), bool)
    single[0, 4] = True
    assert all(distort(single, np.random.default_rng(seed)).any() for seed in range(100))


def test_garbled_tokens_are_those_of_the_queries_alone() -> None:
    checkpoint = small_checkpoint()
    mask = disc()
    rounds = [
        TaughtRound(first_turn("Segment the left lung in this image."), "It is [SEG].", mask),
        TaughtRound(f"{REFERENCE} Segment the other one.", "It is [SEG].", mask, mask),
    ]
    maker = ExampleMaker(checkpoint.model.config, checkpoint.tokenizer)
    example = maker(np.zeros((64, 84), np.uint8), rounds)
    garbled = maker.garbled(example, 0.5, np.random.default_rng(0))
    pairs = list(zip(example.ids, garbled.ids, example.labels, strict=True))
    changed = [(before, label) for before, after, label in pairs if before != after]
    words = [before for before, _, label in pairs if label == IGNORED and 3 <= before < checkpoint.tokenizer.pieces]
    assert 0.25 * len(words) < len(changed) < 0.75 * len(words)
    assert all(label == IGNORED and 3 <= before < checkpoint.tokenizer.pieces for before, label in changed)
    assert garbled.labels == example.labels
    assert maker.garbled(example, 0.0, np.random.default_rng(0)).ids == example.ids
