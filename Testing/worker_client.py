"""A plain client of the engine process, for tests: it sends a request and waits for the closing reply."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from MediRoundLib.protocol import REPLIES, Decoder, Message, check, encode

# Query, exact answer, and the mask that it leaned on or None.
Told = tuple[str, str, Any]

LOAD: dict[str, Any] = {
    "checkpoint": "mediround-tiny",
    "device": "cpu",
    "dtype": "auto",
    "quantize": None,
    "threshold": None,
    "jcm": True,
    "held_bytes": None,
}


class WorkerClient:
    """Talks to a worker that runs already; every reply is checked against its form.

    Attributes:
        hello: the first message.
        progress: the stages of the last request, in order.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.progress: list[str] = []
        self._decoder = Decoder()
        self._came: list[Message] = []
        self._ids = itertools.count(1)
        self.hello = self.read()

    def write(self, kind: str, arrays: dict[str, NDArray[Any]] | None = None, **fields: Any) -> int:
        """Send a request. Returns its id."""
        number = fields.pop("id", None) or next(self._ids)
        assert self.process.stdin is not None
        self.process.stdin.write(encode(Message(kind, {"id": number, **fields}, arrays or {})))
        self.process.stdin.flush()
        return number

    def read(self) -> Message:
        """The next reply. Raises EOFError when the worker has ended."""
        assert self.process.stdout is not None
        while not self._came:
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                raise EOFError
            self._came += self._decoder.feed(data)
        return check(self._came.pop(0), REPLIES)

    def closing(self, number: int) -> Message:
        """The closing reply of a request."""
        self.progress = []
        while True:
            reply = self.read()
            assert reply.id == number
            if reply.kind != "progress":
                return reply
            self.progress.append(reply.fields["stage"])

    def request(self, kind: str, arrays: dict[str, NDArray[Any]] | None = None, **fields: Any) -> Message:
        """Send a request and wait for its closing reply."""
        return self.closing(self.write(kind, arrays, **fields))

    def ask(self, dialogue: str, query: str, keep: int, *told: Told, reference: Any = None) -> Message:
        """`told`: the rounds to take in first."""
        return self.closing(self.write_ask(dialogue, query, keep, *told, reference=reference))

    def write_ask(self, dialogue: str, query: str, keep: int, *told: Told, reference: Any = None) -> int:
        arrays = {f"told{k}": mask for k, (_, _, mask) in enumerate(told) if mask is not None}
        if reference is not None:
            arrays["reference"] = reference
        earlier = [{"query": asked, "answer": answer} for asked, answer, _ in told]
        return self.write("ask", arrays, dialogue=dialogue, keep=keep, told=earlier, query=query)


@contextmanager
def worker(log: Path, *command: str) -> Iterator[WorkerClient]:
    """A worker process with its stderr in `log`; it is killed at the end."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command or (sys.executable, "-m", "MediRoundLib.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=Path(__file__).resolve().parents[1],
        )
        try:
            yield WorkerClient(process)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
