"""What a query leans on: its words, the rounds of the dialogue and the segments beside them make one reference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slicer.i18n import tr as _

from MediRoundLib.dialogue import PastRound
from MediRoundLib.errors import ReferenceNotFound
from MediRoundLib.references import resolve, resolve_named
from MediRoundSlicerLib.Dialogues import DialogueError, Reference, Round


@dataclass(frozen=True)
class Choice:
    """A segment that a query could lean on.

    Attributes:
        segmentID, name, colour: of the segment; the colour in 0..255.
        roundID, number: the round of this dialogue that made it, or None for any other segment.
    """

    segmentID: str
    name: str
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


def spokenName(done: Round, segmentName: str | None) -> str:
    """What later queries may call a round's structure: the user's own name for its segment, else the query's."""
    return done.name if segmentName is None or segmentName == done.autoName else segmentName


def label(reference: Reference | None, choices: Sequence[Choice]) -> str:
    """A reference in words, for its chip."""
    if reference is None:
        return _("no reference")
    choice = next((one for one in choices if one.segmentID == reference.segmentID), None)
    if choice is None:
        return _("a deleted segment")
    if choice.number is None:
        return choice.name
    return _("round {number} · {name}").format(number=choice.number, name=choice.name)


def understand(
    query: str, rounds: Sequence[Round], choices: Sequence[Choice], isHere: Callable[[str], bool]
) -> Reference | None:
    """Find what a query leans on.

    Explicit words come first ("instance 1", "based on the left kidney"), then the names of segments that no round of
    this dialogue made ("based on my lesion"), then words that only lean ("the other lung").

    Args:
        query: the user's words.
        rounds: the dialogue's rounds before this query.
        choices: every segment that is there.
        isHere: whether a segment has pixels on the slice that is asked about; only what is here can be leaned on.

    Raises:
        DialogueError: it leans on a round or segment that is not there.
    """
    bySegment = {choice.segmentID: choice for choice in choices}
    past = [
        PastRound(done.number, done.query, spokenName(done, bySegment[done.segmentID].name))
        if done.segmentID in bySegment
        else PastRound(done.number, done.query, done.name)
        for done in rounds
    ]
    others = [choice for choice in choices if choice.roundID is None]
    problem: ReferenceNotFound | None = None
    found = None
    try:
        found = resolve(query, past)
    except ReferenceNotFound as error:
        problem = error
    if found is None or not found.explicit:
        named = resolve_named(query, [choice.name for choice in others])
        if named is not None:
            return Reference(others[named[0]].segmentID, phrase=named[1])
    if problem is not None:
        leaned = None if past else _leanOnDrawn(query, [choice for choice in others if isHere(choice.segmentID)])
        if leaned is None:
            raise DialogueError(str(problem)) from problem
        return leaned
    if found is None:
        return None
    done = next(one for one in rounds if one.number == found.round)
    if done.segmentID not in bySegment:
        raise DialogueError(
            _("The segment of round {number} was deleted; ask that round again, or choose another reference.").format(
                number=done.number
            )
        )
    return Reference(done.segmentID, done.id, found.phrase)


def _leanOnDrawn(query: str, drawn: Sequence[Choice]) -> Reference | None:
    """The drawn segment that "the other lung" leans on in a dialogue without rounds."""
    try:
        found = resolve(query, [PastRound(k, "", choice.name) for k, choice in enumerate(drawn, start=1)])
    except ReferenceNotFound:
        return None
    if found is None or found.explicit:
        return None
    return Reference(drawn[found.round - 1].segmentID, phrase=found.phrase)
