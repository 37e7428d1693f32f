"""The five scenarios of MR-MedSeg: which relations each is made of, and how many rounds it has at most."""

from collections.abc import Mapping
from dataclasses import dataclass

from training.data.phrases import Relation


@dataclass(frozen=True)
class Scenario:
    """One kind of dialogue.

    Attributes:
        rounds: how many there are at most, as the paper has it.
        relations: how its later rounds lean on earlier ones.
        lesions: of "organ", which it takes: the organ of a lesion (True), the whole of a part (False).
        weight: how often it is taken where several are possible.
    """

    rounds: int
    relations: tuple[Relation, ...]
    lesions: bool = False
    weight: float = 1.0

    def takes(self, relation: Relation, of_lesion: bool) -> bool:
        """Whether a question of this relation about a lesion, or about something healthy, belongs to the scenario."""
        return relation in self.relations and (relation != "organ" or of_lesion == self.lesions)


SCENARIOS: Mapping[str, Scenario] = {
    "organ-lesion": Scenario(5, ("lesion", "organ"), lesions=True),
    "stratification": Scenario(12, ("part", "organ")),
    "spatial": Scenario(2, ("spatial",), weight=0.25),  # nearly every image has neighbours
    "inference": Scenario(12, ("other", "next", "previous")),
    "attribute": Scenario(7, ("attribute",)),
}
