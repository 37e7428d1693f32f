"""The stateful face: `Engine` -> opened image -> `Dialogue` -> `Round`, with its caches."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MediRoundLib.checkpoints import DEFAULT, Checkpoint, load_checkpoint
from MediRoundLib.compiling import CompiledSam
from MediRoundLib.devices import at_most_threads, choose_device, choose_dtype, keep_exact, memory_named
from MediRoundLib.errors import CheckpointError, ReferenceNotFound
from MediRoundLib.imaging import ClipPixels, ReferenceInput, View, as_rgb, is_grey, sam_pixels
from MediRoundLib.naming import name_beside, structure_name
from MediRoundLib.rounds import EncodedImage, JcmOutcome, Round, no_pixels, referred
from MediRoundLib.text import first_turn, query_turn
from MediRoundLib.thread import Thread, read_opening
from MediRoundLib.words import answer_text, check_answer, check_query, check_told_answer, language_of

# A round of a language model narrower than this takes less time than a second thread needs to join in, and where other
# programs use the processor, as 3D Slicer does, waiting for that thread takes many times as long as the round.
_NARROW = 512


class Engine:
    """A model on a device, ready to open images.

    ```
    engine = Engine.from_pretrained("mediround-tiny")
    dialogue = engine.open(image)                          # (H, W) or (H, W, 3) uint8
    lung = dialogue.ask("Segment the right lung.")
    other = dialogue.ask("Segment the other lung.")        # refers to round 1
    ```

    Attributes:
        threshold: JCM's beta in [0, 1]: features that score at or below it are corrected.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, compile: bool = False) -> None:
        keep_exact(device, dtype)
        self.config = checkpoint.config
        self.tokenizer = checkpoint.tokenizer
        self.model = checkpoint.model.cast(dtype).to(device).eval()
        self.device = device
        self.dtype = dtype
        self.threshold = self.config.jcm.threshold
        self.clip_pixels = ClipPixels(self.config.clip_image)
        narrow = device.type == "cpu" and self.config.language["hidden_size"] < _NARROW
        self._threads = 1 if narrow else None
        self._sam = CompiledSam(self.model) if compile else None

    @classmethod
    def from_pretrained(
        cls,
        path_or_name: str | Path = DEFAULT,
        device: str = "auto",
        dtype: str = "auto",
        quantize: Literal["4bit", "8bit"] | None = None,
        compile: bool = False,
    ) -> Self:
        """Load a checkpoint of any known layout.

        Args:
            path_or_name: a checkpoint's folder, or the name of a shipped one.
            device: 'auto', 'cpu', 'cuda' or 'cuda:N'.
            dtype: 'auto' (bfloat16 on CUDA, float32 on the CPU), 'float32', 'bfloat16' or 'float16'. On a processor
                that has bfloat16, that makes models larger than the shipped one faster (the mid size 1.5 times).
            quantize: hold the language model's weights in 4 or 8 bits (needs bitsandbytes), or None.
            compile: let torch.compile make SAM faster. The first image and the first round then wait for a compiler,
                up to minutes; where that fails, a warning says so, and SAM runs as without it.

        Raises:
            CheckpointError: the checkpoint cannot be loaded.
            MediRoundError: no such device or dtype here.
            OutOfMemory: the model does not fit the device.
        """
        where = choose_device(device)
        kind = choose_dtype(dtype, where)
        checkpoint = load_checkpoint(path_or_name, dtype=kind)
        if checkpoint.config.stage == 0:
            raise CheckpointError(
                f"{path_or_name} is untrained: it joins pretrained parts whose heads are random; "
                "train stage 1 from it first (python -m training.train)."
            )
        if quantize is not None:
            from MediRoundLib.quantization import quantize_language_model

            quantize_language_model(checkpoint.model, quantize, kind)
        with memory_named(where):
            return cls(checkpoint, where, kind, compile)

    @property
    def threads(self) -> int:
        """How many threads of the processor a round uses at most; opening an image takes all that torch has."""
        available = torch.get_num_threads()
        return available if self._threads is None else min(self._threads, available)

    @property
    def compiled(self) -> bool:
        """Whether SAM is compiled: asked for, and not failed so far."""
        return self._sam is not None and self._sam.works

    @contextmanager
    def running(self) -> Iterator[None]:
        """Where rounds are computed: without gradients, on few threads, and with a sentence where memory ends."""
        with torch.inference_mode(), memory_named(self.device), at_most_threads(self._threads):
            yield

    def encode(self, image: NDArray[np.uint8]) -> EncodedImage:
        """Run both image encoders, and the language model on the image, once an image.

        Raises:
            ImageError: anything but 8-bit grey or RGB.
            OutOfMemory: the device is full.
        """
        rgb = as_rgb(image)
        view = View.of(rgb, self.config.close_up)
        rgb = view.take(rgb)
        with torch.inference_mode(), memory_named(self.device):
            pixels, resized = sam_pixels(rgb, self.config.sam)
            embedding = self.model.encode_image(self.model.to_device(pixels[None]))
            canvas = self.model.prepare(embedding)
            patches = self.model.encode_patches(self.model.to_device(self.clip_pixels(rgb)[None]))
            opening = read_opening(self.model, self.tokenizer, patches)
        return EncodedImage(view, rgb, is_grey(rgb), embedding, canvas, resized, opening)

    def open(self, image: NDArray[np.uint8]) -> "Dialogue":
        """Begin a dialogue about `image`, (H, W) or (H, W, 3) uint8 as displayed.

        Raises:
            ImageError: another shape or data type.
            OutOfMemory: the device is full.
        """
        return self.begin(self.encode(image))

    def begin(self, image: EncodedImage) -> "Dialogue":
        """Begin a dialogue about an image that `encode` has been through."""
        return Dialogue(self, image)

    def thread(self, image: EncodedImage) -> Thread:
        """A fresh language model memory for `image`."""
        return Thread(self.model, self.tokenizer, self.clip_pixels, image.opening)

    def judge(self, feature: Tensor, correct: bool = True) -> JcmOutcome:
        """Algorithm 1 on one (1, C) feature: score it, and rewrite it where the score is at or below the threshold."""
        if self.config.stage < 2:
            return JcmOutcome(feature, None)
        quality = float(self.model.judge(feature))
        if not correct or quality > self.threshold:
            return JcmOutcome(feature, quality)
        feature = self.model.corrector(feature)
        return JcmOutcome(feature, quality, float(self.model.judge(feature)))

    def draw(self, image: EncodedImage, feature: Tensor) -> tuple[Tensor, NDArray[np.float32]]:
        """The mask decoder on one (1, C) feature: its own (1, 1, h, w) logits, and (H, W) float32 logits."""
        low_res = self.model.draw(image.canvas, feature)
        logits = self.model.upscale(low_res, image.resized, image.rgb.shape[:2])
        return low_res, image.view.put(self.model.to_host(logits[0]))


class Dialogue:
    """Rounds about one image; made by `Engine.open`.

    Attributes:
        rounds: the rounds so far; treat it as read-only, `rewind` drops some.
    """

    def __init__(self, engine: Engine, image: EncodedImage) -> None:
        self._engine = engine
        self._image = image
        self._thread = engine.thread(image)
        self.rounds: list[Round] = []

    def ask(
        self,
        query: str,
        reference: int | NDArray[np.bool_] | Literal[False] | None = None,
        answer: str | None = None,
        jcm: bool = True,
    ) -> Round:
        """Ask for one more structure.

        Args:
            query: in English or Chinese.
            reference: None to resolve it from the query, False for none, a round's number from 1, or any (H, W) bool
                mask, such as a segment that the user drew.
            answer: exact answer text with `[SEG]` in it; None for the model's own or its forced template.
            jcm: whether a poor feature is corrected; it is judged either way.

        Raises:
            QueryError: the query is empty, holds reserved words, or the dialogue is full.
            ReferenceNotFound: there is no such round, or the mask does not fit the image.
            OutOfMemory: the device is full. After any error the dialogue is as it was.
        """
        started = time.perf_counter()
        query = check_query(query)
        if answer is not None:
            check_answer(answer)
        told, mask = referred(query, reference, self.rounds, self._image.size)
        seen = None if mask is None else self._image.reference(mask)
        engine, before = self._engine, len(self._thread)
        try:
            with engine.running():
                written, hidden = self._think(query, answer, seen)
                if hidden is None:
                    logits = np.full(self._image.size, -np.inf, dtype=np.float32)
                    outcome = None
                else:
                    outcome = engine.judge(engine.model.seg_features(hidden), correct=jcm)
                    _, logits = engine.draw(self._image, outcome.feature)
            number, drawn = len(self.rounds) + 1, logits > 0
            quality = outcome.quality if outcome else None
            after = outcome.quality_corrected if outcome else None
            whole_image = seen is not None and seen.whole_image
            made = Round(
                number=number,
                query=query,
                name=name_beside(query, self.rounds[told - 1].name) if isinstance(told, int) else structure_name(query),
                mask=drawn,
                logits=logits,
                quality=quality,
                quality_corrected=after,
                corrected=outcome is not None and outcome.corrected,
                reference=told,
                answer=written,
                text=answer_text(
                    written,
                    number,
                    int(np.count_nonzero(drawn)),
                    quality if after is None else after,
                    engine.threshold,
                    language_of(query),
                    whole_image,
                ),
                seconds=time.perf_counter() - started,
                whole_image=whole_image,
            )
        except BaseException:
            self._thread.rewind(before)
            raise
        self.rounds.append(made)
        return made

    def tell(self, query: str, answer: str, reference: NDArray[np.bool_] | None = None) -> None:
        """Take in a round that was answered before, to go on with a dialogue of another time or process.

        The language model reads it as `ask` would; nothing is judged and drawn. Its mask stays empty: a later query
        that leans on it gives the mask itself.

        Args:
            query: as it was asked.
            answer: the exact answer that it had.
            reference: the (H, W) bool mask that it leaned on, or None.

        Raises:
            QueryError, ReferenceNotFound, OutOfMemory: as `ask`, and the dialogue is as it was.
        """
        started = time.perf_counter()
        query = check_query(query)
        check_told_answer(answer)
        given: NDArray[np.bool_] | Literal[False] = False if reference is None else reference
        told, mask = referred(query, given, self.rounds, self._image.size)
        seen = None if mask is None else self._image.reference(mask)
        with self._engine.running():
            self._think(query, answer, seen)
        self.rounds.append(
            Round(
                number=len(self.rounds) + 1,
                query=query,
                name=structure_name(query),
                **no_pixels(self._image.size),
                quality=None,
                quality_corrected=None,
                corrected=False,
                reference=told,
                answer=answer,
                text=answer,
                seconds=time.perf_counter() - started,
                whole_image=seen is not None and seen.whole_image,
            )
        )

    def forget_masks(self) -> None:
        """Let go of every round's mask and logits, which are empty from then on: for a caller that keeps the masks."""
        self.rounds[:] = [replace(done, **no_pixels(self._image.size)) for done in self.rounds]

    @property
    def nbytes(self) -> int:
        """Memory in bytes that the caches take: image, its embeddings, and the language model's keys and values."""
        return self._image.nbytes + self._thread.nbytes

    def rewind(self, rounds: int) -> None:
        """Keep the first `rounds` rounds; caches follow.

        Raises:
            ReferenceNotFound: there are not so many rounds.
        """
        if not 0 <= rounds <= len(self.rounds):
            raise ReferenceNotFound(f"Cannot keep {rounds} rounds: this dialogue has {len(self.rounds)}.")
        self._thread.rewind(rounds)
        del self.rounds[rounds:]

    def _think(self, query: str, answer: str | None, seen: ReferenceInput | None) -> tuple[str, Tensor | None]:
        """The answer, and the (1, D) hidden state in front of its `[SEG]`."""
        turn = query_turn(query, seen is not None)
        if not self.rounds:
            turn = first_turn(turn)
        if answer is None:
            template = self._engine.config.answers.get(language_of(query))
            answer = template if template is not None else self._thread.write_answer(turn, seen)
        return answer, self._thread.add(turn, answer, seen)
