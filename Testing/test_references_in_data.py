"""References in what training says and in the released code's own dialogues: each is understood as it was meant."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from MediRoundLib.dialogue import PastRound
from MediRoundLib.naming import structure_name
from MediRoundLib.references import resolve
from training.data.phrases import phrase_table

PAST = [PastRound(1, "", "left rib 5"), PastRound(2, "", "aorta"), PastRound(3, "", "right rib 6")]


def taught_queries() -> Iterator[tuple[str, int]]:
    """Every description that training puts into words, with the round of three that it leans on."""
    nouns = {
        "en": {"noun": "rib", "name": "rib cyst", "kind": "organ"},
        "zh": {"noun": "肋骨", "name": "囊肿", "kind": "器官"},
    }
    for language, words in nouns.items():
        table = phrase_table()[language]
        frame = "Please segment {}." if language == "en" else "请分割{}。"
        references = [(text.format(n=2), 2) for text in table["objects"]] + [(table["pronoun"], 3)]
        for relation, forms in table["relations"].items():
            for text in forms["explicit"]:
                places = [p for ps in table["spatial"].values() for p in ps] if relation == "spatial" else [""]
                for place in places:
                    described = text.replace("{place}", place)
                    for reference, number in references if "{ref}" in described else ():
                        yield frame.format(described.format(ref=reference, **words)), number
                    for base in table["bases"] if "{base}" in described else ():
                        asked = frame.format(described.replace("{base}", "").strip().format(**words))
                        yield f"{base.format(n=2)}, {asked}", 2
            for text in forms.get("implicit", ()):
                yield frame.format(text.format(**words)), 3


def test_all_that_training_says_is_understood() -> None:
    understood = [(query, resolve(query, PAST), number) for query, number in taught_queries()]
    assert len(understood) > 500
    assert [query for query, found, number in understood if found is None or found.round != number] == []


@pytest.mark.parametrize(("case", "rounds_with_words"), [("mediround_basic", 4), ("mediround_near_empty", 5)])
def test_golden_dialogues_lean_on_the_rounds_that_they_say(shared_dir: Path, case: str, rounds_with_words: int) -> None:
    content = json.loads((shared_dir / "golden" / case / "dialogues.json").read_text())
    past: list[PastRound] = []
    for number, message in enumerate(content[0]["conversations"][: 2 * rounds_with_words : 2], start=1):
        query = message["value"].rpartition("]")[2].strip()
        found = resolve(query, past)
        assert (found.round - 1 if found else None) == message.get("ind")
        past.append(PastRound(number, query, structure_name(query)))
