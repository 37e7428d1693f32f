"""Number formats and devices, as far as a machine without a GPU can tell."""

import pytest
import torch

from MediRoundLib.devices import keep_exact


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
