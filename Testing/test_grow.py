"""A deepened language model: more layers, the same answers; a recipe asks for it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from builders import picture

from MediRoundLib.checkpoints import load_checkpoint, load_native, save_native
from MediRoundLib.engine import Engine
from MediRoundLib.errors import MediRoundError
from training.grow import deepened


@pytest.mark.parametrize("more", [1, 2, 4])
def test_it_answers_as_before(more: int, tmp_path: Path) -> None:
    begun = load_checkpoint("mediround-tiny")
    old = int(begun.config.language["num_hidden_layers"])
    grown = deepened(begun, old + more)
    assert len(grown.model.llava.model.language_model.layers) == old + more
    save_native(tmp_path, grown.model, grown.tokenizer)
    engines = [Engine(each, torch.device("cpu"), torch.float32) for each in (begun, load_native(tmp_path))]
    dialogues = [engine.open(picture()) for engine in engines]
    for query in ("Segment the left kidney.", "And the other one?"):
        before, after = (dialogue.ask(query) for dialogue in dialogues)
        np.testing.assert_allclose(after.logits, before.logits, atol=1e-4)
        assert after.quality == pytest.approx(before.quality, abs=1e-5)


def test_new_layers_can_learn() -> None:
    """Both projections that are zero at first get a gradient, and by them everything behind them."""
    begun = load_checkpoint("mediround-tiny")
    old = int(begun.config.language["num_hidden_layers"])
    grown = deepened(begun, old + 1).model
    hidden = grown.think(torch.randn(1, 5, begun.config.language["hidden_size"]))
    hidden.square().sum().backward()
    silent = [
        name
        for name, parameter in grown.llava.model.language_model.layers.named_parameters()
        if not parameter.any() and "proj" in name
    ]
    assert len(silent) == 2
    layers = dict(grown.llava.model.language_model.layers.named_parameters())
    for name in silent:
        gradient = layers[name].grad
        assert gradient is not None
        assert gradient.abs().max() > 0


def test_it_refuses_what_it_cannot_make() -> None:
    begun = load_checkpoint("mediround-tiny")
    old = int(begun.config.language["num_hidden_layers"])
    assert deepened(begun, old) is begun
    for layers in (old - 1, 2 * old + 1):
        with pytest.raises(MediRoundError, match=f"from {old} to {2 * old}"):
            deepened(begun, layers)
