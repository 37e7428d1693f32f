"""The slice in view is encoded while the user types: sent once, given up for another, and never spoken of."""

from typing import Any

import numpy as np
import pytest
from fake_child import Child
from fake_engine import FakeEngine
from MediRoundSlicerLib import SliceCapture
from MediRoundSlicerLib.EngineMessages import AskRequest
from talk import LUNG

ONE, OTHER = np.zeros((4, 6), dtype=np.uint8), np.ones((4, 6), dtype=np.uint8)


def asking(image: Any = ONE, key: str = "one", dialogueID: str = "d") -> AskRequest:
    return AskRequest(dialogueID, image, key, (), "Segment it.", None)


def test_it_starts_the_engine_and_waits_for_it(engine: Any) -> None:
    engine.prefetch("", ONE, "one")
    engine.prefetch("", OTHER, "other")
    child = Child.loaded()
    assert child.kinds == ["prefetch"]
    assert child.sent[-1].arrays["image"] is OTHER
    assert engine.state == "ready"
    engine.prefetch("", OTHER, "other")
    assert child.kinds == ["prefetch"]  # once
    child.says("done", id=child.sent[-1].id)
    assert engine.told == []


@pytest.mark.parametrize(("key", "expected"), [("one", ["open", "ask"]), ("other", ["cancel", "open", "ask"])])
def test_a_query_about_another_image_ends_it(engine: Any, key: str, expected: list[str]) -> None:
    engine.start()
    child = Child.loaded()
    engine.prefetch("", ONE, "one")
    number = child.sent[-1].id
    engine.ask(asking(ONE if key == "one" else OTHER, key))
    assert child.kinds == ["prefetch", *expected]
    if "cancel" in expected:
        assert child.sent[2].id == number
        child.says("failed", id=number, code="cancelled", message="Cancelled.", rounds=None)
    else:
        child.says("done", id=number)
    assert engine.told == []
    child.answers()
    assert len(engine.told) == 1


def test_nothing_is_sent_while_a_query_runs_or_for_what_is_held(engine: Any) -> None:
    engine.start()
    child = Child.loaded()
    engine.ask(asking())
    engine.prefetch("", OTHER, "other")
    child.answers()
    assert child.kinds == ["open", "ask"]
    engine.prefetch("d", ONE, "one")
    assert child.kinds == ["open", "ask"]
    engine.prefetch("d", OTHER, "other")
    assert child.kinds == ["open", "ask", "prefetch"]
    child.says("done", id=child.sent[-1].id)
    engine.prefetch("e", ONE, "one")
    assert child.kinds == ["open", "ask", "prefetch", "prefetch"]


def test_another_slice_gives_up_the_one_before(engine: Any) -> None:
    """As when the user scrolls: the engine is never behind by more than the slice that it is at."""
    engine.start()
    child = Child.loaded()
    engine.prefetch("", ONE, "one")
    first = child.sent[-1].id
    engine.prefetch("", OTHER, "other")
    assert child.kinds == ["prefetch", "cancel", "prefetch"]
    assert child.sent[-2].id == first
    child.says("failed", id=first, code="cancelled", message="Cancelled.", rounds=None)
    child.says("done", id=child.sent[-1].id)
    engine.prefetch("", ONE, "one")  # it was given up, so it is not there
    assert child.kinds[3:] == ["prefetch"]  # and nothing is under way that could be given up
    assert engine.told == []


def test_an_engine_that_cannot_start_is_not_spoken_of_before_a_query(engine: Any) -> None:
    engine.prefetch("", ONE, "one")
    Child.made[-1].begins(missing=("torch",))
    assert (engine.state, len(Child.made)) == ("failed", 1)
    engine.prefetch("", OTHER, "other")
    assert (engine.told, len(Child.made)) == ([], 1)
    engine.ask(asking())
    Child.made[-1].begins(missing=("torch",))
    assert [what[-1] for what in engine.told] == [engine.description, ["torch"]]


def test_a_crash_forgets_it(engine: Any) -> None:
    engine.start()
    child = Child.loaded()
    engine.prefetch("", ONE, "one")
    child.ended.emit(child, "exited")
    engine.prefetch("", ONE, "one")
    assert Child.loaded().kinds == ["prefetch"]


def test_the_conversation_prepares_the_slice_in_view(talk: Any) -> None:
    engine: FakeEngine = talk.engine
    talk.conversation.prepare()
    ((dialogueID, image, key),) = engine.prefetched
    assert dialogueID == ""
    np.testing.assert_array_equal(image, SliceCapture.captureView("Red").image)
    talk.round(LUNG)
    assert engine.requests[-1].imageKey == key  # what the query is about is what was sent
    talk.conversation.prepare()
    assert engine.prefetched[-1][0] == talk.conversation.current.id
    talk.conversation.ask("Segment the heart.")
    talk.conversation.prepare()
    assert len(engine.prefetched) == 2  # not while a round runs
    engine.reply()


def test_the_conversation_says_nothing_where_nothing_can_be_prepared(host: Any) -> None:
    from MediRoundSlicerLib.Conversation import Conversation

    engine = FakeEngine()
    conversation, said = Conversation(engine), list[str]()
    conversation.failed.connect(said.append)
    conversation.setView("Red")
    conversation.prepare()
    assert (engine.prefetched, said) == ([], [])
    conversation.close()
