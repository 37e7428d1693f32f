"""How the labelled structures of one image relate: what can be asked about one of them, with the true answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from training.data.entities import Attribute, attributes, entities, neighbour, wholes
from training.data.phrases import Relation
from training.data.samples import LabelledImage, Mask

SMALLEST = 12  # pixels; a smaller part of a lesion is not asked for
CONTAINED = 0.9  # share of a structure's pixels that makes it lie "in" an organ
CLEARLY = 1.5  # how much more a structure must lie that way than across it
NEARER = 1.25  # how much further the second nearest structure must be for the nearest to be meant
FREE = 0.01  # share of the image's longest side by which others must lie behind the edge that is met first
BORDER = 2  # pixels; the width of the rim that is looked at around a lesion
SURROUNDED = 0.5  # share of that rim that makes a lesion lie in an organ whose label leaves it out


@dataclass(frozen=True)
class Step:
    """A question that could be asked about an earlier round, with its true answer.

    With `named` another structure would fit the words too, unless they name the one that is meant.
    """

    relation: Relation
    entity: str
    target: Mask
    direction: str = ""
    attribute: Attribute | None = None
    named: bool = False


class Structures:
    """The known structures of one image and how they relate to a given one."""

    def __init__(self, sample: LabelledImage, with_wholes: bool = False) -> None:
        """With `with_wholes` what is the union of its parts counts too where it has no label of its own."""
        self.masks = {name: mask for name, mask in sample.masks.items() if name in entities()}
        self._unions: set[str] = set()
        for whole, parts in wholes().items() if with_wholes else ():
            if whole not in self.masks and all(part in self.masks for part in parts):
                self.masks[whole] = np.any([self.masks[part] for part in parts], axis=0)
                self._unions.add(whole)
        self._steps: dict[str, list[Step]] = {}

    @cached_property
    def places(self) -> dict[str, "Place"]:
        # A union may lie on both sides of what is between its parts.
        names = [name for name in self.masks if name not in self._unions and not self._inside_another(name)]
        return {name: Place.of(self.masks[name]) for name in names}

    def _inside_another(self, name: str) -> bool:
        return any(
            organ in self.masks and organ not in self._unions and _contains(self.masks[organ], self.masks[name])
            for organ in entities()[name].organs
        )

    def steps_of(self, name: str) -> list[Step]:
        """Everything that can be asked about a structure that is seen whole; worked out once."""
        if name not in self._steps:
            self._steps[name] = list(self.steps(name, self.masks[name]))
        return self._steps[name]

    def steps(self, name: str, mask: Mask) -> Iterator[Step]:
        """Everything that can be asked about structure `name` seen in `mask` and has one clear answer."""
        yield from self.relatives(name, mask)
        yield from self._neighbours(name, mask)

    def relatives(self, name: str, mask: Mask) -> Iterator[Step]:
        """What can be asked by kinship, not by place in the image."""
        entity = entities()[name]
        relatives: tuple[tuple[Relation, str], ...] = (
            ("other", entity.pair),
            ("next", neighbour(name, 1)),
            ("previous", neighbour(name, -1)),
        )
        for relation, relative in relatives:
            if relative in self.masks:
                yield Step(relation, relative, self.masks[relative])
        for attribute in attributes():
            if attribute.reference == name and attribute.target in self.masks:
                yield Step("attribute", attribute.target, self.masks[attribute.target], attribute=attribute)
        organs = [organ for organ in entity.organs if organ in self.masks and self._lies_in(organ, name, mask)]
        for organ in organs:
            yield Step("organ", organ, self.masks[organ], named=len(organs) > 1)
        yield from self._parts(name, mask)
        yield from self._lesions(name, mask)

    def _lies_in(self, organ: str, name: str, mask: Mask) -> bool:
        within = self.masks[organ]
        return _contains(within, mask) or (entities()[name].lesion and _surrounds(within, mask))

    def _parts(self, name: str, mask: Mask) -> Iterator[Step]:
        for part, where in self.masks.items():
            if name in entities()[part].organs and not entities()[part].lesion and _contains(mask, where):
                yield Step("part", part, where, named=True)

    def _lesions(self, name: str, mask: Mask) -> Iterator[Step]:
        """The lesions in an organ: of one that spreads over two organs the part in this."""
        found: list[tuple[str, Mask]] = []
        for lesion, where in self.masks.items():
            if entities()[lesion].lesion and name in entities()[lesion].organs:
                inside = where & mask
                area = np.count_nonzero(inside)
                if area >= SMALLEST:
                    found.append((lesion, where if _contains(mask, where) else inside))
                elif not area and _surrounds(mask, where):
                    found.append((lesion, where))
        for lesion, target in found:
            yield Step("lesion", lesion, target, named=len(found) > 1)

    def _neighbours(self, name: str, mask: Mask) -> Iterator[Step]:
        """The nearest structure to each side in the image, where one is clearly nearest and clearly that way.

        Nearest by centroid and met first by edge: of centroids alone "below the disc T12-L1" would be L2 wherever L1
        lies a little aslant.
        """
        here = Place.of(mask)
        found: dict[str, list[tuple[float, str]]] = {}
        for other, place in self.places.items():
            direction = here.direction_to(place)
            if other != name and direction and not (self.masks[other] & mask).any():
                found.setdefault(direction, []).append((here.distance_to(place), other))
        for direction, candidates in found.items():
            candidates.sort()
            if len(candidates) == 1 or candidates[1][0] >= NEARER * candidates[0][0]:
                nearest = candidates[0][1]
                if self._met_first(nearest, here, direction, name):
                    yield Step("spatial", nearest, self.masks[nearest], direction)

    def _met_first(self, nearest: str, here: "Place", direction: str, name: str) -> bool:
        """Whether a structure lies beside `here`, the place of `name`, and all others there clearly behind its edge.

        What encloses `here` lies on no side of it.
        """
        gap = here.gap_to(self.places[nearest], direction)
        if gap is None:
            return False
        others = (place for other, place in self.places.items() if other not in (name, nearest))
        rivals = (here.gap_to(place, direction) for place in others if not place.encloses(here))
        free = gap + FREE * max(self.masks[nearest].shape)
        return all(rival is None or rival >= free for rival in rivals)


@dataclass(frozen=True)
class Place:
    """Where a mask lies: its centroid and its bounding box in pixels, rows and columns."""

    row: float
    column: float
    rows: tuple[int, int]
    columns: tuple[int, int]

    @classmethod
    def of(cls, mask: Mask) -> "Place":
        """The place of a non-empty mask."""
        by_row, by_column = mask.sum(axis=1), mask.sum(axis=0)
        total = by_row.sum()
        row = float(by_row @ np.arange(len(by_row)) / total)
        column = float(by_column @ np.arange(len(by_column)) / total)
        rows, columns = np.flatnonzero(by_row), np.flatnonzero(by_column)
        return cls(row, column, (int(rows[0]), int(rows[-1])), (int(columns[0]), int(columns[-1])))

    def distance_to(self, other: "Place") -> float:
        return float(np.hypot(self.row - other.row, self.column - other.column))

    def encloses(self, other: "Place") -> bool:
        """Whether the other's bounding box lies in this one's."""
        pairs = ((self.rows, other.rows), (self.columns, other.columns))
        return all(mine[0] <= its[0] and its[1] <= mine[1] for mine, its in pairs)

    def gap_to(self, other: "Place", direction: str) -> int | None:
        """Pixels from edge to facing edge of the bounding boxes, 0 where these overlap.

        None where the other does not lie beside this one that way: it reaches no further, or passes by.
        """
        sides = ((self.rows, other.rows), (self.columns, other.columns))
        (mine, its), (across, passing) = sides if direction in ("above", "below") else sides[::-1]
        if passing[0] > across[1] or passing[1] < across[0]:
            return None
        if direction in ("left", "above"):
            return max(0, mine[0] - its[1]) if its[0] < mine[0] else None
        return max(0, its[0] - mine[1]) if its[1] > mine[1] else None

    def direction_to(self, other: "Place") -> str:
        """ "left", "right", "above" or "below" in the image where the other centroid clearly lies that way, else ""."""
        down, across = other.row - self.row, other.column - self.column
        if abs(across) >= CLEARLY * abs(down):
            if other.column < self.columns[0]:
                return "left"
            if other.column > self.columns[1]:
                return "right"
        if abs(down) >= CLEARLY * abs(across):
            if other.row < self.rows[0]:
                return "above"
            if other.row > self.rows[1]:
                return "below"
        return ""


def _contains(organ: Mask, part: Mask) -> bool:
    return bool(np.count_nonzero(organ & part) >= CONTAINED * np.count_nonzero(part))


def _surrounds(organ: Mask, part: Mask) -> bool:
    """Whether a label that leaves the part out lies around it: each pixel has one label in many data sets."""
    if (organ & part).any():
        return False
    rim = part.copy()
    for _ in range(BORDER):
        grown = rim.copy()
        grown[1:] |= rim[:-1]
        grown[:-1] |= rim[1:]
        grown[:, 1:] |= rim[:, :-1]
        grown[:, :-1] |= rim[:, 1:]
        rim = grown
    rim &= ~part
    return bool(np.count_nonzero(rim & organ) >= SURROUNDED * np.count_nonzero(rim) > 0)
