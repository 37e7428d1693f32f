"""What the engine process does for each request: see `protocol.REQUESTS`. Imports torch when it is needed first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from MediRoundLib.errors import Cancelled, CheckpointError, MediRoundError, OutOfMemory, PackagesError, UnknownDialogue
from MediRoundLib.held import Held, image_key
from MediRoundLib.protocol import Message, ProtocolError

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from MediRoundLib.engine import Engine, Round
    from MediRoundLib.rounds import EncodedImage

Made = TypeVar("Made")

# The caches of all dialogues and images together: at most so many bytes, and on a CUDA device at most so large a part
# of the memory that the model leaves free.
MAX_HELD_BYTES = 2 << 30
MAX_HELD_SHARE = 0.25


class Service:
    """An engine, its dialogues, and the requests about them.

    Args:
        send: takes the replies that come before the closing one.
        cancelled: the ids of requests that were given up; another thread adds to it.
    """

    def __init__(self, send: Callable[[Message], None], cancelled: Collection[int | None]) -> None:
        self._send = send
        self._cancelled = cancelled
        self._engine: Engine | None = None
        self._jcm = True
        self._held = Held()
        self._bound = MAX_HELD_BYTES
        self._requests: dict[str, Callable[[Message], Message]] = {
            "load": self._load,
            "settings": self._settings,
            "devices": self._devices,
            "prefetch": self._prefetch,
            "open": self._open,
            "ask": self._ask,
            "close": self._close,
        }

    def handle(self, request: Message) -> Message:
        """The closing reply to a request that has its form.

        Raises:
            MediRoundError: it cannot be carried out, or was cancelled; dialogues are then as they were, except that
                earlier rounds which were taken in stay.
        """
        self._stop_if_cancelled(request)
        return self._requests[request.kind](request)

    def rounds(self, dialogue: object) -> int | None:
        """How many rounds a dialogue has; None where there is none of that name."""
        return self._held.rounds(dialogue)

    def _load(self, request: Message) -> Message:
        fields = request.fields
        threshold = _share(fields["threshold"])
        self._engine = None
        self._held.clear()
        self._progress(request, "loading", 0.0)
        devices = _imported("MediRoundLib.devices")
        devices.free_unused()
        self._progress(request, "loading", 0.3)
        engine_type = _imported("MediRoundLib.engine").Engine
        self._progress(request, "loading", 0.6)
        engine: Engine = engine_type.from_pretrained(
            fields["checkpoint"], fields["device"], fields["dtype"], fields["quantize"]
        )
        self._progress(request, "loading", 1.0)
        self._engine = engine
        self._set(threshold, fields["jcm"])
        device = devices.describe(engine.device)
        free = device["free"] if engine.device.type == "cuda" else None
        sensible = MAX_HELD_BYTES if free is None else min(MAX_HELD_BYTES, int(free * MAX_HELD_SHARE))
        self._bound = sensible if fields["held_bytes"] is None else fields["held_bytes"]
        return Message(
            "loaded",
            {
                "id": request.id,
                "name": engine.config.name,
                "stage": engine.config.stage,
                "device": device,
                "dtype": str(engine.dtype).removeprefix("torch."),
                "threshold": engine.threshold,
            },
        )

    def _settings(self, request: Message) -> Message:
        self._set(_share(request.fields["threshold"]), request.fields["jcm"])
        return Message("done", {"id": request.id})

    def _set(self, threshold: float | None, jcm: bool) -> None:
        engine = self._loaded()
        engine.threshold = engine.config.jcm.threshold if threshold is None else threshold
        self._jcm = jcm

    def _devices(self, request: Message) -> Message:
        return Message("devices", {"id": request.id, "devices": _imported("MediRoundLib.devices").offered()})

    def _prefetch(self, request: Message) -> Message:
        engine, image = self._loaded(), request.arrays["image"]
        self._encode(request, lambda: engine.encode(image))
        self._held.keep_within(self._bound)
        return Message("done", {"id": request.id})

    def _open(self, request: Message) -> Message:
        engine, name, image = self._loaded(), request.fields["dialogue"], request.arrays["image"]
        self._held.drop(name)
        self._progress(request, "encoding", None)
        key, encoded = self._encode(request, lambda: self._with_room(name, lambda: engine.encode(image)))
        self._held.add(name, engine.begin(encoded), key)
        self._held.keep_within(self._bound)
        return Message("opened", {"id": request.id, "dialogue": name})

    def _ask(self, request: Message) -> Message:
        engine, name, keep = self._loaded(), request.fields["dialogue"], request.fields["keep"]
        told, reference = _earlier_rounds(request), request.arrays.get("reference")
        dialogue = self._held.dialogue(name)
        if dialogue is None or not 0 <= keep <= len(dialogue.rounds):
            raise UnknownDialogue("The engine does not hold this dialogue any more; open it again.")
        dialogue.rewind(keep)

        def ask() -> Round:
            for k in range(len(dialogue.rounds) - keep, len(told)):
                self._progress(request, "replaying", k / len(told))
                self._stop_if_cancelled(request)
                dialogue.tell(*told[k])
            self._progress(request, "reading", None)
            return dialogue.ask(request.fields["query"], False if reference is None else reference, jcm=self._jcm)

        pencil = engine.model.sam.mask_decoder.transformer.layers[0].self_attn  # what the decoder runs first
        with self._watched(request, {engine.model.judge: "judging", pencil: "drawing"}):
            made = self._with_room(name, ask)
        dialogue.forget_masks()
        self._held.keep_within(self._bound)
        return Message(
            "answered",
            {
                "id": request.id,
                "answer": made.answer,
                "quality": made.quality,
                "quality_corrected": made.quality_corrected,
                "corrected": made.corrected,
                "whole_image": made.whole_image,
                "seconds": made.seconds,
                "model": engine.config.name,
                "threshold": engine.threshold,
                "rounds": len(dialogue.rounds),
            },
            {"mask": made.mask},
        )

    def _close(self, request: Message) -> Message:
        self._held.drop(request.fields["dialogue"])
        return Message("done", {"id": request.id})

    def _encode(self, request: Message, encode: Callable[[], EncodedImage]) -> tuple[bytes, EncodedImage]:
        """The request's image with its key; `encode` makes it where it is not held."""
        key = image_key(request.arrays["image"])
        encoded = self._held.image(key)
        if encoded is None:
            with self._watched(request):
                encoded = encode()
            self._held.add_image(key, encoded)
        return key, encoded

    def _loaded(self) -> Engine:
        if self._engine is None:
            raise CheckpointError("No checkpoint is loaded; choose one in the settings.")
        return self._engine

    def _progress(self, request: Message, stage: str, fraction: float | None) -> None:
        self._send(Message("progress", {"id": request.id, "stage": stage, "fraction": fraction}))

    def _stop_if_cancelled(self, request: Message) -> None:
        if request.id in self._cancelled:
            raise Cancelled("The query was cancelled.")

    @contextmanager
    def _watched(self, request: Message, stages: Mapping[nn.Module, str] | None = None) -> Iterator[None]:
        """Give the request up in front of any layer once it is cancelled; tell a stage when its module begins."""
        from torch.nn.modules.module import register_module_forward_pre_hook

        left = dict(stages or {})

        def look(module: nn.Module, _: object) -> None:
            self._stop_if_cancelled(request)
            if (stage := left.pop(module, None)) is not None:
                self._progress(request, stage, None)

        hook = register_module_forward_pre_hook(look)
        try:
            yield
        finally:
            hook.remove()

    def _with_room(self, name: str, work: Callable[[], Made]) -> Made:
        """`work` on a dialogue, once more without all others and their images where the device is full."""
        try:
            return work()
        except OutOfMemory:
            if not self._held.keep_only(name):
                raise
        _imported("MediRoundLib.devices").free_unused()
        return work()


def _imported(module: str) -> ModuleType:
    """A module of this library that needs torch.

    Raises:
        PackagesError: it cannot be imported.
    """
    try:
        return import_module(module)
    except Exception as error:  # whatever a package of another version, or half installed, comes up with
        reason = str(error).partition("\n")[0].rstrip(".")
        raise PackagesError(
            f"The engine's packages cannot be used here ({type(error).__name__}: {reason}); install them again."
        ) from error


def _share(threshold: float | None) -> float | None:
    if threshold is not None and not 0 <= threshold <= 1:
        raise MediRoundError(f"A quality threshold of {threshold} is not between 0 and 1.")
    return threshold


def _earlier_rounds(request: Message) -> list[tuple[str, str, NDArray[np.bool_] | None]]:
    """(query, exact answer, mask that it leaned on) of each round to take in."""
    rounds = []
    for k, one in enumerate(request.fields["told"]):
        if type(one) is not dict or any(type(one.get(name)) is not str for name in ("query", "answer")):
            raise ProtocolError("An earlier round has no query and answer.")
        rounds.append((one["query"], one["answer"], request.arrays.get(f"told{k}")))
    return rounds
