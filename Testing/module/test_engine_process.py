"""The engine process as the module uses it: real rounds, crashes, cancelling, bad Pythons, and no stalls."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from fake_worker import fakePython, fakeWorker
from MediRoundSlicerLib import EngineChild
from MediRoundSlicerLib.Dialogues import Told
from MediRoundSlicerLib.EngineChild import environment, interpreter
from MediRoundSlicerLib.EngineMessages import Answer, AskRequest
from MediRoundSlicerLib.EngineProcess import EngineProcess
from MediRoundSlicerLib.EngineSettings import EngineSettings
from MediRoundSlicerLib.Signal import Signal
from numpy.typing import NDArray

from MediRoundLib.engine import Engine
from training.data.phantoms import draw_phantom

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake programs are shell scripts")

CPU = EngineSettings(device="cpu")
IMAGE = draw_phantom(np.random.default_rng(5), kind="abdomen").image
BOX = np.zeros(IMAGE.shape[:2], dtype=bool)
BOX[40:90, 60:130] = True
ROUNDS: list[tuple[str, NDArray[np.bool_] | None]] = [
    ("Segment the left kidney.", None),
    ("Segment the other one.", BOX),
    ("请分割肝脏。", None),
]
SMALL = np.zeros((4, 6), dtype=np.uint8)


class Watch:
    """An engine process and everything that it told."""

    def __init__(self, host: Any, engine: EngineProcess) -> None:
        self.host, self.engine = host, engine
        self.states: list[str] = []
        self.stages: list[tuple[int | None, str]] = []
        self.answers: dict[int, Answer] = {}
        self.failures: dict[int, tuple[str, str]] = {}
        self.notices: list[str] = []
        self.missing: list[list[str]] = []
        self.devices: list[list[dict[str, Any]]] = []
        self.slots: list[tuple[Signal, Any]] = [
            (engine.stateChanged, lambda: self.states.append(engine.state)),
            (engine.progressed, lambda number, stage, _: self.stages.append((number, stage))),
            (engine.answered, self.answers.__setitem__),
            (engine.failed, lambda number, code, sentence: self.failures.__setitem__(number, (code, sentence))),
            (engine.noticed, self.notices.append),
            (engine.packagesMissing, self.missing.append),
            (engine.devicesListed, self.devices.append),
        ]
        for told, slot in self.slots:
            told.connect(slot)

    def letGo(self) -> None:
        for told, slot in self.slots:
            told.disconnect(slot)

    def answer(self, number: int) -> Answer:
        """Wait for a request's answer."""
        self.host.wait(lambda: number in self.answers or number in self.failures, 60, f"request {number}")
        assert number not in self.failures, self.failures[number]
        return self.answers[number]

    def failure(self, number: int) -> tuple[str, str]:
        """Wait for a request's failure: its code and sentence."""
        self.host.wait(lambda: number in self.answers or number in self.failures, 60, f"request {number}")
        code, sentence = self.failures[number]
        assert sentence[0].isupper() or sentence[0] in "/{"
        assert sentence.endswith(".")
        return code, sentence

    def state(self, *wanted: str) -> None:
        self.host.wait(lambda: self.engine.state in wanted, 60, f"the state {wanted}, not {self.engine.state}")

    def atStage(self, number: int, wanted: str, act: Callable[[], None]) -> None:
        """Act when a request's stage is told: within the slot, before anything that came in the same piece is read."""
        acted: list[str] = []

        def slot(requestID: int | None, stage: str, _: float | None) -> None:
            if requestID == number and stage == wanted and not acted:
                acted.append(stage)
                act()

        self.engine.progressed.connect(slot)
        self.host.wait(lambda: acted, 60, f"the stage {wanted} of request {number}")
        self.engine.progressed.disconnect(slot)

    @property
    def pid(self) -> int:
        assert self.engine._run is not None
        return int(self.engine._run.child._process.processId())

    def gone(self) -> bool:
        """Whether no process is left."""
        return self.engine._run is None and self.engine._ending is None


@pytest.fixture(scope="module")
def host() -> Iterator[Any]:
    """One host for all tests of this file, so that they can share one process."""
    from slicer_host import Host

    made = Host()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def noneSwallowed(host: Any) -> Iterator[None]:
    yield
    host.checkNoneSwallowed()


@pytest.fixture(scope="module")
def realEngine(host: Any) -> Iterator[EngineProcess]:
    """One real process for the tests of this file; it is loaded on first use."""
    engine = EngineProcess(CPU)
    yield engine
    engine.stop()
    host.wait(lambda: engine._ending is None, 20, "the end of the process")


@pytest.fixture
def real(host: Any, realEngine: EngineProcess) -> Iterator[Watch]:
    realEngine.configure(CPU)
    watch = Watch(host, realEngine)
    yield watch
    watch.letGo()


@pytest.fixture
def started(host: Any) -> Iterator[Any]:
    """Makes engines of given settings, and ends them."""
    made: list[Watch] = []

    def start(settings: EngineSettings) -> Watch:
        made.append(Watch(host, EngineProcess(settings)))
        return made[-1]

    yield start
    for watch in made:
        watch.engine.stop()
        host.wait(watch.gone, 20, "the end of a process")


@pytest.fixture(scope="module")
def expected() -> list[Answer]:
    """The rounds in this process."""
    dialogue = Engine.from_pretrained(device="cpu").open(IMAGE)
    answers = []
    for query, mask in ROUNDS:
        made = dialogue.ask(query, False if mask is None else mask)
        answers.append(
            Answer(
                answer=made.answer,
                mask=made.mask,
                quality=made.quality,
                qualityCorrected=made.quality_corrected,
                corrected=made.corrected,
                wholeImage=made.whole_image,
                seconds=made.seconds,
                model="mediround-tiny",
                threshold=0.6,
            )
        )
    return answers


def alike(one: Answer, other: Answer) -> None:
    """The same up to the order of sums, which depends on threads and on where weights lie in memory."""
    assert (one.answer, one.corrected, one.wholeImage, one.model) == (
        other.answer,
        other.corrected,
        other.wholeImage,
        other.model,
    )
    assert one.quality == pytest.approx(other.quality, abs=1e-4)
    assert one.qualityCorrected == pytest.approx(other.qualityCorrected, abs=1e-4)
    assert (one.mask ^ other.mask).mean() < 1e-3
    assert other.mask.any()


def told(answers: list[Answer]) -> tuple[Told, ...]:
    return tuple(
        Told(f"{query}:{k}", query, answer.answer, mask)
        for k, (answer, (query, mask)) in enumerate(zip(answers, ROUNDS, strict=False))
    )


def round_(k: int, answers: list[Answer], dialogueID: str) -> AskRequest:
    query, mask = ROUNDS[k]
    return AskRequest(dialogueID, IMAGE, "image", told(answers[:k]), query, mask)


def afterMany(answers: list[Answer], dialogueID: str) -> AskRequest:
    """A request that takes so long that it cannot be through before something is done about it."""
    return replace(round_(0, answers, dialogueID), history=told(answers[:1]) + told(answers) * 4)


def small(query: str = "Segment it.", dialogueID: str = "d", history: tuple[Told, ...] = ()) -> AskRequest:
    return AskRequest(dialogueID, SMALL, "small", history, query, None)


# ---- the real engine ----


def test_it_answers_as_the_engine(real: Watch, expected: list[Answer]) -> None:
    for k in range(3):
        number = real.engine.ask(round_(k, expected, "one"))
        alike(real.answer(number), expected[k])
        assert real.engine.state == "ready"
        stages = [stage for requestID, stage in real.stages if requestID == number]
        first = ["starting", "loading", "encoding"] if k == 0 else []
        assert list(dict.fromkeys(stages)) == [*first, "reading", "judging", "drawing"]
    assert real.engine.description == "mediround-tiny on the CPU"
    assert real.states == ["starting", "loading", "busy", "ready"] + ["busy", "ready"] * 2
    assert not real.notices
    assert any("load:" in line for line in real.engine.log)


def test_a_killed_engine_is_restarted_and_told_everything_again(real: Watch, expected: list[Answer]) -> None:
    real.answer(real.engine.ask(round_(0, expected, "killed")))
    number = real.engine.ask(afterMany(expected, "killed"))
    real.atStage(number, "replaying", lambda: os.kill(real.pid, signal.SIGKILL))
    answer = real.answer(number)
    assert real.notices == ["The engine ended unexpectedly; it was started again, and goes on with your query."]
    stages = [stage for requestID, stage in real.stages if requestID == number]
    assert stages.count("starting") == 1
    assert "replaying" in stages[stages.index("starting") :]
    alike(answer, real.answer(real.engine.ask(afterMany(expected, "unbroken"))))
    alike(real.answer(real.engine.ask(round_(1, expected, "killed"))), expected[1])


def test_cancel_in_the_middle_of_a_round(real: Watch, expected: list[Answer]) -> None:
    """It fails at once, and the next answer is that of a dialogue in which nothing was cancelled."""
    real.answer(real.engine.ask(round_(0, expected, "cancelled")))
    for stage in ("replaying", "reading", "drawing"):
        number = real.engine.ask(afterMany(expected, "cancelled"))
        real.atStage(number, stage, partial(real.engine.cancel, number))
        assert real.failures[number][0] == "cancelled"
        assert real.engine.state == "ready"
        alike(real.answer(real.engine.ask(round_(1, expected, "cancelled"))), expected[1])
        assert number not in real.answers


def test_cancel_before_anything_is_sent(real: Watch, expected: list[Answer]) -> None:
    first, second, third = (real.engine.ask(round_(0, expected, name)) for name in ("x", "y", "z"))
    real.engine.cancel(second)
    real.engine.cancel(second)
    real.engine.cancel(999)
    assert list(real.failures) == [second]
    alike(real.answer(third), expected[0])
    assert list(real.answers) == [first, third]


def test_cancel_while_the_image_is_encoded(real: Watch, expected: list[Answer]) -> None:
    number = real.engine.ask(round_(0, expected, "encoded"))
    real.atStage(number, "encoding", partial(real.engine.cancel, number))
    assert real.failures[number][0] == "cancelled"
    alike(real.answer(real.engine.ask(round_(0, expected, "encoded"))), expected[0])
    assert real.engine.state == "ready"


def test_the_event_loop_runs_while_a_round_runs(real: Watch, host: Any, expected: list[Answer]) -> None:
    real.answer(real.engine.ask(round_(0, expected, "smooth")))
    stalls = []
    for attempt in range(4):  # another program may have the processors for a moment
        large, mask = np.tile(IMAGE, (4, 4)), np.tile(BOX, (4, 4))
        host.startStallWatch()
        asked = AskRequest(f"smooth {attempt}", large, "large", told(expected[:1]), "Segment the liver.", mask)
        real.answer(real.engine.ask(asked))
        stalls.append(host.longestStall())
        if stalls[-1] < 0.05:
            break
    assert min(stalls) < 0.05


def test_a_query_that_is_refused(real: Watch, expected: list[Answer]) -> None:
    number = real.engine.ask(replace(round_(0, expected, "refused"), query="Segment [SEG]."))
    assert real.failure(number)[0] == "query"
    number = real.engine.ask(replace(round_(0, expected, "refused"), reference=np.ones((2, 2), dtype=bool)))
    assert real.failure(number)[0] == "reference"
    number = real.engine.ask(replace(round_(0, expected, "refused"), query="word " * 1_000_000))
    assert real.failure(number) == ("query", "This query is too large to send; shorten it, or ask on a smaller image.")
    alike(real.answer(real.engine.ask(round_(0, expected, "refused"))), expected[0])


def test_correction_follows_the_settings_without_a_new_process(real: Watch, expected: list[Answer]) -> None:
    real.answer(real.engine.ask(round_(0, expected, "settings")))
    pid = real.pid
    for threshold, jcm, corrected in ((1.0, True, True), (1.0, False, False), (0.0, True, False)):
        real.engine.configure(replace(CPU, threshold=threshold, jcm=jcm))
        answer = real.answer(real.engine.ask(round_(0, expected, "settings")))
        assert (answer.corrected, answer.threshold) == (corrected, threshold)
    real.engine.configure(CPU)
    assert real.answer(real.engine.ask(round_(0, expected, "settings"))).threshold == 0.6
    assert real.pid == pid


def test_forgotten_dialogues_are_opened_again_unnoticed(real: Watch, expected: list[Answer]) -> None:
    """With room for one dialogue only, every change of the dialogue finds it forgotten. It takes a new process."""
    real.answer(real.engine.ask(round_(0, expected, "a")))
    pid = real.pid
    real.engine.configure(replace(CPU, heldBytes=0))
    for k in range(3):
        for name in ("a", "b"):
            alike(real.answer(real.engine.ask(round_(k, expected, name))), expected[k])
    assert real.pid != pid
    assert not real.failures
    assert not real.notices


# ---- processes that are no engine ----


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("/no/such/python", "/no/such/python cannot be started; choose another Python in the settings."),
        ("/bin/echo", "/bin/echo does not run MediRound's engine; choose another Python in the settings."),
        ("/bin/false", "/bin/false does not run MediRound's engine; choose another Python in the settings."),
        ("/", "/ cannot be started; choose another Python in the settings."),
    ],
)
def test_what_is_no_engine(started: Any, python: str, words: str) -> None:
    watch = started(replace(CPU, python=python))
    first, second = watch.engine.ask(small()), watch.engine.ask(small())
    assert watch.failure(first) == watch.failure(second) == ("process", words)
    assert (watch.engine.state, watch.engine.description) == ("failed", words)
    assert not watch.notices
    # Asking is an act of the user: it is tried again, once.
    assert watch.failure(watch.engine.ask(small())) == ("process", words)
    watch.engine.start()
    watch.host.wait(lambda: watch.notices == [words], 20, "the reason")
    watch.engine.listDevices()
    watch.host.wait(lambda: watch.devices == [[]], 20, "no devices")


def hello(**changed: Any) -> str:
    fields = {"protocol": 1, "version": "0.1.0", "python": "3.12.1", "missing": [], **changed}
    return (
        "import sys, time\nfrom MediRoundLib.protocol import Message, encode\n"
        f"sys.stdout.buffer.write(encode(Message('hello', {fields!r})))\n"
        "sys.stdout.flush()\ntime.sleep(60)\n"
    )


@pytest.mark.parametrize(
    ("code", "failure", "words"),
    [
        (hello(protocol=2), "process", "another version of MediRound"),
        (hello(python="3.9.2"), "process", "needs Python 3.11 or newer and has 3.9.2"),
        (hello(missing=["torch", "pillow"]), "packages", "lacks torch, pillow"),
        ("import time\ntime.sleep(60)", "process", "does not answer"),
        ("print('x' * 100_000)", "process", "does not run MediRound's engine"),
        ("import sys\nfrom MediRoundLib.protocol import *\nsys.stdout.buffer.write(MAGIC)", "process", "does not run"),
    ],
)
def test_what_cannot_be_used(
    started: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, failure: str, words: str
) -> None:
    if words == "does not answer":
        monkeypatch.setattr(EngineChild, "_FIRST_MS", 1500)
    watch = started(replace(CPU, python=fakePython(tmp_path, code)))
    found, sentence = watch.failure(watch.engine.ask(small()))
    assert found == failure
    assert words in sentence
    assert watch.engine.state == "failed"
    assert watch.missing == ([["torch", "pillow"]] if failure == "packages" else [])
    watch.host.wait(watch.gone, 20, "the end of the process")


# ---- crashes ----


def test_a_second_crash_at_a_request_fails_it(started: Any, tmp_path: Path) -> None:
    code = """
def before(service, request):
    if request.fields.get("query") == "crash":
        times("crashes"); os._exit(9)
"""
    watch = started(replace(CPU, python=fakeWorker(tmp_path, code)))
    watch.answer(watch.engine.ask(small()))
    bad, good = watch.engine.ask(small("crash")), watch.engine.ask(small())
    assert watch.failure(bad) == (
        "process",
        "The engine ended twice at this query; choose a smaller checkpoint or the CPU in the settings.",
    )
    assert len(watch.notices) == 1
    assert watch.answer(good).model == "fake"
    # The third crash within a minute ends the attempts.
    failure = watch.failure(watch.engine.ask(small("crash")))
    assert failure[0] == "process"
    assert "again and again" in failure[1]
    assert (watch.engine.state, (tmp_path / "crashes").read_text()) == ("failed", "xxx")
    # The user may try all the same.
    assert watch.answer(watch.engine.ask(small())).model == "fake"


@pytest.mark.parametrize(
    "crash", ["os._exit(1)", "os.kill(os.getpid(), 11)", "os.write(FRAMES, b'Traceback'); time.sleep(60)"]
)
def test_a_crash_while_loading_is_tried_once_more(started: Any, tmp_path: Path, crash: str) -> None:
    code = f"""
FRAMES = None
take = worker._take_pipes
def pipes():
    global FRAMES
    source, FRAMES = take()
    return source, FRAMES
worker._take_pipes = pipes
def before(service, request):
    if request.kind == "load" and times("loads") == 1:
        {crash}
"""
    watch = started(replace(CPU, python=fakeWorker(tmp_path, code)))
    assert watch.answer(watch.engine.ask(small())).model == "fake"
    assert len(watch.notices) == 1
    assert watch.states == ["starting", "loading", "starting", "loading", "busy", "ready"]


def test_a_crash_while_nothing_runs(started: Any, tmp_path: Path) -> None:
    watch = started(replace(CPU, python=fakeWorker(tmp_path)))
    history = (Told("a:1", "Segment it.", "It is [SEG]."),)
    watch.answer(watch.engine.ask(small()))
    os.kill(watch.pid, signal.SIGKILL)
    watch.state("stopped")
    assert watch.notices == ["The engine ended unexpectedly; it starts again with your next query."]
    watch.answer(watch.engine.ask(small("More.", history=history)))


# ---- its life ----


def test_requests_made_while_it_starts_are_answered_in_order(started: Any, tmp_path: Path) -> None:
    watch = started(replace(CPU, python=fakeWorker(tmp_path)))
    assert watch.engine.state == "stopped"
    numbers = [watch.engine.ask(small(dialogueID=name)) for name in "abc"]
    assert watch.engine.state == "starting"
    watch.answer(numbers[-1])
    assert list(watch.answers) == numbers
    assert watch.stages[0] == (numbers[0], "starting")


def test_slots_may_call_back(started: Any, tmp_path: Path) -> None:
    watch = started(replace(CPU, python=fakeWorker(tmp_path)))
    engine, more = watch.engine, list[int]()
    engine.stateChanged.connect(engine.start)
    engine.answered.connect(lambda *_: more.append(engine.ask(small())) if len(more) < 3 else None)
    watch.answer(engine.ask(small()))
    watch.host.wait(lambda: len(watch.answers) == 4, 20, "four answers")
    assert list(watch.answers) == [1, 2, 3, 4]
    engine.stateChanged.disconnect(engine.start)


def test_stop(started: Any, tmp_path: Path) -> None:
    code = """
def before(service, request):
    if request.fields.get("query") == "long":
        while True: sum(range(1000))
"""
    watch = started(replace(CPU, python=fakeWorker(tmp_path, code)))
    watch.answer(watch.engine.ask(small()))
    pid = watch.pid
    running, waiting = watch.engine.ask(small("long")), watch.engine.ask(small())
    watch.host.wait(lambda: watch.engine.state == "busy", 5)
    begun = time.monotonic()
    watch.engine.stop()
    assert time.monotonic() - begun < 0.05
    assert watch.engine.state == "stopped"
    assert [watch.failures[number][0] for number in (running, waiting)] == ["cancelled", "cancelled"]
    watch.host.wait(watch.gone, 20, "the end of the process")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    # It comes back with the next query, also when that is asked while the old process ends.
    watch.answer(watch.engine.ask(small()))
    watch.engine.stop()
    watch.answer(watch.engine.ask(small()))
    assert not watch.notices


def test_a_process_that_does_not_want_to_end_is_killed(
    started: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EngineChild, "_PATIENCE_MS", 300)
    code = """
import signal
def before(service, request):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os._exit = lambda code: time.sleep(60)
"""
    code = code.replace("def before", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ndef before")
    watch = started(replace(CPU, python=fakeWorker(tmp_path, code)))
    watch.answer(watch.engine.ask(small()))
    pid = watch.pid
    watch.engine.stop()
    watch.host.wait(watch.gone, 20, "the end of the process")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not watch.notices


def test_settings_that_cannot_be_loaded(started: Any, tmp_path: Path) -> None:
    code = """
def before(service, request):
    if request.fields.get("checkpoint") == "no such":
        raise CheckpointError("There is no checkpoint no such.")
"""
    watch = started(replace(CPU, python=fakeWorker(tmp_path, code)))
    watch.engine.configure(replace(watch.engine.settings, checkpoint="no such"))
    failure = watch.failure(watch.engine.ask(small()))
    assert failure == ("checkpoint", "There is no checkpoint no such.")
    assert (watch.engine.state, watch.engine.description) == ("failed", failure[1])
    watch.engine.configure(replace(watch.engine.settings, checkpoint="another"))
    assert watch.engine.state == "stopped"
    watch.answer(watch.engine.ask(small()))
    assert not watch.notices


def test_devices(started: Any, tmp_path: Path) -> None:
    """Whether or not a process runs; one that runs for this only ends again."""
    watch = started(replace(CPU, python=fakeWorker(tmp_path)))
    watch.engine.listDevices()
    watch.host.wait(lambda: watch.devices and watch.gone(), 20, "the devices")
    assert (watch.engine.state, watch.states) == ("stopped", [])
    watch.engine.start()
    watch.state("ready")
    watch.engine.listDevices()
    watch.host.wait(lambda: len(watch.devices) == 2, 20, "the devices")
    assert [one[-1]["id"] for one in watch.devices] == ["cpu", "cpu"]
    assert watch.engine.state == "ready"


def test_other_settings_wait_for_the_running_round(started: Any, tmp_path: Path) -> None:
    code = """
def before(service, request):
    if request.kind == "ask": time.sleep(0.5)
"""
    watch = started(replace(CPU, python=fakeWorker(tmp_path, code)))
    number = watch.engine.ask(small())
    watch.state("busy")
    pid = watch.pid
    watch.engine.configure(replace(watch.engine.settings, dtype="bfloat16"))
    watch.answer(number)
    watch.state("ready")
    assert watch.pid != pid
    assert watch.states == ["starting", "loading", "busy", "starting", "loading", "ready"]
    watch.engine.configure(watch.engine.settings)
    assert watch.engine.state == "ready"


def test_other_settings_while_it_starts_and_loads(started: Any, tmp_path: Path) -> None:
    watch = started(replace(CPU, python=fakeWorker(tmp_path)))
    number = watch.engine.ask(small())
    for dtype in ("bfloat16", "float16", "float32"):
        watch.engine.configure(replace(watch.engine.settings, dtype=dtype, threshold=0.25))
        watch.host.turn()
    assert watch.answer(number).threshold == 0.25
    assert not watch.notices


def test_settings_of_a_stopped_engine_start_nothing(started: Any, tmp_path: Path) -> None:
    watch = started(replace(CPU, python=fakeWorker(tmp_path)))
    watch.engine.configure(replace(watch.engine.settings, threshold=0.5))
    watch.engine.configure(replace(watch.engine.settings, dtype="float32"))
    assert (watch.engine.state, watch.gone()) == ("stopped", True)


# ---- environments ----


def test_environment_of_slicers_own_python(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/slicer/lib")
    made = environment("")
    root = str(Path(__file__).resolve().parents[2])
    assert made.value("PYTHONPATH").split(os.pathsep) == [root, "/elsewhere"]
    assert made.value("LD_LIBRARY_PATH") == "/slicer/lib"
    assert interpreter("") == sys.executable
    monkeypatch.setattr(sys, "executable", "")
    assert interpreter("").endswith("PythonSlicer")


def test_environment_of_another_python(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {"HOME": "/home/me", "PYTHONPATH": "/mine", "PYTHONHOME": "/slicer/lib/Python"}
    monkeypatch.setattr(slicer.util, "startupEnvironment", lambda: dict(before))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/slicer/lib")
    made = environment("/other/python")
    assert made.value("HOME") == "/home/me"
    assert made.value("PYTHONPATH") == str(Path(__file__).resolve().parents[2])
    assert not made.contains("PYTHONHOME")
    assert not made.contains("LD_LIBRARY_PATH")
    assert interpreter("/other/python") == "/other/python"
