"""The engine is loaded before the user asks, and has seen the slice that she rests on; she is told nothing of it."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slicer
from fake_child import Child
from MediRoundSlicerLib import SliceCapture
from MediRoundSlicerLib.Ahead import Ahead
from MediRoundSlicerLib.EngineMessages import AskRequest
from MediRoundSlicerLib.EngineSettings import EngineSettings
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
    ahead.begin(mayStart=False)
    rest.now()
    for k in (3, 4, 5):
        talk.slice(k)
    assert len(talk.engine.prefetched) == 1  # the slice that was in view at first
    rest.now()
    assert len(talk.engine.prefetched) == 2
    np.testing.assert_array_equal(talk.engine.prefetched[-1][1], SliceCapture.captureView("Red").image)


def test_only_an_engine_that_is_ready_is_asked(talk: Any, rest: Rest, ahead: Ahead) -> None:
    ahead.begin(mayStart=False)
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
    ahead.begin(mayStart=False)
    talk.conversation.ask(LUNG)
    rest.now()
    assert talk.engine.prefetched == []
    talk.engine.reply()


def test_scrolling_in_another_module_is_not_followed(talk: Any, rest: Rest, ahead: Ahead) -> None:
    talk.slice(3)
    assert rest.wanted is None
    ahead.begin(mayStart=False)
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


def test_the_engine_is_started_once_there_is_something_to_ask_about(talk: Any, rest: Rest, ahead: Ahead) -> None:
    talk.engine.state = "stopped"
    ahead.begin(mayStart=False)
    assert talk.engine.startedQuietly == 0
    slicer.util.setSliceViewerLayers(background=None)
    slicer.mrmlScene.RemoveNode(talk.volume)
    ahead.begin(mayStart=True)
    assert talk.engine.startedQuietly == 0
    volume = slicer.util.addVolumeFromArray(np.zeros((6, 8, 10), np.int16), name="MR head")
    volume.SetSpacing(2.0, 2.0, 5.0)
    talk.host.show(volume)
    assert talk.engine.startedQuietly == 1
    for k in (3, 4):
        talk.slice(k)
        rest.now()
    assert talk.engine.startedQuietly == 1
    ahead.end()
    ahead.begin(mayStart=True)
    assert talk.engine.startedQuietly == 2


def test_a_quiet_start_is_ready_for_the_first_query(engine: Any) -> None:
    engine.startQuietly()
    assert engine.state == "starting"
    Child.loaded()
    engine.startQuietly()
    assert (engine.state, len(Child.made), engine.told) == ("ready", 1, [])


@pytest.mark.parametrize("python", ["", "/other/python"])
def test_a_quiet_start_that_fails_is_told_to_the_first_query(engine: Any, python: str) -> None:
    engine.configure(EngineSettings(python=python))
    engine.startQuietly()
    Child.made[-1].begins(missing=("torch",))
    engine.startQuietly()  # entered again
    assert (engine.state, engine.told, len(Child.made)) == ("failed", [], 1)
    engine.ask(AskRequest("d", np.zeros((4, 6), np.uint8), "image", (), "Segment it.", None))
    Child.made[-1].begins(missing=("torch",))
    assert [what[-1] for what in engine.told] == [engine.description, ["torch"]]


def test_a_crash_of_a_quiet_start_is_not_told(engine: Any) -> None:
    engine.startQuietly()
    child = Child.made[-1]
    child.begins()
    child.ended.emit(child, "exited")
    assert (engine.state, engine.told) == ("stopped", [])


def test_who_looks_at_the_settings_meanwhile_is_told(engine: Any) -> None:
    engine.startQuietly()
    engine.listDevices()
    Child.made[-1].ended.emit(Child.made[-1], "not started")
    assert engine.told == [(engine.description,)]


def test_an_engine_that_the_user_stopped_stays_so_until_she_asks(engine: Any) -> None:
    engine.startQuietly()
    Child.loaded()
    engine.stop()
    engine.startQuietly()
    assert (engine.state, len(Child.made)) == ("stopped", 1)
    engine.start()
    child = Child.loaded()
    child.ended.emit(child, "exited")
    engine.startQuietly()
    assert (engine.state, len(Child.made)) == ("starting", 3)


def test_in_the_module(host: Any, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened, loaded, scrolled, stopped and entered again."""
    from MediRoundSlicerLib.Packages import Packages

    monkeypatch.setattr(Packages, "missing", lambda self: ())
    widget = host.openModule()
    assert Child.made == []
    values = np.arange(6 * 8 * 10, dtype=np.int16).reshape(6, 8, 10)
    volume = slicer.util.addVolumeFromArray(values, name="CT chest")
    volume.CreateDefaultDisplayNodes()
    host.show(volume)
    host.wait(lambda: Child.made, 5, "the start of the engine")
    child = Child.loaded()
    host.wait(lambda: child.kinds, 5, "the slice in view")
    for k in (4, 3, 4):
        host.sliceLogics["Red"].SetSliceOffset(float(k))
    host.wait(lambda: len(child.kinds) > 1, 5, "another slice")
    assert child.kinds == ["prefetch", "cancel", "prefetch"]
    np.testing.assert_array_equal(child.sent[-1].arrays["image"], SliceCapture.captureView("Red").image)
    host.click(widget.ui.engineButton)
    assert widget.logic.engine.state == "stopped"
    host.leaveModule()
    host.enterModule()
    host.sliceLogics["Red"].SetSliceOffset(2.0)
    host.wait(lambda: not widget.resting._timer.isActive(), 5, "a rest")
    assert (widget.logic.engine.state, len(Child.made)) == ("stopped", 1)


def test_where_packages_are_missing_nothing_is_started(host: Any, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from MediRoundSlicerLib.Packages import TORCH, Packages

    monkeypatch.setattr(Packages, "missing", lambda self: (TORCH,))
    host.show(slicer.util.addVolumeFromArray(np.zeros((6, 8, 10), np.int16), name="CT chest"))
    widget = host.openModule()
    assert widget.logic.conversation.volumeNode is not None
    assert Child.made == []
