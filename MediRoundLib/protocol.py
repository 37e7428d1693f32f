"""What the Slicer module and the engine process say to each other: framed messages over stdin and stdout. No torch.

A frame is 16 bytes (magic, size of the header, size of the payload), a JSON header and the arrays of the payload, one
after the other. `REQUESTS` and `REPLIES` list every message. The module sends requests in order; the engine process
(`MediRoundLib.worker`) answers them in order, each with one closing reply of the same `id`, and with `progress`
before it. Only `cancel` overtakes: it is read while another request runs.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # this file runs in any Python that a user may choose, so that `hello` can say what it lacks
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

VERSION = 1
# What the engine needs; an older one still says hello.
MIN_PYTHON = (3, 11)

MAGIC = b"MDR\x01"
_PREFIX = struct.Struct("<4sIQ")
MAX_HEADER = 4 << 20
MAX_PAYLOAD = 512 << 20

# Booleans travel as bits, eight to a byte.
_DTYPES = ("bool", "uint8", "float32")


class ProtocolError(Exception):
    """What came is not this protocol; the text is one clear sentence."""


@dataclass(frozen=True)
class Message:
    """One message: its kind (a key of `REQUESTS` or `REPLIES`), plain JSON fields, and named arrays.

    Arrays are bool, uint8 or float32 of any shape.
    """

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def id(self) -> int | None:
        """The request that this is or belongs to."""
        number = self.fields.get("id")
        return number if type(number) is int else None


@dataclass(frozen=True)
class Form:
    """What a message of one kind carries.

    Attributes:
        about: what it means.
        fields: JSON fields, all of them required, and their types.
        arrays: arrays that must be there; others may be.
    """

    about: str
    fields: Mapping[str, tuple[type, ...]] = field(default_factory=dict)
    arrays: tuple[str, ...] = ()


_ID = {"id": (int,)}
_NONE = type(None)
_NUMBER = (int, float)
_SCORE = (int, float, _NONE)

REQUESTS: Mapping[str, Form] = {
    "load": Form(
        "Load a checkpoint (folder or shipped name) onto a device; `loaded` answers. threshold: JCM's beta in [0, 1], "
        "null for the checkpoint's own. jcm: whether poor features are corrected. held_bytes: memory for the caches of "
        "all dialogues and images, those longest unused go first; null for a sensible one.",
        {
            **_ID,
            "checkpoint": (str,),
            "device": (str,),
            "dtype": (str,),
            "quantize": (str, _NONE),
            "threshold": _SCORE,
            "jcm": (bool,),
            "held_bytes": (int, _NONE),
        },
    ),
    "settings": Form("Change what needs no loading; `done` answers.", {**_ID, "threshold": _SCORE, "jcm": (bool,)}),
    "devices": Form("What this machine offers; `devices` answers. Needs no checkpoint.", dict(_ID)),
    "open": Form(
        "Begin dialogue `dialogue` about an image, (H, W) or (H, W, 3) uint8 as displayed; one of that name is "
        "replaced. `opened` answers.",
        {**_ID, "dialogue": (str,)},
        ("image",),
    ),
    "prefetch": Form(
        "Encode an image that may be opened soon, of the form that `open` has; it is held until other images and "
        "dialogues need its room. `done` answers.",
        dict(_ID),
        ("image",),
    ),
    "ask": Form(
        "Keep the first `keep` rounds of the dialogue, take in the rounds `told` (objects with query and answer, both "
        "exact; the mask that the k-th of them leaned on, if any, is the array `told<k>`, k from 0), then ask `query`, "
        "which leans on the (H, W) bool array `reference`, or on nothing. `answered` answers.",
        {**_ID, "dialogue": (str,), "keep": (int,), "told": (list,), "query": (str,)},
    ),
    "cancel": Form("Give up request `id`, running or waiting: it `failed`, with the code cancelled.", dict(_ID)),
    "close": Form("Forget a dialogue, if it is there; `done` answers.", {**_ID, "dialogue": (str,)}),
    "shutdown": Form("End the process. The end of stdin does the same."),
}

REPLIES: Mapping[str, Form] = {
    "hello": Form(
        "The first message, before anything heavy is imported. missing: packages to install, as pip names them.",
        {"protocol": (int,), "version": (str,), "python": (str,), "missing": (list,)},
    ),
    "progress": Form(
        "A stage of a request began: loading, encoding, replaying, reading, judging, drawing. fraction in [0, 1], or "
        "null.",
        {**_ID, "stage": (str,), "fraction": _SCORE},
    ),
    "loaded": Form(
        "name and stage of the checkpoint; device: an entry as in `devices`; threshold in effect.",
        {**_ID, "name": (str,), "stage": (int,), "device": (dict,), "dtype": (str,), "threshold": _NUMBER},
    ),
    "devices": Form(
        "devices: a list of {id: cpu or cuda:N, name, free and total memory in bytes or null, bf16: whether bfloat16 "
        "is native}, CUDA devices first.",
        {**_ID, "devices": (list,)},
    ),
    "opened": Form("The image is encoded.", {**_ID, "dialogue": (str,)}),
    "answered": Form(
        "One more round; `mask` is (H, W) bool, and the fields are those of `engine.Round`. rounds: how many the "
        "dialogue has now.",
        {
            **_ID,
            "answer": (str,),
            "quality": _SCORE,
            "quality_corrected": _SCORE,
            "corrected": (bool,),
            "whole_image": (bool,),
            "seconds": _NUMBER,
            "model": (str,),
            "threshold": _NUMBER,
            "rounds": (int,),
        },
        ("mask",),
    ),
    "done": Form("The request was carried out.", dict(_ID)),
    "failed": Form(
        "The request was not carried out, for one of `CODES`; message: one sentence. id null: no request. rounds: how "
        "many the dialogue has now, null where that is not known.",
        {"id": (int, _NONE), "code": (str,), "message": (str,), "rounds": (int, _NONE)},
    ),
}

CODES: Mapping[str, str] = {
    "query": "the query cannot be asked",
    "reference": "the reference does not fit",
    "image": "the image cannot be opened",
    "checkpoint": "the weights cannot be loaded",
    "settings": "no such device, number format or quantization here",
    "packages": "a package is missing, damaged or too old",
    "memory": "the device is full",
    "cancelled": "the user gave it up",
    "unknown-dialogue": "the dialogue, or so many rounds of it, is not held (any more): open it again",
    "protocol": "the message is not one of this protocol",
    "internal": "a fault in the engine; its log has the place",
}


def check(message: Message, forms: Mapping[str, Form]) -> Message:
    """The message, if it is one of `forms` with everything that its form lists.

    Raises:
        ProtocolError: it is not.
    """
    form = forms.get(message.kind)
    if form is None:
        raise ProtocolError(f"There is no message {message.kind[:40]!r} in version {VERSION} of this protocol.")
    for name, types in form.fields.items():
        if name not in message.fields or type(message.fields[name]) not in types:
            raise ProtocolError(f"The message {message.kind} has no field {name} of the right type.")
    for name in form.arrays:
        if name not in message.arrays:
            raise ProtocolError(f"The message {message.kind} lacks the array {name}.")
    return message


def encode(message: Message) -> bytes:
    """The message's frame.

    Raises:
        ProtocolError: it is larger than a frame may be, or holds an array of another type.
    """
    listed, parts = [], []
    for name, array in message.arrays.items():
        if array.dtype.name not in _DTYPES:
            raise ProtocolError(f"The array {name} is {array.dtype.name}; {', '.join(_DTYPES)} can be sent.")
        listed.append({"name": name, "dtype": array.dtype.name, "shape": list(array.shape)})
        parts.append(_to_bytes(array))
    header = json.dumps({"kind": message.kind, "fields": message.fields, "arrays": listed}, allow_nan=False).encode()
    payload = b"".join(parts)
    if len(header) > MAX_HEADER or len(payload) > MAX_PAYLOAD:
        raise ProtocolError(
            f"The message {message.kind} is too large ({len(header)} and {len(payload)} bytes; "
            f"at most {MAX_HEADER} and {MAX_PAYLOAD})."
        )
    return _PREFIX.pack(MAGIC, len(header), len(payload)) + header + payload


class Decoder:
    """Turns what comes through a pipe, in pieces of any size, back into messages.

    ```
    decoder = Decoder()
    for message in decoder.feed(process.readAllStandardOutput().data()): ...
    ```
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes.

        Raises:
            ProtocolError: it is no frame, or one larger than allowed; the decoder is of no further use.
        """
        self._buffer += data
        return list(self._complete())

    def _complete(self) -> Iterator[Message]:
        while self._buffer:
            if not MAGIC.startswith(self._buffer[: len(MAGIC)]):
                raise ProtocolError("What came is not a message of MediRound's engine process.")
            if len(self._buffer) < _PREFIX.size:
                return
            _, header_size, payload_size = _PREFIX.unpack_from(self._buffer)
            if header_size > MAX_HEADER or payload_size > MAX_PAYLOAD:
                raise ProtocolError(f"A message of {header_size} and {payload_size} bytes came, which is too large.")
            payload_start = _PREFIX.size + header_size
            end = payload_start + payload_size
            if len(self._buffer) < end:
                return
            message = _decode(self._buffer[_PREFIX.size : payload_start], self._buffer[payload_start:end])
            del self._buffer[:end]
            yield message


def _decode(header: bytearray, payload: bytearray) -> Message:
    try:
        content = json.loads(header.decode())
        kind, fields = content["kind"], content["fields"]
        if type(kind) is not str or type(fields) is not dict:
            raise TypeError
        arrays, start = {}, 0
        for one in content["arrays"]:
            shape = tuple(int(length) for length in one["shape"])
            size = _bytes_of(one["dtype"], shape)
            if start + size > len(payload):
                raise ValueError
            arrays[str(one["name"])] = _from_bytes(payload[start : start + size], one["dtype"], shape)
            start += size
        if start != len(payload):
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ProtocolError("A damaged message came.") from error
    return Message(kind, fields, arrays)


def _bytes_of(dtype: str, shape: tuple[int, ...]) -> int:
    if dtype not in _DTYPES or any(length < 0 for length in shape):
        raise ValueError(dtype)
    count = math.prod(shape)
    return (count + 7) // 8 if dtype == "bool" else count * (4 if dtype == "float32" else 1)


def _to_bytes(array: NDArray[Any]) -> bytes:
    import numpy as np

    if array.dtype == np.bool_:
        return np.packbits(array).tobytes()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _from_bytes(data: bytearray, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """A new array, which its receiver may write to. Raises ValueError for too few bytes."""
    import numpy as np

    if dtype == "bool":
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=math.prod(shape))
        return bits.reshape(shape).view(np.bool_)
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)
