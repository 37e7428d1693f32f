"""Where and in which number format a model runs, and what to say when the device is full."""

import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from MediRoundLib.errors import MediRoundError, OutOfMemory, is_out_of_memory

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@contextmanager
def memory_named(device: torch.device) -> Iterator[None]:
    """Turn the device's out-of-memory error into a sentence with the way out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if device.type == "cuda":
            torch.cuda.empty_cache()
        raise OutOfMemory(
            f"{device} ran out of memory; close other programs that use it, choose a smaller checkpoint, "
            "or run on the CPU (--device cpu)."
        ) from error


@contextmanager
def at_most_threads(count: int | None) -> Iterator[None]:
    """Let torch use at most so many threads of the processor meanwhile; None for as many as it likes."""
    before = torch.get_num_threads()
    if count is None or count >= before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def free_unused() -> None:
    """Give memory that tensors have let go of back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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


def keep_exact(device: torch.device, dtype: torch.dtype) -> None:
    """Let convolutions of a float32 model on a GPU be float32: PyTorch rounds their factors to TF32 by default.

    Matrix products are exact by default, and the switch is one for the whole process: other models there become exact,
    too, and a little slower.
    """
    if device.type == "cuda" and dtype == torch.float32:
        torch.backends.cudnn.allow_tf32 = False


def describe(device: torch.device) -> dict[str, Any]:
    """A device for people: id, name, free and total memory in bytes (None where unknown), and native bfloat16."""
    if device.type != "cuda":
        free, total = _computer_memory()
        bf16 = _processor_has_bf16()
        return {"id": device.type, "name": device.type.upper(), "free": free, "total": total, "bf16": bf16}
    index = device.index or 0
    free, total = torch.cuda.mem_get_info(index)
    return {
        "id": f"cuda:{index}",
        "name": torch.cuda.get_device_name(index),
        "free": free,
        "total": total,
        "bf16": torch.cuda.get_device_capability(index) >= (8, 0),
    }


def forget_peak(device: torch.device) -> None:
    """Let `peak_memory` of a CUDA device begin anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_reserved(device: torch.device) -> int | None:
    """Most bytes of a CUDA device that torch held since `forget_peak`, in use or not; None elsewhere."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None


def peak_memory(device: torch.device) -> int | None:
    """Most bytes in use at once: by tensors on a CUDA device since `forget_peak`, else by this process ever.

    None where the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def offered() -> list[dict[str, Any]]:
    """Every device of this machine, see `describe`: CUDA devices first, then the CPU."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [describe(torch.device("cuda", index)) for index in range(count)] + [describe(torch.device("cpu"))]


def _processor_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself (x86 with AVX-512 or AMX, ARM), where torch tells."""
    told: Mapping[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # not in torch 2.6
    return any(told.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _computer_memory() -> tuple[int | None, int | None]:
    """(free, total) memory of the computer, where Linux tells it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
        return sizes["MemAvailable"], sizes["MemTotal"]
    except (OSError, ValueError, KeyError, IndexError):
        return None, None
