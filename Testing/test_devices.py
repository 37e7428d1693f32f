"""Number formats and devices, as far as a machine without a GPU can tell."""

import pytest
import torch

from MediRoundLib.devices import describe, keep_exact


@pytest.mark.parametrize(
    ("device", "dtype", "rounded"),
    [("cuda", torch.float32, False), ("cuda", torch.bfloat16, True), ("cpu", torch.float32, True)],
)
def test_float32_on_a_gpu_is_float32(
    device: str, dtype: torch.dtype, rounded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # PyTorch's default, put back afterwards
    keep_exact(torch.device(device), dtype)
    assert torch.backends.cudnn.allow_tf32 is rounded


@pytest.mark.parametrize(
    ("told", "bf16"),
    [
        ({"avx512_f": True, "avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"neon": True, "bf16": True}, True),
        ({"avx2": True, "avx512_bf16": False}, False),
    ],
)
def test_bfloat16_of_the_processor(told: dict[str, bool], bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert describe(torch.device("cpu"))["bf16"] is bf16


def test_bfloat16_where_torch_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert describe(torch.device("cpu"))["bf16"] is False
