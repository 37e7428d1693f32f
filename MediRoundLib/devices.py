"""Where and in which number format a model runs, and what to say when the device is full."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from MediRoundLib.errors import MediRoundError, OutOfMemory

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@contextmanager
def memory_named(device: torch.device) -> Iterator[None]:
    """Turn the device's out-of-memory error into a sentence with the way out."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        if device.type == "cuda":
            torch.cuda.empty_cache()
        raise OutOfMemory(
            f"{device} ran out of memory; close other programs that use it, choose a smaller checkpoint, "
            "or run on the CPU (--device cpu)."
        ) from error


def choose_device(name: str) -> torch.device:
    """'auto' (CUDA where there is one, else the CPU), 'cpu', 'cuda' or 'cuda:N'.

    Raises:
        MediRoundError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise MediRoundError(f"There is no device {name}; use auto, cpu, cuda or cuda:N.") from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise MediRoundError(f"There is no {name}: {count} CUDA devices can be used here; use --device cpu.")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """'auto' (bfloat16 on CUDA, float32 on the CPU) or a type's name.

    Raises:
        MediRoundError: there is no such type.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise MediRoundError(f"There is no dtype {name}; use auto, {', '.join(_DTYPES)}.")
    return _DTYPES[name]
