"""Which earlier round a query refers to, in English and Chinese: tables of patterns, tried in order. No torch.

Explicit numbers win ("instance 2", "第二轮的输出"); then an earlier structure's name ("based on the left kidney"); then
words that need something to lean on ("the other lung", "its", "它"), which mean the most recent round that fits.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from MediRoundLib.dialogue import PastRound
from MediRoundLib.errors import ReferenceNotFound

_ENGLISH = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
]
_CHINESE = ["一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二"]
_NUMBERS = {word: k for words in (_ENGLISH, _ORDINALS, _CHINESE) for k, word in enumerate(words, start=1)} | {"两": 2}

_N = rf"(?P<n>\d+|{'|'.join(_ENGLISH)})(?![\w-]|\.\d)"
_NTH = rf"(?P<n>\d+(?=st|nd|rd|th)|{'|'.join(_ORDINALS)})(?:st|nd|rd|th)?"
_CN = r"(?P<n>\d+|十[一二]?|[一二两三四五六七八九])"
# What a round makes. "structure" and the like are not among them: "the first structure below it" is no round.
_MADE = "(?:round|instance|turn|output|result|mask|segment|segmentation|answer)"
_MADE_CN = "(?:轮|回合|个?实例|个?结果|个?输出|个?分割|个?掩码|个?回答)"

_EXPLICIT = [
    re.compile(pattern)
    for pattern in (
        r"\[\s*(?P<n>\d+)\s*\]",
        rf"\b(?:round|instance|turn)s?\s*(?:no\.?|number|#)?\s*{_N}",
        r"\b(?:output|result|mask|segment|segmentation|answer)\s*(?:no\.?|number|#)?\s*(?P<n>\d+)(?![\w-]|\.\d)",
        rf"\b{_NTH}\s+{_MADE}\b",
        rf"第\s*{_CN}\s*{_MADE_CN}",
        rf"(?:实例|轮次|回合|结果|输出)\s*{_CN}",
    )
]

# The round just before, said outright.
_LATEST = re.compile(
    rf"\b(?:last|latest|previous|preceding|prior)\s+{_MADE}\b|(?:上|前)一?(?:轮|回合|次|个?结果|个?输出|个?分割|个?实例)|刚才"
)

# Relations whose noun says which round is meant: "the other lung" leans on the latest lung, not on a heart in between.
_RELATIVE = re.compile(
    r"\bthe\s+(?P<word>other|next|previous|preceding|contralateral|opposite|adjacent|neighbou?ring|same)\s+"
    r"(?:(?:lower|upper|higher)\s+)?(?P<noun>[a-z][a-z -]*)?"
    r"|\bthe\s+(?P<noun2>[a-z][a-z -]*?)\s+(?:on|at)\s+the\s+(?:other|opposite|contralateral)\s+side\b"
    r"|\bthe\s+(?P<noun3>[a-z][a-z -]*?)\s+(?:one level\s+)?(?:below|above|next to|beside|caudal|cranial)"
    r"(?:\s+(?:in|from|on)\s+(?:the|this)\s+\w+|\s+is)?\s*[.?!]?$"
    r"|(?:另一侧|另一个|另一|另外一个|对侧|对面|下一个|上一个|下一节|上一节|前一个|后一个|相邻|下面|上面|下方|上方)的?(?P<noun4>[\u4e00-\u9fff]*)"
)
# Plural or general: "the other structures", "the same image" lean on nothing.
_NOT_RELATIVE = re.compile(
    r"the\s+(?:other|same)\s+(?:(?:structure|organ|lesion|region|mask|round|one)s\b|image|slice|scan|picture|way|time)|(?:其|另外)(?:他|余|它)"
)

_PRONOUN = re.compile(
    r"\b(?:its|it|itself)\b|\b(?:this|that)\s+(?:one|organ|structure|lesion|region|segment|mask|area|part)\b"
    r"|\bthe\s+(?:result|segment|mask)\s+(?:above|before)\b"
    r"|它|其(?![他余它])|该(?:结构|器官|病灶|区域|分割)|此(?:结构|器官|病灶|区域|分割)"
)
# "is it possible ..", "it is ..", "make it ..": stands for nothing.
_EMPTY_IT = re.compile(r"\b(?:is|would|could|can|will|may|make|makes)\s+it\b|^it(?:'s|\s+is|\s+would)\b|其实|尤其")
# The thing meant is in the query itself: "the heart and its chambers", "locate the liver and segment it".
_OWN_ANTECEDENT = re.compile(
    r"\b(?:the|a|an)\s+[\w' -]+?(?:,|\band\b|\bwith\b)\s*(?:then\s+)?(?:\w+\s+){0,2}?(?:it|its|itself)\b"
    r"|[\u4e00-\u9fff]{2,}(?:和|及|与|以及|并|，)[^，。]{0,4}?(?:它|其)"
)

# Where the noun ends: "other kidney | in this image"; and nouns that say nothing of the kind.
_AFTER_NOUN = re.compile(
    r"\b(?:in|on|of|for|from|to|with|at|is|and|please|that|which|based|relative|given|according|segmented)\b"
)
_NO_KIND = {"one", "structure", "organ", "part", "side", "level", "lower", "upper", "higher", "结构", "器官"}

# Words after which an earlier structure's name is what the query leans on.
_BEFORE_NAME = re.compile(
    r"(?:\b(?:of|in|on|inside|within|around|near|to|from|by|than|below|above|behind|beneath|beside|under|over|using|"
    r"contains?|surrounds?|encloses?|precedes?|follows?|after|before|between|reference|touching|adjoining)\s+"
    r"(?:the\s+|my\s+)?|(?:根据|基于|参考|参照|相对于|包含|包绕|紧邻|靠近))[\"'“‘]?$"
)
_AFTER_NAME_CN = re.compile(r"^[\"'”’]?(?:的|中|内|里|上|下|旁|周围|附近|所在|为参考)")
# "the mask of the left kidney" asks for the kidney; it does not lean on it.
_ASKS_FOR = re.compile(
    r"\b(?:mask|segmentation|region|outline|contour|picture|image|area|boundary|borders?|location|position)s?\s+"
    r"(?:of|for)\s+(?:the\s+|my\s+)?[\"'“‘]?$|\bbelongs?\s+to\s+(?:the\s+)?$"
)
_OF_A_NAME_CN = re.compile(r"^的(?:区域|轮廓|位置|掩码|分割|边界)")


@dataclass(frozen=True)
class Reference:
    """What a query refers to: a round (from 1), the words that say so, and whether they name it outright."""

    round: int
    phrase: str
    explicit: bool


def resolve(query: str, past: Sequence[PastRound]) -> Reference | None:
    """Find the earlier round that a query leans on.

    Args:
        query: in English or Chinese.
        past: the rounds so far, oldest first.

    Returns:
        The reference, or None for a query that leans on nothing.

    Raises:
        ReferenceNotFound: the round named does not exist, or there is none yet for "the other lung" to lean on.
    """
    text = plain(query)
    for pattern in _EXPLICIT:
        if match := pattern.search(text):
            number = _number(match["n"])
            if all(done.number != number for done in past):
                raise ReferenceNotFound(f"There is no round {number}: {_rounds_there_are(past)}")
            return Reference(number, match[0], explicit=True)
    if match := _LATEST.search(text):
        return Reference(_latest(past, match[0]), match[0], explicit=True)
    if named := _by_name(text, past):
        return named
    return _implicit(text, past)


def plain(text: str) -> str:
    """Lower case, with full-width digits, brackets and the like as their ordinary forms, one space at a time."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def _number(word: str) -> int:
    return _NUMBERS[word] if word in _NUMBERS else int(word)


def _rounds_there_are(past: Sequence[PastRound]) -> str:
    if not past:
        return "this dialogue has none yet. Name the structure itself."
    numbers = f"rounds 1 to {len(past)}" if len(past) > 1 else "round 1 only"
    return f"this dialogue has {numbers}. Refer to one of those, or name the structure itself."


def _latest(past: Sequence[PastRound], phrase: str) -> int:
    if not past:
        raise ReferenceNotFound(
            f'There is no earlier round that "{phrase.strip()}" could refer to. Name the structure itself, '
            'such as "the left lung".'
        )
    return past[-1].number


def _by_name(text: str, past: Sequence[PastRound]) -> Reference | None:
    """An earlier round whose structure's name stands where a reference would; the longest name, then the latest."""
    found: list[tuple[int, int, Reference]] = []
    for done in past:
        name = plain(done.name)
        for match in re.finditer(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", text) if name else ():
            before, after = text[: match.start()], text[match.end() :]
            if _ASKS_FOR.search(before) or _OF_A_NAME_CN.match(after):
                continue
            chinese = re.search(r"[\u4e00-\u9fff]", name) and _AFTER_NAME_CN.match(after)
            if _BEFORE_NAME.search(before) or chinese:
                found.append((len(name), done.number, Reference(done.number, match[0], explicit=True)))
    return max(found, key=lambda each: each[:2])[2] if found else None


def _implicit(text: str, past: Sequence[PastRound]) -> Reference | None:
    pronoun = _PRONOUN.search(_EMPTY_IT.sub(lambda match: " " * len(match[0]), text))
    if pronoun and not _OWN_ANTECEDENT.search(text):
        return Reference(_latest(past, pronoun[0]), pronoun[0], explicit=False)
    relative = None if _NOT_RELATIVE.search(text) else _RELATIVE.search(text)
    if relative:
        noun = next((group for name, group in relative.groupdict().items() if name != "word" and group), "")
        _latest(past, relative[0])
        return Reference(_latest_of_kind(noun, past), relative[0].strip(), explicit=False)
    return None


def _latest_of_kind(noun: str, past: Sequence[PastRound]) -> int:
    """The most recent round about a `noun` ("parotid gland", "椎体"), or the most recent of all."""
    words = re.findall(r"[a-z]+|[\u4e00-\u9fff]+", _AFTER_NOUN.split(noun)[0])
    # English puts the kind last: "other parotid gland" is a gland.
    for word in reversed([word.removesuffix("s") for word in words if word not in _NO_KIND]):
        pattern = re.compile(rf"\b{word}s?\b" if word.isascii() else word)
        for done in reversed(past):
            if pattern.search(plain(done.name)) or pattern.search(plain(done.query)):
                return done.number
    return past[-1].number
