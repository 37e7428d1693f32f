"""Queries of a dialogue that are rewritten so that each makes sense alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from MediRoundLib.alone import explicit_queries, plain_query, stated_name
from MediRoundLib.mr_medseg import Conversation, Turn

Rounds = Sequence[tuple[str, int | None]]


def conversation(rounds: Rounds, **about: Any) -> Conversation:
    """Of (words, round from 0 that they lean on)."""
    turns = []
    for k, (words, reference) in enumerate(rounds):
        tokens = "<image>\n " if k == 0 else "" if reference is None else "[CROPPEDIMAGE][BBOXINPUT] "
        turns.append(Turn(tokens + words, "It is [SEG].", Path("mask.png"), reference, None))
    return Conversation(Path("image.png"), tuple(turns), about)


KIDNEY: Rounds = [("Please segment the left kidney.", None)]


@pytest.mark.parametrize(
    ("rounds", "alone"),
    [
        ([*KIDNEY, ("Mark the spleen.", None)], "Mark the spleen."),
        ([*KIDNEY, ("Now the other kidney with reference to instance 1.", 0)], "Segment the right kidney."),
        ([*KIDNEY, ("Segment its tumor.", 0)], "Segment the left kidney's tumor."),
        ([*KIDNEY, ("Segment the tumor in instance 1.", 0)], "Segment the tumor in the left kidney."),
        (
            [*KIDNEY, ("Segment the tumor based on the output of round 1.", 0)],
            "Segment the tumor based on the left kidney.",
        ),
        ([*KIDNEY, ("Show the tumor of the left kidney.", 0)], "Show the tumor of the left kidney."),
        ([("请分割左肾。", None), ("请分割第1轮输出中的肿瘤。", 0)], "请分割左肾中的肿瘤。"),
        ([("请分割左肾。", None), ("它的肿瘤", 0)], "左肾的肿瘤"),
        # Nothing in the words says what is meant; the file does, and the query stays.
        ([*KIDNEY, ("Segment the tumor.", 0)], "Segment the tumor."),
        # A round that does not exist cannot be put into words.
        ([*KIDNEY, ("Segment the tumor of round 9.", None)], "Segment the tumor of round 9."),
    ],
)
def test_rewritten_from_the_words(rounds: Rounds, alone: str) -> None:
    queries = explicit_queries(conversation(rounds))
    assert queries[0] == rounds[0][0]
    assert queries[1] == alone


def test_a_chain_keeps_its_names() -> None:
    rounds = [*KIDNEY, ("The other kidney.", 0), ("Its tumor.", 1)]
    assert explicit_queries(conversation(rounds))[2] == "the right kidney's tumor."


def test_names_that_the_file_states() -> None:
    rounds = [("Show vertebra L3.", None), ("Segment the next one.", 0), ("And the next.", 1)]
    stated = conversation(rounds, entities=["vertebra L3", "vertebra L4", "vertebra L5"])
    assert explicit_queries(stated) == ["Show vertebra L3.", "Segment the vertebra L4.", "Segment the vertebra L5."]
    assert stated_name(conversation(rounds), 1) == ""
    chinese = conversation([("请分割左肾。", None), ("另一侧的肾", 0)], entities=["left kidney", "right kidney"])
    assert stated_name(chinese, 1) == "", "the file's names are English"
    known = explicit_queries(chinese, lambda _, k: ("左肾", "右肾")[k])
    assert known == ["请分割左肾。", "请分割右肾。"]


def test_query_without_tokens() -> None:
    assert plain_query("<image>\n Segment the liver.") == "Segment the liver."
    assert plain_query("[CROPPEDIMAGE][BBOXINPUT] Segment its tumor.") == "Segment its tumor."
