"""The name of what a query asks for: "Please segment the left kidney in this scan." -> "left kidney". No torch.

Words are cut away until the structure is left: politeness and verbs in front, the image and the like behind, and the
words that say which earlier round is meant.
"""

import re

from MediRoundLib import chinese, english, english_words
from MediRoundLib.language import CHINESE, kind, likeness, plain

# Stands for the words that name an earlier round or lean on one, once they are found.
_HERE = "\0"
_LONGEST = 60


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def _any(patterns: list[re.Pattern[str]]) -> str:
    """One pattern for all, without the groups' names, which may stand only once."""
    return "|".join(re.sub(r"\(\?P<\w+>", "(?:", pattern.pattern) for pattern in patterns)


# ---- English ----

_REQUEST = f"{english_words.VERBS}|refine|redo|repeat|do"
_OBJECT = "mask|segmentation|region|outline|contour|area|location|position|boundary|borders?|pixels?"
_NUMBERED = rf"(?:{_any([*english.COUNTED_BACK, english.LATEST, *english.NUMBERED])})"
# "the output of round 1", "instance 2's result", "it", "this organ".
_ROUND = _pattern(
    rf"(?:\b(?:the\s+)?(?:{english_words.MADE}|structure|organ)\s+(?:of|from|in)\s+)?(?:\bthe\s+)?(?:{_NUMBERED})"
    rf"(?:(?:'s)?\s+(?:{english_words.MADE})\b)?|\bit\b(?!')|\b(?:this|that)\s+(?:one|organ|structure|{english_words.MADE})\b"
)
# "Based on the left kidney," and ".. with reference to the left kidney": up to a comma, a stop or the next request.
_BASE = _pattern(
    rf"\b(?:{english.BASED_ON})\s[^,.;?!]*?(?:,|(?=[.;?!])|$|\s(?=(?:please\s+|now\s+)?(?:{_REQUEST})\s+"
    r"(?:the|an?|its|me|out|all|left|right)\b))"
)
_REQUESTED = _pattern(
    rf"(?:^|.*?(?:[,.:;?!{_HERE}]|\b(?:please|now|then|you|i|me|to|and|can)))\s*\b(?:{_REQUEST})\b(?=\s|$)"
)
_LEADING = [
    _pattern(rf"^(?:{text})")
    for text in (
        r"[\s,.:;?!]+",
        rf"(?:please|kindly|now|then|next(?=,|\s+(?:{_REQUEST})\b)|also|and|ok|okay|hi|hello|thanks|just|again|well)\b",
        rf"(?:{_REQUEST})\s+(?:and|then)\s+(?=(?:{_REQUEST})\b)",
        rf"(?:{_REQUEST})\s+(?=(?:the|an?|its|me|us|out|all|of|for)\b)",
        r"(?:me|us|out|of|for|to)\b",
        r"(?:where|what|which)(?:'s|(?:\s+(?:pixels?|regions?|areas?|parts?))?\s+(?:is|are|belongs?\s+to|shows?))\b",
        r"(?:where|what)\b",
        rf"(?:the|an?)?\s*(?:binary\s+|segmentation\s+|precise\s+)?(?:{_OBJECT})s?\s+(?:of|for)\b",
        r"(?:the|an?|my|all|any|its|their|this|that|these|those)(?:\s+|$)",
        rf"(?:in|on|within|from|of|for)?\s*{_HERE}(?:'s)?",
    )
]
_PLACED = (
    r"(?:\w+ly\s+|just\s+|right\s+)?(?:(?:to|on)\s+the\s+\w+(?:'s\s+\w+)?\s+(?:side\s+)?of|(?:on\s+)?top\s+of|"
    rf"(?:left|right|in\s+front)\s+of|{english.PLACES}|to|into|through|with|for|by|at)"
)
_TRAILING = [
    _pattern(rf"(?:{text})$")
    for text in (
        r"[\s,.:;?!]+",
        r"\b(?:please|for\s+me|again|once\s+more|now|too|as\s+well|also|thanks|thank\s+you|segmented|as\s+seen|is|are)",
        rf",?\s*\b(?:and|then)\s+(?:then\s+)?(?:{_REQUEST})\s+{_HERE}",
        r"\b(?:(?:as\s+seen|shown|visible)\s+in|in|on|from|within|of)\s+(?:the|this|that|my|an?)\s+(?:[\w-]+\s+){0,2}?"
        rf"(?:{english_words.IMAGING})",
        r"\bif\s.*",
        # What is said of the place: "the structure | that lies to the left of instance 1 on the same side".
        rf"\s{_PLACED}\s+{_HERE}[^{_HERE}]*",
        rf"\s(?:(?:in|into|on|of|from|to|through|by|with)\s+)?(?:that|which|who|where|whose)\b[^{_HERE}]*{_HERE}.*",
        rf"{_HERE}.*",
        r"\s(?:that|which)(?:\s+(?:is|are|lies|sits|runs|located|found|seen|situated)|\s+\w+)",
        r"\s(?:located|found|seen|situated|lying|one\s+level|just|directly|immediately)",
        r"\s(?:of|in|from|to|with|for|by|and|or|on|at|inside|within|into|the|an?|than|its)",
    )
]

# ---- Chinese ----

_REQUEST_ZH = f"(?:{chinese.VERBS})"
_IMAGE_ZH = f"(?:医学|CT|MR|核磁)?(?:{chinese.IMAGING})"
_NUMBERED_ZH = rf"(?:{_any([*chinese.COUNTED_BACK, chinese.LATEST, *chinese.NUMBERED])}|\[\s*\d+\s*\])"
_ROUND_ZH = re.compile(
    rf"(?:(?:{chinese.IMAGING})[中上里]?)?{_NUMBERED_ZH}"
    r"(?:的?(?:分割结果|分割出的结构|输出|结果|分割|掩码|掩膜))*"
    r"|(?<![和与及并])(?:它们?|(?<![尤极])其(?![他她它余次实])|[该此](?:器官|结构|区域|病灶)|[这那]一?个(?:器官|结构|区域))"
)
# 根据左肾, 以左肾为参考: up to a comma or the next request.
_BASE_ZH = re.compile(
    rf"(?:{chinese.BASED_ON}|以(?=[^,]*为))(?:[^,]*,|[^,]*?为(?:参考|基准|依据)|.*?(?=请|{_REQUEST_ZH}(?!结果|的)))"
)
_LEADING_ZH = re.compile(
    r"^(?:[\s,.;:!?]|请|麻烦|现在|其次|首先|然后|接着|再|先|那(?![个块])|好的|很好|谢谢|帮我|帮忙|你|能不能|能否|能|可以|可否"
    r"|我想看看?|我想要?|我要|我需要|给我|把|将|对(?![侧称])|哪个区域是|哪里是|哪个是|什么是"
    rf"|[从在]?(?:这[张幅个]?|该|此|本)?{_IMAGE_ZH}(?:中的?|里的?|上的?|内的?|,)|{_REQUEST_ZH}(?:出来|出|一下)?"
    rf"|在?{_HERE}(?:的?基础上|中|内|里)?的?)+"
)
_TRAILING_ZH = re.compile(
    r"(?:[\s,.;:!?]|吗|呢|吧|一下|一次|出来|谢谢|是什么|在哪里|在哪儿?|在什么位置|是哪个|并?进行分割|并分割[它其]?|分割出?"
    rf"|标[注出]|勾画|画|并{_REQUEST_ZH}{_HERE}|的?(?:分割)?(?:掩码|掩膜)|的?(?:区域|轮廓|位置|边界|分割结果|范围))+$"
)

# ---- the other side ----

_OTHER = _pattern(r"\b(?:other|opposite|contralateral|counterpart|partner|mirror)\b|另一|对侧|对称")
_OTHER_WORDS = _pattern(
    r"\b(?:other|opposite|contralateral|counterpart|partner|mirror(?: image)?|ones?|pairs?|same|structure|sides?|body"
    r"|of|on|the|its|from|to|that|with|as)\b|另一[侧个边]?|对侧|对称|一侧|结构|成对|对应|与|的"
)
_SIDES = (("left", "right"), ("左", "右"))


def structure_name(query: str) -> str:
    """What a query asks for, without politeness, verbs, references and full stop; "" where nothing is left.

    "Could you outline the left parotid gland for me?" -> "left parotid gland"; "请分割第1轮输出中的肿瘤。" -> "肿瘤".
    """
    text = " ".join(plain(query).split())
    name = _chinese_name(text) if CHINESE.search(text) else _english_name(text)
    return name.replace(_HERE, "").strip(" \"'.,;:?!")[:_LONGEST].strip()


def name_beside(query: str, reference: str) -> str:
    """The name of what a query asks for that leans on a structure called `reference`.

    "the other kidney" beside "left kidney" is the "right kidney"; anything else keeps the query's own words.
    """
    own = structure_name(query)
    if _asks_for_the_other(own, reference):
        for first, second in _SIDES:
            for side, opposite in ((first, second), (second, first)):
                if re.search(rf"\b{side}\b" if side.isascii() else side, reference, re.IGNORECASE):
                    return re.sub(side, opposite, reference, count=1, flags=re.IGNORECASE)
    return own


def _asks_for_the_other(name: str, reference: str) -> bool:
    """Whether a query's own words for a structure say no more than "the other one of its kind"."""
    said = _OTHER_WORDS.sub(" ", name)
    return bool(_OTHER.search(name)) and (not kind(said) or likeness(kind(said), kind(reference)) == 2)


def _english_name(text: str) -> str:
    text = _BASE.sub(" ", _strip(text, _TRAILING[3:4]))
    text = _strip(_ROUND.sub(_HERE, text), _LEADING[:2])
    requested = _REQUESTED.match(text)
    return _strip(text[requested.end() :] if requested else text, [*_LEADING, *_TRAILING])


def _strip(text: str, patterns: list[re.Pattern[str]]) -> str:
    """The text without what the patterns fit, tried in order and again from the first as long as one fits."""
    before = None
    while text != before:
        before = text
        for pattern in patterns:
            text = pattern.sub("", text).strip()
            if text != before:
                break
    return text


def _chinese_name(text: str) -> str:
    text = _ROUND_ZH.sub(_HERE, _BASE_ZH.sub("", text))
    text = _TRAILING_ZH.sub("", _LEADING_ZH.sub("", text))
    # 包含\0的器官, \0右侧的结构: what follows is meant.
    _, here, after = text.rpartition(_HERE)
    if here and "的" in after:
        text = after.partition("的")[2]
    return text
