"""What a query leans on: its words, the rounds of the dialogue and the segments beside them make one reference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slicer.i18n import tr as _

from MediRoundLib.dialogue import PastRound
from MediRoundLib.errors import ReferenceNotFound
from MediRoundLib.references import resolve, resolve_kind, resolve_named
from MediRoundSlicerLib.Dialogues import DialogueError, Reference, Round


@dataclass(frozen=True)
class Choice:
    """A segment that a query could lean on.

    Attributes:
        segmentID, name, colour: of the segment; the colour in 0..255.
        spoken: what the user calls it: "left lung", where the segment is still called "Left lung (round 1)".
        roundID, number: the round of this dialogue that made it, or None for any other segment.
    """

    segmentID: str
    name: str
    spoken: str
    colour: tuple[int, int, int]
    roundID: str | None = None
    number: int | None = None


@dataclass(frozen=True)
class Understood:
    """How a query was understood, before it is sent.

    Attributes:
        reference: what it leans on, or None.
        label: that in words, such as "round 1 · left lung".
        error: one sentence where it leans on what is not there, else "".
    """

    reference: Reference | None
    label: str
    error: str = ""


def spokenName(done: Round, segmentName: str) -> str:
    """What later queries may call a round's structure: the user's own name for its segment, else the query's."""
    return done.name if segmentName == done.autoName and done.name else segmentName


def label(reference: Reference | None, choices: Sequence[Choice]) -> str:
    """A reference in words, for its chip."""
    if reference is None:
        return _("no reference")
    choice = next((one for one in choices if one.segmentID == reference.segmentID), None)
    if choice is None:
        return _("a deleted segment")
    if choice.number is None:
        return choice.spoken
    return _("round {number} · {name}").format(number=choice.number, name=choice.spoken)


def understand(
    query: str, rounds: Sequence[Round], choices: Sequence[Choice], isHere: Callable[[str], bool]
) -> Reference | None:
    """Find what a query leans on.

    A segment's whole name comes first ("based on my lesion"), then explicit words ("instance 1", "the last result"),
    then words that only lean ("the other lung"), upon the likest round or segment.

    Args:
        query: the user's words.
        rounds: the dialogue's rounds before this query.
        choices: every segment that is there.
        isHere: whether a segment has pixels on the slice that is asked about: words lean on no other, unless they name
            it.

    Raises:
        DialogueError: it leans on a round or segment that is not there.
    """
    candidates = _candidates(rounds, choices)
    named = resolve_named(query, [one.name for one in candidates])
    if named is not None:
        return candidates[named[0]].reference(named[1])
    numbered = {one.round.number: one for one in candidates if one.round is not None}
    try:
        found = resolve(query, [PastRound(number, one.query, one.name) for number, one in numbered.items()])
    except ReferenceNotFound as error:
        leaned = _byKind(query, candidates, isHere)
        if leaned is None:
            raise DialogueError(str(error)) from error
        return leaned
    leaned = None if found is not None and found.explicit else _byKind(query, candidates, isHere)
    if leaned is not None or found is None:
        return leaned
    return numbered[found.round].reference(found.phrase)


@dataclass(frozen=True)
class _Candidate:
    """What a query may lean on: a segment, or a round whose segment may be gone."""

    name: str
    segmentID: str
    round: Round | None
    present: bool

    @property
    def query(self) -> str:
        return "" if self.round is None else self.round.query

    def reference(self, phrase: str) -> Reference:
        if not self.present:
            assert self.round is not None
            raise DialogueError(
                _(
                    "The segment of round {number} was deleted; ask that round again, or choose another reference."
                ).format(number=self.round.number)
            )
        return Reference(self.segmentID, None if self.round is None else self.round.id, phrase)


def _candidates(rounds: Sequence[Round], choices: Sequence[Choice]) -> list[_Candidate]:
    """Rounds last: of two that are as like, the later one is meant."""
    names = {choice.segmentID: choice.spoken for choice in choices}
    made = {done.segmentID for done in rounds}
    drawn = [
        _Candidate(choice.spoken, choice.segmentID, None, True) for choice in choices if choice.segmentID not in made
    ]
    asked = [
        _Candidate(names.get(done.segmentID, done.name), done.segmentID, done, done.segmentID in names)
        for done in rounds
    ]
    return drawn + asked


def _byKind(query: str, candidates: Sequence[_Candidate], isHere: Callable[[str], bool]) -> Reference | None:
    """The likest candidate that the words lean on; a segment of another slice is none."""
    left = list(candidates)
    while left:
        found = resolve_kind(query, [one.name for one in left])
        if found is None:
            return None
        likest = left[found[0]]
        if likest.round is not None or isHere(likest.segmentID):
            return likest.reference(found[1])
        left.remove(likest)
    return None
