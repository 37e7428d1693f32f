"""What training draws from: real sets, phantoms and files, with weights; sample k of a seed is always the same one."""

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from MediRoundLib.errors import MediRoundError
from MediRoundLib.mr_medseg import read_conversations
from training.data.anatomy import SCENES
from training.data.file_images import FileImages
from training.data.phantoms import draw_phantom
from training.data.real import RealSlice, cases, read_set, set_folders
from training.data.samples import LabelledImage

# What is drawn from; a path is an MR-MedSeg file's.
Source = str | Path

PHANTOMS = "phantoms"
# One kind of phantom alone, as in "phantoms spine".
OF_KIND = PHANTOMS + " "
# Drawing a phantom costs more than changing it (see `augment`), so samples k, k + LANES, k + 2 LANES, .. that take a
# phantom take the same one, REUSES times at most.
LANES, REUSES = 16, 16
# Added to a mixture's seed for what is held out: its phantoms are drawn by no run of training.
HELD_OUT_SEED = 500_009


class Mixture:
    """Draws labelled images from several sources.

    ```
    mixture = Mixture(root, {"phantoms": 1.0, "kidney_mr": 0.2}, split="train", seed=0)
    sample = mixture.draw(17, mixture.rng(17))
    ```
    Structures are drawn evenly within a real set: one that is in few slices is not drowned by one that is in all.
    """

    def __init__(
        self,
        root: Path | None,
        weights: Mapping[str, float],
        split: str,
        seed: int,
        files: Mapping[Path, float] | None = None,
        files_root: Path | None = None,
    ) -> None:
        """Read the sets that `weights` names.

        Args:
            root: what the sets lie below, two levels down.
            weights: shares of "phantoms", "phantoms KIND" and sets, these by their folders' names.
            split: "train" or "val" patients of the sets.
            seed: of all that is drawn.
            files: shares of MR-MedSeg files.
            files_root: what the paths in these are relative to; None for each file's folder.

        Raises:
            FileNotFoundError: a set is not below `root`.
            MediRoundError: there is nothing to draw from.
        """
        sources: list[tuple[Source, float]] = [*weights.items(), *(files or {}).items()]
        if not sum(share for _, share in sources):
            raise MediRoundError("The recipe's mixture is empty: give shares to phantoms or sets, or use --dialogues.")
        self._root, self._weights, self._seed, self._files_root = root, weights, seed, files_root
        folders = {path.name: path for path in set_folders(root)} if root is not None else {}
        self._slices: dict[str, list[RealSlice]] = {}
        for name in weights:
            if _drawn(name):
                continue
            if root is None:
                raise MediRoundError(f"The recipe's mixture names the set {name}; say with --data where the sets are.")
            if name not in folders:
                raise FileNotFoundError(f"There is no set {name} below {root}; known are {', '.join(sorted(folders))}.")
            self._slices[name] = read_set(folders[name], split)
            if not self._slices[name]:
                raise MediRoundError(f"The set {name} has no labelled slices to {split}; take it out of the mixture.")
        self._names = [name for name, share in sources if share > 0]
        shares = np.array([share for _, share in sources if share > 0])
        self._shares = shares / shares.sum()

    @functools.cached_property
    def held_out(self) -> "Mixture | None":
        """The same mixture of validation patients and fresh phantoms, without files; None where nothing is left.

        Read once, when it is first asked for.
        """
        folders = {path.name: path for path in set_folders(self._root)} if self._root is not None else {}
        weights = {
            name: weight
            for name, weight in self._weights.items()
            if weight and (_drawn(name) or cases(folders[name], "val"))
        }
        return Mixture(self._root, weights, "val", self._seed + HELD_OUT_SEED) if weights else None

    @property
    def files(self) -> list[Path]:
        """The MR-MedSeg files among the sources."""
        return [name for name in self._names if isinstance(name, Path)]

    @functools.cached_property
    def _images(self) -> dict[Path, FileImages]:
        """The files' images, read when they are first asked for: not every phase of training draws them."""
        return {path: FileImages(read_conversations(path, self._files_root or path.parent)) for path in self.files}

    @property
    def unnamed(self) -> list[Path]:
        """The files that do not say which structures their masks show, so that no image can be drawn from them.

        Raises DialogueFileError where a file is not in MR-MedSeg's form.
        """
        return [path for path, images in self._images.items() if not images.structures]

    @functools.cached_property
    def _by_entity(self) -> dict[str, list[tuple[str, list[int]]]]:
        """For each set the indices of the slices that hold each structure."""
        found: dict[str, list[tuple[str, list[int]]]] = {}
        for name, slices in self._slices.items():
            places: dict[str, list[int]] = {}
            for k, stored in enumerate(slices):
                for entity in stored.present:
                    places.setdefault(entity, []).append(k)
            found[name] = sorted(places.items())
        return found

    def rng(self, index: int) -> np.random.Generator:
        """The generator that everything about sample `index` is drawn from."""
        return np.random.default_rng([self._seed, index])

    def choose(self, rng: np.random.Generator) -> Source:
        """One of the sources, by weight; the first that is drawn from a sample's generator."""
        return self._names[rng.choice(len(self._names), p=self._shares)]

    def draw_from(self, name: Source, index: int, rng: np.random.Generator) -> LabelledImage:
        """One image of a source, for sample `index` with its generator."""
        if isinstance(name, Path):
            return self._images[name].draw(rng)
        if _drawn(name):
            kind = name.removeprefix(OF_KIND) if name != PHANTOMS else None
            return _phantom(self._seed, index % LANES, index // (LANES * REUSES), kind)
        _, places = self._by_entity[name][rng.integers(len(self._by_entity[name]))]
        return self._slices[name][places[rng.integers(len(places))]].shown(rng)

    def draw(self, index: int, rng: np.random.Generator) -> LabelledImage:
        """One image from a source chosen by weight, for sample `index` with its generator."""
        return self.draw_from(self.choose(rng), index, rng)


def _drawn(name: str) -> bool:
    """Whether a source's name is one of phantoms; raises MediRoundError for a kind that there is not."""
    if name.startswith(OF_KIND) and name.removeprefix(OF_KIND) not in SCENES:
        raise MediRoundError(f"There are no {name}; known kinds are {', '.join(SCENES)}.")
    return name == PHANTOMS or name.startswith(OF_KIND)


@functools.lru_cache(maxsize=4 * LANES)
def _phantom(seed: int, lane: int, block: int, kind: str | None) -> LabelledImage:
    return draw_phantom(np.random.default_rng([seed, lane, block]), kind=kind)
