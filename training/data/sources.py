"""Where training dialogues come from: made up for a labelled image on the fly, or read from an MR-MedSeg file."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from MediRoundLib.masks import INSIDE, read_mask
from MediRoundLib.mr_medseg import read_conversations
from MediRoundLib.text import first_turn, query_turn
from training.augment import augment, close_up, distort
from training.data.dialogues import Dialogue, build_dialogue
from training.data.entities import Language
from training.data.file_images import entity_of
from training.data.mixture import Mixture
from training.data.samples import LabelledImage
from training.examples import ExampleMaker, TaughtRound
from training.recipe import PhaseRecipe, Recipe
from training.step import Example
from training.team import ALONE, Team

TaughtDialogue = tuple[NDArray[np.uint8], list[TaughtRound]]


class DialogueSource(Protocol):
    """Dialogue k of a run, always the same for the same k: the image (H, W[, 3]) uint8 and its rounds."""

    def __call__(self, index: int) -> TaughtDialogue: ...


def draw_augmented(mixture: Mixture, recipe: Recipe, index: int, rng: np.random.Generator, size: int) -> LabelledImage:
    """Sample `index` as the recipe's model is shown it, changed, with its longest side of `size` pixels."""
    return _changed(mixture.draw(index, rng), recipe, rng, size)


def _changed(drawn: LabelledImage, recipe: Recipe, rng: np.random.Generator, size: int) -> LabelledImage:
    return augment(close_up(drawn) if recipe.close_up else drawn, rng, size, recipe.augment)


class MixtureDialogues:
    """Fresh dialogues about augmented images of a mixture, and those of its files as they stand there."""

    def __init__(
        self,
        mixture: Mixture,
        recipe: Recipe,
        phase: PhaseRecipe,
        size: int,
        first: int = 0,
        files: "Mapping[Path, FileDialogues] | None" = None,
    ) -> None:
        """`size` is the longest side of the images in pixels; `first` sets phases apart, so none repeats another's.

        Of a file that `files` does not hold there are fresh dialogues, too.
        """
        self._mixture, self._recipe, self._phase, self._size, self._first = mixture, recipe, phase, size, first
        self._files = files or {}

    def __call__(self, index: int) -> TaughtDialogue:
        number, phase = index + self._first, self._phase
        rng = self._mixture.rng(number)
        while True:
            name = self._mixture.choose(rng)
            if isinstance(name, Path) and name in self._files:
                return self._files[name](index)
            sample = _changed(self._mixture.draw_from(name, number, rng), self._recipe, rng, self._size)
            language: Language = "zh" if rng.random() < phase.chinese else "en"
            dialogue = build_dialogue(
                sample, rng, language, phase.max_rounds, phase.absent, loose=phase.loose, weights=phase.relations
            )
            if dialogue is not None and dialogue.turns:
                return sample.image, taught(dialogue)


def taught(dialogue: Dialogue) -> list[TaughtRound]:
    """A made-up dialogue as the model is taught it: references are the true masks of earlier rounds."""
    rounds = []
    for k, turn in enumerate(dialogue.turns):
        reference = None if turn.reference is None else dialogue.turns[turn.reference].target
        text = query_turn(turn.query, reference is not None)
        rounds.append(TaughtRound(text if k else first_turn(text), turn.answer, turn.target, reference, turn.entity))
    return rounds


class FileDialogues:
    """The dialogues of an MR-MedSeg file, in an order that the seed shuffles anew for each pass."""

    def __init__(self, path: Path, root: Path, seed: int) -> None:
        """Read the file; raises DialogueFileError where it is not in MR-MedSeg's form."""
        self._conversations = read_conversations(path, root)
        self._seed = seed
        self._pass = -1
        self._order = np.arange(len(self._conversations))

    def __call__(self, index: int) -> TaughtDialogue:
        number, place = divmod(index, len(self._conversations))
        if number != self._pass:  # once a pass, not once a dialogue: there may be hundreds of thousands
            self._pass = number
            self._order = np.random.default_rng([self._seed, number]).permutation(len(self._conversations))
        conversation = self._conversations[self._order[place]]
        image = np.asarray(Image.open(conversation.image).convert("RGB"))
        rounds = [
            TaughtRound(
                turn.query,
                turn.answer,
                _mask(turn.target),
                None if turn.reference_mask is None else _mask(turn.reference_mask),
                entity_of(conversation, k),
            )
            for k, turn in enumerate(conversation.turns)
        ]
        return image, rounds


def _mask(path: Path) -> NDArray[np.bool_]:
    return read_mask(path) == INSIDE


class ExampleBatches:
    """Step number to the examples of its batch, made harder as the phase says.

    By words (`garble`, `muddle`, `forget`) and masks (`blur`).
    """

    def __init__(
        self,
        source: DialogueSource,
        maker: ExampleMaker,
        seed: int,
        phase: PhaseRecipe,
        team: Team = ALONE,
    ) -> None:
        self._source, self._maker, self._seed, self._phase, self.team = source, maker, seed, phase, team

    def __call__(self, step: int) -> list[Example]:
        return [self._example(index) for index in self.team.share(step, self._phase.batch)]

    def _example(self, index: int) -> Example:
        image, rounds = self._source(index)
        rng = np.random.default_rng([self._seed, index])
        if self._phase.blur:
            rounds = [self._blurred(each, rng) for each in rounds]
        example, phase = self._maker(image, rounds), self._phase
        if phase.garble or phase.muddle or phase.forget:
            example = self._maker.garbled(example, phase.garble, phase.muddle, phase.forget, rng)
        return example

    def _blurred(self, taught: TaughtRound, rng: np.random.Generator) -> TaughtRound:
        if taught.reference is None or rng.random() >= self._phase.blur:
            return taught
        return replace(taught, reference=distort(taught.reference, rng))
