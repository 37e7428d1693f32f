"""Which earlier round a query refers to, in English and Chinese. No torch.

Explicit numbers win ("instance 2", "第二轮的输出"), then the round just before where it is named outright ("the last
result"), then an earlier structure's name ("based on the left kidney"), then words that need something to lean on ("the
other lung", "its", "它"). The words themselves are in `english.py` and `chinese.py`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from MediRoundLib import chinese, english
from MediRoundLib.dialogue import PastRound
from MediRoundLib.errors import ReferenceNotFound
from MediRoundLib.language import CHINESE, Lean, kind, likeness, plain
from MediRoundLib.naming import structure_name

_LANGUAGES = (english, chinese)


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
    for whole in (True, False):
        found = [
            (len(name), done.number, (lean.start, lean.end))
            for done in past
            for name in ([plain(done.name)] if whole else _parts(done.name))
            for language in _LANGUAGES
            for lean in (language.leaning_on_name(text, name, whole) if name else ())
        ]
        if found:
            _, number, span = max(found)
            return number, span
    return None


def _parts(name: str) -> list[str]:
    """The words of a structure's kind that are long enough to mean it."""
    return [word for word in sorted(kind(name)) if len(word) > 2 or CHINESE.search(word)]


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
    likest = max(((likeness(wanted, kind(_name(done))), done.number) for done in past), default=(0, 0))
    if likest[0]:
        return likest[1]
    return None if lean.only_kind else _need(past, text[lean.start : lean.end])[-1].number


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
