"""Rounds that are told again: a dialogue that goes on as if it had never ended, and cancelling at any layer."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from builders import picture, small_engine
from numpy.typing import NDArray
from torch.nn.modules.module import register_module_forward_pre_hook

from MediRoundLib.engine import Dialogue, Engine
from MediRoundLib.errors import Cancelled, QueryError, ReferenceNotFound

BOX = np.zeros((70, 90), dtype=bool)
BOX[20:50, 30:60] = True
DOT = np.zeros((70, 90), dtype=bool)
DOT[3, 3] = True

# Query and the mask that it leans on.
ROUNDS: list[tuple[str, NDArray[np.bool_] | None]] = [
    ("Segment the left lung.", None),
    ("Segment the other one.", BOX),
    ("请分割另一个。", DOT),
    ("Segment the tumor.", BOX),
]


def ask(dialogue: Dialogue, rounds: list[tuple[str, NDArray[np.bool_] | None]]) -> None:
    for query, mask in rounds:
        dialogue.ask(query, False if mask is None else mask)


@pytest.fixture
def engine() -> Engine:
    return small_engine()


@pytest.mark.parametrize("told", [1, 2, 3])
def test_a_told_dialogue_goes_on_as_the_asked_one(engine: Engine, told: int) -> None:
    asked, again = engine.open(picture()), engine.open(picture())
    ask(asked, ROUNDS)
    for done, (query, mask) in zip(asked.rounds, ROUNDS[:told], strict=False):
        again.tell(query, done.answer, mask)
    ask(again, ROUNDS[told:])
    for one, other in zip(again.rounds[told:], asked.rounds[told:], strict=True):
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-5)
        assert (one.number, one.answer, one.text, one.whole_image) == (
            other.number,
            other.answer,
            other.text,
            other.whole_image,
        )
    assert [made.whole_image for made in again.rounds] == [False, False, True, False]


def test_told_rounds_are_rewound_as_others_are(engine: Engine) -> None:
    dialogue, fresh = engine.open(picture()), engine.open(picture())
    for query, mask in ROUNDS:
        dialogue.tell(query, "It is [SEG].", mask)
    dialogue.rewind(0)
    ask(dialogue, ROUNDS[:1])
    ask(fresh, ROUNDS[:1])
    np.testing.assert_allclose(dialogue.rounds[0].logits, fresh.rounds[0].logits, atol=1e-5)


def test_told_rounds_have_no_pixels_and_take_no_memory_for_them(engine: Engine) -> None:
    dialogue = engine.open(picture())
    dialogue.tell("Segment the left lung.", "Sure.")
    dialogue.ask("Segment the tumor.")
    dialogue.forget_masks()
    for made in dialogue.rounds:
        assert not made.mask.any()
        assert np.isneginf(made.logits).all()
        assert made.mask.shape == made.logits.shape == (70, 90)
        assert set(made.mask.strides + made.logits.strides) == {0}
    assert dialogue.rounds[0].name == "left lung"
    # What leans on such a round by its words is told that nothing was there to lean on.
    assert dialogue.ask("Segment the other one.").whole_image


@pytest.mark.parametrize(
    ("query", "answer", "mask", "error"),
    [
        ("", "It is [SEG].", None, QueryError),
        ("Segment [SEG].", "It is [SEG].", None, QueryError),
        ("Segment the tumor.", "<image> [SEG].", None, QueryError),
        ("Segment the tumor.", "[CROPPEDIMAGE][BBOXINPUT] [SEG].", None, QueryError),
        ("Segment the tumor.", "It is [SEG].", np.ones((2, 2), dtype=bool), ReferenceNotFound),
        ("word " * 2000, "It is [SEG].", None, QueryError),
    ],
)
def test_what_cannot_be_told_leaves_the_dialogue_as_it_was(
    engine: Engine, query: str, answer: str, mask: Any, error: type[Exception]
) -> None:
    untouched, dialogue = engine.open(picture()), engine.open(picture())
    for past in (untouched, dialogue):
        ask(past, ROUNDS[:1])
    with pytest.raises(error):
        dialogue.tell(query, answer, mask)
    assert len(dialogue.rounds) == 1
    for past in (untouched, dialogue):
        ask(past, ROUNDS[1:2])
    np.testing.assert_allclose(dialogue.rounds[1].logits, untouched.rounds[1].logits, atol=1e-5)


def test_memory_grows_with_the_rounds(engine: Engine) -> None:
    dialogue = engine.open(picture())
    before = dialogue.nbytes
    assert before > 70 * 90 * 3
    ask(dialogue, ROUNDS[:1])
    after = dialogue.nbytes
    language = engine.config.language
    width = language["num_key_value_heads"] * (language["hidden_size"] // language["num_attention_heads"])
    tokens = (after - before) / (language["num_hidden_layers"] * 2 * width * 4)
    assert tokens == int(tokens) > 40


class Stop:
    """Raises in front of the n-th layer that runs."""

    def __init__(self, layer: int) -> None:
        self.left = layer

    def __call__(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise Cancelled


def layers_until(end: int) -> Iterator[int]:
    """Few enough to be quick, and on no regular distance."""
    layer = 1
    while layer < end:
        yield layer
        layer += max(1, layer // 5)


def test_a_round_given_up_at_any_layer_leaves_the_dialogue_as_it_was(engine: Engine) -> None:
    untouched, dialogue = engine.open(picture()), engine.open(picture())
    for past in (untouched, dialogue):
        ask(past, ROUNDS[:2])
    counter = Stop(-1)
    hook = register_module_forward_pre_hook(counter)
    ask(untouched, ROUNDS[3:])
    hook.remove()
    layers = -1 - counter.left
    assert layers > 50
    for layer in layers_until(layers):
        hook = register_module_forward_pre_hook(Stop(layer))
        with pytest.raises(Cancelled):
            ask(dialogue, ROUNDS[3:])
        hook.remove()
        assert len(dialogue.rounds) == 2
    ask(dialogue, ROUNDS[3:])
    np.testing.assert_allclose(dialogue.rounds[2].logits, untouched.rounds[2].logits, atol=1e-5)


def test_a_first_round_given_up(engine: Engine) -> None:
    """Before the first round the cache is empty, and stays a cache that can be begun."""
    untouched, dialogue = engine.open(picture()), engine.open(picture())
    for layer in (1, 20, 40):
        hook = register_module_forward_pre_hook(Stop(layer))
        with pytest.raises(Cancelled):
            ask(dialogue, ROUNDS[3:])
        hook.remove()
    for past in (untouched, dialogue):
        ask(past, ROUNDS[:1])
    torch.testing.assert_close(dialogue.rounds[0].logits, untouched.rounds[0].logits, atol=1e-5, rtol=0)
