"""What a query refers to, in English and Chinese: an earlier round, or a segment by its name. No torch.

Explicit numbers win ("instance 2", "第二轮的输出"), then the round just before where it is named outright ("the last
result"), then an earlier structure's name ("based on the left kidney"), then words that need something to lean on ("the
other lung", "its", "它"). The words themselves are in `english.py` and `chinese.py`.

Where there are segments that no round made, ask in this order: `resolve_named` with the names of all segments, then
`resolve`, then, unless that found something explicit, `resolve_kind` with the names of all segments: it may find what
`resolve` raises for ("the other lung" before the first round).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from MediRoundLib import chinese, english
from MediRoundLib.dialogue import PastRound
from MediRoundLib.errors import ReferenceNotFound
from MediRoundLib.language import CHINESE, Lean, kind, likeness, plain
from MediRoundLib.naming import structure_name

_LANGUAGES = (english, chinese)
_QUOTES = ('"', "'")
# What may stand around a name and is no part of it.
_AROUND = " \t\"'.,;:?!"


@dataclass(frozen=True)
class Reference:
    """What a query refers to.

    Attributes:
        round: the number of the earlier round, from 1.
        phrase: the words of the query that say so.
        explicit: True where they name the round or its structure, False where they only lean on it ("the other lung").
    """

    round: int
    phrase: str
    explicit: bool


def resolve(query: str, past: Sequence[PastRound]) -> Reference | None:
    """Find the earlier round that a query leans on.

    Args:
        query: in English or Chinese.
        past: the rounds so far, oldest first.

    Returns:
        The reference, or None for a query that leans on nothing. Of several rounds named, the first one.

    Raises:
        ReferenceNotFound: a round is named that does not exist, or there is none yet for "the other lung" to lean on.
    """
    text = plain(query)
    for find in (_by_number, _latest, _by_name, _leaning):
        if found := find(text, past):
            number, (start, end) = found
            return Reference(number, query[start:end].strip(), explicit=find is not _leaning)
    return None


def resolve_named(query: str, names: Sequence[str]) -> tuple[int, str] | None:
    """Find the segment that a query leans on by its whole name: "the vessel beside my lesion", "以 my lesion 为参考".

    A name of everyday words alone ("left", "image", "2") counts only in quotes, and one letter only in its own case and
    not before another word, as "a" and "I" are everywhere.

    Args:
        query: in English or Chinese.
        names: of the segments, as their user wrote them; of equal ones the last counts.

    Returns:
        The index in `names` of the longest name that is used so, and the words of the query that say it. None where no
        name is, or where the query names a round by a number or as the last: that is for `resolve`.
    """
    text = plain(query)
    found = _said(text, enumerate(names), whole=True)
    if found is None or _names_a_round(text, besides=found[1]):
        return None
    index, (start, end) = found
    return index, query[start:end].strip()


def resolve_kind(query: str, names: Sequence[str]) -> tuple[int, str] | None:
    """Find the segment that a query leans on by its kind: "the other lung" for one that is called "left lung".

    Also "based on the lesion" for "my lesion". Nothing for words without a kind, such as "it" and "the other one".

    Args:
        query, names: as for `resolve_named`; of segments that are as like, the last counts.

    Returns:
        As `resolve_named` does.
    """
    text = plain(query)
    found = _said(text, enumerate(names), whole=False) or _leaning_on_kind(text, names)
    if found is None or _names_a_round(text):
        return None
    index, (start, end) = found
    return index, query[start:end].strip()


Found = tuple[int, tuple[int, int]]


def _by_number(text: str, past: Sequence[PastRound]) -> Found | None:
    """The round that a number names; every number must be that of a round."""
    numbers = [done.number for done in past]
    for language in _LANGUAGES:
        for pattern in language.COUNTED_BACK:
            if match := pattern.search(text):
                back = _number(match) if pattern.groups else 2
                if not 1 <= back <= len(past):
                    raise ReferenceNotFound(f'There is no round for "{match[0]}": {_rounds_there_are(numbers)}')
                return past[-back].number, match.span()
    found = [match for language in _LANGUAGES for pattern in language.NUMBERED for match in pattern.finditer(text)]
    for match in found:
        if _number(match) not in numbers:
            raise ReferenceNotFound(f"There is no round {_number(match)}: {_rounds_there_are(numbers)}")
    return (_number(found[0]), found[0].span()) if found else None


def _number(match: re.Match[str]) -> int:
    if match.groupdict().get("word") is None:
        return int(match["n"])
    word = match["word"].lower()
    return english.NUMBERS[word] if word in english.NUMBERS else chinese.number(word)


def _rounds_there_are(numbers: Sequence[int]) -> str:
    if not numbers:
        return "this dialogue has no round yet. Name the structure itself."
    there = f"rounds {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"only round {numbers[0]}"
    return f"this dialogue has {there}. Refer to one of those, or name the structure itself."


def _latest(text: str, past: Sequence[PastRound]) -> Found | None:
    for language in _LANGUAGES:
        if match := language.LATEST.search(text):
            return _need(past, match[0])[-1].number, match.span()
    return None


def _by_name(text: str, past: Sequence[PastRound]) -> Found | None:
    """An earlier round by its structure's whole name, else by its kind; the longest name, then the latest round."""
    named = [(done.number, done.name) for done in past]
    return _said(text, named, whole=True) or _said(text, named, whole=False)


def _said(text: str, named: Iterable[tuple[int, str]], whole: bool) -> Found | None:
    """The number whose name, or with `whole` False a part of it, the text leans on; the longest, then the highest."""
    found = [
        (len(name), number, (lean.start, lean.end))
        for number, full in named
        for name in ([plain(full).strip(_AROUND)] if whole else _parts(full))
        for lean in _uses(text, name, whole)
    ]
    if not found:
        return None
    _, number, span = max(found)
    return number, span


def _uses(text: str, name: str, whole: bool) -> Iterator[Lean]:
    """Where the text leans on a name and means it."""
    # Most names are not in the text at all: patterns are made only for those that are.
    if not name or "".join(name.lower().split()) not in "".join(text.lower().split()):
        return
    for language in _LANGUAGES:
        for lean in language.leaning_on_name(text, name, whole):
            if _is_meant(text, name, lean):
                yield lean


def _is_meant(text: str, name: str, lean: Lean) -> bool:
    """Whether words that are spelt like a name are that name, and no everyday words."""
    before, after = text[: lean.start], text[lean.end :]
    if before.endswith(_QUOTES) and after.startswith(_QUOTES):
        return True
    if len(name) == 1 and not CHINESE.search(name):
        return text[lean.start : lean.end] == name and not re.match(r"\s*[A-Za-z]", after)
    return not _is_common(name)


def _is_common(name: str) -> bool:
    return (chinese if CHINESE.search(name) else english).is_common(name)


def _parts(name: str) -> list[str]:
    """The words of a structure's kind that are long enough to mean it."""
    return [word for word in sorted(kind(name)) if len(word) > 2 or CHINESE.search(word)]


def _names_a_round(text: str, besides: tuple[int, int] = (0, 0)) -> bool:
    """Whether the text names a round by a number or as the last, other than in the span `besides`."""
    patterns = [
        pattern for language in _LANGUAGES for pattern in (*language.COUNTED_BACK, *language.NUMBERED, language.LATEST)
    ]
    start, end = besides
    return any(not start <= match.start() < end for pattern in patterns for match in pattern.finditer(text))


def _leaning(text: str, past: Sequence[PastRound]) -> Found | None:
    for language in _LANGUAGES:
        for lean in language.leaning(text):
            number = _leaned_on(lean, text, past)
            if number is not None:
                return number, (lean.start, lean.end)
    return None


def _leaned_on(lean: Lean, text: str, past: Sequence[PastRound]) -> int | None:
    """The most recent round of the kind that the words speak of, or else the most recent one."""
    wanted = kind(lean.noun)
    likest = _likest(wanted, [(done.number, kind(_name(done))) for done in past])
    if likest is not None:
        return likest
    return None if lean.only_kind else _need(past, text[lean.start : lean.end])[-1].number


def _likest(wanted: frozenset[str], kinds: Iterable[tuple[int, frozenset[str]]]) -> int | None:
    """The number of what is most like the kind that is wanted, the highest of several; None where nothing is."""
    like, number = max(((likeness(wanted, has), number) for number, has in kinds), default=(0, 0))
    return number if like else None


def _leaning_on_kind(text: str, names: Sequence[str]) -> Found | None:
    """The segment of the kind that leaning words of the text speak of."""
    kinds = [(index, _telling(name)) for index, name in enumerate(names)]
    for language in _LANGUAGES:
        for lean in language.leaning(text):
            if (index := _likest(kind(lean.noun), kinds)) is not None:
                return index, (lean.start, lean.end)
    return None


def _telling(name: str) -> frozenset[str]:
    """A segment's kind without everyday words, and without what is in brackets: "Left lung (round 2)" -> {"lung"}."""
    words = kind(re.sub(r"\([^)]*\)", " ", plain(name)))
    return frozenset(word for word in words if len(word) > 1 or CHINESE.search(word) if not _is_common(word))


def _name(done: PastRound) -> str:
    return done.name or structure_name(done.query)


def _need(past: Sequence[PastRound], phrase: str) -> Sequence[PastRound]:
    """The rounds, of which there must be one."""
    if not past:
        raise ReferenceNotFound(
            f'"{phrase.strip()}" refers to an earlier round, and this dialogue has no round yet: '
            'name the structure itself, such as "the left lung".'
        )
    return past
