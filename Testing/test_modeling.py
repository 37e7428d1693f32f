"""The model's own ways through its modules give what the modules' authors wrote, whatever the sizes."""

import pytest
import torch
from builders import SIZES, small_checkpoint
from torch import Tensor

from MediRoundLib.modeling import MediRound, language, sam_encoder
from MediRoundLib.modeling.language import KeyValues
from MediRoundLib.recompute import StockModel


@pytest.fixture(params=list(SIZES))
def model(request: pytest.FixtureRequest) -> MediRound:
    """A small model with relative positions and weights that matter."""
    made = small_checkpoint(request.param).model
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "rel_pos" in name or parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return made


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def same(found: Tensor, expected: Tensor) -> None:
    assert float(expected.std()) > 1e-3
    torch.testing.assert_close(found, expected, atol=2e-5 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("numbers", [1, 1 << 26])
def test_image_encoder(model: MediRound, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam_encoder, "_BIAS_NUMBERS", numbers)  # 1: each row of a window by itself
    size = model.config.sam.image_size
    pixels = random(2, 3, size, size)
    with torch.inference_mode():
        same(model.encode_image(pixels), StockModel(model).encode_image(pixels))


def test_image_encoder_learns(model: MediRound) -> None:
    size = model.config.sam.image_size
    pixels, table = random(1, 3, size, size), model.sam.image_encoder.blocks[0].attn.rel_pos_h
    found, expected = (
        torch.autograd.grad(way.encode_image(pixels).square().sum(), table)[0] for way in (model, StockModel(model))
    )
    same(found, expected)


def test_clip(model: MediRound) -> None:
    pixels, stock = random(3, 3, *[model.config.clip_image.size] * 2), StockModel(model)
    with torch.inference_mode():
        same(model.encode_patches(pixels), stock.encode_patches(pixels))
        same(model.encode_crops(pixels), stock.encode_crops(pixels))


def test_clip_learns(model: MediRound) -> None:
    pixels = random(2, 3, *[model.config.clip_image.size] * 2)
    weight = model.llava.model.vision_tower.encoder.layers[0].self_attn.q_proj.weight.requires_grad_()
    for name in ("encode_patches", "encode_crops"):
        found, expected = (
            torch.autograd.grad(getattr(way, name)(pixels).square().sum(), weight)[0]
            for way in (model, StockModel(model))
        )
        same(found, expected)


@pytest.mark.parametrize("count", [1, 3])
def test_mask_decoder(model: MediRound, count: int) -> None:
    sam = model.config.sam
    grid = sam.image_size // sam.patch_size
    embedding, features = random(1, sam.prompt_dim, grid, grid), random(count, sam.prompt_dim)
    with torch.inference_mode():
        same(model.decode(embedding, features), StockModel(model).decode(embedding, features))


def test_mask_decoder_learns(model: MediRound) -> None:
    sam = model.config.sam
    grid = sam.image_size // sam.patch_size
    embedding, features = random(1, sam.prompt_dim, grid, grid), random(2, sam.prompt_dim).requires_grad_()
    found, expected = (
        torch.autograd.grad(way.decode(embedding, features).square().sum(), features)[0]
        for way in (model, StockModel(model))
    )
    same(found, expected)


@pytest.mark.parametrize("window", [None, 9, 300])
def test_language_model_in_pieces(model: MediRound, window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every piece reads what came before; the memory grows twice, and forgets what it is told to."""
    monkeypatch.setattr(language, "_BLOCK", 16)
    mistral = model.llava.model.language_model
    mistral.config.sliding_window = window
    embeddings = 0.5 * random(40, mistral.config.hidden_size)
    held = KeyValues()
    with torch.inference_mode():
        expected = model.think(embeddings[None])[0]
        same(model.read(embeddings[:20], held, 4), expected[4:5])
        model.read(random(9, embeddings.shape[1]), held, -1)
        held.length = 20
        same(model.read(embeddings[20:21], held, 0), expected[20:21])
        same(model.read(embeddings[21:], held, -3), expected[-3:-2])
    assert held.length == 40
