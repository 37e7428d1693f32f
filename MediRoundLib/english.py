"""English words that lean on an earlier round, as tables of patterns; `references.py` says what they mean. No torch.

Patterns do not regard case. A group `n` or `word` holds a number, a group `noun` the kind of structure spoken of.
Vocabulary is in `english_words.py`, the other of a pair and steps along a chain in `english_chains.py`.
"""

import re
from collections.abc import Collection, Iterator

from MediRoundLib import english_chains
from MediRoundLib.english_words import (
    CARDINALS,
    DONE,
    ENDS,
    FOLLOWING_NOUN,
    HISTORY,
    IMAGING,
    MADE,
    NO_ROUND,
    ORDINALS,
    PRECEDING_NOUN,
    THING,
    THINGS,
    VERBS,
    WHERE,
    compiled,
    noun_in,
)
from MediRoundLib.language import Lean

NUMBERS = {word: number for words in (CARDINALS, ORDINALS) for number, word in enumerate(words.split("|"), start=1)}
_COMMON = "|".join(
    (IMAGING, MADE, VERBS, DONE, NO_ROUND, THING, THINGS, WHERE, ENDS, CARDINALS, ORDINALS, "instances|rounds")
)


def is_common(name: str) -> bool:
    """Whether a name that a user gave is made of words that every query has: "image", "left", "the mask", "2"."""
    words = re.findall(r"[^\W\d_]+", name.lower())
    common = f"{IMAGING}|{ENDS}|round|instance" if re.search(r"\d", name) else _COMMON
    return set(words) <= set(common.split("|"))


def _any_of(alternatives: str, words: Collection[str]) -> bool:
    return not set(alternatives.split("|")).isdisjoint(words)


# ---- explicit numbers ----

_DIGITS = (
    r"(?P<n>\d{1,4})(?![\w%]|\.\d|\s*(?:mm|cm|x\s*\d|millimet|centimet)"
    r"|\s+(?:masks|segmentations|results|outputs|regions|structures|organs)\b)"
)
_COUNT = rf"(?:{_DIGITS}|(?P<word>{CARDINALS})(?![\w-]))"
_NTH = rf"(?:(?P<n>\d{{1,4}})(?:st|nd|rd|th)|(?P<word>{ORDINALS}))"
_NO = r"[\s_-]*(?:no\.?|number|nr\.?|#)?\s*"

# An earlier pattern is surer than a later one.
NUMBERED = [
    compiled(text)
    for text in (
        r"\[\s*(?P<n>\d{1,4})\s*\]",
        rf"\b(?:round|instance)s?{_NO}{_COUNT}",
        # "In the first instance" opens a sentence; a nodule may be the second round one.
        rf"(?<!\Ain the )\b{_NTH}[\s-]+instance\b",
        rf"\b{_NTH}[\s-]+(?:round\b(?!\s+(?!{MADE}|of|in|as|and|is|was|on|for|to|by)[a-z]))",
        rf"\b(?:{MADE}|query|question|turn)s?{_NO}{_DIGITS}",
        rf"\b(?:number|no\.|nr\.)\s*{_DIGITS}\s+(?:above|earlier|so\s+far)\b",
        rf"\b{_NTH}\s+(?:{MADE}|query|question)\b",
    )
]
# From the end, where 1 is the latest round; the pattern without a number is the last but one.
COUNTED_BACK = [
    compiled(text)
    for text in (
        rf"\b{_COUNT}\s+rounds?\s+(?:ago|back|earlier)\b",
        rf"\b{_NTH}[\s-]+(?:to|from)[\s-]+(?:the\s+)?last\s+(?:round|instance|{MADE})\b",
        rf"\bround\s+before\s+(?:the\s+)?last\b|\b(?:penultimate|last\s+but\s+one)\s+(?:round|instance|{MADE})\b",
    )
]
LATEST = compiled(
    r"\b(?:last|latest|newest|most\s+recent|previous|preceding|prior|earlier|above)\s+"
    rf"(?:round|instance|turn|{MADE})s?\b|\bthe\s+(?:{MADE})\s+(?:above|just\s+now|so\s+far)\b"
)

# ---- names ----

BASED_ON = (
    r"based\s+(?:up)?on|on\s+the\s+basis\s+of|(?:with|in|by)\s+reference\s+to|(?:with|in)\s+respect\s+to|"
    r"with\s+regard\s+to|in\s+relation\s+to|relative\s+to|according\s+to|refer(?:ring)?\s+to|referencing|given|using|guided\s+by|"
    r"starting\s+from|going\s+by|compared\s+(?:to|with)"
)
PLACES = (
    r"(?<!instead )(?<!because )of|in|on|inside|within|around|near|from|above|below|behind|beneath|beside|under|over|"
    r"after|before|between|touching|adjoining|opposite|surrounding|containing|(?:higher|lower|larger|smaller)\s+than|"
    r"(?:next|close|adjacent|attached|connected|caudal|cranial|lateral|medial|anterior|posterior|superior|inferior|"
    r"opposite|contralateral)\s+to"
)
_HOLDS = r"contains?|surrounds?|encloses?|precedes?|follows?|belongs?\s+to"
_BEFORE_NAME = (
    r"(?:(?:the|my|your|our|existing|current|segmented|previous|earlier)\s+"
    rf"|(?:{MADE}|segment|contour|outline)\s+(?:of|for)\s+)*[\"']?"
)
# "The mask of the left kidney" asks for the kidney and leans on nothing.
_ASKS_FOR = compiled(
    rf"\b(?:(?:{MADE}|region|outline|contour|picture|image|area|boundary|boundarie|border|edge|limit|location|position|map"
    r"|roi|ring|pixel|voxel)s?(?:\s+that)?)\s+\Z"
)
# So do "colour in the left kidney" and "I'm after the left kidney".
_WANTS = compiled(
    r"\b(?:(?:colou?r|shade|fill)\s+in|(?:all|size|shape|extent)\s+of|line\s+around"
    r"|(?:focus|concentrate|zoom\s+in|work)\s+on|i(?:'m|\s+am)\s+after)\s+(?:(?:the|my)\s+)?[\"']?\Z"
)

# ---- words that lean on something ----

_PRONOUN = compiled(
    r"\b(?:its|it(?!')|their|them)\b"
    r"|\b(?:of|in|inside|within|on|from|near|above|below|around|behind|beside|under|over|to)\s+(?:that|this)"
    r"(?=\s*(?:[.,;?!]|$))"
    r"|\bin\s+there\b|(?:\bany\s+\w+\s+inside|\bis\s+(?:this|that)\s+(?:in|inside|part\s+of))(?=\s*(?:[.,;?!]|$))"
    rf"|\b(?:this|that)\s+(?:{THING})\b(?!\s+of\b)"
)
# "Is it possible", "if it is visible": stands for nothing that was segmented.
_EMPTY_IT = compiled(
    r"\b(?:is|was|would|will|could|can|may|might)\s+it\s+"
    r"(?:be\s+)?(?:possible|ok|okay|fine|alright|clear|visible|help|the|an?)\b"
    r"|(?:\A|[.,;:?!]|\b(?:if|whether|since|because|as|when|so|but|think|believe))\s*it"
    r"(?=\s+(?:is|was|exists?|works?|worked|seems?|looks?|appears?|can|could|should|would|will|may|might|has|does|shows?)\b)"
)
# "I am looking for the liver, outline it": what the query itself has named.
_DRAWN = compiled(rf"\b(?:{VERBS}|colou?r|paint|point)\s+(?:it|them)\Z")
# What is named before one of these may be what a pronoun behind it means: "the heart and its chambers".
_BREAK = compiled(
    r"[,;.?!:]|\s[-\u2013\u2014]\s|\b(?:and|or|then|with(?!\s+(?:it|them)\b)|without|including|plus|as\s+well\s+as"
    r"|along\s+with|together\s+with|if|when|while|because|but|(?:up|down)\s+to(?=\s+its\b))\b"
)
_STRUCTURE = compiled(
    rf"\b(?:the|a|an|my|{VERBS})\s+"
    r"(?:(?:the|a|an|my|me|us|all|both|left|right|other|next|previous|opposite|first|second|last|whole|entire)\b\s*)*+"
    rf"(?!(?:{NO_ROUND}|{THING}|{THINGS}|{MADE}|{ENDS}|medical|lot)\b)[a-z]"
)
# "The other organ: the stomach", "next one is the spleen".
_TELLS = compiled(rf"[^.;?!]*?(?::|\bis\b)(?=.*?{_STRUCTURE.pattern})(?P<name>.*)")

_RELATIVE = compiled(
    rf"(?:\b(?P<article>the|its|that)\s+(?:immediately\s+)?|\A|\b(?:{VERBS})\s+(?:me\s+)?)"
    r"(?P<which>other|opposite|contralateral|next|previous|preceding|following|subsequent|succeeding)\b"
    rf"(?!\s+(?:to|than|of)\b){FOLLOWING_NOUN}|\b(?P<another>another){FOLLOWING_NOUN.replace('noun', 'noun2')}"
)
_SIDE_OF_SOMETHING = compiled(r"\s+(?:of|from|as|to)\s+(?!(?:it|that|this)\b|the\s+(?:body|midline|image|patient)\b)")
_NOUN_FIRST = [
    compiled(rf"(?:\A|\bthe\s+){PRECEDING_NOUN}{text}")
    for text in (
        r"(?:on|at)\s+(?:the|its)\s+(?:other|opposite|contralateral|same|far)\s+side\b"
        r"(?!\s+(?:as|of|from)\s+(?!the\s+(?:body|midline|image|patient)\b))",
        r"(?:(?:one|two|a)\s+levels?\s+)?(?:(?:directly|just|immediately|right)\s+)?"
        r"(?:above|below|before|after|beneath|underneath|overhead|(?<!lies )(?<!sits )on\s+top)"
        r"(?=\s*(?:[.,;?!]|$)|\s+(?:in|on|from|is|and|please|for|again)\b)",
        rf"(?:(?:that|which)\s+)?(?:you|we|i)\s+(?:have\s+|had\s+)?(?:just\s+|already\s+|previously\s+)?(?:{DONE})\b",
        rf"(?:{DONE})\s+(?:above|before|earlier|previously|just\s+now)\b",
    )
]
_NOUN_LAST = [
    compiled(text + FOLLOWING_NOUN)
    for text in (
        rf"\bthe\s+(?:just|previously|already|recently|earlier)[\s-]+(?:{DONE})",
        r"\bthe\s+(?:segmented|aforementioned|above-?mentioned)",
        rf"\bwhat\s+(?:you|we|i)\s+(?:have\s+|had\s+)?(?:just\s+|already\s+|previously\s+)?(?:{DONE})\b",
        r"\bthe\s+(?:counterpart|partner)\b(?!\s+of\b)",
    )
]
_THIS_KIND = compiled(rf"\b(?:this|that)(?!\s+(?:this|that)\b){FOLLOWING_NOUN}")


def leaning_on_name(text: str, name: str, whole: bool = True) -> Iterator[Lean]:
    """Where the text leans on a structure by its name; with `whole` False only after words such as "based on"."""
    words = f"{BASED_ON}|{PLACES}|{_HOLDS}" if whole else BASED_ON
    name = r"\s+".join(re.escape(word) for word in name.split())
    name = rf"{_BEFORE_NAME}(?P<name>{name})(?![\w-])"
    for form in (rf"\b(?:{words})\s+{name}", rf"\b(?:with|take|taking|use)\s+{name}[\"']?\s+as\b"):
        for match in re.finditer(form, text, re.IGNORECASE):
            if not (_ASKS_FOR.search(text[: match.start()]) or _WANTS.search(text[: match.start("name")])):
                yield Lean(*match.span("name"))


def leaning(text: str) -> Iterator[Lean]:
    """Words of the text that lean on something said before, the surest first."""
    yield from _pronouns(text)
    for pattern in _NOUN_FIRST:
        for match in pattern.finditer(text):
            words = match["noun"].lower().split()
            if not _any_of(f"{ENDS}|{NO_ROUND}", words):
                yield _lean(text, match.start(), match.end(), words)
    yield from _relatives(text)
    for pattern in _NOUN_LAST:
        for match in pattern.finditer(text):
            words = noun_in(match["noun"])
            yield _lean(text, match.start(), match.start("noun"), words)
    yield from english_chains.leaning(text)
    for match in _THIS_KIND.finditer(text):
        if words := noun_in(match["noun"]):
            yield Lean(*match.span(), " ".join(words), only_kind=True)


def _pronouns(text: str) -> Iterator[Lean]:
    """Pronouns that do not mean something in the query itself."""
    told = _EMPTY_IT.sub(lambda match: " " * len(match[0]), text)
    all_breaks = list(_BREAK.finditer(told))
    for match in _PRONOUN.finditer(told):
        breaks = [found for found in all_breaks if found.end() <= match.start()]
        before = told[: breaks[-1].start()] if breaks else ""
        if not _STRUCTURE.search(before):
            yield Lean(*match.span())
        elif not breaks[-1][0][0].isalpha() and not _DRAWN.search(told, 0, match.end()):
            # "For the liver, segment its vessels": the earlier liver, if there is one.
            yield Lean(*match.span(), before, only_kind=True)


def _relatives(text: str) -> Iterator[Lean]:
    """What stands before its noun: "the other lung", "the next vertebra", "another kidney"."""
    for match in _RELATIVE.finditer(text):
        group = "noun" if match["which"] else "noun2"
        words = noun_in(match[group])
        end = match.start(group) + _length(match[group], len(words))
        if not _is_ordinary(match, words, text[end:]):
            yield _lean(text, match.start(), end, words)


def _is_ordinary(match: re.Match[str], words: list[str], rest: str) -> bool:
    """Whether "other", "next" and the like with the noun after it lean on nothing; `rest` is the text behind them."""
    which = (match["which"] or match["another"]).lower()
    last = words[-1:]
    return bool(
        # "Next, segment the liver", "Next L4".
        (not match["article"] and match["which"] and (not words or _any_of(VERBS, words[:1]) or words[0][-1].isdigit()))
        or _any_of(NO_ROUND, words)
        or _any_of(THINGS, last)
        or (which in ("opposite", "contralateral") and not words)
        or (which in ("previous", "preceding") and _any_of(HISTORY, last))
        or (which == "following" and (":" in rest or _any_of(THING, last)))
        or (last == ["side"] and _SIDE_OF_SOMETHING.match(rest))
    )


def _lean(text: str, start: int, end: int, words: list[str]) -> Lean:
    """A lean on a kind of structure; where the query itself speaks of that kind before, an earlier round must too."""
    before, noun = text[:start], " ".join(words)
    if set(words) <= set(THING.split("|")):
        if re.search(r"\b(?:left|right)\b", before, re.IGNORECASE):
            return Lean(start, end, before, only_kind=True)
        told = _TELLS.match(text, end)
        return Lean(start, end, told["name"] if told else noun, only_kind=bool(told))
    return Lean(start, end, noun, only_kind=bool(re.search(rf"\b{re.escape(words[-1])}", before, re.IGNORECASE)))


def _length(text: str, words: int) -> int:
    """How many characters the first so many words of the text take, with the space before each."""
    return next((match.end() for k, match in enumerate(re.finditer(r"\s+\S+", text), start=1) if k == words), 0)
