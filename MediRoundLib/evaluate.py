"""Evaluation on MR-MedSeg dialogues: the released protocol to its last quirk, what a user gets, each round alone.

The first thing that is wrong stops an evaluation, unless the caller gives a `problem` that takes note and returns. The
rest is evaluated then: a picture that is unfit leaves its whole dialogue out, a round that cannot be asked ends it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from MediRoundLib.alone import NameOf, explicit_queries, plain_query, stated_name
from MediRoundLib.engine import Dialogue, EncodedImage, Engine
from MediRoundLib.errors import CheckpointError, DialogueFileError, ImageError, QueryError, ReferenceNotFound
from MediRoundLib.imaging import ReferenceInput, box_of, crop_square, released_reference_input
from MediRoundLib.masks import INSIDE, UNREADABLE, read_mask
from MediRoundLib.mr_medseg import Conversation, Turn, entry_problems, read_conversations
from MediRoundLib.rounds import Round
from MediRoundLib.text import BOX, CROP

_BAD = (DialogueFileError, ImageError, QueryError)
_WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)

# What the model is shown of a reference: everything, a part of it, or nothing.
Shown = Literal["crop and box", "crop", "box", "nothing"]
Problem = Callable[[str], None]
Targets = Sequence[NDArray[np.bool_]]


@dataclass(frozen=True)
class Record:
    """One evaluated round.

    Attributes:
        dialogue, round: numbers of the conversation and of the round in it, from 0.
        logits: (H, W) float32.
        target: (H, W) bool.
        quality: score of the feature before correction in [0, 1]; None where it was not judged.
        corrected: whether the corrector rewrote the feature.
        quality_drawn: score of the feature that drew the mask; None where that one was not judged.
        reference: number of the round referred to, from 0; None for none.
        lost: whether the query refers to something that was not found, so that it was asked without a reference.
        box: (x0, y0, x1, y1) in pixels of a model with a box head, else None.
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
    box: tuple[float, float, float, float] | None = None
    seen: ReferenceInput | None = None
    feature: NDArray[np.float32] | None = None
    low_res: NDArray[np.float32] | None = None


def _refuse(problem: str) -> None:
    raise DialogueFileError(problem)


def read_good(json_path: Path, root: Path) -> tuple[list[Conversation | None], list[str]]:
    """The dialogues of a file, None for each that cannot be read, and all that is wrong with those.

    Raises:
        DialogueFileError: the file as a whole cannot be read, or none of its dialogues.
    """
    try:
        return list(read_conversations(json_path, root)), []
    except DialogueFileError:
        try:
            entries = json.loads(json_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            entries = None
        if not isinstance(entries, list) or not entries:
            raise
    found: list[Conversation | None] = []
    problems: list[str] = []
    with TemporaryDirectory() as folder:
        alone = Path(folder) / json_path.name
        for number, entry in enumerate(entries, start=1):
            alone.write_text(json.dumps([entry]), encoding="utf-8")
            try:
                found += read_conversations(alone, root)
            except DialogueFileError:
                found.append(None)
                problems += entry_problems(entry, number, str(json_path), root)
    if not any(found):
        raise DialogueFileError(problems[0])
    return found, problems


def official(
    engine: Engine,
    conversations: Sequence[Conversation | None],
    stage: int,
    shown: Shown = "crop and box",
    problem: Problem = _refuse,
) -> Iterator[Record]:
    """The released evaluation: true answers, true references, and a judge that looks into the future.

    Only rounds that another round refers to are judged, and corrected at or below the threshold. References are made of
    the predicted masks; where the released code fails at that, the true mask stays. Earlier rounds lie in the cache:
    attention is causal, so this equals the released code's recomputation.

    Args:
        engine: float32 repeats the released numbers.
        conversations: the dialogues; None for one that was left out and still counts.
        stage: 1 leaves the JCM out, 2 uses it.
        shown: what the model sees of references; a crop that it does not see is black, a box is the image's own.
        problem: told what is wrong with a dialogue.

    Raises:
        CheckpointError: stage 2 of a model without a trained JCM.
        DialogueFileError: a dialogue is unfit, unless `problem` returns.
    """
    if stage > engine.config.stage:
        raise CheckpointError("This model is of stage 1 and has no trained JCM; evaluate it with --stage 1.")

    def rounds(number: int, conversation: Conversation, image: EncodedImage, targets: Targets) -> Iterator[Record]:
        thread = engine.thread(image)
        referenced = {turn.reference for turn in conversation.turns}
        drawn: list[NDArray[np.bool_]] = []
        for k, turn in enumerate(conversation.turns):
            seen = _partly(_official_reference(image, turn, drawn), shown)
            query = turn.query if shown != "nothing" else turn.query.replace(CROP, "").replace(BOX, "")
            with torch.inference_mode():
                hidden = thread.add(query, turn.answer, seen)
                if hidden is None:
                    raise DialogueFileError("the answer has no mask; add [SEG].")
                feature = engine.model.seg_features(hidden)
                quality = float(engine.model.judge(feature)) if stage == 2 and k in referenced else None
                corrected = quality is not None and quality <= engine.threshold
                low_res, logits = engine.draw(image, engine.model.corrector(feature) if corrected else feature)
            drawn.append(logits > 0)
            yield Record(
                dialogue=number,
                round=k,
                logits=logits,
                target=targets[k],
                quality=quality,
                corrected=corrected,
                quality_drawn=None if corrected else quality,
                reference=turn.reference,
                seen=seen,
                feature=feature[0].float().cpu().numpy(),
                low_res=low_res[0, 0].float().cpu().numpy(),
            )

    return _each(engine, conversations, rounds, problem)


def causal(
    engine: Engine,
    conversations: Sequence[Conversation | None],
    jcm: bool = True,
    reference: bool = True,
    problem: Problem = _refuse,
) -> Iterator[Record]:
    """What a user gets: own answers, references resolved from the words, every round judged (Algorithm 1).

    A query whose reference is not found is asked without one, and its record says so.

    Args:
        engine, conversations, problem: as for `official`, and what is raised.
        jcm: whether poor features are corrected.
        reference: whether references are used at all.
    """

    def rounds(number: int, conversation: Conversation, image: EncodedImage, targets: Targets) -> Iterator[Record]:
        dialogue = Dialogue(engine, image)
        for k, turn in enumerate(conversation.turns):
            query, lost = plain_query(turn.query), False
            try:
                made = dialogue.ask(query, reference=None if reference else False, jcm=jcm)
            except ReferenceNotFound:
                lost = True
                made = dialogue.ask(query, reference=False, jcm=jcm)
            yield _asked(number, k, made, targets[k], lost)

    return _each(engine, conversations, rounds, problem)


def single_turn(
    engine: Engine,
    conversations: Sequence[Conversation | None],
    jcm: bool = True,
    name_of: NameOf = stated_name,
    problem: Problem = _refuse,
) -> Iterator[Record]:
    """MTurn-Seg's baseline: references are rewritten into names, and each round is asked in a dialogue of its own.

    Args as for `causal`; `name_of` says what a round asks for, "" to find it in the words.
    """

    def rounds(number: int, conversation: Conversation, image: EncodedImage, targets: Targets) -> Iterator[Record]:
        for k, query in enumerate(explicit_queries(conversation, name_of)):
            made = Dialogue(engine, image).ask(query, reference=False, jcm=jcm)
            yield _asked(number, k, made, targets[k])

    return _each(engine, conversations, rounds, problem)


def _asked(number: int, k: int, made: Round, target: NDArray[np.bool_], lost: bool = False) -> Record:
    """The record of a round that was asked as a user asks."""
    return Record(
        dialogue=number,
        round=k,
        logits=made.logits,
        target=target,
        quality=made.quality,
        corrected=made.corrected,
        quality_drawn=made.quality_corrected if made.corrected else made.quality,
        reference=made.reference - 1 if isinstance(made.reference, int) else None,
        lost=lost,
        box=made.box,
    )


def _each(
    engine: Engine,
    conversations: Sequence[Conversation | None],
    rounds: Callable[[int, Conversation, EncodedImage, Targets], Iterator[Record]],
    problem: Problem,
) -> Iterator[Record]:
    """The rounds of every dialogue whose pictures are fit; an image that several in a row share is encoded once."""
    path, image = None, None
    for number, conversation in enumerate(conversations):
        if conversation is None:
            continue
        turn, targets = 1, []
        try:
            if image is None or conversation.image != path:
                path, image = conversation.image, None
                image = engine.encode(_read_image(conversation.image))
            for turn, each in enumerate(conversation.turns, start=1):  # noqa: B007 (the message names it)
                targets.append(_read_mask(each.target, image) == INSIDE)
            turn = 1
            for record in rounds(number, conversation, image, targets):
                yield record
                turn = record.round + 2
        except _BAD as error:
            problem(f"dialogue {number + 1}, turn {turn}: {error}")


def _official_reference(image: EncodedImage, turn: Turn, drawn: Targets) -> ReferenceInput | None:
    """What a round sees of its reference: the predicted mask where it can be used, else the true one."""
    if turn.reference is None or turn.reference_mask is None:
        return None
    predicted = released_reference_input(image.rgb, image.view.take(drawn[turn.reference]))
    if predicted is not None:
        return predicted
    grey = image.view.take(_read_mask(turn.reference_mask, image))
    white = grey == 255
    if not white.any():
        raise DialogueFileError(f"{turn.reference_mask} is the mask of a reference and empty; leave that round out.")
    # As released, any grey takes part in the crop and only white in the box.
    return ReferenceInput(crop_square(image.rgb, grey > 0, grey > 0), box_of(white))


def _partly(seen: ReferenceInput | None, shown: Shown) -> ReferenceInput | None:
    if seen is None or shown == "nothing":
        return None
    crop = np.zeros_like(seen.crop) if shown == "box" else seen.crop
    return replace(seen, crop=crop, box=_WHOLE_IMAGE if shown == "crop" else seen.box)


def _read_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except UNREADABLE as error:
        raise DialogueFileError(f"{path} cannot be opened as an image; check --root and the paths.") from error


def _read_mask(path: Path, image: EncodedImage) -> NDArray[np.uint8]:
    """(H, W) uint8, `INSIDE` where the structure is, of the image's size."""
    mask = read_mask(path)
    if mask.shape != image.size:
        raise DialogueFileError(f"The mask {path} is {mask.shape}, its image {image.size}; give it the image's size.")
    return mask
