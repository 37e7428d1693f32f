"""The layout of the released MediRound code: LLaVA-Med's `config.json`, one state dict, and CLIP's folder beside it."""

import json
from pathlib import Path
from typing import Any

import torch

from MediRoundLib.checkpoints.assemble import Checkpoint, build_model
from MediRoundLib.checkpoints.files import read_json, read_weights, write_tensors
from MediRoundLib.checkpoints.lora import LORA_ALPHA, PEFT_PREFIX, plain_names
from MediRoundLib.checkpoints.names import JCM_PREFIXES, SAM_PREFIX, VISION_PREFIX
from MediRoundLib.checkpoints.native import stored_state
from MediRoundLib.checkpoints.sizes import below, language_sizes, sam_sizes
from MediRoundLib.checkpoints.vision import read_tower
from MediRoundLib.config import JcmConfig, MediRoundConfig, SamConfig, TokenConfig
from MediRoundLib.errors import CheckpointError
from MediRoundLib.modeling import MediRound
from MediRoundLib.text import Tokenizer

_CLIP_FOLDER = "clip"
# What a native config holds and this layout has no place for; other readers pass over the key.
_EXTRA_KEY = "mediround"
_EXTRA_FIELDS = ("name", "license", "answers", "close_up")


def load_released(folder: Path, lora_alpha: float = LORA_ALPHA, dtype: torch.dtype = torch.float32) -> Checkpoint:
    """Read a released MediRound checkpoint; it is of stage 2 if it holds tensors of the JCM, else of stage 1.

    Args:
        folder: `config.json` (LLaVA-Med's), `tokenizer.model`, and the state dict in one or many `.bin` or
            `.safetensors` files, with or without `base_model.model.`, `.base_layer` and LoRA pairs. The CLIP tower's
            folder lies beside them where `mm_vision_tower` says so.
        lora_alpha: alpha of unmerged LoRA; 16 in the released recipe.
        dtype: type of the model in memory.

    Raises:
        CheckpointError: see `read_weights`, `plain_names`, `read_tower`, `build_model`.
    """
    state = plain_names(read_weights(folder), lora_alpha)
    config = read_json(folder / "config.json")
    tokens = _tokens(state, folder)
    tokenizer = Tokenizer.from_file(folder / "tokenizer.model", tokens)
    if tokenizer.pieces != tokens.seg:
        raise CheckpointError(
            f"{folder} has a vocabulary of {tokens.crop + 1}, its tokenizer.model {tokenizer.pieces} pieces, and three "
            "tokens are added; copy the same model's tokenizer.model, or, if this is a plain LLaVA-Med, join it to a "
            "MedSAM first: `mediround convert --llava-med DIR --medsam FILE OUT`."
        )
    tower = read_tower(folder, config, state)
    state.update(tower.tensors)
    judge = state.get(JCM_PREFIXES[0] + "fc1.weight")
    extra = config.get(_EXTRA_KEY, {})
    full = MediRoundConfig(
        language=language_sizes(config, tokens.crop + 1),
        vision=tower.fields,
        sam=sam_sizes(below(state, SAM_PREFIX)),
        clip_image=tower.image,
        jcm=JcmConfig(
            JcmConfig.width if judge is None else judge.shape[0],
            float(config.get("jcm_threshold", JcmConfig.threshold)),
        ),
        tokens=tokens,
        feature_layer=int(config.get("mm_vision_select_layer", -2)),
        stage=2 if any(name.startswith(JCM_PREFIXES) for name in state) else 1,
        **{"name": folder.resolve().name, **{key: extra[key] for key in _EXTRA_FIELDS if key in extra}},
    )
    return Checkpoint(build_model(full, state, str(folder), dtype), tokenizer, full)


def _tokens(state: dict[str, Any], folder: Path) -> TokenConfig:
    """The three added tokens, the last of the vocabulary."""
    if any(name.startswith("model.router_seg.") for name in state):
        raise CheckpointError(f"{folder} is a MediSee checkpoint, which is not read; choose a MediRound one.")
    embedding = state.get("model.embed_tokens.weight")
    if embedding is None:
        raise CheckpointError(
            f"{folder} holds no language model (model.embed_tokens.weight is missing); "
            "it is not a MediRound checkpoint, or a shard is missing: fetch every file of it."
        )
    size = embedding.shape[0]
    return TokenConfig(size - 3, size - 2, size - 1)


def save_released(folder: Path, model: MediRound, tokenizer: Tokenizer, dtype: torch.dtype | None = None) -> None:
    """Write `model` in the released layout, LoRA merged: the released code and `load_released` read it alike.

    Args:
        folder: made if need be.
        model: a model whose added tokens are the last of its vocabulary, and whose mask decoder has 8 heads.
        tokenizer: its tokenizer.
        dtype: type of floating-point tensors in the files; None for the model's own.

    Raises:
        CheckpointError: the layout cannot hold the model.
    """
    config = model.config
    if config.stage == 0:
        raise CheckpointError(
            f"{config.name} is untrained (stage 0), which the released layout cannot say; train stage 1 from it first."
        )
    pieces = tokenizer.pieces
    if config.tokens != TokenConfig(pieces, pieces + 1, pieces + 2) or config.language["vocab_size"] != pieces + 3:
        raise CheckpointError(
            "The released layout has [SEG], [BBOXINPUT], [CROPPEDIMAGE] right behind the tokenizer's pieces, "
            "this model has not; keep it in the native format."
        )
    if config.sam.decoder_heads != SamConfig.decoder_heads:
        raise CheckpointError(
            f"The released layout has mask decoders of {SamConfig.decoder_heads} heads only, "
            f"this model has {config.sam.decoder_heads}; keep it in the native format."
        )
    clip = folder / _CLIP_FOLDER
    clip.mkdir(parents=True, exist_ok=True)
    state = stored_state(model, dtype)
    write_tensors(folder / "pytorch_model.bin", {PEFT_PREFIX + name: tensor for name, tensor in state.items()})
    (folder / "tokenizer.model").write_bytes(tokenizer.model)
    _write_json(folder / "config.json", _llava_med_config(config))
    tower = {"vision_model." + name: tensor for name, tensor in below(state, VISION_PREFIX).items()}
    write_tensors(clip / "model.safetensors", tower)
    _write_json(
        clip / "config.json", {"architectures": ["CLIPVisionModel"], "model_type": "clip_vision_model", **config.vision}
    )
    _write_json(clip / "preprocessor_config.json", _preprocessor_config(config))


def _llava_med_config(config: MediRoundConfig) -> dict[str, Any]:
    return {
        "model_type": "llava_mistral",
        **config.language,
        "tie_word_embeddings": False,
        "mm_vision_tower": _CLIP_FOLDER,
        "vision_tower": _CLIP_FOLDER,
        "mm_vision_select_layer": config.feature_layer,
        "mm_vision_select_feature": "patch",
        "mm_projector_type": "mlp2x_gelu",
        "mm_hidden_size": config.vision["hidden_size"],
        "mm_use_im_start_end": False,
        "mm_use_im_patch_token": False,
        "use_mm_proj": True,
        "out_dim": config.sam.prompt_dim,
        "train_mask_decoder": True,
        "stage": config.stage,
        "jcm_threshold": config.jcm.threshold,
        _EXTRA_KEY: {key: getattr(config, key) for key in _EXTRA_FIELDS},
    }


def _preprocessor_config(config: MediRoundConfig) -> dict[str, Any]:
    image = config.clip_image
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": image.size},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": image.size, "width": image.size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(image.mean),
        "image_std": list(image.std),
        "do_convert_rgb": True,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
