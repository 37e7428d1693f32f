"""The language model in 4 and 8 bits."""

import pytest
import torch
from builders import small_checkpoint

from MediRoundLib.engine import Engine
from MediRoundLib.quantization import quantize_language_model

pytest.importorskip("bitsandbytes", reason="needs the quantize extra")

CPU = torch.device("cpu")


def test_features_beside_an_outlier_survive_8_bits(caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = small_checkpoint("all global")
    weight = checkpoint.model.llava.model.language_model.layers[0].mlp.up_proj.weight.detach().clone()
    quantize_language_model(checkpoint.model, "8bit", torch.float32)
    layer = Engine(checkpoint, CPU, torch.float32).model.llava.model.language_model.layers[0].mlp.up_proj
    inputs = torch.randn(20, weight.shape[1], generator=torch.Generator().manual_seed(0))
    inputs[:, 7] *= 60

    def error() -> float:
        expected = inputs @ weight.T
        with torch.inference_mode():
            return float((layer(inputs) - expected).norm() / expected.norm())

    with_threshold = error()
    layer.state.threshold = 0.0
    assert with_threshold < 0.01
    assert with_threshold < error() / 3
    assert not caplog.records
