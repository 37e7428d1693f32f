"""MediRound: a LLaVA language model whose `SEG` feature prompts SAM's mask decoder, with the JCM in between."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, MistralConfig

from MediRoundLib.config import IMAGE_TOKEN, MediRoundConfig
from MediRoundLib.modeling import clip, language, sam_decoder, sam_encoder
from MediRoundLib.modeling.jcm import Corrector, Judge
from MediRoundLib.modeling.language import KeyValues
from MediRoundLib.modeling.sam import build_sam, upscale_masks
from MediRoundLib.modeling.sam_decoder import Canvas


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

    def to_device(self, values: Tensor) -> Tensor:
        """Values of the computer's memory in that of the model, and in the model's number format."""
        return values.to(self.device, self.dtype)

    def to_host(self, values: Tensor) -> NDArray[np.float32]:
        """float32 values of the model's memory in the computer's; on a GPU it waits for what computes them."""
        return values.cpu().numpy()

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) normalised and padded pixels to SAM's (B, C, S / patch, S / patch) embedding."""
        return sam_encoder.encode_image(self.sam.image_encoder, pixels)

    def encode_patches(self, pixels: Tensor) -> Tensor:
        """(B, 3, s, s) CLIP pixels to (B, P, D) embeddings of the image's patches, CLS left out."""
        features = clip.patch_features(self.llava.model.vision_tower, pixels, self.config.feature_layer)
        patches: Tensor = self.llava.model.multi_modal_projector(features)
        return patches

    def encode_crops(self, pixels: Tensor) -> Tensor:
        """(N, 3, s, s) CLIP pixels of reference crops to (N, D): the projected CLS feature of each."""
        features = clip.class_features(self.llava.model.vision_tower, pixels, self.config.feature_layer)
        crops: Tensor = self.llava.model.multi_modal_projector(features)
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
        # Places are found in the list, not in a tensor, for which a GPU would have to be waited for.
        index = torch.tensor([max(token, 0) for token in ids], dtype=torch.long, device=self.device)
        embeddings: Tensor = self.llava.get_input_embeddings()(index)
        tokens = self.config.tokens
        for token, values in ((tokens.crop, crops), (tokens.box, boxes)):
            places = [place for place, one in enumerate(ids) if one == token]
            if len(places) != len(values):
                raise ValueError(f"{len(places)} reference tokens, but {len(values)} reference embeddings")
            if places:
                where = torch.tensor(places, device=self.device)
                embeddings = embeddings.index_copy(0, where, values.to(embeddings.dtype))
        if patches is None:
            return embeddings
        place = list(ids).index(IMAGE_TOKEN)
        return torch.cat([embeddings[:place], patches.to(embeddings.dtype), embeddings[place + 1 :]])

    def think(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """Run the language model on whole sequences, as training does; nothing is kept.

        Args:
            embeddings: (B, T, D).
            mask: (B, T) bool, False on padding at the right.

        Returns:
            (B, T, D) last hidden states.
        """
        outputs = self.llava.model.language_model(inputs_embeds=embeddings, attention_mask=mask, use_cache=False)
        hidden: Tensor = outputs.last_hidden_state
        return hidden

    def read(self, embeddings: Tensor, held: KeyValues, place: int) -> Tensor:
        """Read (T, D) new tokens behind those of `held`, which grows: (1, D) last hidden state of token `place`."""
        return language.read(self.llava.model.language_model, held, embeddings, place)

    def vocabulary_logits(self, hidden: Tensor) -> Tensor:
        """(..., D) hidden states to (..., vocabulary) logits."""
        logits: Tensor = self.llava.lm_head(hidden)
        return logits

    def seg_features(self, hidden: Tensor) -> Tensor:
        """(N, D) hidden states in front of `[SEG]` to the (N, C) `SEG` features (h_c in the golden cases)."""
        features: Tensor = self.project_seg(hidden)
        return features

    def prepare(self, image_embedding: Tensor) -> Canvas:
        """What `draw` needs of one image's (1, C, h, w) embedding, computed once an image."""
        return sam_decoder.prepare(self.sam, image_embedding)

    def draw(self, canvas: Canvas, features: Tensor) -> Tensor:
        """(N, C) features to (N, 1, 4h, 4w) mask logits on one image."""
        return sam_decoder.draw(self.sam, canvas, features)

    def decode(self, image_embedding: Tensor, features: Tensor) -> Tensor:
        """(N, C) features to (N, 1, 4h, 4w) mask logits, on one image's (1, C, h, w) embedding or each on its own."""
        return sam_decoder.decode_masks(self.sam, image_embedding, features)

    def upscale(self, low_res: Tensor, resized: tuple[int, int], original: tuple[int, int]) -> Tensor:
        """Decoder logits to (N, height, width) float32 logits of the original image; see `sam.upscale_masks`."""
        return upscale_masks(self.sam, low_res, resized, original)
