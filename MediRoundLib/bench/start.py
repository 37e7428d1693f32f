"""How long the engine process takes from its start to its first answer, as 3D Slicer's module waits for it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import IO, Any

from MediRoundLib.bench.setting import hardware, picture, queries
from MediRoundLib.devices import choose_device
from MediRoundLib.errors import MediRoundError
from MediRoundLib.protocol import REPLIES, Decoder, Message, check, encode

COMMAND = (sys.executable, "-m", "MediRoundLib.worker")
# Of what a start consists, in order. `ready` is up to a loaded model, `first answer` all of it.
STAGES = ("hello", "imports", "weights", "open", "ask")


def bench_start(
    load: dict[str, Any], repeats: int = 3, size: int = 512, tick: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    """Start the process `repeats` times, and ask one question each time.

    Args:
        load: checkpoint, device, dtype and quantize, as in the message `load` of `protocol`.
        repeats: starts, at least 1.
        size: height and width of the image in pixels.
        tick: called `repeats` times, for a progress bar.

    Returns:
        Plain data for JSON. `seconds` are medians: of the process up to its `hello`; of `imports` (torch and all else)
        and `weights`, which are the two parts of loading; of the first `open` and `ask`; and their sums `ready` and
        `first answer`. `samples` holds every measurement. What the disk has not yet in memory makes a first one longer.

    Raises:
        MediRoundError: the process cannot load the model, or ends.
    """
    samples, loaded = [], None
    for _ in range(repeats):
        with tempfile.TemporaryFile() as log, _process(log) as process:
            try:
                taken, loaded = _start(_Client(process, log), load, picture(size))
            finally:
                process.kill()
        samples.append(taken)
        tick()
    assert loaded is not None
    return {
        "model": loaded.fields["name"],
        "dtype": loaded.fields["dtype"],
        "device": loaded.fields["device"]["id"],
        "hardware": hardware(choose_device(load["device"])),
        "python": ".".join(map(str, sys.version_info[:3])),
        "size": size,
        "repeats": repeats,
        "seconds": {stage: median(each[stage] for each in samples) for stage in samples[0]},
        "samples": samples,
    }


def _process(log: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=Path(__file__).resolve().parents[2],  # where -m finds this library, installed or not
    )


class _Client:
    """The other end of the process's pipes."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: IO[bytes]) -> None:
        self._process = process
        self._log = log
        self._decoder = Decoder()
        self._came: list[Message] = []

    def send(self, message: Message) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(encode(message))
        self._process.stdin.flush()

    def read(self) -> Message:
        """The next reply.

        Raises:
            MediRoundError: it tells of a failure, or the process has ended.
        """
        assert self._process.stdout is not None
        while not self._came:
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                self._log.seek(0)
                last = self._log.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise MediRoundError(f"The engine process ended; its last words: {last or 'none'}")
            self._came += self._decoder.feed(data)
        message = check(self._came.pop(0), REPLIES)
        if message.kind == "failed":
            raise MediRoundError(message.fields["message"])
        return message


def _start(client: _Client, load: dict[str, Any], image: Any) -> tuple[dict[str, float], Message]:
    """Seconds of each stage of one start and their sums, and what `load` was answered by."""
    marks = [time.perf_counter()]

    def mark() -> None:
        marks.append(time.perf_counter())

    client.read()
    mark()
    settings = {"threshold": None, "jcm": True, "held_bytes": None}
    client.send(Message("load", {"id": 1, **load, **settings}))
    imported = marks[-1]
    while (loaded := client.read()).kind == "progress":
        if loaded.fields["fraction"] < 1:
            imported = time.perf_counter()  # the last one before the weights stays
    marks.append(imported)
    mark()
    client.send(Message("open", {"id": 2, "dialogue": "one"}, {"image": image}))
    while client.read().kind == "progress":
        pass
    mark()
    asked = {"dialogue": "one", "keep": 0, "told": [], "query": queries(1)[0]}
    client.send(Message("ask", {"id": 3, **asked}))
    while client.read().kind == "progress":
        pass
    mark()
    taken = {stage: after - before for stage, (before, after) in zip(STAGES, pairwise(marks), strict=True)}
    return taken | {"ready": marks[3] - marks[0], "first answer": marks[-1] - marks[0]}, loaded
