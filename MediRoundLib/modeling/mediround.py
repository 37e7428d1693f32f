"""MediRound: a LLaVA language model whose `SEG` feature prompts SAM's mask decoder, with the JCM in between."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from transformers import Cache, CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, MistralConfig

from MediRoundLib.config import IMAGE_TOKEN, MediRoundConfig
from MediRoundLib.modeling.jcm import Corrector, Judge
from MediRoundLib.modeling.sam import build_sam, decode_masks, upscale_masks


def llava_config(config: MediRoundConfig) -> LlavaConfig:
    """transformers' config for `config`: LLaVA's, from the Mistral and CLIP vision fields."""
    language = dict(config.language)
    rope_theta = language.pop("rope_theta")
    text = MistralConfig(**language, rope_parameters={"rope_type": "default", "rope_theta": rope_theta})
    vision = CLIPVisionConfig(**config.vision)
    return LlavaConfig(
        text_config=text,
        vision_config=vision,
        vision_feature_layer=config.feature_layer,
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        tie_word_embeddings=False,
    )


class MediRound(nn.Module):
    """The whole network (MediRound, Section 4). `forward` is not defined: engine and training call the parts.

    D is the language model's width, C the width of SAM's prompts, P the number of CLIP patches.
    """

    def __init__(self, config: MediRoundConfig) -> None:
        super().__init__()
        self.config = config
        width, dim = config.language["hidden_size"], config.sam.prompt_dim
        self.llava = LlavaForConditionalGeneration(llava_config(config))
        self.sam = build_sam(config.sam)
        self.project_seg = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))
        self.bbox_encoder = nn.Linear(4, width)
        self.judge = Judge(dim, config.jcm.width)
        self.corrector = Corrector(dim, config.jcm.width)

    @property
    def device(self) -> torch.device:
        return self.bbox_encoder.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.bbox_encoder.weight.dtype

    def cast(self, dtype: torch.dtype) -> Self:
        """Give the floating-point parameters another type, in place.

        Buffers stay in float32: rounding the rotary frequencies and SAM's position matrix would move every position,
        and segment-anything multiplies the latter with float32 coordinates.
        """
        for parameter in self.parameters():
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype)
        return self

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) normalised and padded pixels to SAM's (B, C, S / patch, S / patch) embedding."""
        embedding: Tensor = self.sam.image_encoder(pixels)
        return embedding

    def _clip_features(self, pixels: Tensor) -> Tensor:
        outputs = self.llava.model.vision_tower(pixels, output_hidden_states=True)
        features: Tensor = outputs.hidden_states[self.config.feature_layer]
        return features

    def encode_patches(self, pixels: Tensor) -> Tensor:
        """(B, 3, s, s) CLIP pixels to (B, P, D) embeddings of the image's patches, CLS left out."""
        patches: Tensor = self.llava.model.multi_modal_projector(self._clip_features(pixels)[:, 1:])
        return patches

    def encode_crops(self, pixels: Tensor) -> Tensor:
        """(N, 3, s, s) CLIP pixels of reference crops to (N, D): the projected CLS feature of each."""
        crops: Tensor = self.llava.model.multi_modal_projector(self._clip_features(pixels)[:, :1])
        return crops[:, 0]

    def encode_boxes(self, boxes: Tensor) -> Tensor:
        """(N, 4) boxes (x_min, y_min, x_max, y_max) in units of the image's width and height to (N, D)."""
        embedded: Tensor = self.bbox_encoder(boxes)
        return embedded

    def embed(self, ids: Sequence[int], patches: Tensor | None, crops: Tensor, boxes: Tensor) -> Tensor:
        """Token ids to input embeddings, with the image and the references put in their places.

        Args:
            ids: T token ids; `IMAGE_TOKEN` at most once.
            patches: (P, D) that replace `IMAGE_TOKEN`, or None where `ids` holds none.
            crops: (N, D) that replace the N crop tokens, in order.
            boxes: (N, D) that replace the N box tokens, in order.

        Returns:
            (T', D) with T' = T, or T - 1 + P where the image is in it.
        """
        index = torch.tensor(ids, dtype=torch.long, device=self.device)
        embeddings: Tensor = self.llava.get_input_embeddings()(index.clamp_min(0))
        tokens = self.config.tokens
        for token, values in ((tokens.crop, crops), (tokens.box, boxes)):
            positions = (index == token).nonzero()[:, 0]
            if len(positions) != len(values):
                raise ValueError(f"{len(positions)} reference tokens, but {len(values)} reference embeddings")
            if len(positions):
                embeddings = embeddings.index_copy(0, positions, values.to(embeddings.dtype))
        if patches is None:
            return embeddings
        place = int((index == IMAGE_TOKEN).nonzero()[0, 0])
        return torch.cat([embeddings[:place], patches.to(embeddings.dtype), embeddings[place + 1 :]])

    def think(self, embeddings: Tensor, cache: Cache | None = None, mask: Tensor | None = None) -> Tensor:
        """Run the language model.

        Args:
            embeddings: (B, T, D); with a cache only the tokens that are new.
            cache: keys and values of the tokens before, extended in place.
            mask: (B, T) bool, False on padding at the right.

        Returns:
            (B, T, D) last hidden states.
        """
        outputs = self.llava.model.language_model(
            inputs_embeds=embeddings, attention_mask=mask, past_key_values=cache, use_cache=cache is not None
        )
        hidden: Tensor = outputs.last_hidden_state
        return hidden

    def vocabulary_logits(self, hidden: Tensor) -> Tensor:
        """(..., D) hidden states to (..., vocabulary) logits."""
        logits: Tensor = self.llava.lm_head(hidden)
        return logits

    def seg_features(self, hidden: Tensor) -> Tensor:
        """(N, D) hidden states in front of `[SEG]` to the (N, C) `SEG` features (h_c in the golden cases)."""
        features: Tensor = self.project_seg(hidden)
        return features

    def decode(self, image_embedding: Tensor, features: Tensor) -> Tensor:
        """One image's (1, C, h, w) embedding and (N, C) features to (N, 1, 4h, 4w) mask logits."""
        return decode_masks(self.sam, image_embedding, features)

    def upscale(self, low_res: Tensor, resized: tuple[int, int], original: tuple[int, int]) -> Tensor:
        """Decoder logits to (N, height, width) float32 logits of the original image; see `sam.upscale_masks`."""
        return upscale_masks(self.sam, low_res, resized, original)
