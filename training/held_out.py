"""The dialogues of an evaluation: a file's own, or about validation patients of real sets and fresh phantoms.

Made-up dialogues need images that training does not see. They are told in several ways (languages, templates or
paraphrases) over the same pictures and masks, so that nothing but the words differs between the ways.
"""

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from MediRoundLib.errors import MediRoundError
from MediRoundLib.evaluate import read_good
from MediRoundLib.mr_medseg import Conversation, read_conversations, write_conversations
from training.data.dialogues import Dialogue, build_dialogue, possible_scenarios, write_dialogue, write_image
from training.data.mixture import PHANTOMS
from training.data.phantoms import draw_phantom
from training.data.real import read_set, set_folders
from training.data.samples import LabelledImage
from training.data.structures import Structures
from training.never_learned import ask_instead, never_learned
from training.retell import FIRST, Telling, retell

# Far from the seeds of training, so that no phantom of training is drawn again.
PHANTOM_SEED = 1_000_003
ABSENT_RATE = 0.1
MAX_ROUNDS = 8
# Every other dialogue is of one scenario; the rest mix all relations.
SCENARIO_EVERY = 2
# A small set's images are talked about so many times at most.
PASSES = 3

# None stands for a dialogue of a file that cannot be read.
Sets = dict[str, list[Conversation | None]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the dialogues come from; for `load_sets`."""
    parser.add_argument("--data", type=Path, help="root of the real sets; without it phantoms alone")
    parser.add_argument("--per-set", type=int, default=40, help="dialogues of each set, at most (default: %(default)s)")
    parser.add_argument("--dialogues", type=Path, nargs="+", metavar="F.json", help="MR-MedSeg files, instead of those")
    parser.add_argument("--root", type=Path, help="what the files' paths are relative to (default: each file's folder)")


def load_sets(
    args: argparse.Namespace, tellings: Sequence[Telling], problem: Callable[[str], None]
) -> dict[Telling, Sets]:
    """The dialogues in every telling, from files (by their names) or made up below `args.out`/dialogues.

    Raises:
        DialogueFileError: a file cannot be read at all.
        FileNotFoundError: `args.data` holds no sets.
        MediRoundError: the dialogues of a file are wanted in other words.
    """
    if not args.dialogues:
        return held_out(args.data, set_names(args.data), args.out / "dialogues", args.per_set, tellings)
    if set(tellings) != {FIRST}:
        raise MediRoundError("Dialogues of a file cannot be told in other words; leave out --dialogues.")
    found: Sets = {}
    for path in args.dialogues:
        found[path.stem], problems = read_good(path, args.root or path.parent)
        for each in problems:
            problem(each)
    return {FIRST: found}


def set_names(data: Path | None) -> list[str]:
    """What there is: phantoms, and the sets below `data`; raises FileNotFoundError where that holds none."""
    return [PHANTOMS, *(path.name for path in set_folders(data))] if data else [PHANTOMS]


def held_out(
    data: Path | None, names: Iterable[str], out: Path, per_set: int, tellings: Sequence[Telling] = (FIRST,)
) -> dict[Telling, Sets]:
    """Make the dialogues of each set and write them below `out`/SET, a file for each telling.

    Args:
        data: root of the real sets; None for phantoms alone.
        names: of `set_names`; a set that has nothing to talk about is left out.
        per_set: dialogues of each set, at most.
        tellings: how they are told.
    """
    found: dict[Telling, Sets] = {telling: {} for telling in tellings}
    for name in names:
        folder = out / name
        for telling, conversations in _make(data, name, folder, per_set, tellings).items():
            if conversations:
                path = folder / f"{telling.name}.json"
                write_conversations(path, conversations, folder)
                found[telling][name] = list(read_conversations(path, folder))
    return found


def validation_images(data: Path | None, name: str) -> Iterator[LabelledImage]:
    """The validation images of one set in a random order, a few times over, or endless fresh phantoms."""
    if name == PHANTOMS:
        yield from (draw_phantom(np.random.default_rng([PHANTOM_SEED, k])) for k in itertools.count())
        return
    assert data is not None
    (folder,) = (path for path in set_folders(data) if path.name == name)
    held = read_set(folder, "val")
    for number in range(PASSES):
        for k in np.random.default_rng(number).permutation(len(held)):
            yield held[int(k)].shown()


def _make(
    data: Path | None, name: str, folder: Path, per_set: int, tellings: Sequence[Telling]
) -> dict[Telling, list[Conversation]]:
    """One set's dialogues in every telling, with the same pictures for all, and the same masks for the same rounds."""
    made: dict[Telling, list[Conversation]] = {telling: [] for telling in tellings}
    strange, seed = never_learned(data), list(name.encode())
    for k, (sample, dialogue) in enumerate(_dialogues(data, name, per_set, np.random.default_rng(seed))):
        stem = f"{k:05d}"
        picture = write_image(folder, stem, sample)
        for telling, conversations in made.items():
            told, masks, rng = dialogue, stem, np.random.default_rng([*seed, k])
            if telling.words == "unknown":
                size = (sample.image.shape[0], sample.image.shape[1])
                told, masks = ask_instead(dialogue, strange, telling.language, size, rng), f"{stem}_unknown"
            elif telling != FIRST:
                told = retell(dialogue, Structures(sample), telling, rng)
            conversations.append(write_dialogue(folder, masks, picture, sample, told))
    return made


def _dialogues(
    data: Path | None, name: str, count: int, rng: np.random.Generator
) -> Iterator[tuple[LabelledImage, Dialogue]]:
    """English dialogues in which a round leans on another one, each with its image."""
    made = 0
    for sample in validation_images(data, name):
        if made >= count:
            return
        structures = Structures(sample)
        scenarios: Sequence[str] = possible_scenarios(structures) if made % SCENARIO_EVERY else ()
        scenario = scenarios[int(rng.integers(len(scenarios)))] if scenarios else ""
        dialogue = build_dialogue(sample, rng, "en", MAX_ROUNDS, ABSENT_RATE, scenario, structures)
        if dialogue is not None and dialogue.leans:
            made += 1
            yield sample, dialogue
