"""The engine process's frames: any chunking, every kind of array, and garbage that is refused with a sentence."""

import ast
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MediRoundLib import protocol
from MediRoundLib.protocol import CODES, REPLIES, REQUESTS, Decoder, Form, Message, ProtocolError, check, encode

RANDOM = np.random.default_rng(0)

MESSAGES = [
    Message("shutdown"),
    Message("close", {"id": 1, "dialogue": "d"}),
    Message(
        "open", {"id": 2, "dialogue": "胸部 \udcb7"}, {"image": RANDOM.integers(0, 255, (9, 5, 3), dtype=np.uint8)}
    ),
    Message(
        "ask",
        {"id": 3, "dialogue": "d", "keep": 0, "told": [{"query": "q", "answer": "[SEG]."}], "query": "请分割左肺。"},
        {"told0": RANDOM.random((37, 53)) > 0.5, "reference": np.zeros((0, 4), dtype=bool)},
    ),
    Message("x", {"a": None, "b": 0.1, "c": [True]}, {"f": np.ones((3, 2), np.float32), "g": np.ones(1, dtype=bool)}),
]


def same(one: Message, other: Message) -> bool:
    return (
        (one.kind, one.fields, list(one.arrays)) == (other.kind, other.fields, list(other.arrays))
        and all(np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)
        and all(one.arrays[name].dtype == other.arrays[name].dtype for name in one.arrays)
    )


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 1000, 1 << 20])
def test_messages_survive_any_chunking(size: int) -> None:
    stream = b"".join(map(encode, MESSAGES))
    decoder, came = Decoder(), list[Message]()
    for start in range(0, len(stream), size):
        came += decoder.feed(stream[start : start + size])
    assert len(came) == len(MESSAGES)
    assert all(map(same, came, MESSAGES))


def test_arrays_that_come_can_be_written_to() -> None:
    (came,) = Decoder().feed(encode(MESSAGES[2]))
    came.arrays["image"][0, 0] = 7
    (came,) = Decoder().feed(encode(MESSAGES[3]))
    came.arrays["told0"][0, 0] = True


def test_masks_travel_as_bits() -> None:
    assert len(encode(Message("answered", {}, {"mask": np.ones((800, 1000), dtype=bool)}))) < 101_000


def test_sizes_that_are_no_multiple_of_eight() -> None:
    for count in range(1, 18):
        mask = RANDOM.random(count) > 0.5
        (came,) = Decoder().feed(encode(Message("x", {}, {"mask": mask})))
        np.testing.assert_array_equal(came.arrays["mask"], mask)


def test_views_of_arrays() -> None:
    image = RANDOM.integers(0, 255, (9, 8, 3), dtype=np.uint8)
    for view in (image[::-1], image[:, ::2], image.transpose(1, 0, 2), image.astype(">f4")):
        (came,) = Decoder().feed(encode(Message("x", {}, {"a": view})))
        np.testing.assert_array_equal(came.arrays["a"], view)


def frame(header: object, payload: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<4sIQ", protocol.MAGIC, len(text), len(payload)) + text + payload


@pytest.mark.parametrize(
    "garbage",
    [
        b"usage: python [option]",
        b"M",
        protocol.MAGIC[:3] + b"x",
        struct.pack("<4sIQ", protocol.MAGIC, 1 << 31, 0),
        struct.pack("<4sIQ", protocol.MAGIC, 2, 1 << 62),
        frame(b"\xff\xff"),
        frame(b"[" * 100_000),
        frame([1]),
        frame({"kind": 5, "fields": {}, "arrays": []}),
        frame({"kind": "x", "fields": {}}),
        frame({"kind": "x", "fields": {}, "arrays": [{"name": "a", "dtype": "object", "shape": [1]}]}, b"1"),
        frame({"kind": "x", "fields": {}, "arrays": [{"name": "a", "dtype": "uint8", "shape": [-1]}]}, b"1"),
        frame({"kind": "x", "fields": {}, "arrays": [{"name": "a", "dtype": "bool", "shape": [1 << 50]}]}, b"1"),
        frame({"kind": "x", "fields": {}, "arrays": [{"name": "a", "dtype": "uint8", "shape": [2]}]}, b"123"),
    ],
)
def test_garbage_is_refused(garbage: bytes) -> None:
    # A prefix of the magic may still become a frame.
    decoder = Decoder()
    if protocol.MAGIC.startswith(garbage):
        assert decoder.feed(garbage) == []
        garbage = b"ore text"
    with pytest.raises(ProtocolError):
        decoder.feed(garbage)


def test_what_cannot_be_sent() -> None:
    with pytest.raises(ProtocolError, match="float64"):
        encode(Message("x", {}, {"a": np.zeros(3)}))
    with pytest.raises(ProtocolError, match="too large"):
        encode(Message("x", {"query": "word " * 1_000_000}))
    with pytest.raises(ValueError, match="JSON"):
        encode(Message("x", {"quality": float("nan")}))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Message("sing"), "no message 'sing'"),
        (Message("open", {"id": 1}), "no field dialogue"),
        (Message("open", {"id": True, "dialogue": "d"}), "no field id"),
        (Message("open", {"id": 1, "dialogue": "d"}), "lacks the array image"),
    ],
)
def test_forms_are_kept(message: Message, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        check(message, REQUESTS)


def test_every_message_is_described() -> None:
    forms: dict[str, Form] = {**REQUESTS, **REPLIES}
    assert all(form.about.endswith(".") for form in forms.values())
    assert all("id" in form.fields for kind, form in forms.items() if kind not in ("hello", "shutdown"))
    assert not any(about.endswith(".") for about in CODES.values())


def test_a_message_without_a_number_is_of_no_request() -> None:
    odd: list[Any] = [None, "1", True]
    assert [Message("x", {"id": number}).id for number in odd] == [None] * 3
    assert (Message("x").id, Message("x", {"id": 3}).id) == (None, 3)


def test_it_is_light_and_runs_in_old_pythons() -> None:
    """`hello` has to come from any Python that a user may choose, also one without numpy."""
    folder = Path(protocol.__file__).parent
    for name in ("__init__", "protocol", "worker"):
        ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"), feature_version=(3, 8))
    code = "import sys, MediRoundLib.worker; print(sorted({'numpy', 'torch', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
