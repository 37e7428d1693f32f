"""References in what training says and in the released code's own dialogues: each is understood as it was meant."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from MediRoundLib.dialogue import PastRound
from MediRoundLib.naming import structure_name
from MediRoundLib.references import resolve
from training.data.entities import attributes
from training.data.phrases import phrase_table

PAST = [PastRound(1, "", "left rib 5"), PastRound(2, "", "aorta"), PastRound(3, "", "right rib 6")]


def taught_queries() -> Iterator[tuple[str, int]]:
    """Every description that training puts into words, with the round of three that it leans on, in changing frames."""
    nouns = {
        "en": {"noun": "rib", "name": "rib cyst", "kind": "organ"},
        "zh": {"noun": "肋骨", "name": "囊肿", "kind": "器官"},
    }
    for language, words in nouns.items():
        table = phrase_table()[language]
        frames = itertools.cycle(table["frames"])
        references = [(text.format(n=2), 2) for text in table["objects"]] + [(table["pronoun"], 3)]
        descriptions = [
            (text, form) for forms in table["relations"].values() for form, texts in forms.items() for text in texts
        ]
        descriptions += [(text, "explicit") for attribute in attributes() for text in attribute.phrases[language]]  # type: ignore[index]
        for text, form in descriptions:
            places = [p for ps in table["spatial"].values() for p in ps] if "{place}" in text else [""]
            ways = [w for ws in table["ways"].values() for w in ws] if "{way}" in text else [""]
            for place, way in itertools.product(places, ways):
                described = text.replace("{place}", place).replace("{way}", way)
                if form == "implicit":
                    yield next(frames).replace("{x}", described.format(**words)), 3
                for reference, number in references if "{ref}" in described else ():
                    yield next(frames).replace("{x}", described.format(ref=reference, **words)), number
                for base in table["bases"] if form == "explicit" else ():
                    # In front of the request stands what the question leans on; "it" behind means that.
                    asked = described.replace("{base}", "").strip().format(ref=table["pronoun"], **words)
                    yield f"{base.format(n=2)}, {next(frames).replace('{x}', asked)}", 2


def test_all_that_training_says_is_understood() -> None:
    understood = [(query, resolve(query, PAST), number) for query, number in taught_queries()]
    assert len(understood) > 4000
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
