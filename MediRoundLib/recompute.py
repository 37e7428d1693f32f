"""A round as the released evaluation answers it: everything again, nothing kept. The bench measures both.

It runs the modules as segment-anything and transformers wrote them, not `modeling`'s own ways through them, so that
equal logits say something about those.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MediRoundLib.devices import memory_named
from MediRoundLib.engine import Engine
from MediRoundLib.imaging import View, as_rgb, reference_input, sam_pixels
from MediRoundLib.modeling import MediRound
from MediRoundLib.text import encode_dialogue, first_turn, query_turn


@dataclass(frozen=True)
class ForcedRound:
    """A query with its exact answer, `[SEG]` in it, and the (H, W) bool mask that it refers to (None: to nothing)."""

    query: str
    answer: str
    reference: NDArray[np.bool_] | None


class StockModel:
    """A model's parts by their authors' own code, under the names in `modeling.MediRound`; D, C and P are its, too."""

    def __init__(self, model: MediRound) -> None:
        self._model = model

    def to_device(self, values: Tensor) -> Tensor:
        """Values of the computer's memory in that of the model, and in the model's number format."""
        return self._model.to_device(values)

    def to_host(self, values: Tensor) -> NDArray[np.float32]:
        """float32 values of the model's memory in the computer's."""
        return self._model.to_host(values)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) to SAM's (B, C, h, w)."""
        embedding: Tensor = self._model.sam.image_encoder(pixels)
        return embedding

    def encode_patches(self, pixels: Tensor) -> Tensor:
        """(B, 3, s, s) to (B, P, D)."""
        return self._project(self._clip_features(pixels)[:, 1:])

    def encode_crops(self, pixels: Tensor) -> Tensor:
        """(N, 3, s, s) to (N, D)."""
        return self._project(self._clip_features(pixels)[:, :1])[:, 0]

    def think(self, embeddings: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self._model.think(embeddings)

    def vocabulary_logits(self, hidden: Tensor) -> Tensor:
        """(..., D) to (..., vocabulary)."""
        return self._model.vocabulary_logits(hidden)

    def seg_features(self, hidden: Tensor) -> Tensor:
        """(N, D) to (N, C)."""
        return self._model.seg_features(hidden)

    def decode(self, image_embedding: Tensor, features: Tensor) -> Tensor:
        """(1, C, h, w) and (N, C) to (N, 1, 4h, 4w)."""
        sam = self._model.sam
        dense = sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        low_res: Tensor = sam.mask_decoder(
            image_embeddings=image_embedding,
            image_pe=sam.prompt_encoder.get_dense_pe().to(image_embedding.dtype),
            sparse_prompt_embeddings=features.unsqueeze(1),
            dense_prompt_embeddings=dense.expand(len(features), -1, *image_embedding.shape[-2:]),
            multimask_output=False,
        )[0]
        return low_res

    def upscale(self, low_res: Tensor, resized: tuple[int, int], original: tuple[int, int]) -> Tensor:
        """(N, 1, h, w) to (N, H, W)."""
        return self._model.upscale(low_res, resized, original)

    def _clip_features(self, pixels: Tensor) -> Tensor:
        outputs = self._model.llava.model.vision_tower(pixels, output_hidden_states=True)
        features: Tensor = outputs.hidden_states[self._model.config.feature_layer]
        return features

    def _project(self, features: Tensor) -> Tensor:
        projected: Tensor = self._model.llava.model.multi_modal_projector(features)
        return projected


class Recompute:
    """One image and its dialogue, with a cost a round like the released `validate` loop's.

    Every round runs SAM's encoder, CLIP on the image and on all crops in one batch, the language model on the whole
    sequence without a cache, its vocabulary head (whose output nobody reads), the projection of every position, and the
    mask decoder with both resizes for every `[SEG]`; CUDA's memory pool is emptied in between. As released, the image's
    own pixels are prepared once a dialogue, and a round prepares one crop.

    One departure, so that the logits can be compared with the engine's: every round is judged and, at or below the
    threshold, corrected, where the released code does so only for rounds that a later one refers to. Its cost is small.
    """

    def __init__(self, engine: Engine, image: NDArray[np.uint8], rounds: Sequence[ForcedRound]) -> None:
        """Prepare the pixels of `image`, (H, W) or (H, W, 3) uint8, and of all references."""
        self._engine = engine
        self.model = StockModel(engine.model)
        rgb = as_rgb(image)
        self._view = View.of(rgb, engine.config.close_up)
        self._rgb = self._view.take(rgb)
        self._rounds = rounds
        pixels, self._resized = sam_pixels(self._rgb, engine.config.sam)
        self._sam_pixels = self.model.to_device(pixels[None])
        self._clip_pixels = self.model.to_device(engine.clip_pixels(self._rgb)[None])
        self._seen = {k: self._see(each.reference) for k, each in enumerate(rounds) if each.reference is not None}

    def tokens(self, length: int) -> int:
        """How many places the first `length` rounds take in the language model, image patches included."""
        return len(self._ids(length)) - 1 + self._engine.config.image_tokens

    def answer(self, number: int, length: int) -> NDArray[np.float32]:
        """(H, W) logits of one round.

        Args:
            number: the round, from 0.
            length: rounds in the sequence, more than `number`. The released evaluation puts the whole dialogue in every
                time, later rounds too: attention is causal, so they cost time and change nothing.
        """
        engine, model = self._engine, self.model
        with torch.inference_mode(), memory_named(engine.device):
            embedding = model.encode_image(self._sam_pixels)
            self._empty_pool()
            crops, boxes = self._references(number, length)
            patches = model.encode_patches(self._clip_pixels)
            self._empty_pool()
            ids = self._ids(length)
            hidden = model.think(engine.model.embed(ids, patches[0], crops, boxes)[None])[0]
            model.vocabulary_logits(hidden)
            self._empty_pool()
            # From the end, since the image takes more places than its one id; the feature is in front of [SEG].
            places = [k - len(ids) - 1 for k, token in enumerate(ids) if token == engine.config.tokens.seg]
            features = model.seg_features(hidden)[[len(hidden) + place for place in places]]
            features[number : number + 1] = engine.judge(features[number : number + 1]).feature
            logits = model.upscale(model.decode(embedding, features), self._resized, self._rgb.shape[:2])
            return self._view.put(model.to_host(logits[number]))

    def _ids(self, length: int) -> list[int]:
        turns = []
        for k, each in enumerate(self._rounds[:length]):
            turn = query_turn(each.query, each.reference is not None)
            turns.append((turn if k else first_turn(turn), each.answer))
        return encode_dialogue(self._engine.tokenizer, turns)[0]

    def _see(self, mask: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
        """CLIP's (3, s, s) pixels of a reference's crop, and its (4,) box."""
        seen = reference_input(self._rgb, self._view.take(mask))
        crop = self.model.to_device(self._engine.clip_pixels(seen.crop))
        return crop, self.model.to_device(torch.tensor(seen.box))

    def _references(self, number: int, length: int) -> tuple[Tensor, Tensor]:
        """(N, D) crops and boxes of all references in the sequence; the pixels of the round's own are made anew."""
        engine, own = self._engine, self._rounds[number].reference
        if own is not None:
            self._seen[number] = self._see(own)
        seen = [self._seen[k] for k in sorted(self._seen) if k < length]
        if not seen:
            none = torch.zeros(0, engine.config.language["hidden_size"], device=engine.device, dtype=engine.dtype)
            return none, none
        crops = self.model.encode_crops(torch.stack([crop for crop, _ in seen]))
        self._empty_pool()
        return crops, engine.model.encode_boxes(torch.stack([box for _, box in seen]))

    def _empty_pool(self) -> None:
        if self._engine.device.type == "cuda":
            torch.cuda.empty_cache()
