"""Single questions that do not name their target: each fits one structure of the image and hides its name."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.entities import Language, entities
from training.data.implicit import ORIENTATIONS, Query, describe, main, queries
from training.data.phantoms import draw_phantom
from training.data.phrases import LANGUAGES
from training.data.samples import LabelledImage


def sample(*names: str) -> LabelledImage:
    masks = {}
    for k, name in enumerate(names):
        masks[name] = np.zeros((20, 40), bool)
        masks[name][2 + k : 8 + k, 3 * k : 3 * k + 3] = True
    return LabelledImage(np.zeros((20, 40), np.uint8), masks, "CT", "boxes", "p1", frozenset(names))


def asked(language: Language, *names: str, seed: int = 0) -> list[Query]:
    return list(queries(sample(*names), np.random.default_rng(seed), language))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_description_makes_whole_sentences_that_hide_the_name(language: Language) -> None:
    described = [name for name in entities() if describe(entities()[name], language)]
    assert len(described) > 130
    for seed, name in enumerate(described):
        found = asked(language, name, seed=seed)
        assert [each.orientation for each in found] == list(ORIENTATIONS)
        for each in found:
            texts = (each.long, each.short, each.long_explanation, each.short_explanation)
            assert not any(mark in text for text in texts for mark in "{}")
            assert len(each.long) > len(each.short)
            assert entities()[name].names[language][0] in each.long_explanation
            assert entities()[name].names[language][0] in each.short_explanation
            for hidden in entities()[name].names[language]:
                whole = f" {hidden} " if language == "en" else hidden
                asked_text = f" {each.long} {each.short} ".replace(".", " ").replace("?", " ").replace(",", " ")
                assert len(hidden) < 2 or whole not in asked_text, (name, hidden)


def test_a_pair_is_told_apart_by_its_side() -> None:
    found = {(each.entity, each.orientation): each for each in asked("en", "left kidney", "right kidney", "spine")}
    assert len(found) == 4
    assert "patient's left" in found["left kidney", "attribute"].short
    assert "patient's right" in found["right kidney", "location"].long
    assert "患者左侧" in asked("zh", "left kidney")[0].short


def test_what_fits_two_structures_is_not_asked() -> None:
    # Either pair of ribs is "a bone that shields the chest"; kidneys of a pair differ in their side alone.
    assert len(asked("en", "left kidney", "kidneys")) == 4
    assert {each.entity for each in asked("en", "L4-L5 intervertebral disc", "liver")} == {
        "L4-L5 intervertebral disc",
        "liver",
    }


def test_links_are_told_by_their_neighbours() -> None:
    (attribute, location) = asked("en", "vertebra L4")
    assert "vertebra L3" in attribute.short
    assert "between vertebra L3 and vertebra L5" in location.short
    assert asked("en", "vertebra C1") == [], "the first of a chain has nothing above"


def test_phantoms_give_questions() -> None:
    rng = np.random.default_rng(0)
    assert sum(len(list(queries(draw_phantom(rng, 64), rng, "en"))) for _ in range(6)) > 10


def test_a_written_set(tmp_path: Path) -> None:
    assert main(["--source", "phantoms", "--count", "30", "--out", str(tmp_path)]) == 0
    rows = [json.loads(line) for line in (tmp_path / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 30
    assert {row["orientation"] for row in rows} == set(ORIENTATIONS)
    assert {row["language"] for row in rows} == {"en", "zh"}
    for row in rows:
        mask = np.asarray(Image.open(tmp_path / row["mask"]))
        height, width = mask.shape
        assert Image.open(tmp_path / row["image"]).size == (width, height)
        assert set(np.unique(mask)) == {0, 255}
        ys, xs = np.nonzero(mask)
        assert row["bbox"] == [xs.min() / width, ys.min() / height, xs.max() / width, ys.max() / height]
        assert {"long", "short", "class_text", "long_explanation", "short_explanation"} <= set(row)
