"""The name of what a query asks for: "Please segment the left kidney in this scan." -> "left kidney". No torch."""

import re
import unicodedata

_VERBS = (
    "segment|outline|delineate|contour|mark|highlight|show|find|locate|identify|extract|provide|give|generate|draw|create|"
    "see|need|want|get|annotate|label|select|detect|mask|indicate|point out"
)
_LEANING = "based on|with reference to|given|relative to|according to|referring to|with respect to"
_MASKS = "mask|masks|segmentation|segmentation mask|region|outline|contour|area|location|position|boundary"

# Cut away from the front, again and again until none fits.
_LEADING = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"^(?:hi|hello|ok|okay|now|then|also|and|please|kindly|next,|first,|finally,)(?:\b|(?<=,))[,:]?\s*",
        r"^(?:is it possible to|are you able to)\s+",
        r"^(?:could|can|would|will)\s+you\s+(?:please\s+)?",
        r"^i(?:\s+would|'d)?\s+(?:like|want|need)(?:\s+to\s+see|\s+to|\s+you\s+to)?\s+",
        rf"^(?:{_LEANING}|using|from)\s[^,]*,\s*",
        rf"^(?:{_VERBS})\s+(?:and|then)\s+(?={_VERBS})",
        rf"^(?:{_VERBS})\b\s*(?:me\b|us\b|out\b)?\s*(?:where\b)?\s*",
        r"^(?:where|what|which\s+(?:region|area|part|pixels?|one))\s+(?:is|are|belongs?\s+to|shows?)\s+",
        rf"^(?:the|a|an)?\s*(?:{_MASKS})\s+(?:of|for)\s+",
        r"^(?:of|for)\s+",
        r"^(?:the|a|an|my|all|any)\s+",
    )
]
# Cut away from the end, again and again.
_TRAILING = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"[\s.?!,;:]+$",
        r"\s*,?\s*(?:please|for me|again|once more|now|too|as well|segmented|and (?:segment|mark|outline) it)$",
        r"\s+(?:is|are)$",
        r"\s+(?:in|on|from|of|within)\s+(?:the|this|that)\s+(?:\w+\s+)?(?:image|scan|slice|picture|view|ct|mri?|x-ray|study|radiograph)$",
        r"\s+as seen$",
        rf"\s+(?:{_LEANING})\b.*$",
        r"\s+(?:of|in|on|from|inside|within|to)\s+(?:the\s+)?(?:(?:output|result|mask|segmentation|structure)\s+(?:of|from)\s+)?"
        r"(?:\[\d+\]|(?:round|instance|turn)\s+\w+)$",
        r"\s+(?:of|in|on|inside|within)\s+it$",
    )
]
_LEADING_ZH = re.compile(
    r"^(?:请|麻烦|现在|然后|接着|再|帮我|你能|能否|能|可以|我想看|我想|我要|给我|在(?:这[张幅]?)?(?:医学)?图像?中|图像?中的|图中的"
    r"|(?:根据|基于|参考|参照|以)[^，,]*[，,]|分割出?|标出|勾画出?|找到|给出|提供|显示|指出|提取|标注|识别|哪个区域是)+"
)
_TRAILING_ZH = re.compile(
    r"(?:[。？！，\s]|吗|一下|出来|在哪里|在哪|并进行分割|并分割|的?(?:分割)?掩码|的?区域|的?轮廓|的?位置|的?分割结果)+$"
)
_REFERENCE_ZH = re.compile(
    r"^(?:第\s*\w+?\s*轮(?:的?(?:输出|结果|分割结果|分割出的结构))?|实例\s*\w+?|\[\d+\]\s*)(?:中的?|内的?|的)"
)
_PRONOUN = re.compile(r"^(?:its|their)\s+|^(?:它|其)的?", re.IGNORECASE)
_OTHER = re.compile(r"\b(?:other|opposite|contralateral|counterpart|partner|mirror)\b|另一|对侧|对称", re.IGNORECASE)
_SIDES = (("left", "right"), ("左", "右"))
_LONGEST = 60


def structure_name(query: str) -> str:
    """What a query asks for, without politeness, verbs, references and full stop; "" where nothing is left.

    "Could you outline the left parotid gland for me?" -> "left parotid gland"; "请分割左侧腮腺。" -> "左侧腮腺".
    """
    name = " ".join(unicodedata.normalize("NFKC", query).split())
    if re.search(r"[\u4e00-\u9fff]", name):
        name = query.strip()
        name = _TRAILING_ZH.sub("", _LEADING_ZH.sub("", name))
        name = _PRONOUN.sub("", _REFERENCE_ZH.sub("", name))
    else:
        before = None
        while name != before:
            before = name
            for pattern in (*_TRAILING, *_LEADING):
                name = pattern.sub("", name)
        name = _PRONOUN.sub("", name)
    return name.strip(" .,;:?!，。？！")[:_LONGEST]


def name_beside(query: str, reference: str) -> str:
    """The name of what a query asks for that leans on a structure called `reference`.

    "the other kidney" beside "left kidney" is the "right kidney"; other relations keep the query's own words.
    """
    own = structure_name(query)
    if _OTHER.search(query):
        for first, second in _SIDES:
            for side, opposite in ((first, second), (second, first)):
                if re.search(rf"\b{side}\b|^{side}" if side.isascii() else side, reference, re.IGNORECASE):
                    return re.sub(side, opposite, reference, count=1, flags=re.IGNORECASE)
    return own
