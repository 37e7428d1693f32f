"""Rounds that make sense alone: a query's reference to an earlier round is rewritten into a name. No torch.

Where round 1 asked for the left kidney, "Segment the other kidney with reference to instance 1." becomes "Segment the
right kidney.", and "Segment its tumor." becomes "Segment the left kidney's tumor."
"""

import re
from collections.abc import Callable

from MediRoundLib import english_words
from MediRoundLib.dialogue import PastRound
from MediRoundLib.errors import ReferenceNotFound
from MediRoundLib.mr_medseg import Conversation
from MediRoundLib.naming import name_beside, structure_name
from MediRoundLib.references import Reference, resolve
from MediRoundLib.text import BOX, CROP, IMAGE
from MediRoundLib.words import language_of

# A dialogue and the number of a round in it, from 0, to the name of what that round asks for; "" where it is not known.
NameOf = Callable[[Conversation, int], str]

_REQUESTS = {"en": "Segment the {name}.", "zh": "请分割{name}。"}
# What stands around the words for a round and goes with them: "the output of [round 1]", "[第1轮]输出".
_MADE_BY = re.compile(rf"(?:the\s+)?(?:{english_words.MADE}|structure)\s+(?:of|from|in)\s+$|\bthe\s+$", re.IGNORECASE)
_MADE_BY_ZH = re.compile(r"^(?:的?(?:分割结果|输出|结果|分割))+")


def plain_query(turn: str) -> str:
    """A human turn in the user's own words: without the tokens of the image and of the reference."""
    for token in (IMAGE, CROP, BOX):
        turn = turn.replace(token, " ")
    return " ".join(turn.split())


def stated_name(conversation: Conversation, k: int) -> str:
    """The English name that this project's own files state for a round; "" for other files and other languages."""
    names = conversation.about.get("entities", ())
    if language_of(plain_query(conversation.turns[k].query)) != "en" or k >= len(names):
        return ""
    return str(names[k])


def explicit_queries(conversation: Conversation, name_of: NameOf = stated_name) -> list[str]:
    """The query of every round without references.

    One that leans on nothing stays as it is. One that does asks for the target by its name where that is known or
    follows from the words ("the other kidney"); else the words for the round become the name of what that asked for.
    """
    past: list[PastRound] = []
    queries = []
    for k, turn in enumerate(conversation.turns):
        query, name = plain_query(turn.query), name_of(conversation, k)
        found = _resolve(query, past)
        leaned = turn.reference if turn.reference is not None else found.round - 1 if found else None
        if leaned is None:
            queries.append(query)
            name = name or structure_name(query)
        else:
            beside = name_beside(query, past[leaned].name)
            if name or beside != structure_name(query):
                queries.append(_REQUESTS[language_of(query)].format(name=name or beside))
            else:
                queries.append(_named(query, found, past[leaned].name))
            name = name or beside
        past.append(PastRound(k + 1, query, name))
    return queries


def _resolve(query: str, past: list[PastRound]) -> Reference | None:
    try:
        return resolve(query, past)
    except ReferenceNotFound:
        return None


def _named(query: str, found: Reference | None, name: str) -> str:
    """The query with a name for the words that mean a round; as it is where it says that name, or no such words."""
    if found is None or not name or name.lower() in query.lower():
        return query
    before, _, after = query.partition(found.phrase)
    if language_of(query) == "zh":
        return before + name + _MADE_BY_ZH.sub("", after)
    possessive = "'s" if found.phrase.lower() == "its" else ""
    return f"{_MADE_BY.sub('', before)}the {name}{possessive}{after}"
