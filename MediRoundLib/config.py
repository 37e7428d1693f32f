"""Every size of a model, as plain data: what `config.json` in a native checkpoint holds. Imports no torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from MediRoundLib.errors import CheckpointError

FORMAT = "mediround"
FORMAT_VERSION = 1

# Stands for the image's patches among token ids, as in the released code.
IMAGE_TOKEN = -200


@dataclass(frozen=True)
class SamConfig:
    """Sizes of segment-anything's parts; the defaults are ViT-B at 1024 pixels, as MedSAM has it.

    `image_size` is the longest side in pixels after resizing, `width` and `depth` belong to the image encoder,
    `prompt_dim` is the width of prompts, image embedding and mask decoder.
    """

    image_size: int = 1024
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    window: int = 14
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    prompt_dim: int = 256
    mask_channels: int = 16
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp: int = 2048
    multimask_outputs: int = 3
    iou_head_depth: int = 3
    iou_head_width: int = 256


@dataclass(frozen=True)
class ClipImageConfig:
    """How an image becomes CLIP's input: shortest edge to `size`, centre crop, scaled to [0, 1], normalised."""

    size: int = 336
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class JcmConfig:
    """Judgment & Correction Mechanism: width of its two MLPs, and beta, at or below which a feature is corrected."""

    width: int = 512
    threshold: float = 0.6


@dataclass(frozen=True)
class TokenConfig:
    """Ids of the three tokens that MediRound adds to its language model's vocabulary, and their strings."""

    seg: int = 32000
    box: int = 32001
    crop: int = 32002

    def strings(self) -> dict[str, int]:
        return {"[SEG]": self.seg, "[BBOXINPUT]": self.box, "[CROPPEDIMAGE]": self.crop}


@dataclass(frozen=True)
class MediRoundConfig:
    """A whole model. `language` and `vision` hold keyword arguments of transformers' Mistral and CLIP vision configs.

    `feature_layer` selects CLIP's hidden state (-2 in LLaVA-Med). `answers` maps a language code to the forced answer,
    whose `[SEG]` prompts the mask decoder; an empty mapping lets the model write its own answer. `stage` is 2 where the
    JCM is trained, else 1. With `close_up` the model sees the square around what shows in the image (see
    `imaging.View`); the released ones see the whole image.
    """

    language: dict[str, Any]
    vision: dict[str, Any]
    sam: SamConfig = field(default_factory=SamConfig)
    clip_image: ClipImageConfig = field(default_factory=ClipImageConfig)
    jcm: JcmConfig = field(default_factory=JcmConfig)
    tokens: TokenConfig = field(default_factory=TokenConfig)
    feature_layer: int = -2
    close_up: bool = False
    stage: int = 2
    name: str = "mediround"
    license: str = ""
    answers: dict[str, str] = field(
        default_factory=lambda: {"en": "Sure, it is [SEG].", "zh": "好的，分割结果是 [SEG]。"}
    )

    @property
    def image_tokens(self) -> int:
        """Number of patch embeddings that stand for the image in the sequence."""
        side: int = self.vision["image_size"] // self.vision["patch_size"]
        return side * side

    def to_json(self) -> str:
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def save(self, path: Path) -> None:
        path.write_text(self.to_json(), encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a native `config.json`.

        Raises:
            CheckpointError: the file is not JSON, of another format, of a newer version, or has unknown fields.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read as a checkpoint's config.json: {error}.") from error
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise CheckpointError(
                f"{path} is not a native MediRound config; make one of a released checkpoint by `mediround convert`."
            )
        version = content.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{path} has format version {version}, this program reads {FORMAT_VERSION}; update mediround."
            )
        try:
            return cls.from_dict(content)
        except (TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{path} is not a complete MediRound config: {error}.") from error

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Build from plain data; nested mappings become their dataclasses, lists become tuples."""
        parts = {"sam": SamConfig, "clip_image": ClipImageConfig, "jcm": JcmConfig, "tokens": TokenConfig}
        values: dict[str, Any] = dict(content)
        for key, part in parts.items():
            if key in values:
                values[key] = part(**{k: tuple(v) if isinstance(v, list) else v for k, v in values[key].items()})
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise TypeError(f"unknown fields {', '.join(unknown)}")
        return cls(**values)
