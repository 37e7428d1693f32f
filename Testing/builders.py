"""Small random models in every layout that checkpoints come in, for tests; each is made in a fraction of a second."""

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from MediRoundLib.checkpoints import Checkpoint
from MediRoundLib.checkpoints.names import JCM_PREFIXES, SAM_PREFIX, VISION_PREFIX, released_state
from MediRoundLib.config import ClipImageConfig, JcmConfig, MediRoundConfig, SamConfig, TokenConfig
from MediRoundLib.engine import Engine
from MediRoundLib.imaging import ClipPixels, reference_input, sam_pixels
from MediRoundLib.modeling import MediRound
from MediRoundLib.text import Tokenizer
from MediRoundLib.thread import Thread, read_opening

# On models this small, threads cost more than they give.
torch.set_num_threads(1)

_SENTENCES = (
    "[INST] Please segment the left lung in the medical image. [/INST] Sure, it is .",
    "[INST] Segment the right kidney based on the output of round 1. [/INST] The segmentation output is .",
    "[INST] Provide the mask of the tumor with reference to instance 2. [/INST] It is .",
    "[INST] Segment the other one, the next vertebra, its ventricle, the previous organ. [/INST] Sure, .",
    "[INST] 请分割左肺。 [/INST] 好的，分割结果是 。",
)

# Sizes that differ in everything the golden cases do not vary: grouped heads, windows, patches, head counts.
SIZES: dict[str, MediRoundConfig] = {
    "grouped": MediRoundConfig(
        language={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        },
        vision={
            "hidden_size": 24,
            "intermediate_size": 40,
            "num_hidden_layers": 3,
            "num_attention_heads": 3,
            "image_size": 56,
            "patch_size": 8,
        },
        sam=SamConfig(
            image_size=128,
            patch_size=16,
            width=36,
            depth=3,
            heads=3,
            mlp_ratio=100 / 36,
            window=3,
            global_blocks=(1,),
            prompt_dim=32,
            decoder_depth=1,
            decoder_mlp=24,
            iou_head_width=16,
        ),
        clip_image=ClipImageConfig(size=56, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)),
        jcm=JcmConfig(width=20, threshold=0.5),
    ),
    # Every window is as large as the grid, so every block is global.
    "all global": MediRoundConfig(
        language={
            "hidden_size": 64,  # the least that bitsandbytes' 4-bit layers take on a CPU
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_theta": 5e5,
            "max_position_embeddings": 700,
        },
        vision={
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
            "hidden_act": "gelu",
        },
        sam=SamConfig(
            image_size=96,
            patch_size=8,
            width=16,
            depth=1,
            heads=4,
            mlp_ratio=2.0,
            window=12,
            global_blocks=(0,),
            prompt_dim=64,
            decoder_depth=2,
            decoder_mlp=16,
            iou_head_depth=2,
            iou_head_width=8,
            multimask_outputs=2,
        ),
        clip_image=ClipImageConfig(size=28),
        jcm=JcmConfig(width=8),
    ),
    "no global": MediRoundConfig(
        language={
            "hidden_size": 24,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
        },
        vision={
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 32,
            "patch_size": 16,
        },
        sam=SamConfig(
            image_size=128,
            patch_size=16,
            width=16,
            depth=2,
            heads=2,
            mlp_ratio=1.5,
            window=5,
            global_blocks=(),
            prompt_dim=32,
            mask_channels=8,
            decoder_depth=1,
            decoder_mlp=8,
            iou_head_width=8,
        ),
        clip_image=ClipImageConfig(size=32),
        jcm=JcmConfig(width=8),
        feature_layer=-1,
    ),
}

# As wide as OpenAI's ViT-B, whose heads are known without a config.
SIZES["published tower"] = replace(
    SIZES["all global"],
    vision={
        "hidden_size": 768,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 12,
        "image_size": 28,
        "patch_size": 14,
    },
)

_LANGUAGE = {"rope_theta": 1e6, "rms_norm_eps": 1e-5, "hidden_act": "silu", "max_position_embeddings": 4096}
_VISION = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}


def tokenizer_model() -> bytes:
    """A SentencePiece model of about 150 pieces with Llama's special ids."""
    sentencepiece.set_min_log_level(2)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_SENTENCES),
        model_writer=model,
        model_type="bpe",
        vocab_size=150,
        character_coverage=1.0,
        hard_vocab_limit=False,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
    )
    return model.getvalue()


def full_config(sizes: MediRoundConfig, pieces: int, stage: int = 2) -> MediRoundConfig:
    """`sizes` with every field that the tokenizer and the defaults decide."""
    return replace(
        sizes,
        language={**_LANGUAGE, **sizes.language, "vocab_size": pieces + 3, "sliding_window": None},
        vision={**_VISION, **sizes.vision},
        tokens=TokenConfig(pieces, pieces + 1, pieces + 2),
        stage=stage,
        name="small",
    )


def small_checkpoint(sizes: str = "grouped", stage: int = 2, seed: int = 0) -> Checkpoint:
    """A model of random weights, none of them 0 or 1 and scaled so that signals live: every wiring mistake shows."""
    plain = Tokenizer(tokenizer_model(), {})
    config = full_config(SIZES[sizes], plain.pieces, stage)
    tokenizer = Tokenizer(plain.model, config.tokens.strings())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MediRound(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=parameter[0].numel() ** -0.5)
                else:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
    return Checkpoint(model.eval(), tokenizer, config)


def small_engine(sizes: str = "grouped", stage: int = 2, seed: int = 0) -> Engine:
    return Engine(small_checkpoint(sizes, stage, seed), torch.device("cpu"), torch.float32)


def picture(height: int = 70, width: int = 90, seed: int = 0) -> NDArray[np.uint8]:
    """(height, width, 3) noise on a gradient."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 150, width)[None, :, None] + np.linspace(0, 50, height)[:, None, None]
    return np.asarray(ramp + rng.integers(0, 50, (height, width, 3)), dtype=np.uint8)


def replies(checkpoint: Checkpoint) -> NDArray[np.float32]:
    """(2, H, W) logits of two rounds, the second with a reference and a correction: all weights take part."""
    model, config = checkpoint.model, checkpoint.config
    rgb = picture()
    clip = ClipPixels(config.clip_image)
    mask = np.zeros(rgb.shape[:2], dtype=bool)
    mask[10:40, 20:70] = True
    with torch.inference_mode():
        pixels, resized = sam_pixels(rgb, config.sam)
        embedding = model.encode_image(pixels[None])
        thread = Thread(
            model,
            checkpoint.tokenizer,
            clip,
            read_opening(model, checkpoint.tokenizer, model.encode_patches(clip(rgb)[None])),
        )
        first = thread.add("<image>\n Segment the left lung.", "Sure, it is [SEG].", None)
        second = thread.add(
            "[CROPPEDIMAGE][BBOXINPUT] Segment the other one.", "It is [SEG].", reference_input(rgb, mask)
        )
        assert first is not None
        assert second is not None
        features = model.seg_features(torch.cat([first, second]))
        if config.stage == 2:
            scores = model.judge(features)
            features = torch.cat([features[:1], model.corrector(features[1:]) * scores[1]])
        logits: NDArray[np.float32] = model.upscale(model.decode(embedding, features), resized, rgb.shape[:2]).numpy()
    return logits


@dataclass(frozen=True)
class Layout:
    """How a released checkpoint is written; the defaults are `zero_to_fp32`'s."""

    prefix: str = "base_model.model."
    lora: str | None = None  # adapter in the names, "" for none; None: merged
    base_layer: bool = False
    files: int = 1
    suffix: str = ".bin"
    tower_in_state: bool = True
    jcm: bool = True


def write_released(folder: Path, checkpoint: Checkpoint, layout: Layout) -> None:
    """Write `checkpoint` in the released layout, by hand: apart from the product's own writer."""
    model, config = checkpoint.model, checkpoint.config
    state = {name: tensor.clone() for name, tensor in released_state(model).items()}
    if not layout.jcm:
        state = {name: tensor for name, tensor in state.items() if not name.startswith(JCM_PREFIXES)}
    tower = {name: state[name] for name in state if name.startswith(VISION_PREFIX)}
    write_clip(folder / "clip", config, tower)
    if not layout.tower_in_state:
        state = {name: tensor for name, tensor in state.items() if name not in tower}
    if layout.lora is not None:
        state = with_lora(state, layout)
    named = {layout.prefix + name: tensor.contiguous() for name, tensor in state.items()}
    write_shards(folder, named, layout.files, layout.suffix)
    (folder / "config.json").write_text(json.dumps(llava_med_config(config)))
    (folder / "tokenizer.model").write_bytes(checkpoint.tokenizer.model)


def with_lora(state: dict[str, Tensor], layout: Layout, rank: int = 2) -> dict[str, Tensor]:
    """q_proj and v_proj taken apart into base weight and low-rank pair of alpha 16."""
    generator = torch.Generator().manual_seed(5)
    apart = dict(state)
    for name, weight in state.items():
        if not name.startswith("model.layers.") or not name.endswith(("q_proj.weight", "v_proj.weight")):
            continue
        layer = name.removesuffix(".weight")
        a = torch.randn(rank, weight.shape[1], generator=generator) * 0.1
        b = torch.randn(weight.shape[0], rank, generator=generator) * 0.1
        del apart[name]
        apart[f"{layer}.base_layer.weight" if layout.base_layer else name] = weight - 16 / rank * (b @ a)
        adapter = f".{layout.lora}" if layout.lora else ""
        apart[f"{layer}.lora_A{adapter}.weight"] = a
        apart[f"{layer}.lora_B{adapter}.weight"] = b
    return apart


def write_shards(folder: Path, state: dict[str, Tensor], files: int = 1, suffix: str = ".bin") -> None:
    """One file, or many with their index."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    names = sorted(state)
    index: dict[str, str] = {}
    for k in range(files):
        own = {name: state[name] for name in names[k::files]}
        path = folder / (f"{stem}{suffix}" if files == 1 else f"{stem}-{k + 1:05}-of-{files:05}{suffix}")
        index |= dict.fromkeys(own, path.name)
        if suffix == ".safetensors":
            save_file(own, path)
        else:
            torch.save(own, path)
    if files > 1:
        (folder / f"{stem}{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def write_clip(folder: Path, config: MediRoundConfig, tower: dict[str, Tensor]) -> None:
    """CLIP's own folder as `CLIPVisionModel.save_pretrained` of transformers 4 left it."""
    own = {"vision_model." + name.removeprefix(VISION_PREFIX): tensor.contiguous() for name, tensor in tower.items()}
    write_shards(folder, own, suffix=".safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "clip_vision_model", **config.vision}))
    image = config.clip_image
    content = {"size": {"shortest_edge": image.size}, "image_mean": image.mean, "image_std": image.std}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))


def llava_med_config(config: MediRoundConfig) -> dict[str, object]:
    """A `config.json` as LLaVA-Med's, with the released code's additions."""
    return {
        "model_type": "llava_mistral",
        **config.language,
        "mm_vision_tower": "clip",
        "mm_vision_select_layer": config.feature_layer,
        "jcm_threshold": config.jcm.threshold,
        "stage": 2,
    }


def write_parts(folder: Path, checkpoint: Checkpoint, tower_in_state: bool = True, files: int = 1) -> tuple[Path, Path]:
    """The pretrained parts of `checkpoint`: LLaVA-Med's folder and MedSAM's file."""
    config, pieces = checkpoint.config, checkpoint.tokenizer.pieces
    state = released_state(checkpoint.model)
    sam = {name.removeprefix(SAM_PREFIX): tensor for name, tensor in state.items() if name.startswith(SAM_PREFIX)}
    heads = (SAM_PREFIX, *JCM_PREFIXES, "model.text_hidden_fcs.", "model.bbox_encoder.")
    llava = {name: tensor.contiguous() for name, tensor in state.items() if not name.startswith(heads)}
    tower = {name: llava[name] for name in llava if name.startswith(VISION_PREFIX)}
    if not tower_in_state:
        llava = {name: tensor for name, tensor in llava.items() if name not in tower}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        llava[name] = llava[name][:pieces].clone()
    write_shards(folder / "llava-med", llava, files, ".safetensors")
    write_clip(folder / "llava-med" / "clip", config, tower)
    (folder / "llava-med" / "config.json").write_text(
        json.dumps({**llava_med_config(config), "vocab_size": pieces, "initializer_range": 0.02})
    )
    (folder / "llava-med" / "tokenizer.model").write_bytes(checkpoint.tokenizer.model)
    torch.save(sam, folder / "medsam_vit_b.pth")
    return folder / "llava-med", folder / "medsam_vit_b.pth"
