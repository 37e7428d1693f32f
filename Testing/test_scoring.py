"""Scores on masks and boxes counted by hand, and the groups that a round belongs to."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from MediRoundLib.errors import DialogueFileError
from MediRoundLib.evaluate import Record
from MediRoundLib.metrics import correlation, overlap, scores, scores_by_round
from MediRoundLib.mr_medseg import Conversation, Turn
from MediRoundLib.scoring import box_scores, grouped, labels, report, scored


def test_metrics_by_hand() -> None:
    full, half, none = np.ones((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    half[:2] = True
    assert (overlap(half, full).iou, overlap(half, full).dice) == (pytest.approx(0.5), pytest.approx(2 / 3))
    assert (overlap(none, full).iou, overlap(none, full).dice) == (0, 0)
    assert (overlap(none, none).iou, overlap(none, none).dice) == (1, 1)
    whole, apart = scores_by_round([(1, overlap(half, full)), (1, overlap(full, full)), (2, overlap(none, none))])
    assert whole.n == 3
    assert whole.giou == pytest.approx(2.5 / 3, abs=1e-5)
    assert whole.dice == pytest.approx((2 / 3 + 2) / 3, abs=1e-5)
    assert whole.ciou == pytest.approx(24 / 32)
    assert apart[1].ciou == pytest.approx(24 / 32)
    assert (apart[2].giou, apart[2].ciou) == (pytest.approx(1, abs=2e-5), 0)
    assert scores([overlap(full, full)]).giou == pytest.approx(1 / (1 + 1e-5))  # as the released meter has it


def test_correlation() -> None:
    assert correlation([0.1, 0.5, 0.9], [0.2, 0.4, 0.6]) == pytest.approx(1)
    assert correlation([0.5], [0.5]) is None
    assert correlation([0.5, 0.5], [0.1, 0.9]) is None


def record(drawn: NDArray[np.bool_], target: NDArray[np.bool_], **more: Any) -> Record:
    logits = np.where(drawn, 1, -1).astype(np.float32)
    return Record(0, 0, logits, target, quality=None, corrected=False, quality_drawn=None, reference=None, **more)


def test_boxes_by_hand() -> None:
    target = np.zeros((20, 30), dtype=bool)
    target[2:13, 4:15] = True  # from (4, 2) to (14, 12)
    exact, half, far = (4.0, 2.0, 14.0, 12.0), (4.0, 2.0, 9.0, 12.0), (20.0, 15.0, 25.0, 18.0)
    rounds = [scored(record(target, target, box=box)) for box in (exact, half, far, None)]
    assert [each.box_iou for each in rounds] == [1.0, 0.5, 0.0, None]
    assert box_scores(rounds) == {"n": 3, "iou": 0.5, "accuracy": pytest.approx(1 / 3)}
    assert box_scores(rounds[3:]) is None
    assert scored(record(target, np.zeros_like(target), box=exact)).box_iou is None
    assert report([record(target, target, box=half)])["boxes"]["n"] == 1


def test_groups_of_a_round() -> None:
    turns = tuple(Turn(words, "[SEG]", Path("m.png"), ind) for words, ind in (("肝", None), ("它的肿瘤", 0)))
    about = {
        "scenario": "organ-lesion",
        "modality": "MR",
        "entities": ["liver", "liver tumor"],
        "relations": ["direct"],
    }
    conversation = Conversation(Path("image.png"), turns, about)
    found = labels(conversation, 1)
    assert found == {
        "scenario": "organ-lesion",
        "modality": "MR",
        "entity": "liver tumor",
        "language": "zh",
        "difficulty": "regular",
    }
    longer = replace(conversation, turns=(*turns, Turn("它", "[SEG]", Path("m.png"), 1)))
    assert {labels(longer, k)["difficulty"] for k in range(3)} == {"hard"}
    for name, modality in (("ct_00--AbdomenCT1K--x.png", "ct"), ("mr_t1--BraTS--x.png", "mr_t1"), ("scan.png", None)):
        released = Conversation(Path("images") / name, turns)
        assert labels(released, 0).get("modality") == modality
    full = np.ones((4, 4), dtype=bool)
    assert scored(record(full, full), conversation).found
    assert not scored(record(full, full, lost=True), conversation).found
    assert scored(record(full, full)).found is None
    second = replace(record(full, full), round=1)
    assert [scored(replace(second, reference=k), conversation).found for k in (0, None)] == [True, False]
    rounds = [scored(record(full, full), conversation), scored(record(~full, full)), scored(record(full, full))]
    assert {name: own.n for name, own in grouped(rounds, "scenario").items()} == {"organ-lesion": 1}


def test_nothing_to_evaluate() -> None:
    empty: list[Record] = []
    with pytest.raises(DialogueFileError, match="no dialogue"):
        report(empty)
