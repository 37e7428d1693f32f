"""The slice that the user rests on is encoded before she asks; the engine is not started by scrolling."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slicer
from fake_child import Child
from MediRoundSlicerLib import EngineProcess as module
from MediRoundSlicerLib import SliceCapture
from MediRoundSlicerLib.Ahead import Ahead
from MediRoundSlicerLib.Later import Later
from talk import LUNG


class Rest:
    """In the place of a timer: the test says when the user rests."""

    def __init__(self) -> None:
        self.wanted: Callable[[], None] | None = None

    def __call__(self, function: Callable[[], None]) -> None:
        self.wanted = function

    def now(self) -> None:
        wanted, self.wanted = self.wanted, None
        if wanted is not None:
            wanted()


@pytest.fixture
def rest() -> Rest:
    return Rest()


@pytest.fixture
def ahead(talk: Any, rest: Rest) -> Any:
    made = Ahead(talk.conversation, rest)
    yield made
    made.close()


def test_the_slice_rested_on_is_encoded(talk: Any, rest: Rest, ahead: Ahead) -> None:
    ahead.begin()
    rest.now()
    for k in (3, 4, 5):
        talk.slice(k)
    assert len(talk.engine.prefetched) == 1  # the slice that was in view at first
    rest.now()
    assert len(talk.engine.prefetched) == 2
    np.testing.assert_array_equal(talk.engine.prefetched[-1][1], SliceCapture.captureView("Red").image)


def test_only_an_engine_that_is_ready_is_asked(talk: Any, rest: Rest, ahead: Ahead) -> None:
    ahead.begin()
    for state in ("stopped", "starting", "loading", "busy", "failed"):
        talk.engine.state = state
        talk.engine.stateChanged.emit()
        talk.slice(3)
        rest.now()
    assert talk.engine.prefetched == []
    # It looks at the slice in view once it is ready, without the user having to scroll again.
    talk.engine.state = "ready"
    talk.engine.stateChanged.emit()
    rest.now()
    assert len(talk.engine.prefetched) == 1


def test_nothing_is_sent_while_a_round_runs(talk: Any, rest: Rest, ahead: Ahead) -> None:
    ahead.begin()
    talk.conversation.ask(LUNG)
    rest.now()
    assert talk.engine.prefetched == []
    talk.engine.reply()


def test_scrolling_in_another_module_is_not_followed(talk: Any, rest: Rest, ahead: Ahead) -> None:
    talk.slice(3)
    assert rest.wanted is None
    ahead.begin()
    talk.slice(4)
    ahead.end()
    rest.now()
    talk.slice(5)
    assert (talk.engine.prefetched, rest.wanted) == ([], None)


@pytest.mark.parametrize("rests", [False, True])
def test_a_rest_is_waited_for_anew_with_each_call(host: Any, rests: bool) -> None:
    """Seen in what is left of the delay, since a busy machine keeps no time."""
    later = Later(host.window, 1000, rests)
    later(host.turn)
    time.sleep(0.3)
    later(host.turn)
    assert (later._timer.remainingTime > 850) is rests
    later.stop()


def test_a_scrolled_view_in_the_module(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EngineChild", Child)
    Child.made.clear()
    widget = host.openModule()
    values = np.arange(6 * 8 * 10, dtype=np.int16).reshape(6, 8, 10)
    volume = slicer.util.addVolumeFromArray(values, name="CT chest")
    volume.CreateDefaultDisplayNodes()
    host.show(volume)
    for k in (1, 2, 3):
        host.sliceLogics["Red"].SetSliceOffset(float(k))
    host.wait(lambda: not widget.resting._timer.isActive(), 5, "a rest")
    assert Child.made == []
    widget.logic.engine.start()
    child = Child.loaded()
    host.wait(lambda: child.kinds, 5, "the slice in view")
    for k in (4, 3, 4):
        host.sliceLogics["Red"].SetSliceOffset(float(k))
    host.wait(lambda: len(child.kinds) > 1, 5, "another slice")
    assert child.kinds == ["prefetch", "cancel", "prefetch"]
    np.testing.assert_array_equal(child.sent[-1].arrays["image"], SliceCapture.captureView("Red").image)
