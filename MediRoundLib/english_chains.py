"""English words for the other of a pair and the next in a chain, where they name no kind: "swap sides", "one notch up".

No torch. Whole nouns, such as "the other lung" and "the next vertebra", are in `english.py`.
"""

from collections.abc import Iterator

from MediRoundLib.english_words import (
    ENDS,
    FOLLOWING_NOUN,
    IMAGING,
    MADE,
    NO_ROUND,
    PRECEDING_NOUN,
    THING,
    THINGS,
    VERBS,
    WHERE,
    WORD,
    compiled,
    noun_in,
)
from MediRoundLib.language import Lean

_STOP = r"(?=\s*(?:[.,;?!]|$)|\s+(?:please|pls|thanks|now|again|too)\b)"
# Where a sentence or what it tells to do begins: "Could you | swap sides", but not "fibers that | cross the midline".
_START = r"(?:\A|[.,;:?!]|\b(?:please|now|then|and|just|you|we|let's|let\s+us)\s)\s*"

# ---- a step along a chain ----

_ENDS_OF_CHAIN = r"the\s+(?:head|skull(?:\s+base)?|neck|feet|legs|pelvis|sacrum|tailbone|coccyx)\b"
_RUNG = r"(?:step|level|place|notch|rung)"
_GO = r"(?:go|move|step|drop|climb|slide|skip|shift|scroll|going|moving)"
_GO_ON = (
    r"(?:carry(?:ing)?\s+on|continu(?:e|ing)|keep\s+(?:going|heading|moving)|work\s+(?:your|the)\s+way|head(?:ing)?|going"
    r"|travel(?:l?ing)?(?:\s+on)?|walk(?:\s+on)?|shift|slide)"
)
_ALONG = (
    r"(?:(?:up|down)(?:wards?)?|caudally|cranially|caudad|cephalad)"
    r"(?:\s+(?:along\s+)?the\s+(?:spine|spinal\s+column|chain|row|ribs)\b(?!\s+to\b))?"
)
_STEP = [
    compiled(text)
    for text in (
        rf"\b{_GO}\s+(?:back\s+)?(?:(?:up|down)\s+)?(?:one|another|a)\s+{_RUNG}\b",
        rf"\b{_GO}\s+(?:up|down)\s+one{_STOP}|\b(?:up|down)\s+(?:one|an?|another)\s+{_RUNG}{_STOP}"
        rf"|{_START}(?:up|down)\s+by\s+one{_STOP}|\b(?:two|three)\s+{_RUNG}s\s+(?:further\s+)?(?:up|down|higher|lower){_STOP}",
        r"\b(?:descend|ascend|climb|(?:go|going|move|moving)\s+(?:back\s+)?(?:up|down|on))\s+by\s+(?:one|an?(?:\s+single)?)"
        rf"\b{FOLLOWING_NOUN}",
        rf"\b(?:rewind|follow|{_GO_ON})\b[^.,;:?!]{{0,30}}?\s?\bby\s+(?:one|a\s+single)\b{FOLLOWING_NOUN}",
        rf"\b(?:one|an?(?=\s+{_RUNG}\b))(?P<noun>(?:\s+{WORD}){{0,2}}?)\s+(?:further\s+)?"
        rf"(?:(?:up|down)(?:wards?)?|higher|lower|above|below|beneath|underneath){_STOP}",
        # "Slide down to the next one", but neither "slide down to the liver" nor "the nerve going down the neck".
        rf"{_START}(?:to\s+)?{_GO_ON}\s+(?:{_ALONG}"
        rf"(?!\s+to\b(?!\s+the\s+(?:next|adjacent|adjoining|one)\b))|(?:towards?|for)\s+{_ENDS_OF_CHAIN})",
        r"\bthe\s+(?:caudal|cranial|inferior|superior|upper|lower)\s+neighbou?r\b(?!\s+(?:of|to|from)\b)",
        rf"\bnext\s+in\s+(?:line|the\s+(?:series|row|chain|list))\b|\bthe\s+one\s+(?:closer|nearer)\s+to\s+{_ENDS_OF_CHAIN}",
    )
]

# ---- the other of two ----

_PAIR = compiled(
    rf"\b(?:the|its)\s+(?:mirror\s+)?(?:twin|mate|fellow|companion){_STOP}"
    rf"|\bthe\s+(?:remaining|missing|mirror)\s+(?:one|image){_STOP}"
    rf"|\bof\s+the\s+(?:two|pair){_STOP}|\bone\s+of\s+two{_STOP}"
    r"|\b(?:complete|finish)\s+the\s+pair\b|\bditto\b|\bsame\s+(?:again|thing)\b"
    rf"|{_START}(?:(?:swap|switch|change|flip)\s+sides|cross\s+the\s+midline)\b|\Aacross\s+the\s+midline\b"
)
# What a chain is made of, which names nothing of its own: "one down, mark that vertebra".
_LINK = compiled(r"\b(?:vertebrae?|ribs?|bones?|discs?|tooth)\b")
# "Going down, the rectum", "ditto for the spleen": what is asked for is named, not where it lies from the last one.
_NAMED = compiled(
    rf"\b(?:the|a|an|my|left|right|(?<!\bthe )(?<!\ba )(?:{VERBS}))\s+"
    r"(?:(?:the|a|an|my|me|us|all|both|left|right|whole|entire|full)\s+)*+"
    r"(?!(?:\w+\s+)?(?:outline|contour|mask|line|edge)\b)"
    rf"(?!(?:{NO_ROUND}|{THING}|{THINGS}|{MADE}|{ENDS}|{WHERE}|{_LINK.pattern}|vertebral|level|next|last"
    r"|first|second|adjacent|adjoining|pair|two|twin|mate|colou?r)\b)[a-z]"
    rf"|:\s*(?!(?:{NO_ROUND}|{THING}|{VERBS}|{ENDS}|{WHERE})\b)[a-z]"
)

# ---- one more, where an earlier round is of its kind ----

# What has a number for a name: the second rib is a rib of its own.
_COUNTED = (
    r"rib|toe|finger|vertebral?|molar|premolar|incisor|tooth|nerve|part|portion|segment|ventricle|branch|phalanx"
    r"|meta\w+"
)
_ONE_MORE = [
    compiled(text)
    for text in (
        r"\b(?:and\s+(?:what\s+about\s+)?|where(?:'s|\s+is)\s+)the\s+second"
        rf"(?!(?:\s+[\w-]+){{0,2}}?\s+(?:{_COUNTED})\b|\s+\w+est\b){FOLLOWING_NOUN}",
        rf"\b(?:one\s+more|same){FOLLOWING_NOUN}",
        r"\bthe\s+(?:remaining|missing|matching|fellow|companion|partner|sister|homologous|adjoining)"
        rf"(?!(?:\s+{WORD}){{1,2}}?\s+(?:tissue|parenchyma|part|portion)\b){FOLLOWING_NOUN}",
        rf"\b(?:continue|carry\s+on)\s+with\s+the\s+(?:upper|lower)(?=\s+(?:vertebra|rib|bone|lobe|tooth|disc)\b)"
        rf"{FOLLOWING_NOUN}",
        rf"(?:\A|\bthe\s+){PRECEDING_NOUN}(?:across\s+the\s+midline|(?:opposite|that\s+matches){_STOP})",
        rf"\bthe\s+{PRECEDING_NOUN}(?:(?:closer|nearer)\s+to|towards|in\s+the\s+direction\s+of)\s+{_ENDS_OF_CHAIN}",
        rf"\bthe\s+(?P<noun>(?:{WORD}\s+){{0,2}}?{WORD})\s+(?:of|on)\s+the\s+remaining\s+side\b",
    )
]


def leaning(text: str) -> Iterator[Lean]:
    """Words of the text that lean on something said before, the surest first."""
    for pattern in (*_STEP, _PAIR):
        for match in pattern.finditer(text):
            noun = " ".join(noun_in(match.groupdict().get("noun") or ""))
            if noun in IMAGING.split("|"):  # "One slice lower".
                continue
            if not noun and _NAMED.search(text, match.end()):
                yield Lean(*match.span(), text[match.end() :], only_kind=True)
            else:
                link = _LINK.search(text, match.end())
                yield Lean(*match.span(), noun or (link[0] if link else ""))
    for pattern in _ONE_MORE:
        for match in pattern.finditer(text):
            if words := noun_in(match["noun"]):
                yield Lean(*match.span(), " ".join(words), only_kind=True)
