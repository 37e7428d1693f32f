"""Evaluation on MR-MedSeg dialogues: the released protocol to its last quirk, and what a user really gets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from MediRoundLib.engine import Dialogue, EncodedImage, Engine
from MediRoundLib.errors import CheckpointError, DialogueFileError, ReferenceNotFound
from MediRoundLib.imaging import ReferenceInput, box_of, crop_square, released_reference_input
from MediRoundLib.mr_medseg import Conversation, Turn
from MediRoundLib.text import BOX, CROP, IMAGE

# What Pillow raises on files that are missing or damaged.
_UNREADABLE = (OSError, ValueError, SyntaxError)


@dataclass(frozen=True)
class Record:
    """One evaluated round.

    Attributes:
        dialogue: number of the conversation, from 0.
        round: number of the round in it, from 0.
        logits: (H, W) float32.
        target: (H, W) bool.
        quality: score of the feature before correction in [0, 1]; None where it was not judged.
        corrected: whether the corrector rewrote the feature.
        quality_drawn: score of the feature that drew the mask; None where that one was not judged.
        reference: number of the round referred to, from 0; None for none.
        lost: whether the query refers to something that was not found, so that it was asked without a reference.
        seen: crop and box that stood for the reference (official protocol).
        feature: (C,) `SEG` feature before correction (official protocol).
        low_res: (h, w) logits of the mask decoder (official protocol).
    """

    dialogue: int
    round: int
    logits: NDArray[np.float32]
    target: NDArray[np.bool_]
    quality: float | None
    corrected: bool
    quality_drawn: float | None
    reference: int | None
    lost: bool = False
    seen: ReferenceInput | None = None
    feature: NDArray[np.float32] | None = None
    low_res: NDArray[np.float32] | None = None


def official(engine: Engine, conversations: Sequence[Conversation], stage: int) -> Iterator[Record]:
    """The released evaluation: true answers, true references, and a judge that looks into the future.

    Only rounds that another round refers to are judged, and corrected at or below the threshold. References are made of
    the predicted masks; where the released code fails at that, the true mask stays. Earlier rounds lie in the cache:
    attention is causal, so this equals the released code's recomputation.

    Args:
        engine: float32 repeats the released numbers.
        conversations: the dialogues.
        stage: 1 leaves the JCM out, 2 uses it.

    Raises:
        CheckpointError: stage 2 of a model without a trained JCM.
        DialogueFileError: an image or mask is missing or unfit.
    """
    if stage > engine.config.stage:
        raise CheckpointError("This model is of stage 1 and has no trained JCM; evaluate it with --stage 1.")
    for number, conversation, image in _with_images(engine, conversations):
        thread = engine.thread(image)
        referenced = {turn.reference for turn in conversation.turns}
        drawn: list[NDArray[np.bool_]] = []
        for k, turn in enumerate(conversation.turns):
            seen = _official_reference(image, turn, drawn)
            with torch.inference_mode():
                hidden = thread.add(turn.query, turn.answer, seen)
                if hidden is None:
                    raise DialogueFileError(f"Dialogue {number + 1}, turn {k + 1}: the answer has no mask; add [SEG].")
                feature = engine.model.seg_features(hidden)
                quality = float(engine.model.judge(feature)) if stage == 2 and k in referenced else None
                corrected = quality is not None and quality <= engine.threshold
                low_res, logits = engine.draw(image, engine.model.corrector(feature) if corrected else feature)
            drawn.append(logits > 0)
            yield Record(
                dialogue=number,
                round=k,
                logits=logits,
                target=_read_mask(turn.target, image) == 255,
                quality=quality,
                corrected=corrected,
                quality_drawn=None if corrected else quality,
                reference=turn.reference,
                seen=seen,
                feature=feature[0].float().cpu().numpy(),
                low_res=low_res[0, 0].float().cpu().numpy(),
            )


def causal(
    engine: Engine, conversations: Sequence[Conversation], jcm: bool = True, reference: bool = True
) -> Iterator[Record]:
    """What a user gets: own answers, references resolved from the words, every round judged (Algorithm 1).

    A query whose reference is not found is asked without one, and its record says so.

    Args:
        engine: the engine.
        conversations: the dialogues.
        jcm: whether poor features are corrected.
        reference: whether references are used at all.

    Raises:
        DialogueFileError: an image or mask is missing or unfit.
    """
    for number, conversation, image in _with_images(engine, conversations):
        dialogue = Dialogue(engine, image)
        for k, turn in enumerate(conversation.turns):
            query, lost = plain_query(turn.query), False
            try:
                made = dialogue.ask(query, reference=None if reference else False, jcm=jcm)
            except ReferenceNotFound:
                lost = True
                made = dialogue.ask(query, reference=False, jcm=jcm)
            yield Record(
                dialogue=number,
                round=k,
                logits=made.logits,
                target=_read_mask(turn.target, image) == 255,
                quality=made.quality,
                corrected=made.corrected,
                quality_drawn=made.quality_corrected if made.corrected else made.quality,
                reference=made.reference - 1 if isinstance(made.reference, int) else None,
                lost=lost,
            )


def plain_query(turn: str) -> str:
    """A human turn in the user's own words: without the tokens of the image and of the reference."""
    for token in (IMAGE, CROP, BOX):
        turn = turn.replace(token, " ")
    return " ".join(turn.split())


def _with_images(
    engine: Engine, conversations: Sequence[Conversation]
) -> Iterator[tuple[int, Conversation, EncodedImage]]:
    """Each conversation with its image, which is encoded once where several in a row share it."""
    path, image = None, None
    for number, conversation in enumerate(conversations):
        if image is None or conversation.image != path:
            path, image = conversation.image, engine.encode(_read_image(conversation.image))
        yield number, conversation, image


def _official_reference(image: EncodedImage, turn: Turn, drawn: Sequence[NDArray[np.bool_]]) -> ReferenceInput | None:
    """What a round sees of its reference: the predicted mask where it can be used, else the true one."""
    if turn.reference is None or turn.reference_mask is None:
        return None
    predicted = released_reference_input(image.rgb, drawn[turn.reference])
    if predicted is not None:
        return predicted
    grey = _read_mask(turn.reference_mask, image)
    white = grey == 255
    if not white.any():
        raise DialogueFileError(f"{turn.reference_mask} is the mask of a reference and empty; leave that round out.")
    # As released, any grey takes part in the crop and only white in the box.
    return ReferenceInput(crop_square(image.rgb, grey > 0, grey > 0), box_of(white))


def _read_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except _UNREADABLE as error:
        raise DialogueFileError(f"{path} cannot be opened as an image; check --root and the paths.") from error


def _read_mask(path: Path, image: EncodedImage) -> NDArray[np.uint8]:
    """(H, W) uint8, 255 inside."""
    try:
        with Image.open(path) as opened:
            mask = np.asarray(opened.convert("L") if opened.mode == "1" else opened)
    except _UNREADABLE as error:
        raise DialogueFileError(f"{path} cannot be opened as a mask; check --root and the paths.") from error
    if mask.shape != image.size:
        raise DialogueFileError(f"The mask {path} is {mask.shape}, its image {image.size}; give it the image's size.")
    return mask
