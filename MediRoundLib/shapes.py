"""Models of a given shape with random weights: speed can be measured without a checkpoint. Their masks mean nothing."""

import io

import sentencepiece
import torch
from transformers.initialization import no_init_weights

from MediRoundLib.checkpoints import Checkpoint
from MediRoundLib.config import ClipImageConfig, MediRoundConfig, SamConfig, TokenConfig
from MediRoundLib.devices import describe
from MediRoundLib.errors import OutOfMemory
from MediRoundLib.modeling import MediRound
from MediRoundLib.quantization import BITS_EACH, Bits, quantize_linear, quantized_names
from MediRoundLib.text import Tokenizer, round_text

# Weights, and so much of them again for whatever a round computes.
_WORKING = 1.15

SHAPES: dict[str, MediRoundConfig] = {
    # The sizes of mediround-tiny.
    "tiny": MediRoundConfig(
        language={
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 6,
            "num_attention_heads": 6,
            "num_key_value_heads": 3,
            "vocab_size": 2603,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e4,
            "sliding_window": None,
        },
        vision={
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": 112,
            "patch_size": 14,
        },
        sam=SamConfig(
            image_size=192,
            patch_size=8,
            width=128,
            depth=6,
            heads=4,
            window=8,
            global_blocks=(2, 5),
            prompt_dim=128,
            decoder_heads=4,
            decoder_mlp=512,
            iou_head_width=128,
        ),
        clip_image=ClipImageConfig(size=112),
        tokens=TokenConfig(2600, 2601, 2602),
        name="tiny",
    ),
    # Between the two: 89 million parameters.
    "mid": MediRoundConfig(
        language={
            "hidden_size": 640,
            "intermediate_size": 1728,
            "num_hidden_layers": 10,
            "num_attention_heads": 10,
            "num_key_value_heads": 5,
            "vocab_size": 2603,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e4,
            "sliding_window": None,
        },
        vision={
            "hidden_size": 384,
            "intermediate_size": 1536,
            "num_hidden_layers": 10,
            "num_attention_heads": 6,
            "image_size": 224,
            "patch_size": 14,
        },
        sam=SamConfig(
            image_size=512,
            width=384,
            depth=8,
            heads=6,
            window=8,
            global_blocks=(1, 3, 5, 7),
        ),
        clip_image=ClipImageConfig(size=224),
        tokens=TokenConfig(2600, 2601, 2602),
        name="mid",
    ),
    # LLaVA-Med-v1.5-Mistral-7B, CLIP ViT-L/14 at 336 pixels, MedSAM's ViT-B at 1024.
    "full": MediRoundConfig(
        language={
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 32003,
            "max_position_embeddings": 32768,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e6,
            "sliding_window": None,
        },
        vision={
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "image_size": 336,
            "patch_size": 14,
        },
        name="full",
    ),
}


def is_full(config: MediRoundConfig) -> bool:
    """Whether a model has the full size, be it random or a checkpoint."""
    full = SHAPES["full"]
    parts = (config.language, full.language), (config.vision, full.vision)
    return config.sam == full.sam and all(sizes.items() <= own.items() for own, sizes in parts)


def check_memory(
    config: MediRoundConfig, device: torch.device, dtype: torch.dtype, quantize: Bits | None = None
) -> None:
    """Refuse a shape that the device has no room for; `quantize` as in `random_checkpoint`.

    Raises:
        OutOfMemory: it has not.
    """
    with torch.device("meta"):
        model = MediRound(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    small = sum(model.get_parameter(f"{name}.weight").numel() for name in quantized_names(model)) if quantize else 0
    weights = (count - small) * dtype.itemsize + (small * BITS_EACH[quantize] / 8 if quantize else 0)
    needed, free = weights * _WORKING, describe(device)["free"]
    if free is not None and free < needed:
        held = str(dtype).removeprefix("torch.") + (f" with a language model in {quantize}" if quantize else "")
        raise OutOfMemory(
            f"The {config.name} shape needs about {needed / 1e9:.1f} GB in {held}, and "
            f"{device} has {free / 1e9:.1f} GB free: choose --size mid, or a device with more memory."
        )


def random_checkpoint(
    config: MediRoundConfig,
    lines: list[str],
    device: torch.device,
    dtype: torch.dtype,
    quantize: Bits | None = None,
) -> Checkpoint:
    """A model of the sizes of `config`, always with the same weights on a kind of device, scaled so that signals live.

    Args:
        config: sizes; its added tokens are above the pieces of the tokenizer that is made here.
        lines: what will be asked; the tokenizer learns it, so that a word is about one token, as with Llama's own.
        device: where the parameters are made, one by one: the whole is in memory once, in `dtype`.
        dtype: their type.
        quantize: hold the language model in 4 or 8 bits, or None: the same weights, each rounded once it is made.
    """
    with torch.random.fork_rng(devices=[]), no_init_weights():
        torch.manual_seed(0)
        model = MediRound(config)
    generator = torch.Generator(device).manual_seed(0)
    small = set() if quantize is None else {f"{name}.weight" for name in quantized_names(model)}
    for name in [name for name, _ in model.named_parameters()]:
        parameter = model.get_parameter(name)
        fresh = torch.empty(parameter.shape, dtype=dtype, device=device)
        if parameter.ndim > 1:
            fresh.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
        else:  # biases around 0, the gains of norms around 1
            fresh.normal_(mean=float(name.endswith("weight")), std=0.02, generator=generator)
        parameter.data = fresh
        if quantize is not None and name in small:
            quantize_linear(model, name.removesuffix(".weight"), quantize, dtype).to(device)
    return Checkpoint(model.eval(), Tokenizer(_tokenizer(lines), config.tokens.strings()), config)


def _tokenizer(lines: list[str]) -> bytes:
    """A serialised SentencePiece model with Llama's special ids."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(round_text(line, "") for line in lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=600,
        hard_vocab_limit=False,
        byte_fallback=True,
        split_digits=True,
        minloglevel=2,
    )
    return model.getvalue()
