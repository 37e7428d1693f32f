"""The engine process: `python -m MediRoundLib.worker` takes requests on stdin and answers on stdout; see `protocol`.

It ends with its stdin. stderr is its log, which holds no word of a query, no path and no pixel. Nothing heavy is
imported before `hello` is sent, so that a Python without the packages can say so.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import queue
import re
import signal
import sys
import threading
import time
import traceback
from contextlib import contextmanager, nullcontext
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from MediRoundLib import __version__, errors
from MediRoundLib.protocol import REQUESTS, VERSION, Decoder, Message, ProtocolError, check, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from MediRoundLib.service import Service

# What the engine imports: its name for pip, and the first version that will do (pyproject.toml says why).
NEEDED = {
    "numpy": ("numpy", (1, 26)),
    "PIL": ("pillow", (10, 1)),
    "safetensors": ("safetensors", (0, 8)),
    "segment_anything": ("segment-anything", (1, 0)),
    "sentencepiece": ("sentencepiece", (0, 2)),
    "torch": ("torch", (2, 6)),
    "torchvision": ("torchvision", (0, 21)),
    "transformers": ("transformers", (5,)),
}

# Nothing of a patient, and no word about a user, goes over the network.
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

# Threads that wait for each other sleep instead of running in circles: where 3D Slicer or another program uses the
# processor too, circling makes single images take seconds. OpenMP reads it when torch is imported.
_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}

# The first that fits.
_CODES: Mapping[type[BaseException], str] = {
    errors.QueryError: "query",
    errors.ReferenceNotFound: "reference",
    errors.ImageError: "image",
    errors.CheckpointError: "checkpoint",
    errors.OutOfMemory: "memory",
    errors.Cancelled: "cancelled",
    errors.PackagesError: "packages",
    errors.UnknownDialogue: "unknown-dialogue",
    errors.MediRoundError: "settings",
    ProtocolError: "protocol",
}


def main() -> int:
    """Serve until stdin ends or `shutdown` comes. Returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal that Slicer was started from is Slicer's
    os.environ.update(_OFFLINE | _PATIENT)
    source, sink = _take_pipes()
    faulthandler.enable(2)
    replies = os.fdopen(sink, "wb")

    def send(message: Message) -> None:
        replies.write(encode(message))
        replies.flush()

    missing = missing_packages()
    python = ".".join(map(str, sys.version_info[:3]))
    send(Message("hello", {"protocol": VERSION, "version": __version__, "python": python, "missing": missing}))
    _log(f"MediRound {__version__}, Python {python}, missing packages: {', '.join(missing) or 'none'}")
    return Worker(source, send).serve()


def missing_packages() -> list[str]:
    """The packages, by their names for pip, that the engine needs and this Python lacks or has too old."""
    return [name for module, (name, version) in NEEDED.items() if not _has(module, name, version)]


class Worker:
    """Takes requests in order; a thread reads them, so that `cancel` and the end of stdin are seen at any time.

    Args:
        source: file descriptor of the requests.
        send: takes each reply.
    """

    def __init__(self, source: int, send: Callable[[Message], None]) -> None:
        self._source = source
        self._send = send
        self._waiting: queue.Queue[Message] = queue.Queue()
        self._cancelled: set[int | None] = set()
        self._service: Service | None = None

    def serve(self) -> int:
        """Answer until `shutdown`. Returns the exit code."""
        threading.Thread(target=self._read, daemon=True).start()
        while True:
            request = self._waiting.get()
            if request.kind == "shutdown":
                return 0
            begun = time.perf_counter()
            try:
                check(request, REQUESTS)
                with _uncollected() if request.kind == "load" else nullcontext():
                    self._send(self._serving().handle(request))
                _log(f"{request.kind}: {time.perf_counter() - begun:.2f} s")
            except Exception as error:
                self._send(self._failed(request, error))
            self._cancelled.discard(request.id)

    def _serving(self) -> Service:
        if self._service is None:
            from MediRoundLib.service import Service

            self._service = Service(self._send, self._cancelled)
        return self._service

    def _failed(self, request: Message, error: Exception) -> Message:
        """The closing reply after `error`. Ends the process where the device is of no further use."""
        code, sentence = explain(error)
        _log(f"{request.kind}: {code}")
        if code == "internal":
            _log(type(error).__name__ + " at " + ", ".join(_places(error)))
            if "CUDA error" in str(error):
                _log("the CUDA device does not answer any more")
                os._exit(70)
        rounds = None if self._service is None else self._service.rounds(request.fields.get("dialogue"))
        return Message("failed", {"id": request.id, "code": code, "message": sentence, "rounds": rounds})

    def _read(self) -> None:
        decoder = Decoder()
        try:
            while data := os.read(self._source, 1 << 16):
                for request in decoder.feed(data):
                    if request.kind == "cancel":
                        self._cancelled.add(request.id)
                    else:
                        self._waiting.put(request)
        except ProtocolError as error:
            _log(str(error))
            os._exit(2)
        except OSError as error:
            _log(f"stdin failed: {error.strerror}")
        # Whoever asked is gone, and so is the need for whatever is being computed: there is nothing to put in order.
        os._exit(0)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection meanwhile; afterwards it passes over what is there now.

    Importing torch and transformers makes 600,000 objects, and collecting goes through them again and again: a sixth of
    the imports' time, and pauses of 0.4 s between rounds later. A second `load` lets go of the first one's model before
    it begins, and what it left in circles has to be found then.
    """
    gc.unfreeze()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def explain(error: Exception) -> tuple[str, str]:
    """A code of `protocol.CODES` and one sentence; an unexpected error's own text, which may tell things, stays out."""
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code, str(error)
    if isinstance(error, ImportError):
        return "packages", f"The engine cannot import {error.name or 'a package'}; install or update its packages."
    if errors.is_out_of_memory(error):
        return "memory", "The computer ran out of memory; close other programs, or choose a smaller checkpoint."
    return "internal", f"The engine failed ({type(error).__name__} at {_places(error)[-1]}); its log has the place."


def _places(error: Exception) -> list[str]:
    """Where it happened, outermost first: file, line and function, with no values."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def _has(module: str, name: str, version: tuple[int, ...]) -> bool:
    if find_spec(module) is None:
        return False
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return True  # there without pip's record: the import will show
    return tuple(int(part) for part in re.findall(r"\d+", installed)[: len(version)]) >= version


def _take_pipes() -> tuple[int, int]:
    """Descriptors of what are stdin and stdout now; afterwards stdin is empty, and what is printed goes to stderr."""
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (source, sink):
            msvcrt.setmode(descriptor, os.O_BINARY)
    return source, sink


def _log(text: str) -> None:
    print(f"mediround worker: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
