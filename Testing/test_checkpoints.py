"""Every layout of checkpoints gives the same model; whatever is not whole is refused with words."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import (
    SIZES,
    Layout,
    replies,
    small_checkpoint,
    write_clip,
    write_parts,
    write_released,
)

from MediRoundLib.checkpoints import (
    Checkpoint,
    join_pretrained,
    load_checkpoint,
    load_native,
    load_released,
    save_native,
    save_released,
    vision,
)
from MediRoundLib.checkpoints.files import read_tensors
from MediRoundLib.checkpoints.names import VISION_PREFIX, released_state
from MediRoundLib.cli import main
from MediRoundLib.config import MediRoundConfig
from MediRoundLib.engine import Engine
from MediRoundLib.errors import CheckpointError

LAYOUTS = {
    "as zero_to_fp32 writes it": Layout(),
    "no prefix": Layout(prefix=""),
    "data-parallel prefix": Layout(prefix="module.base_model.model."),
    "lora": Layout(lora="default"),
    "lora of newer peft": Layout(lora="default", base_layer=True),
    "lora without adapter name": Layout(prefix="", lora=""),
    "shards": Layout(files=3),
    "safetensors": Layout(suffix=".safetensors"),
    "safetensors shards with lora": Layout(suffix=".safetensors", files=2, lora="default", base_layer=True),
    "tower in its own folder": Layout(tower_in_state=False),
}


# The same weights at another address in memory: on some processors the kernels sum them in another order.
ROUNDING = 1e-5


def assert_same_replies(one: Checkpoint, other: Checkpoint, tolerance: float = ROUNDING) -> None:
    np.testing.assert_allclose(replies(one), replies(other), atol=tolerance, rtol=0)


@pytest.fixture(scope="module")
def small() -> Checkpoint:
    return small_checkpoint()


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_released_layouts_are_one_model(tmp_path: Path, small: Checkpoint, layout: Layout) -> None:
    write_released(tmp_path, small, layout)
    loaded = load_checkpoint(tmp_path)
    assert loaded.config.stage == 2
    assert_same_replies(loaded, small, ROUNDING if layout.lora is None else 1e-4)


@pytest.mark.parametrize("sizes", SIZES)
def test_sizes_are_read_from_the_files(tmp_path: Path, sizes: str) -> None:
    made = small_checkpoint(sizes)
    write_released(tmp_path / "released", made, Layout())
    loaded = load_released(tmp_path / "released")
    assert replace(loaded.config.sam, mlp_ratio=0) == replace(made.config.sam, mlp_ratio=0)
    assert loaded.config.jcm == made.config.jcm
    assert loaded.config.clip_image == made.config.clip_image
    assert_same_replies(loaded, made)
    save_native(tmp_path / "native", made.model, made.tokenizer)
    native = load_checkpoint(tmp_path / "native")
    assert native.config == made.config
    assert_same_replies(native, made)


@pytest.mark.parametrize("sizes", SIZES)
def test_native_to_released_and_back(tmp_path: Path, sizes: str) -> None:
    made = small_checkpoint(sizes)
    made.model.config = replace(made.config, license="CC0-1.0", answers={"en": "[SEG] it is."}, close_up=True)
    save_released(tmp_path, made.model, made.tokenizer)
    loaded = load_checkpoint(tmp_path)
    assert (loaded.config.license, loaded.config.answers, loaded.config.close_up) == (
        "CC0-1.0",
        {"en": "[SEG] it is."},
        True,
    )
    assert_same_replies(loaded, made)


def test_released_without_jcm_is_of_stage_1(tmp_path: Path, small: Checkpoint) -> None:
    write_released(tmp_path, small, Layout(jcm=False))
    loaded = load_checkpoint(tmp_path)
    assert loaded.config.stage == loaded.model.config.stage == 1


@pytest.mark.parametrize("stage", [0, 1])
def test_native_before_stage_2_has_no_jcm(tmp_path: Path, stage: int) -> None:
    made = small_checkpoint(stage=stage)
    save_native(tmp_path, made.model, made.tokenizer)
    first, second = load_native(tmp_path), load_native(tmp_path)
    assert first.config.stage == stage
    assert_same_replies(first, made)
    # Stage 2 training begins with the same judge and corrector each time.
    for own, other in zip(first.model.judge.parameters(), second.model.judge.parameters(), strict=True):
        torch.testing.assert_close(own, other, atol=0, rtol=0)


def test_native_stage_2_without_jcm_is_refused(tmp_path: Path) -> None:
    made = small_checkpoint(stage=1)
    save_native(tmp_path, made.model, made.tokenizer)
    replace(made.config, stage=2).save(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match=r"mask_quality_MLP\.fc1\.weight"):
        load_native(tmp_path)


@pytest.mark.parametrize(
    ("save", "weights"), [(save_native, "model.safetensors"), (save_released, "pytorch_model.bin")]
)
def test_saving_over_the_file_that_was_loaded(
    save: Callable[..., None], weights: str, tmp_path: Path, small: Checkpoint
) -> None:
    """Weights may be mapped from the file: writing must neither change the loaded model nor be changed by it."""
    save(tmp_path, small.model, small.tokenizer)
    written = sorted(tmp_path.iterdir())
    loaded = load_checkpoint(tmp_path)
    with torch.no_grad():
        loaded.model.bbox_encoder.weight.mul_(2)
    assert_same_replies(load_checkpoint(tmp_path), small)
    save(tmp_path, loaded.model, loaded.tokenizer)
    assert_same_replies(load_checkpoint(tmp_path), loaded)
    assert sorted(tmp_path.iterdir()) == written
    assert (tmp_path / weights).stat().st_mode & 0o777 == (tmp_path.stat().st_mode & 0o666)


@pytest.mark.parametrize("archive", [True, False])
def test_pickled_weights_are_mapped_where_they_can_be(
    archive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, load, told = tmp_path / "old.bin", torch.load, list[object]()

    def noted(*args: Any, **kwargs: Any) -> Any:
        told.append(kwargs["mmap"])
        return load(*args, **kwargs)

    weights = torch.arange(6.0).view(2, 3)
    torch.save({"weight": weights}, path, _use_new_zipfile_serialization=archive)
    monkeypatch.setattr(torch, "load", noted)
    assert torch.equal(read_tensors(path)["weight"], weights)
    assert told == [archive]


def test_float16_file_in_bfloat16_memory(tmp_path: Path, small: Checkpoint) -> None:
    save_native(tmp_path, small.model, small.tokenizer, dtype=torch.float16)
    assert load_native(tmp_path).model.dtype == torch.float32
    assert load_checkpoint(tmp_path, dtype=torch.bfloat16).model.dtype == torch.bfloat16


@pytest.mark.parametrize("tower_in_state", [True, False])
def test_pretrained_parts_are_joined(tmp_path: Path, small: Checkpoint, tower_in_state: bool) -> None:
    llava_med, medsam = write_parts(tmp_path, small, tower_in_state, files=2)
    out = tmp_path / "base"
    assert main(["convert", "--llava-med", str(llava_med), "--medsam", str(medsam), str(out)]) == 0
    joined = load_native(out)
    assert joined.config.stage == 0
    pieces = small.tokenizer.pieces
    assert joined.config.tokens == small.config.tokens
    before, after = released_state(small.model), released_state(joined.model)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        torch.testing.assert_close(after[name][:pieces], before[name][:pieces], atol=0, rtol=0)
        assert 0.005 < float(after[name][pieces:].std()) < 0.05
    pretrained = [name for name in before if name.startswith(("model.visual_model", "model.layers", VISION_PREFIX))]
    for name in pretrained:
        torch.testing.assert_close(after[name], before[name], atol=0, rtol=0)
    again = join_pretrained(llava_med, medsam)
    torch.testing.assert_close(again.model.bbox_encoder.weight, joined.model.bbox_encoder.weight, atol=0, rtol=0)
    with pytest.raises(CheckpointError, match="untrained"):
        Engine.from_pretrained(out)


def test_convert_there_and_back(tmp_path: Path, small: Checkpoint) -> None:
    write_released(tmp_path / "a", small, Layout(lora="default"))
    assert main(["convert", str(tmp_path / "a"), str(tmp_path / "b"), "--license", "CC-BY-4.0"]) == 0
    assert main(["convert", str(tmp_path / "b"), str(tmp_path / "c"), "--to", "released"]) == 0
    assert "CC-BY-4.0" in (tmp_path / "b" / "README.md").read_text()
    first = load_checkpoint(tmp_path / "a")
    assert_same_replies(load_checkpoint(tmp_path / "b"), first)
    assert_same_replies(load_checkpoint(tmp_path / "c"), first)


def test_lora_alpha_can_be_told(tmp_path: Path, small: Checkpoint) -> None:
    write_released(tmp_path, small, Layout(lora="default"))
    other = load_released(tmp_path, lora_alpha=4.0)
    assert not np.allclose(replies(other), replies(small), atol=1e-3)


def test_whole_clip_folder_with_text_half(tmp_path: Path, small: Checkpoint) -> None:
    """CLIP as OpenAI published it: vision config nested, text tensors beside, one format a second time."""
    write_released(tmp_path, small, Layout(tower_in_state=False))
    clip = tmp_path / "clip"
    weights = {name: tensor for name, tensor in released_state(small.model).items() if name.startswith(VISION_PREFIX)}
    write_clip(clip, small.config, weights)
    (clip / "config.json").write_text(json.dumps({"model_type": "clip", "vision_config": small.config.vision}))
    torch.save(
        {"text_model.final_layer_norm.weight": torch.ones(4), "vision_model.embeddings.position_ids": torch.arange(3)}
        | {"vision_model." + name.removeprefix(VISION_PREFIX): tensor for name, tensor in weights.items()},
        clip / "pytorch_model.bin",
    )
    (clip / "model.safetensors").unlink()
    assert_same_replies(load_checkpoint(tmp_path), small)


def _hub_name(folder: Path, monkeypatch: pytest.MonkeyPatch, cached: Path | None) -> None:
    """Let the checkpoint name its vision tower as the hub does, and say where the hub's cache has it."""
    _rewrite_config(folder, mm_vision_tower="openai/clip-vit-base-patch16")
    found = None if cached is None else str(cached / "config.json")
    monkeypatch.setattr(vision, "try_to_load_from_cache", lambda name, file: found)


def test_vision_tower_in_the_hub_cache(tmp_path: Path, small: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    write_released(tmp_path / "model", small, Layout(tower_in_state=False))
    (tmp_path / "model" / "clip").rename(tmp_path / "cached")
    _hub_name(tmp_path / "model", monkeypatch, tmp_path / "cached")
    assert_same_replies(load_checkpoint(tmp_path / "model"), small)


def test_published_vision_tower_needs_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = small_checkpoint("published tower")
    write_released(tmp_path, made, Layout())
    shutil.rmtree(tmp_path / "clip")
    _hub_name(tmp_path, monkeypatch, None)
    loaded = load_checkpoint(tmp_path)
    assert loaded.config.vision == made.config.vision
    assert_same_replies(loaded, made)


def _weights(folder: Path) -> Path:
    return folder / "pytorch_model.bin"


def _edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = torch.load(_weights(folder), weights_only=True)
    change(state)
    torch.save(state, _weights(folder))


def _rewrite_config(folder: Path, **fields: object) -> None:
    content = json.loads((folder / "config.json").read_text())
    content.update(fields)
    (folder / "config.json").write_text(json.dumps({key: value for key, value in content.items() if value != "gone"}))


P = "base_model.model."


def _deepspeed(folder: Path) -> None:
    _weights(folder).unlink()
    (folder / "global_step10").mkdir()
    (folder / "global_step10" / "mp_rank_00_model_states.pt").write_bytes(b"")


def _no_tower(folder: Path) -> None:
    _edit(folder, lambda state: [state.pop(name) for name in list(state) if "vision_tower" in name])
    _rewrite_config(folder, mm_vision_tower="nobody/no-such-clip")


def _pickle(folder: Path) -> None:
    with _weights(folder).open("wb") as file:
        pickle.dump({"model": Path("x")}, file, protocol=2)


# What is broken, and what the message has to name.
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "deepspeed directory": (_deepspeed, "zero_to_fp32"),
    "no weights": (lambda f: _weights(f).unlink(), "holds no weights"),
    "truncated weights": (lambda f: _weights(f).write_bytes(_weights(f).read_bytes()[:1000]), "damaged"),
    "python objects": (_pickle, "safety"),
    "nested state": (lambda f: torch.save({"module": {"a": torch.ones(1)}}, _weights(f)), "plain state dict"),
    "missing tensor": (lambda f: _edit(f, lambda s: s.pop(P + "model.norm.weight")), r"model\.norm\.weight"),
    "missing head": (lambda f: _edit(f, lambda s: s.pop(P + "model.bbox_encoder.bias")), r"bbox_encoder\.bias"),
    "half a JCM": (lambda f: _edit(f, lambda s: s.pop(P + "model.refine_MLP.fc2.bias")), r"refine_MLP\.fc2\.bias"),
    "no judge": (
        lambda f: _edit(f, lambda s: [s.pop(n) for n in list(s) if "mask_quality_MLP" in n]),
        r"mask_quality_MLP\.fc1",
    ),
    "missing SAM": (
        lambda f: _edit(f, lambda s: s.pop(P + "model.visual_model.image_encoder.pos_embed")),
        r"image_encoder\.pos_embed",
    ),
    "missing language model": (
        lambda f: _edit(f, lambda s: s.pop(P + "model.embed_tokens.weight")),
        r"embed_tokens\.weight",
    ),
    "unexpected tensor": (lambda f: _edit(f, lambda s: s.update({P + "model.extra": torch.ones(1)})), r"model\.extra"),
    "wrong shape": (
        lambda f: _edit(f, lambda s: s.update({P + "model.norm.weight": torch.ones(7)})),
        r"model\.norm\.weight is \(7,\), not \(32,\)",
    ),
    "half a LoRA": (
        lambda f: _edit(
            f, lambda s: s.update({P + "model.layers.0.self_attn.q_proj.lora_A.default.weight": torch.ones(2, 32)})
        ),
        r"layers\.0\.self_attn\.q_proj is incomplete",
    ),
    "name twice": (lambda f: _edit(f, lambda s: s.update({"model.norm.weight": torch.ones(32)})), "twice"),
    "two files disagree": (
        lambda f: torch.save({P + "model.norm.weight": torch.ones(32)}, f / "more.bin"),
        "twice",
    ),
    "missing shard": (
        lambda f: (f / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "pytorch_model-2.bin"}}'),
        r"pytorch_model-2\.bin",
    ),
    "medisee": (lambda f: _edit(f, lambda s: s.update({P + "model.router_seg.0.weight": torch.ones(1)})), "MediSee"),
    "no config": (lambda f: (f / "config.json").unlink(), r"config\.json is missing"),
    "config no object": (lambda f: (f / "config.json").write_text("[1]"), "no JSON object"),
    "config no JSON": (lambda f: (f / "config.json").write_text("{"), "JSON"),
    "config lacks a size": (lambda f: _rewrite_config(f, hidden_size="gone"), "hidden_size"),
    "config of another model": (lambda f: _rewrite_config(f, intermediate_size=50), r"mlp\.\w+\.weight is"),
    "config does not fit together": (lambda f: _rewrite_config(f, hidden_act="nonsense"), "do not fit together"),
    "scaled positions": (lambda f: _rewrite_config(f, rope_scaling={"factor": 2}), "rope_scaling"),
    "no tokenizer": (lambda f: (f / "tokenizer.model").unlink(), r"tokenizer\.model is missing"),
    "damaged tokenizer": (lambda f: (f / "tokenizer.model").write_bytes(b"no"), "not a SentencePiece model"),
    "no vision tower": (_no_tower, "no-such-clip"),
    "unknown heads of the vision tower": (lambda f: _rewrite_config(f, mm_vision_tower="gone"), "heads"),
    "preprocessing of another tower": (
        lambda f: (f / "clip" / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 99}}'),
        "99 pixels",
    ),
}


@pytest.mark.parametrize(("spoil", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_released_checkpoints_are_named(
    tmp_path: Path, small: Checkpoint, spoil: Callable[[Path], object], words: str
) -> None:
    write_released(tmp_path, small, Layout())
    spoil(tmp_path)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(tmp_path)


NATIVE_BROKEN: dict[str, tuple[Callable[[Path, MediRoundConfig], object], str]] = {
    "no weights": (lambda f, c: (f / "model.safetensors").unlink(), r"model\.safetensors does not exist"),
    "damaged weights": (lambda f, c: (f / "model.safetensors").write_bytes(b"123456789"), "damaged"),
    "no tokenizer": (lambda f, c: (f / "tokenizer.model").unlink(), r"tokenizer\.model is missing"),
    "newer format": (lambda f, c: _rewrite_config(f, format_version=99), "99"),
    "unknown field": (lambda f, c: _rewrite_config(f, colour="blue"), "colour"),
    "no rope_theta": (
        lambda f, c: _rewrite_config(f, language={k: v for k, v in c.language.items() if k != "rope_theta"}),
        "rope_theta",
    ),
    "tokens outside the vocabulary": (
        lambda f, c: _rewrite_config(f, tokens={"seg": 9000, "box": 9001, "crop": 9002}),
        "9000",
    ),
    "other sizes": (lambda f, c: replace(c, jcm=replace(c.jcm, width=9)).save(f / "config.json"), "mask_quality_MLP"),
}


@pytest.mark.parametrize(("spoil", "words"), NATIVE_BROKEN.values(), ids=NATIVE_BROKEN.keys())
def test_broken_native_checkpoints_are_named(
    tmp_path: Path, small: Checkpoint, spoil: Callable[[Path, MediRoundConfig], object], words: str
) -> None:
    save_native(tmp_path, small.model, small.tokenizer)
    spoil(tmp_path, small.config)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(tmp_path)


def test_newer_zero_to_fp32_makes_a_folder(tmp_path: Path, small: Checkpoint) -> None:
    write_released(tmp_path, small, Layout(files=2))
    (tmp_path / "pytorch_model.bin.index.json").unlink()
    shards = list(tmp_path.glob("*.bin"))
    (tmp_path / "pytorch_model.bin").mkdir()
    for path in shards:
        path.rename(tmp_path / "pytorch_model.bin" / path.name)
    assert_same_replies(load_checkpoint(tmp_path), small)


def test_what_the_released_layout_cannot_hold(tmp_path: Path, small: Checkpoint) -> None:
    heads = replace(small.config, sam=replace(small.config.sam, decoder_heads=4))
    tokens = replace(small.config, tokens=replace(small.config.tokens, seg=5))
    for config, words in ((heads, "8 heads"), (tokens, r"\[SEG\]")):
        other = small_checkpoint()
        other.model.config = config
        with pytest.raises(CheckpointError, match=words):
            save_released(tmp_path, other.model, other.tokenizer)


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "OUT"],
        ["convert", "nothing-here", "OUT"],
        ["convert", "--llava-med", "nothing-here", "OUT"],
        ["convert", "SOURCE", "SOURCE"],
        ["convert", "--llava-med", "SOURCE", "--medsam", "nothing-here", "OUT"],
        ["convert", "--llava-med", "SOURCE", "--medsam", "nothing-here", "--to", "released", "OUT"],
    ],
)
def test_convert_explains_itself(
    tmp_path: Path, small: Checkpoint, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    write_released(tmp_path / "source", small, Layout())
    places = {"SOURCE": str(tmp_path / "source"), "OUT": str(tmp_path / "out")}
    assert main([places.get(word, word) for word in arguments]) == 2
    assert capsys.readouterr().err.startswith("mediround: ")
