"""Multi-round dialogues from a labelled image: questions that lean on earlier rounds, each with its true mask."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from MediRoundLib import mr_medseg
from MediRoundLib.text import first_turn, query_turn
from training.data.entities import Language, entities
from training.data.phrases import LANGUAGES, corpus_lines
from training.data.rounds import DIRECT_RATE, Dialogue, Turn, Writer
from training.data.samples import LabelledImage
from training.data.scenarios import SCENARIOS
from training.data.structures import Structures

__all__ = ["Dialogue", "Turn", "build_dialogue", "corpus_lines", "export", "possible_scenarios", "write_dialogue"]


def build_dialogue(
    sample: LabelledImage,
    rng: np.random.Generator,
    language: Language = "en",
    max_rounds: int = 6,
    absent_rate: float = 0.05,
    scenario: str = "",
    structures: Structures | None = None,
    loose: float = 0.0,
    weights: Mapping[str, float] | None = None,
) -> Dialogue | None:
    """Makes up a dialogue about the labels of one image.

    Args:
        max_rounds: at most so many rounds; an image with few structures gives fewer, a scenario may allow fewer.
        absent_rate: share of rounds that ask for a structure which is known not to be in the image.
        scenario: one of `SCENARIOS`, whose relations alone are asked for; "" for all relations.
        structures: the image's, where they are known already.
        loose: share of questions told freely, for training alone; see `phrases.relation_query`.
        weights: how often relations are asked for, where that differs from `rounds.WEIGHTS`.

    Returns:
        The dialogue, or None if no structure of the image is known to `entities.toml`, or if the scenario has nothing
        to ask: a dialogue of a scenario leans on an earlier round at least once.
    """
    kind = SCENARIOS[scenario] if scenario else None
    writer = Writer(sample, rng, language, kind, structures or Structures(sample), loose, weights)
    if not writer.worth_asking():
        return None
    if kind:
        max_rounds = min(max_rounds, kind.rounds)
    wanted = int(rng.integers(min(2, max_rounds), max_rounds + 1))
    while len(writer.turns) < wanted:
        if rng.random() < absent_rate and writer.ask_absent():
            continue
        lean = writer.can_lean() and ((kind and len(writer.turns) == 1) or rng.random() >= DIRECT_RATE)
        if not ((lean and writer.ask_related()) or writer.ask_direct() or writer.ask_related()):
            break
    return Dialogue(writer.turns, language, scenario)


def possible_scenarios(structures: Structures) -> list[str]:
    """The scenarios that an image's structures have something for."""
    found = {
        name
        for source in structures.masks
        for step in structures.steps_of(source)
        for name, scenario in SCENARIOS.items()
        if scenario.takes(step.relation, entities()[source].lesion)
    }
    return [name for name in SCENARIOS if name in found]


def export(
    samples: Iterable[LabelledImage],
    folder: Path,
    rng: np.random.Generator,
    count: int,
    language: Language | None = None,
    max_rounds: int = 6,
    absent_rate: float = 0.0,
) -> Path:
    """Writes dialogues as an MR-MedSeg data set: `images/`, `masks/` (0 and 255) and `dialogues.json`.

    Dialogues in which no round leans on another one are left out, since the released loader cannot read them.

    Args:
        samples: one dialogue is tried for each.
        count: stop after so many dialogues.
        language: None takes English and Chinese in turn.

    Returns:
        The JSON file; paths in it are relative to `folder`.
    """
    conversations: list[mr_medseg.Conversation] = []
    for sample in samples:
        if len(conversations) >= count:
            break
        spoken = language or LANGUAGES[len(conversations) % 2]
        dialogue = build_dialogue(sample, rng, spoken, max_rounds, absent_rate)
        if dialogue is not None and dialogue.leans:
            stem = f"{len(conversations):05d}"
            picture = write_image(folder, stem, sample)
            conversations.append(write_dialogue(folder, stem, picture, sample, dialogue))
    target = folder / "dialogues.json"
    folder.mkdir(parents=True, exist_ok=True)
    mr_medseg.write_conversations(target, conversations, folder)
    return target


def write_image(folder: Path, stem: str, sample: LabelledImage) -> Path:
    """Writes the picture to `images/`; a stem "FOLDER/NAME" puts it one folder deeper."""
    path = folder / "images" / f"{stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sample.image).save(path)
    return path


def write_dialogue(
    folder: Path, stem: str, picture: Path, sample: LabelledImage, dialogue: Dialogue
) -> mr_medseg.Conversation:
    """Writes the masks (0 and 255) of a dialogue about a picture to `masks/` and says what it is made of."""
    paths = [folder / "masks" / f"{stem}_{k}.png" for k in range(len(dialogue.turns))]
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    turns = []
    for k, (turn, path) in enumerate(zip(dialogue.turns, paths, strict=True)):
        Image.fromarray(turn.target.astype(np.uint8) * 255).save(path)
        text = query_turn(turn.query, turn.reference is not None)
        reference_mask = None if turn.reference is None else paths[turn.reference]
        turns.append(mr_medseg.Turn(text if k else first_turn(text), turn.answer, path, turn.reference, reference_mask))
    about = {
        "scenario": dialogue.scenario or "mixed",
        "language": dialogue.language,
        "modality": sample.modality,
        "source": sample.source,
        "patient": sample.patient,
        "lateral": sample.lateral,
        "entities": [turn.entity for turn in dialogue.turns],
        "relations": [turn.relation for turn in dialogue.turns],
    }
    return mr_medseg.Conversation(picture, tuple(turns), about)
