"""Multi-round dialogues from a labelled image: questions that lean on earlier rounds, each with its true mask.

    python -m training.data.dialogues --source phantoms|real [--root DIR] [--split val] --count N --out DIR

writes images, masks and an MR-MedSeg JSON file.
"""

import argparse
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from MediRoundLib import mr_medseg
from MediRoundLib.text import first_turn, query_turn
from training.data.entities import Entity, Language, entities
from training.data.phrases import answers, corpus_lines, direct_query, relation_query
from training.data.samples import LabelledImage, Mask
from training.data.structures import Step, Structures

__all__ = ["Dialogue", "Turn", "build_dialogue", "corpus_lines", "export"]

DIRECT_RATE = 0.25  # after the first round: questions by name
LAST_ROUND_FACTOR = 3.0  # how much likelier a question leans on the round just before than on another one
IMPLICIT_RATE = 0.4  # of those that do, the ones that say "its" or nothing
REPEAT_RATE = 0.15  # chance that a structure may be asked for again
WEIGHTS = {"other": 1.0, "next": 1.0, "previous": 1.0, "lesion": 1.5, "organ": 0.8, "spatial": 0.25, "attribute": 0.8}
_SEEN_BY_ENDOSCOPE = ("polyp", "Barrett's esophagus", "high-grade dysplasia")
_NEVER_SEEN_BY_ENDOSCOPE = ("left kidney", "right kidney", "heart", "mandible", "spleen", "left lung", "glioma")


@dataclass(frozen=True)
class Turn:
    """One round.

    Attributes:
        query: the user's words. answer: the model's, with [SEG].
        target: (H, W) bool; empty for an absent structure.
        reference: index from 0 of the round that the query leans on, or None.
        relation: "direct", "absent", or how the target relates to the reference.
        entity: key of the target.
    """

    query: str
    answer: str
    target: Mask
    reference: int | None
    relation: str
    entity: str


@dataclass(frozen=True)
class Dialogue:
    """The rounds about one image, in order."""

    turns: list[Turn]
    language: Language


def build_dialogue(
    sample: LabelledImage,
    rng: np.random.Generator,
    language: Language = "en",
    max_rounds: int = 6,
    absent_rate: float = 0.05,
) -> Dialogue | None:
    """Makes up a dialogue about the labels of one image.

    Args:
        max_rounds: at most so many rounds; an image with few structures gives fewer.
        absent_rate: share of rounds that ask for a structure which is known not to be in the image.

    Returns:
        The dialogue, or None if no structure of the image is known to `entities.toml`.
    """
    writer = _Writer(sample, rng, language)
    if not writer.structures.masks:
        return None
    wanted = int(rng.integers(min(2, max_rounds), max_rounds + 1))
    while len(writer.turns) < wanted:
        if rng.random() < absent_rate and writer.ask_absent():
            continue
        lean = writer.can_lean() and rng.random() >= DIRECT_RATE
        if not ((lean and writer.ask_related()) or writer.ask_direct() or writer.ask_related()):
            break
    return Dialogue(writer.turns, language)


class _Writer:
    """Writes one dialogue round by round; every `ask_` says whether it found something to ask."""

    def __init__(self, sample: LabelledImage, rng: np.random.Generator, language: Language) -> None:
        self.rng, self.language, self.sample = rng, language, sample
        self.structures = Structures(sample)
        self.turns: list[Turn] = []
        self._steps: dict[int, list[Step]] = {}

    def can_lean(self) -> bool:
        return any(turn.relation != "absent" for turn in self.turns)

    def ask_direct(self) -> bool:
        """Asks by name for a structure not asked for yet, likelier for one that others relate to."""
        asked = {turn.entity for turn in self.turns}
        fresh = [name for name in self.structures.masks if name not in asked]
        if not fresh:
            return False
        promise = np.array([1.0 + self._promise(name) for name in fresh])
        name = fresh[int(self.rng.choice(len(fresh), p=promise / promise.sum()))]
        query = direct_query(self.rng, entities()[name], self.language)
        self._add(query, self.structures.masks[name], None, "direct", name)
        return True

    def _promise(self, name: str) -> float:
        """How much there is to ask about a structure later on, without what any two neighbours give."""
        steps = self.structures.relatives(name, self.structures.masks[name])
        return min(3.0, sum(WEIGHTS[step.relation] for step in steps))

    def ask_absent(self) -> bool:
        """Asks by name for a structure that is known not to be in the image."""
        absent = sorted(_known_absences(self.sample) - {turn.entity for turn in self.turns})
        if not absent:
            return False
        name = absent[int(self.rng.integers(len(absent)))]
        query = direct_query(self.rng, entities()[name], self.language)
        self._add(query, np.zeros(self.sample.image.shape[:2], bool), None, "absent", name)
        return True

    def ask_related(self) -> bool:
        """Asks for something relative to an earlier round."""
        repeats = self.rng.random() < REPEAT_RATE
        choices: list[tuple[int, Step]] = []
        weights: list[float] = []
        for reference, turn in enumerate(self.turns):
            if turn.relation == "absent":
                continue
            steps = [step for step in self._steps_from(reference) if repeats or not self._asked(step)]
            kinds = Counter(step.relation for step in steps)
            recent = LAST_ROUND_FACTOR if reference == len(self.turns) - 1 else 1.0
            choices += [(reference, step) for step in steps]
            # Each relation by its weight, however many steps it has.
            weights += [recent * WEIGHTS[step.relation] / kinds[step.relation] for step in steps]
        if not choices:
            return False
        chances = np.array(weights) / sum(weights)
        reference, step = choices[int(self.rng.choice(len(choices), p=chances))]
        self._ask_step(step, reference)
        return True

    def _steps_from(self, reference: int) -> list[Step]:
        if reference not in self._steps:
            turn = self.turns[reference]
            self._steps[reference] = list(self.structures.steps(turn.entity, turn.target))
        return self._steps[reference]

    def _asked(self, step: Step) -> bool:
        # The parts of one lesion in two organs are two answers.
        return any(turn.entity == step.entity and np.array_equal(turn.target, step.target) for turn in self.turns)

    def _ask_step(self, step: Step, reference: int) -> None:
        implicit = reference == len(self.turns) - 1 and self.rng.random() < IMPLICIT_RATE
        source: Entity = entities()[self.turns[reference].entity]
        query = relation_query(
            self.rng,
            step.relation,
            entities()[step.entity],
            self.language,
            None if implicit else reference + 1,
            step.direction,
            step.attribute,
            source.lesion,
        )
        self._add(query, step.target, reference, step.relation, step.entity)

    def _add(self, query: str, target: Mask, reference: int | None, relation: str, entity: str) -> None:
        templates = answers(self.language)
        usual = self.rng.random() < 0.5  # the forced answer of the engine must be the most familiar one
        answer = templates[0 if usual else int(self.rng.integers(len(templates)))]
        self.turns.append(Turn(query, answer, target, reference, relation, entity))


def _known_absences(sample: LabelledImage) -> set[str]:
    """Entities that certainly do not show: those that would be labelled, and what no such picture can show."""
    never = _NEVER_SEEN_BY_ENDOSCOPE if sample.modality == "endoscopy" else _SEEN_BY_ENDOSCOPE
    return {name for name in (*sample.supervised, *never) if name in entities() and name not in sample.masks}


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
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    conversations: list[mr_medseg.Conversation] = []
    languages: tuple[Language, Language] = ("en", "zh")
    for sample in samples:
        if len(conversations) >= count:
            break
        spoken = language or languages[len(conversations) % 2]
        dialogue = build_dialogue(sample, rng, spoken, max_rounds, absent_rate)
        if dialogue is None or all(turn.reference is None for turn in dialogue.turns):
            continue
        stem = f"{len(conversations):05d}"
        picture = folder / "images" / f"{stem}.png"
        Image.fromarray(sample.image).save(picture)
        paths = [folder / "masks" / f"{stem}_{k}.png" for k in range(len(dialogue.turns))]
        turns = []
        for k, (turn, path) in enumerate(zip(dialogue.turns, paths, strict=True)):
            Image.fromarray(turn.target.astype(np.uint8) * 255).save(path)
            text = query_turn(turn.query, turn.reference is not None)
            reference_mask = None if turn.reference is None else paths[turn.reference]
            turns.append(
                mr_medseg.Turn(text if k else first_turn(text), turn.answer, path, turn.reference, reference_mask)
            )
        conversations.append(mr_medseg.Conversation(picture, tuple(turns)))
    target = folder / "dialogues.json"
    mr_medseg.write_conversations(target, conversations, folder)
    return target


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write multi-round dialogues as an MR-MedSeg data set.")
    parser.add_argument("--source", choices=["phantoms", "real"], required=True)
    parser.add_argument("--root", type=Path, help="folder of real images, for --source real")
    parser.add_argument("--split", choices=["train", "val"], default="val")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--language", choices=["en", "zh"], help="both in turn if left out")
    parser.add_argument("--max-rounds", type=int, default=6)
    parser.add_argument("--absent-rate", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args: Any = parser.parse_args(arguments)
    rng = np.random.default_rng(args.seed)
    # Either source is imported only when it is asked for: real images need SimpleITK.
    if args.source == "phantoms":
        from training.data.phantoms import draw_phantom

        samples: Iterator[LabelledImage] = (draw_phantom(rng) for _ in itertools.count())
    else:
        if args.root is None:
            parser.error("--source real needs --root")
        from training.data.real import iter_samples

        held = list(iter_samples(args.root, args.split))
        samples = (held[int(k)] for k in rng.permutation(len(held)))
    written = export(samples, args.out, rng, args.count, args.language, args.max_rounds, args.absent_rate)
    print(f"Wrote {written}")


if __name__ == "__main__":
    main()
