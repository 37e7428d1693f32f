"""What English and Chinese queries share: characters, structures' names and their kinds. Pure data, no torch."""

import re
from dataclasses import dataclass

CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Character for character, so that a place found in the plain text is the same place in the user's own.
_PLAIN = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {
    ord(wide): narrow for wide, narrow in zip("\u3000【】〔〕「」『』’‘“”。、", ' [][]""""\'\'"".,', strict=True)
}
# Words that say which one of a kind: "left kidney" and "other kidney" are both of the kind "kidney".
_WHICH = frozenset(
    [
        "left",
        "right",
        "both",
        "bilateral",
        "other",
        "opposite",
        "contralateral",
        "next",
        "previous",
        "preceding",
        "following",
        "adjacent",
        "lower",
        "upper",
        "higher",
        "same",
    ]
)
_LEVEL = re.compile(r"(?:[ctls]?\d+(?:-[ctls]?\d+)?)$", re.IGNORECASE)
# The same in Chinese, and characters that say nothing: 左肾, 另一侧的肾 and 肾脏 are all of the kind 肾.
_WHICH_ZH = re.compile(
    r"[左右双对另][侧边]?|[上下前后]一?[个节块根]|[上下][方面]|相邻|[侧的个节脏部正第]|[A-Za-z0-9\s-]"
)


@dataclass(frozen=True)
class Lean:
    """Words of a query that lean on an earlier round.

    Attributes:
        start, end: the words' place in the text.
        noun: the kind of structure that they speak of ("lung" in "the other lung"); "" where they name none.
        only_kind: True where they count only if an earlier round is of that kind.
    """

    start: int
    end: int
    noun: str = ""
    only_kind: bool = False


def plain(text: str) -> str:
    """The text with ordinary digits, brackets, quotes and stops for full-width ones, of the same length."""
    return text.translate(_PLAIN)


def kind(name: str) -> frozenset[str]:
    """The words of a structure's name without side and level, as a set; Chinese is one word.

    "left parotid gland" -> {"parotid", "gland"}; "vertebra L4" -> {"vertebra"}; "左侧肾脏" -> {"肾"}.
    """
    if CHINESE.search(name):
        core = _WHICH_ZH.sub("", plain(name))
        return frozenset([core] if core else [])
    words = (_singular(word) for word in re.findall(r"[a-z0-9][\w'-]*", name.lower()))
    return frozenset(word for word in words if word not in _WHICH and not _LEVEL.match(word))


def likeness(wanted: frozenset[str], other: frozenset[str]) -> int:
    """2 for two sets of the same kind, 1 for kinds that share a word, 0 for different ones."""
    if not wanted or not other:
        return 0
    if wanted == other:
        return 2
    shared = any(one == two or (CHINESE.match(one) and (one in two or two in one)) for one in wanted for two in other)
    return int(shared)


def _singular(word: str) -> str:
    if word == "vertebrae":
        return "vertebra"
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is", "as")) else word
