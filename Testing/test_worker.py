"""The engine process: the same answers as in-process, replay, cancelling, memory, errors, and a log without secrets."""

import gc
import io
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import picture, small_engine
from numpy.typing import NDArray
from worker_client import LOAD, WorkerClient, worker

from MediRoundLib import cli
from MediRoundLib import service as service_module
from MediRoundLib import worker as worker_module
from MediRoundLib.engine import Engine
from MediRoundLib.errors import Cancelled, OutOfMemory, PackagesError
from MediRoundLib.protocol import VERSION, Message
from MediRoundLib.service import Service
from MediRoundLib.worker import NEEDED, explain

ROOT = Path(__file__).resolve().parents[1]

IMAGE = picture(150, 200)
BOX = np.zeros((150, 200), dtype=bool)
BOX[40:90, 60:130] = True
ROUNDS: list[tuple[str, NDArray[np.bool_] | None]] = [
    ("Segment the left lung.", None),
    ("Segment the other one.", BOX),
    ("请分割另一个。", ~BOX),
    ("Segment the tumor.", BOX),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WorkerClient, Path]]:
    """One worker with the shipped checkpoint for all tests of this file, and its log."""
    log = tmp_path_factory.mktemp("worker") / "log.txt"
    with worker(log) as client:
        loaded = client.request("load", **LOAD)
        assert loaded.fields["name"] == "mediround-tiny"
        assert client.progress == ["loading"] * 4
        yield client, log


@pytest.fixture
def client(shared: tuple[WorkerClient, Path]) -> WorkerClient:
    return shared[0]


@pytest.fixture(scope="module")
def expected() -> list[Message]:
    """The rounds, in this process, in the form of replies."""
    dialogue = Engine.from_pretrained(device="cpu").open(IMAGE)
    made = [dialogue.ask(query, False if mask is None else mask) for query, mask in ROUNDS]
    return [Message("answered", vars(one), {"mask": one.mask}) for one in made]


def alike(one: Message, other: Message) -> None:
    """The same answer up to the order of sums, which depends on threads and on where weights lie in memory."""
    assert one.kind == other.kind == "answered"
    for name in ("answer", "corrected", "whole_image"):
        assert one.fields[name] == other.fields[name]
    for name in ("quality", "quality_corrected"):
        assert one.fields[name] == pytest.approx(other.fields[name], abs=1e-4)
    assert (one.arrays["mask"] ^ other.arrays["mask"]).mean() < 1e-3


def told(replies: list[Message]) -> list[tuple[str, str, NDArray[np.bool_] | None]]:
    return [(query, reply.fields["answer"], mask) for reply, (query, mask) in zip(replies, ROUNDS, strict=False)]


def test_loading_is_not_collected_and_passed_over_later() -> None:
    try:
        with worker_module._uncollected():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
        with worker_module._uncollected():
            assert gc.get_freeze_count() == 0  # so that an earlier model's circles are found
    finally:
        gc.unfreeze()


def test_the_process_answers_as_the_engine(client: WorkerClient, expected: list[Message]) -> None:
    assert client.request("open", {"image": IMAGE}, dialogue="one").kind == "opened"
    assert client.progress == ["encoding"]
    for k, (query, mask) in enumerate(ROUNDS):
        reply = client.ask("one", query, k, reference=mask)
        alike(reply, expected[k])
        assert client.progress == ["reading", "judging", "drawing"]
        assert reply.fields["rounds"] == k + 1
        assert (reply.fields["model"], reply.fields["threshold"]) == ("mediround-tiny", 0.6)


@pytest.mark.parametrize(("kept", "again"), [(0, 3), (1, 2), (2, 1), (3, 0)])
def test_replay(client: WorkerClient, expected: list[Message], kept: int, again: int) -> None:
    """Whatever part is still held and whatever is told again: the next answer is that of an unbroken dialogue."""
    client.request("open", {"image": IMAGE}, dialogue="again")
    earlier = told(expected[:3])
    client.ask("again", "Segment the liver.", 0, *earlier[:kept])  # one more than is kept
    reply = client.ask("again", ROUNDS[3][0], kept, *earlier[kept:], reference=ROUNDS[3][1])
    alike(reply, expected[3])
    assert client.progress == ["replaying"] * again + ["reading", "judging", "drawing"]


def test_cancel(client: WorkerClient, expected: list[Message]) -> None:
    client.request("open", {"image": IMAGE}, dialogue="stop")
    first = client.ask("stop", ROUNDS[0][0], 0)
    many = told(expected[:3]) * 12
    number = client.write_ask("stop", "Segment the liver.", 1, *many)
    assert client.read().fields["stage"] == "replaying"
    client.write("cancel", id=number)
    reply = client.closing(number)
    assert (reply.kind, reply.fields["code"]) == ("failed", "cancelled")
    assert 1 <= reply.fields["rounds"] < 37
    # The rounds in front of the cancelled request are there, and nothing of it is left behind.
    alike(client.ask("stop", ROUNDS[1][0], 1, reference=ROUNDS[1][1]), expected[1])
    alike(first, expected[0])


def test_cancel_of_what_waits_and_of_what_is_over(client: WorkerClient) -> None:
    client.request("open", {"image": IMAGE}, dialogue="wait")
    client.write("cancel", id=client.write("devices"))  # too late or in time: it ends once either way
    assert client.read().kind in ("devices", "failed")
    opening, asking = client.write("open", {"image": IMAGE}, dialogue="wait"), 10_000
    client.write("ask", id=asking, dialogue="wait", keep=0, told=[], query="Segment the left lung.")
    client.write("cancel", id=asking)
    client.closing(opening)
    assert client.closing(asking).kind in ("failed", "answered")
    assert client.ask("wait", "Segment the left lung.", 0).kind == "answered"


@pytest.mark.parametrize(
    ("kind", "fields", "arrays", "code"),
    [
        ("ask", {"query": " "}, {}, "query"),
        ("ask", {"query": "Segment [SEG]."}, {}, "query"),
        ("ask", {"query": "Go.", "told": [{"query": "Go.", "answer": "<image>"}]}, {}, "query"),
        ("ask", {"query": "Go."}, {"reference": BOX[:5]}, "reference"),
        ("ask", {"query": "Go.", "keep": 7}, {}, "unknown-dialogue"),
        ("ask", {"query": "Go.", "keep": -1}, {}, "unknown-dialogue"),
        ("ask", {"query": "Go.", "dialogue": "no such"}, {}, "unknown-dialogue"),
        ("ask", {"query": "Go.", "told": [{"query": "Go."}]}, {}, "protocol"),
        ("ask", {}, {}, "protocol"),
        ("open", {}, {"image": IMAGE.astype(np.float32)}, "image"),
        ("open", {}, {}, "protocol"),
        ("settings", {"threshold": 7.0, "jcm": True}, {}, "settings"),
        ("sing", {}, {}, "protocol"),
    ],
)
def test_errors_are_said_and_change_nothing(
    client: WorkerClient, kind: str, fields: dict[str, Any], arrays: dict[str, Any], code: str
) -> None:
    client.request("open", {"image": IMAGE}, dialogue="errors")
    fields = {"dialogue": "errors", **({"keep": 0, "told": []} if kind == "ask" else {}), **fields}
    reply = client.request(kind, arrays, **fields)
    assert (reply.kind, reply.fields["code"]) == ("failed", code)
    assert re.fullmatch(r"[A-Z].*\.\"?", reply.fields["message"])
    assert "\n" not in reply.fields["message"]
    if kind == "ask":
        assert client.ask("errors", "Segment the left lung.", 0).kind == "answered"


def test_settings_act_at_once(client: WorkerClient) -> None:
    client.request("open", {"image": IMAGE}, dialogue="settings")
    for threshold, jcm, corrected in ((1.0, True, True), (1.0, False, False), (0.0, True, False)):
        assert client.request("settings", threshold=threshold, jcm=jcm).kind == "done"
        reply = client.ask("settings", "Segment the left lung.", 0)
        assert (reply.fields["corrected"], reply.fields["threshold"]) == (corrected, threshold)
    client.request("settings", threshold=None, jcm=True)
    assert client.ask("settings", "Segment the left lung.", 0).fields["threshold"] == 0.6


def test_devices(client: WorkerClient) -> None:
    devices = client.request("devices").fields["devices"]
    assert devices[-1]["id"] == "cpu"
    assert all(set(one) == {"id", "name", "free", "total", "bf16"} for one in devices)


def test_close(client: WorkerClient) -> None:
    client.request("open", {"image": IMAGE}, dialogue="gone")
    assert [client.request("close", dialogue="gone").kind for _ in range(2)] == ["done", "done"]
    assert client.ask("gone", "Segment the left lung.", 0).fields["code"] == "unknown-dialogue"


def test_the_log_tells_nothing_of_the_user(shared: tuple[WorkerClient, Path]) -> None:
    client, log = shared
    client.request("open", {"image": IMAGE}, dialogue="/home/secret/patient.dcm")
    client.ask("/home/secret/patient.dcm", "Segment the secret.", 0, ("Earlier secret.", "It is [SEG].", BOX))
    client.ask("/home/secret/patient.dcm", "[SEG] secret", 0)
    client.request("load", **{**LOAD, "checkpoint": "/home/secret/checkpoint"})
    client.request("load", **LOAD)
    text = log.read_text()
    assert "ask: query" in text
    assert "load: checkpoint" in text
    assert "secret" not in text.lower()


def test_a_failed_load_can_be_followed_by_another(client: WorkerClient) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"checkpoint": "no such"}, "checkpoint"),
        ({"device": "cuda:99"}, "settings"),
        ({"dtype": "int8"}, "settings"),
        ({"threshold": -1}, "settings"),
    ]
    for changed, code in wrong:
        assert client.request("load", **{**LOAD, **changed}).fields["code"] == code
    assert client.request("open", {"image": IMAGE}, dialogue="x").fields["code"] in ("checkpoint", "unknown-dialogue")
    assert client.request("load", **LOAD).kind == "loaded"
    assert client.request("open", {"image": IMAGE}, dialogue="x").kind == "opened"


def test_hello_without_packages(tmp_path: Path) -> None:
    """A Python without its packages says so at once, and does not die of it."""
    with worker(tmp_path / "log", sys.executable, "-S", "-m", "MediRoundLib.worker") as client:
        hello = client.hello.fields
        assert (hello["protocol"], hello["python"]) == (VERSION, ".".join(map(str, sys.version_info[:3])))
        assert {"numpy", "torch", "transformers", "pillow"} <= set(hello["missing"])
        assert client.request("load", **LOAD).fields["code"] == "packages"


def test_it_ends_with_its_stdin_in_the_middle_of_work(tmp_path: Path) -> None:
    with worker(tmp_path / "log") as client:
        assert client.hello.fields["missing"] == []
        client.write("load", **LOAD)
        assert client.process.stdin is not None
        client.process.stdin.close()
        assert client.process.wait(timeout=20) == 0


def test_shutdown(tmp_path: Path) -> None:
    with worker(tmp_path / "log") as client:
        client.write("shutdown")
        assert client.process.wait(timeout=20) == 0


def test_it_is_a_command_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with worker(tmp_path / "log", sys.executable, "-m", "MediRoundLib.cli", "worker") as client:
        client.write("shutdown")
        assert client.process.wait(timeout=20) == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert cli.main(["worker"]) == 2
    assert "mediround chat" in capsys.readouterr().err


def test_garbage_ends_it(tmp_path: Path) -> None:
    with worker(tmp_path / "log") as client:
        assert client.process.stdin is not None
        client.process.stdin.write(b"import os\n")
        client.process.stdin.flush()
        assert client.process.wait(timeout=20) == 2


NOISY = """
import os, subprocess, sys
from MediRoundLib import worker
class Service:
    def __init__(self, *_): pass
    def rounds(self, _): return None
    def handle(self, request):
        print("noise"); os.write(1, b"noise"); subprocess.run("echo noise", shell=True); input()
sys.modules["MediRoundLib.service"] = type(sys)("service"); sys.modules["MediRoundLib.service"].Service = Service
worker.main()
"""


def test_what_prints_spoils_no_frame(tmp_path: Path) -> None:
    with worker(tmp_path / "log", sys.executable, "-c", NOISY) as client:
        reply = client.request("devices")  # it fails, since stdin is empty for everyone but the worker
        assert reply.fields["code"] == "internal"
        assert "EOFError" in reply.fields["message"]
    assert (tmp_path / "log").read_text().count("noise") == 3
    assert "EOFError at worker.py:" in (tmp_path / "log").read_text()


def test_unexpected_errors_keep_their_words() -> None:
    def fail() -> None:
        raise ValueError("of patient secret")

    for raised, code in (
        (ValueError, "internal"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "memory"),
        (ImportError("no x", name="x"), "packages"),
        (OutOfMemory("Full."), "memory"),
        (PackagesError("None."), "packages"),
    ):
        try:
            fail() if raised is ValueError else _raise(raised)
        except Exception as error:
            found, sentence = explain(error)
            assert found == code
            assert "secret" not in sentence
            assert sentence.endswith(".")


def _raise(error: Any) -> None:
    raise error


def test_needed_packages_are_those_of_the_project() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    least = {name: found for name, found in (re.match(r"([a-z-]+)>=([0-9.]+)", one).groups() for one in listed)}  # type: ignore[union-attr]
    for name, version in NEEDED.values():
        assert least[name] == ".".join(map(str, version))


class Given(set[int]):
    """Says that the request was cancelled from the n-th time on that someone asks."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def __contains__(self, _: object) -> bool:
        self.left -= 1
        return self.left < 0


def small_service(
    monkeypatch: pytest.MonkeyPatch, cancelled: Any = frozenset(), **changed: Any
) -> tuple[Service, list[Message], Engine]:
    """A service with a small random model, and what it sends."""
    engine, sent = small_engine(), list[Message]()
    monkeypatch.setattr(Engine, "from_pretrained", lambda *_: engine)
    service = Service(sent.append, cancelled)
    service.handle(Message("load", {"id": 0, **LOAD, **changed}))
    return service, sent, engine


def opening(name: str, image: NDArray[np.uint8] | None = None) -> Message:
    return Message("open", {"id": 1, "dialogue": name}, {"image": picture() if image is None else image})


def asking(name: str, query: str = "Segment the left lung.") -> Message:
    return Message("ask", {"id": 2, "dialogue": name, "keep": 0, "told": [], "query": query})


def test_cancelled_at_any_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Given(10**9)
    service, _, _ = small_service(monkeypatch, given)
    service.handle(opening("a"))
    wanted = service.handle(asking("a"))
    for layer in range(0, 60, 5):
        given.left = layer
        with pytest.raises(Cancelled):
            service.handle(asking("a", "Segment the tumor."))
        assert service.rounds("a") == (1 if layer == 0 else 0)
        given.left = layer
        with pytest.raises(Cancelled):
            service.handle(opening("b", 255 - picture()))
        given.left = 10**9
        alike(service.handle(asking("a")), wanted)
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_dialogues_longest_unused_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    for others, left in ((2, {"a", "c", "d"}), (1, {"a", "d"}), (None, {"d"})):
        service, _, engine = small_service(monkeypatch)
        fresh = engine.open(picture()).nbytes
        for k, name in enumerate("abc"):
            service.handle(opening(name, picture() + np.uint8(k)))
        service.handle(asking("a"))
        used = service._held.nbytes - 2 * fresh
        monkeypatch.setattr(service, "_bound", 0 if others is None else used + others * fresh)
        service.handle(opening("d", 255 - picture()))
        assert {name for name in "abcd" if service.rounds(name) is not None} == left


def test_full_memory_lets_go_of_other_dialogues_first(monkeypatch: pytest.MonkeyPatch) -> None:
    service, _, engine = small_service(monkeypatch)
    for name in ("a", "b", "c"):
        service.handle(opening(name))
    draw, fails = engine.model.draw, [True, False]

    def full(*arguments: Any) -> Any:
        if fails and fails.pop(0):
            raise torch.OutOfMemoryError("full")
        return draw(*arguments)

    monkeypatch.setattr(engine.model, "draw", full)
    assert service.handle(asking("b")).fields["rounds"] == 1
    assert {name for name in "abc" if service.rounds(name) is not None} == {"b"}
    fails[:] = [True]
    with pytest.raises(OutOfMemory):
        service.handle(asking("b"))
    assert service.rounds("b") == 0


def test_packages_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "MediRoundLib.engine", None)
    with pytest.raises(PackagesError, match="install them again"):
        Service(print, set()).handle(Message("load", {"id": 0, **LOAD}))


def test_a_lost_device_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the module starts a new one: CUDA does not come back within a process."""
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    source, _ = os.pipe()
    serving = worker_module.Worker(source, print)
    for text in ("CUDA error: an illegal memory access was encountered", "CUDA error: out of memory"):
        try:
            _raise(RuntimeError(text))
        except RuntimeError as error:
            serving._failed(Message("ask", {"id": 1}), error)
    assert ended == [70]
    os.close(source)


def test_held_memory_is_bounded_by_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert small_service(monkeypatch)[0]._bound == service_module.MAX_HELD_BYTES
    assert small_service(monkeypatch, held_bytes=5)[0]._bound == 5


def test_an_image_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a prefetch, a dialogue or a branch of it was the first to need it; its memory counts once, too."""
    given = Given(10**9)
    service, sent, engine = small_service(monkeypatch, given)
    service.handle(opening("plain"))
    wanted, alone = service.handle(asking("plain")), service._held.nbytes
    encode, encoded = engine.encode, list[Any]()

    def counted(image: Any) -> Any:
        encoded.append(image)
        return encode(image)

    monkeypatch.setattr(engine, "encode", counted)
    service.handle(opening("branch"))
    assert (encoded, service._held.nbytes) == ([], alone)
    alike(service.handle(asking("branch")), wanted)
    other = 255 - picture()
    prefetching = Message("prefetch", {"id": 7}, {"image": other})
    sent.clear()
    for _ in range(2):
        assert service.handle(prefetching) == Message("done", {"id": 7})
    assert sent == []  # nobody waits for it
    service.handle(opening("other", other))
    service.handle(Message("close", {"id": 9, "dialogue": "other"}))
    service.handle(opening("again", other))
    assert len(encoded) == 1
    # What is given up is not held.
    given.left = 5
    prefetching = Message("prefetch", {"id": 8}, {"image": other // 2})
    with pytest.raises(Cancelled):
        service.handle(prefetching)
    given.left = 10**9
    service.handle(prefetching)
    assert len(encoded) == 3


def test_what_is_prefetched_keeps_to_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    service, _, engine = small_service(monkeypatch)
    service.handle(opening("a"))
    service.handle(asking("a"))
    bound = service._held.nbytes + engine.open(picture()).nbytes
    monkeypatch.setattr(service, "_bound", bound)
    for k in range(1, 4):
        service.handle(Message("prefetch", {"id": k}, {"image": picture() + np.uint8(k)}))
        assert service._held.nbytes == bound
    assert service.rounds("a") == 1
