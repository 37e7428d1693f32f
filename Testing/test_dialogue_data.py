"""Dialogues made from labels: each target is worked out again here, from the masks alone."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from MediRoundLib.mr_medseg import read_conversations
from training.data.dialogues import Dialogue, Turn, build_dialogue, corpus_lines, export
from training.data.entities import Language, attributes, chains, entities, entity_key, neighbour
from training.data.phantoms import draw_phantom, possible_entities
from training.data.phrases import (
    DIRECTIONS,
    RELATIONS,
    answers,
    direct_query,
    phrase_table,
    relation_query,
    sentences,
)
from training.data.real import read_set
from training.data.samples import LabelledImage, Mask, mirrored_name
from training.data.structures import Structures

LANGUAGES: tuple[Language, Language] = ("en", "zh")
SPINE = ["T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1"]


def made(count: int, **options: float) -> Iterator[tuple[LabelledImage, Dialogue]]:
    for seed in range(count):
        rng = np.random.default_rng(seed)
        sample = draw_phantom(rng, 128)
        dialogue = build_dialogue(sample, rng, LANGUAGES[seed % 2], **options)  # type: ignore[arg-type]
        assert dialogue is not None
        yield sample, dialogue


@pytest.fixture(scope="module")
def dialogues() -> list[tuple[LabelledImage, Dialogue]]:
    return list(made(150))


def links(dialogue: Dialogue) -> Iterator[tuple[Turn, Turn]]:
    """Every turn that leans on an earlier one, with that one."""
    for turn in dialogue.turns:
        if turn.reference is not None:
            yield turn, dialogue.turns[turn.reference]


def test_dialogues_are_well_formed(dialogues: list[tuple[LabelledImage, Dialogue]]) -> None:
    for sample, dialogue in dialogues:
        assert 1 <= len(dialogue.turns) <= 6
        for k, turn in enumerate(dialogue.turns):
            assert turn.answer in answers(dialogue.language)
            assert turn.answer.count("[SEG]") == 1
            assert turn.target.shape == sample.image.shape
            assert not re.search(r"[{}]|  ", turn.query)
            assert (turn.reference is None) == (turn.relation in ("direct", "absent"))
            if turn.reference is not None:
                assert turn.reference < k
            if turn.relation == "direct":
                assert np.array_equal(turn.target, sample.masks[turn.entity])


def test_references_are_said_or_the_round_before(dialogues: list[tuple[LabelledImage, Dialogue]]) -> None:
    said = re.compile(r"(?:round|instance) (\d+)|实例(\d+)|第(\d+)轮|\[(\d+)\]")
    for _, dialogue in dialogues:
        for k, turn in enumerate(dialogue.turns):
            numbers = {int(next(filter(None, match.groups()))) for match in said.finditer(turn.query)}
            if turn.reference is None:
                assert not numbers
            else:
                assert numbers == {turn.reference + 1} or (not numbers and turn.reference == k - 1)


def test_absent_structures_are_absent_and_never_leaned_on() -> None:
    absences = 0
    for sample, dialogue in made(60, absent_rate=0.4):
        for turn in dialogue.turns:
            assert turn.target.any() == (turn.relation != "absent")
            if turn.relation == "absent":
                absences += 1
                assert turn.entity not in sample.masks
        assert all(earlier.relation != "absent" for _, earlier in links(dialogue))
    assert absences > 30


def test_the_other_is_on_the_other_side(dialogues: list[tuple[LabelledImage, Dialogue]]) -> None:
    for sample, dialogue in dialogues:
        for turn, earlier in links(dialogue):
            if turn.relation == "other":
                assert turn.entity == mirrored_name(earlier.entity) != earlier.entity
                assert np.array_equal(turn.target, sample.masks[turn.entity])


def test_next_is_one_below_and_previous_one_above(dialogues: list[tuple[LabelledImage, Dialogue]]) -> None:
    for sample, dialogue in dialogues:
        for turn, earlier in links(dialogue):
            if turn.relation in ("next", "previous"):
                here, there = (re.findall(r"[TL]\d+|\d+", turn_.entity)[0] for turn_ in (earlier, turn))
                order = [str(k) for k in range(1, 13)] if here.isdigit() else SPINE
                assert order.index(there) - order.index(here) == (1 if turn.relation == "next" else -1)
                assert np.array_equal(turn.target, sample.masks[turn.entity])
                if not here.isdigit():  # ribs slope, so their levels cross
                    rows = [np.median(np.argwhere(turn_.target)[:, 0]) for turn_ in (earlier, turn)]
                    assert (rows[1] > rows[0]) == (turn.relation == "next")


def test_lesions_and_organs_hold_each_other(dialogues: list[tuple[LabelledImage, Dialogue]]) -> None:
    for sample, dialogue in dialogues:
        for turn, earlier in links(dialogue):
            if turn.relation == "lesion":
                shared = (turn.target & earlier.target).sum()
                whole = sample.masks[turn.entity]
                assert shared >= 0.9 * turn.target.sum()
                assert (whole & earlier.target & ~turn.target).sum() == 0, "no part of the lesion in it is left out"
            elif turn.relation == "organ":
                assert (turn.target & earlier.target).sum() >= 0.9 * earlier.target.sum()
                assert np.array_equal(turn.target, sample.masks[turn.entity])


def test_spatial_targets_lie_where_the_text_says(dialogues: list[tuple[LabelledImage, Dialogue]]) -> None:
    words = {
        "left": r"\bleft\b|左",
        "right": r"\bright\b|右",
        "above": r"above|higher|上[方面]",
        "below": r"below|lower|下[方面]",
    }
    seen: Counter[str] = Counter()
    for _, dialogue in dialogues:
        for turn, earlier in links(dialogue):
            if turn.relation != "spatial":
                continue
            down, across = np.argwhere(turn.target).mean(axis=0) - np.argwhere(earlier.target).mean(axis=0)
            direction = (
                ("right" if across > 0 else "left") if abs(across) > abs(down) else "below" if down > 0 else "above"
            )
            names = entities()[turn.entity].names
            text = turn.query
            for name in sorted((*names["en"], *names["zh"]), key=len, reverse=True):
                text = text.replace(name, "")
            assert re.search(words[direction], text), (direction, turn.query)
            assert not (turn.target & earlier.target).any()
            seen[direction] += 1
    assert set(seen) == set(DIRECTIONS)


def test_a_spatial_target_is_clearly_the_nearest() -> None:
    image = np.zeros((60, 60), np.uint8)
    squares = {"liver": (28, 5), "spleen": (28, 45), "aorta": (28, 25), "stomach": (5, 25)}
    masks = {}
    for name, (row, column) in squares.items():
        masks[name] = np.zeros((60, 60), bool)
        masks[name][row : row + 6, column : column + 6] = True
    sample = LabelledImage(image, masks, "CT", "squares", "none", frozenset(masks))
    right = {("liver", "aorta"), ("aorta", "spleen")}
    expected = {"right": right, "left": {(b, a) for a, b in right}, "above": {("aorta", "stomach")}}
    expected["below"] = {("stomach", "aorta")}
    found = set()
    for seed in range(60):
        dialogue = build_dialogue(sample, np.random.default_rng(seed), "en", absent_rate=0)
        assert dialogue is not None
        found |= {(e.entity, t.entity) for t, e in links(dialogue) if t.relation == "spatial"}
    assert found == set().union(*expected.values())


def test_a_spatial_target_is_the_one_that_is_met_first() -> None:
    """Below the disc lies L1, whose middle is a little aslant, and not L2, though that one's is straight below."""
    masks = {name: np.zeros((80, 80), bool) for name in ("T12-L1 intervertebral disc", "vertebra L1", "vertebra L2")}
    disc, aslant, straight = masks.values()
    disc[10:14, 30:40] = True
    aslant[15:25, 36:76] = True
    straight[40:52, 30:40] = True

    def below(first: Mask) -> list[str]:
        shown = {**masks, "vertebra L1": first}
        sample = LabelledImage(np.zeros((80, 80), np.uint8), shown, "MR", "x", "x", frozenset(shown))
        steps = Structures(sample).steps_of("T12-L1 intervertebral disc")
        return [step.entity for step in steps if step.relation == "spatial" and step.direction == "below"]

    assert below(aslant) == []
    assert below(aslant & (np.arange(80) > 40)) == ["vertebra L2"], "the first one is passed by"
    assert below(np.roll(aslant, -21, axis=1)) == ["vertebra L1"], "and nearer to the middle it is the answer itself"


def test_attributes_are_those_of_the_table(dialogues: list[tuple[LabelledImage, Dialogue]]) -> None:
    known = {(attribute.reference, attribute.target) for attribute in attributes()}
    for sample, dialogue in dialogues:
        for turn, earlier in links(dialogue):
            if turn.relation == "attribute":
                assert (earlier.entity, turn.entity) in known
                assert np.array_equal(turn.target, sample.masks[turn.entity])
    assert ("left ventricle", "aorta") in known
    assert ("vertebra L4", "L4-L5 intervertebral disc") in known
    assert ("L4-L5 intervertebral disc", "vertebra L5") in known


def test_a_lesion_in_two_organs_is_asked_for_in_one() -> None:
    masks = {name: np.zeros((20, 40), bool) for name in ("right lung", "left lung", "lung infection")}
    masks["right lung"][:, :20] = masks["left lung"][:, 20:] = True
    masks["lung infection"][5:10, 5:12] = masks["lung infection"][8:14, 25:30] = True
    sample = LabelledImage(np.zeros((20, 40), np.uint8), masks, "CT", "squares", "none", frozenset(masks))
    seen = 0
    for seed in range(40):
        dialogue = build_dialogue(sample, np.random.default_rng(seed), "en")
        assert dialogue is not None
        for turn, earlier in links(dialogue):
            if turn.relation == "lesion":
                assert np.array_equal(turn.target, masks["lung infection"] & masks[earlier.entity])
                seen += 1
            elif turn.relation == "organ":
                side = "right" if turn.target[0, 0] else "left"
                assert earlier.target.any()
                assert not (earlier.target & ~masks[f"{side} lung"]).any()
    assert seen > 10


def test_most_later_rounds_lean_on_an_earlier_one(dialogues: list[tuple[LabelledImage, Dialogue]]) -> None:
    later = [turn for _, dialogue in dialogues for turn in dialogue.turns[1:]]
    assert sum(turn.reference is not None for turn in later) > 0.5 * len(later)
    relations = {turn.relation for turn in later}
    assert {"direct", "other", "next", "previous", "lesion", "organ", "spatial", "attribute"} <= relations
    leaning_on_leaning = [t for _, d in dialogues for t, earlier in links(d) if earlier.reference is not None]
    assert len(leaning_on_leaning) > 0.1 * len(later), "chains of references"


def test_an_image_without_known_structures_gives_no_dialogue() -> None:
    mask = np.ones((8, 8), bool)
    sample = LabelledImage(np.zeros((8, 8), np.uint8), {"a thing": mask}, "CT", "x", "x", frozenset())
    assert build_dialogue(sample, np.random.default_rng(0)) is None


def test_max_rounds_is_kept() -> None:
    assert max(len(d.turns) for _, d in made(20, max_rounds=12)) > 6
    assert all(len(d.turns) == 1 for _, d in made(5, max_rounds=1))


def test_an_exported_data_set_reads_back(tmp_path: Path) -> None:
    out = tmp_path / "set"
    rng = np.random.default_rng(2)
    conversations = read_conversations(export((draw_phantom(rng) for _ in itertools.count()), out, rng, 4), out)
    assert len(conversations) == 4
    for conversation in conversations:
        image = np.asarray(Image.open(conversation.image))
        assert conversation.turns[0].query.startswith("<image>\n")
        assert any(turn.reference is not None for turn in conversation.turns)
        for k, turn in enumerate(conversation.turns):
            mask = np.asarray(Image.open(turn.target))
            assert mask.shape == image.shape
            assert set(np.unique(mask)) == {0, 255}
            assert turn.answer.count("[SEG]") == 1
            assert ("[CROPPEDIMAGE][BBOXINPUT]" in turn.query) == (turn.reference is not None)
            if turn.reference is not None:
                assert turn.reference < k
                assert turn.reference_mask == conversation.turns[turn.reference].target


def test_real_images_are_exported_too(tmp_path: Path, shared_dir: Path) -> None:
    root = shared_dir / "data" / "real" / "slices" / "kidney_mr"
    if not root.is_dir():
        pytest.skip(f"no folder {root}")
    rng = np.random.default_rng(0)
    samples = (stored.shown() for stored in read_set(root, "val"))
    conversations = read_conversations(export(samples, tmp_path, rng, count=2, language="en"), tmp_path)
    assert len(conversations) == 2


# The tables


def test_every_label_of_the_real_sets_maps(shared_dir: Path) -> None:
    tables = sorted(shared_dir.glob("data/real/*/*/classes.json"))
    if not tables:
        pytest.skip(f"no labelled images below {shared_dir / 'data'}")
    for table in tables:
        labels = json.loads(table.read_text(encoding="utf-8"))
        keys = [entity_key(label) for label in labels.values()]
        assert len(set(keys)) == len(keys), table


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("kidney right", "right kidney"),
        ("vertebrae L4", "vertebra L4"),
        ("rib left 7", "left rib 7"),
        ("lung upper lobe left", "left lung upper lobe"),
        ("iliac vena left", "left iliac vein"),
        ("benign liver lesion", "benign liver lesion"),
        ("L5-S1 intervertebral disc", "L5-S1 intervertebral disc"),
    ],
)
def test_labels_map_to_canonical_keys(label: str, key: str) -> None:
    assert entity_key(label) == key


def test_an_unknown_label_says_where_to_add_it() -> None:
    with pytest.raises(KeyError, match=r"entities\.toml"):
        entity_key("flux capacitor")


def test_entities_point_at_entities() -> None:
    known = entities()
    for key, entity in known.items():
        assert entity.key == key
        assert entity.names["en"][0] == key
        assert all(re.search("[\u4e00-\u9fff]", name) for name in entity.names["zh"])
        assert all(organ in known for organ in entity.organs)
        if entity.pair:
            assert known[entity.pair].pair == key
            assert entity.pair == mirrored_name(key)
    for kind in ("chest", "abdomen", "pelvis", "spine", "brain", "head_neck"):
        assert possible_entities(kind) <= known.keys()
    for attribute in attributes():
        assert {attribute.reference, attribute.target} <= known.keys()


def test_names_are_not_shared() -> None:
    for language in LANGUAGES:
        names = Counter(name for entity in entities().values() for name in set(entity.names[language]))
        assert [name for name, count in names.items() if count > 1] == []


def test_chains_run_from_head_to_feet() -> None:
    assert neighbour("vertebra T12", 1) == "vertebra L1"
    assert neighbour("vertebra L1", -1) == "vertebra T12"
    assert neighbour("L5-S1 intervertebral disc", 1) == ""
    assert neighbour("left rib 7", 1) == "left rib 8"
    assert neighbour("liver", 1) == ""
    assert set(itertools.chain(*chains().values())) <= entities().keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_phrase_formats(language: Language) -> None:
    words = phrase_table()[language]
    slots = {"name": "N", "noun": "N", "kind": "K", "ref": "R", "base": "B", "place": "P", "way": "W"}
    for relation in words["relations"].values():
        for kind, phrases in relation.items():
            for phrase in phrases:
                assert phrase.format(**slots)
                leans = any(slot in phrase for slot in ("{ref}", "{base}", "{place}"))
                assert "{way}" not in phrase or "its" in phrase or "它" in phrase
                assert leans == (kind == "explicit"), phrase
    for direction in DIRECTIONS:
        assert all(place.count("{ref}") == 1 for place in words["spatial"][direction])
    for frame in words["frames"]:
        assert frame.count("{x}") == 1
    for phrase in itertools.chain(words["objects"], words["bases"]):
        assert phrase.format(n=3) != phrase
    for attribute in attributes():
        assert all(phrase.count("{ref}") == 1 for phrase in attribute.phrases[language])


@pytest.mark.parametrize(("language", "fewest"), [("en", 50), ("zh", 20)])
def test_there_are_phrasings_enough(language: Language, fewest: int) -> None:
    for relation in ("direct", *RELATIONS):
        assert len(set(sentences(relation, language))) >= fewest, relation
    for attribute in attributes():
        frames = phrase_table()[language]["frames"]
        assert (
            len({frame.replace("{x}", phrase) for frame in frames for phrase in attribute.phrases[language]}) >= fewest
        )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_relation_can_lean_in_all_three_ways(language: Language) -> None:
    rounds, instances, its = (
        (r"round 2", r"instance 2", r"\bits?\b") if language == "en" else ("第2轮", "实例2", "[它其]")
    )
    rng = np.random.default_rng(0)
    for relation in RELATIONS:
        direction = "left" if relation == "spatial" else ""
        attribute = attributes()[0] if relation == "attribute" else None
        for pattern, number in ((rounds, 2), (instances, 2), (its, None)):
            asked = (
                relation_query(rng, relation, entities()["left kidney"], language, number, direction, attribute)
                for _ in range(200)
            )
            assert any(re.search(pattern, query) for query in asked), (relation, pattern)


def test_a_target_that_must_be_named_is_named() -> None:
    rng = np.random.default_rng(0)
    for language in LANGUAGES:
        names = entities()["left lung"].names[language]
        for number in (None, 2):
            for relation in ("organ", "lesion", "part"):
                for _ in range(60):
                    query = relation_query(rng, relation, entities()["left lung"], language, number, named=True)
                    assert any(name in query for name in names), query


@pytest.mark.parametrize("language", LANGUAGES)
def test_queries_come_out_whole(language: Language) -> None:
    rng = np.random.default_rng(0)
    known = list(entities().values())
    for k in range(400):
        entity = known[k % len(known)]
        texts = [direct_query(rng, entity, language)]
        for relation in ("other", "next", "previous", "lesion", "organ"):
            for number in (None, 3):
                texts.append(relation_query(rng, relation, entity, language, number))
        texts.append(relation_query(rng, "spatial", entity, language, 2, direction="left"))
        texts.append(relation_query(rng, "attribute", entity, language, 2, attribute=attributes()[k % 20]))
        assert not [text for text in texts if re.search(r"[{}]|None|  ", text)]


def test_the_corpus_holds_every_name_and_both_languages() -> None:
    lines = list(corpus_lines())
    text = "\n".join(lines)
    assert len(lines) > 5000
    for entity in entities().values():
        assert all(name in text for language in LANGUAGES for name in entity.names[language])
    for language in LANGUAGES:
        assert all(answer in text for answer in answers(language))
