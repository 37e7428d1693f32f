"""Folders that look like checkpoints from outside: right config and file headers, next to no weights."""

import json
import struct
from pathlib import Path

from MediRoundLib.shipped import DEFAULT, SHIPPED


def header(path: Path, *names: str, cut: int = 0) -> None:
    """A `.safetensors` file of two-byte tensors; `cut` bytes are missing at its end."""
    entries = {name: {"dtype": "F16", "shape": [1], "data_offsets": [2 * k, 2 * k + 2]} for k, name in enumerate(names)}
    text = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    data = struct.pack("<Q", len(text)) + text + bytes(2 * len(names))
    path.write_bytes(data[: len(data) - cut])


def native(folder: Path, stage: int = 2) -> Path:
    folder.mkdir()
    config = json.loads((SHIPPED / DEFAULT / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "stage": stage, "name": "mine"}), encoding="utf-8")
    (folder / "tokenizer.model").write_bytes(b"")
    header(folder / "model.safetensors", "a", "b")
    return folder


def released(folder: Path, *names: str) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llava_mistral", "jcm_threshold": 0.5}))
    (folder / "tokenizer.model").write_bytes(b"")
    if names:
        header(folder / "model.safetensors", *names)
    return folder
