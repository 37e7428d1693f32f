"""The rounds of a dialogue, made up one after the other: by name, or leaning on an earlier one."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from MediRoundLib.dialogue import PastRound
from MediRoundLib.errors import ReferenceNotFound
from MediRoundLib.naming import name_beside, structure_name
from MediRoundLib.references import resolve
from training.data.entities import Entity, Language, entities
from training.data.phrases import answers, direct_query, relation_query
from training.data.samples import LabelledImage, Mask
from training.data.scenarios import Scenario
from training.data.structures import Step, Structures

DIRECT_RATE = 0.25  # after the first round: questions by name
LAST_ROUND_FACTOR = 3.0  # how much likelier a question leans on the round just before than on another one
IMPLICIT_RATE = 0.4  # of those that do, the ones that say "its" or nothing
TRIES = 6  # at words that mean the right round and no other
REPEAT_RATE = 0.15  # chance that a structure may be asked for again
WEIGHTS = {
    "other": 1.0,
    "next": 1.0,
    "previous": 1.0,
    "part": 0.8,
    "lesion": 1.5,
    "organ": 0.8,
    "spatial": 0.25,
    "attribute": 0.8,
}
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
    """The rounds about one image, in order; `scenario` is one of `SCENARIOS`, or "" for a mixture of all."""

    turns: list[Turn]
    language: Language
    scenario: str = ""

    @property
    def leans(self) -> bool:
        """Whether any round leans on an earlier one; the released loader cannot read a dialogue in which none does."""
        return any(turn.reference is not None for turn in self.turns)


class Writer:
    """Writes one dialogue round by round; every `ask_` says whether it found something to ask."""

    def __init__(
        self,
        sample: LabelledImage,
        rng: np.random.Generator,
        language: Language,
        scenario: Scenario | None,
        structures: Structures,
        loose: float = 0.0,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """`loose` is the share of questions told freely (see `relation_query`); `weights` go before `WEIGHTS`."""
        self._loose, self._weights = loose, {**WEIGHTS, **(weights or {})}
        self.rng, self.language, self.sample, self.scenario = rng, language, sample, scenario
        self.structures = structures
        self.turns: list[Turn] = []
        self._steps: dict[int, list[Step]] = {}
        self._past: list[PastRound] = []

    def can_lean(self) -> bool:
        return any(turn.relation != "absent" for turn in self.turns)

    @cached_property
    def _promises(self) -> dict[str, float]:
        """How much there is to ask about each structure later on, without what any two neighbours give.

        In a scenario what has nothing to be asked about is left out.
        """
        found = {}
        for name, mask in self.structures.masks.items():
            if self.scenario is None:
                kin = self.structures.relatives(name, mask)
                found[name] = 1.0 + min(3.0, sum(self._weights[step.relation] for step in kin))
            elif steps := self._taken(name, self.structures.steps_of(name)):
                found[name] = min(4.0, sum(self._weights[step.relation] for step in steps))
        return found

    def _taken(self, name: str, steps: Iterable[Step]) -> list[Step]:
        """Of the steps from a structure those that have a weight and belong to the scenario."""
        lesion, scenario = entities()[name].lesion, self.scenario
        weighed = (step for step in steps if self._weights[step.relation] > 0)
        return [step for step in weighed if scenario is None or scenario.takes(step.relation, lesion)]

    def worth_asking(self) -> bool:
        return bool(self._promises)

    def ask_direct(self) -> bool:
        """Asks by name for a structure not asked for yet, likelier for one that others relate to."""
        asked = {turn.entity for turn in self.turns}
        fresh = [name for name in self._promises if name not in asked]
        if not fresh:
            return False
        promise = np.array([self._promises[name] for name in fresh])
        name = fresh[int(self.rng.choice(len(fresh), p=promise / promise.sum()))]
        self._add(self._by_name(name), self.structures.masks[name], None, "direct", name)
        return True

    def ask_absent(self) -> bool:
        """Asks by name for a structure that is known not to be in the image."""
        absent = sorted(_known_absences(self.sample) - {turn.entity for turn in self.turns})
        if not absent:
            return False
        name = absent[int(self.rng.integers(len(absent)))]
        self._add(self._by_name(name), np.zeros(self.sample.image.shape[:2], bool), None, "absent", name)
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
            weights += [recent * self._weights[step.relation] / kinds[step.relation] for step in steps]
        if not choices:
            return False
        chances = np.array(weights) / sum(weights)
        reference, step = choices[int(self.rng.choice(len(choices), p=chances))]
        return self._ask_step(step, reference)

    def _steps_from(self, reference: int) -> list[Step]:
        if reference not in self._steps:
            turn = self.turns[reference]
            whole = turn.target is self.structures.masks[turn.entity]
            steps = self.structures.steps_of(turn.entity) if whole else self.structures.steps(turn.entity, turn.target)
            self._steps[reference] = self._taken(turn.entity, steps)
        return self._steps[reference]

    def _asked(self, step: Step) -> bool:
        # The parts of one lesion in two organs are two answers.
        return any(turn.entity == step.entity and np.array_equal(turn.target, step.target) for turn in self.turns)

    def _ask_step(self, step: Step, reference: int) -> bool:
        query = self._by_reference(step, reference)
        if query:
            self._add(query, step.target, reference, step.relation, step.entity)
        return bool(query)

    def _by_reference(self, step: Step, reference: int) -> str:
        """A question that leans on an earlier round and on no other, as the engine reads it; "" for none."""
        source: Entity = entities()[self.turns[reference].entity]
        for attempt in range(TRIES):
            could_be_implicit = reference == len(self.turns) - 1 and attempt < TRIES // 2
            query = relation_query(
                self.rng,
                step.relation,
                entities()[step.entity],
                self.language,
                None if could_be_implicit and self.rng.random() < IMPLICIT_RATE else reference + 1,
                step.direction,
                step.attribute,
                source.lesion,
                step.named,
                self._sounds_loose(),
            )
            if means(query, self._past, reference):
                return query
        return ""

    def _by_name(self, name: str) -> str:
        """A question by name; where possible one in which the engine sees no earlier round."""
        query = ""
        for _ in range(TRIES):
            query = direct_query(self.rng, entities()[name], self.language, self._sounds_loose())
            if means(query, self._past, None):
                break
        return query

    def _sounds_loose(self) -> bool:
        # No draw where there is nothing to decide: dialogues of a seed stay what they were.
        return self._loose > 0 and self.rng.random() < self._loose

    def _add(self, query: str, target: Mask, reference: int | None, relation: str, entity: str) -> None:
        templates = answers(self.language)
        usual = self.rng.random() < 0.5  # the forced answer of the engine must be the most familiar one
        answer = templates[0 if usual else int(self.rng.integers(len(templates)))]
        self.turns.append(Turn(query, answer, target, reference, relation, entity))
        # What the engine will call this round.
        name = structure_name(query) if reference is None else name_beside(query, self._past[reference].name)
        self._past.append(PastRound(len(self.turns), query, name))


def means(query: str, past: Sequence[PastRound], reference: int | None) -> bool:
    """Whether the engine reads in a query's words just the earlier round (from 0) that is meant, or none for None."""
    try:
        found = resolve(query, past)
    except ReferenceNotFound:
        return False
    return (None if found is None else found.round - 1) == reference


def _known_absences(sample: LabelledImage) -> set[str]:
    """Entities that certainly do not show: those that would be labelled, and what no such picture can show."""
    never = _NEVER_SEEN_BY_ENDOSCOPE if sample.modality == "endoscopy" else _SEEN_BY_ENDOSCOPE
    return {name for name in (*sample.supervised, *never) if name in entities() and name not in sample.masks}
