"""English words that lean on an earlier round, as tables of patterns; `references.py` says what they mean. No torch.

Patterns do not regard case. A group `n` or `word` holds a number, a group `noun` the kind of structure spoken of.
"""

import re
from collections.abc import Collection, Iterator

from MediRoundLib.language import Lean

_CARDINALS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen|twenty"
)
_ORDINALS = (
    "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|"
    "sixteenth|seventeenth|eighteenth|nineteenth|twentieth"
)
NUMBERS = {word: number for words in (_CARDINALS, _ORDINALS) for number, word in enumerate(words.split("|"), start=1)}


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def is_common(name: str) -> bool:
    """Whether a name that a user gave is made of words that every query has: "image", "left", "the mask", "2"."""
    words = re.findall(r"[^\W\d_]+", name.lower())
    common = f"{IMAGING}|{_ENDS}|round|instance" if re.search(r"\d", name) else _COMMON
    return set(words) <= set(common.split("|"))


def _any_of(alternatives: str, words: Collection[str]) -> bool:
    return not set(alternatives.split("|")).isdisjoint(words)


# ---- words ----

# What a round makes. "Structure", "object" and "segment" are not among them: the first structure on the left is no
# round, and the liver has a segment 4.
MADE = "output|result|mask|segmentation|prediction|answer|response|reply"
VERBS = (
    "segment|outline|delineate|contour|mark|highlight|show|find|locate|identify|extract|provide|give|generate|draw|"
    "create|see|get|annotate|label|select|detect|mask|indicate|trace|isolate|display|want|need"
)
_DONE = (
    "segmented|outlined|delineated|contoured|marked|highlighted|shown|found|drew|drawn|identified|detected|annotated"
)
# The image, its patient, and steps in time: "this image" and "the next step" are no rounds.
IMAGING = (
    "image|images|picture|scan|scans|slice|slices|frame|view|plane|photo|series|study|exam|case|ct|mr|mri|x-ray|xray|"
    "radiograph|ultrasound|volume"
)
_NO_ROUND = (
    f"{IMAGING}|patient|person|subject|data|dataset|modality|window|screen|step|task|time|way|hand|day|words|point|"
    "query|question|request|round|example|anatomy|physiology|pathology|radiology|lecture|course|textbook|report"
)
# What a patient had before: "the previous infarct" is no round.
_HISTORY = "infarct|infarction|stroke|hemorrhage|haemorrhage|fracture|surgery|operation|resection|biopsy|treatment"
# Nouns of no kind of their own; their plurals leave nothing to lean on ("the other organs").
_THING = "organ|structure|region|area|part|tissue|thing|object|side|one|mask|segment|segmentation|instance"
_THINGS = "organs|structures|regions|areas|parts|tissues|things|objects|ones"
# Words of place, side and number; a segment that is called "left" is not meant by "on the left".
_WHERE = (
    "left|right|top|bottom|front|back|middle|centre|center|upper|lower|anterior|posterior|superior|inferior|medial|"
    "lateral|edge|border|boundary|outline|contour|background|foreground|body|other|opposite|next|previous|last|same|new|"
    "old|both|each|every|any|some|my|what|original|reference|basis"
)
# Words that end a noun phrase.
_ENDS = (
    "a|about|above|after|again|all|also|an|and|are|as|at|based|before|behind|below|beneath|beside|between|but|by|can|"
    "could|does|down|during|for|from|given|had|has|have|here|i|if|in|including|inside|instead|into|is|it|its|just|me|near|"
    "next|now|of|off|on|once|or|out|over|please|relative|segmented|shown|so|than|thanks|that|the|then|there|this|to|too|"
    "under|up|using|was|we|when|where|which|while|who|will|with|within|would|you|your"
)
_WORD = r"[a-z][\w'-]*"
_COMMON = "|".join(
    (IMAGING, MADE, VERBS, _DONE, _NO_ROUND, _THING, _THINGS, _WHERE, _ENDS, _CARDINALS, _ORDINALS, "instances|rounds")
)

# ---- explicit numbers ----

_DIGITS = (
    r"(?P<n>\d{1,4})(?![\w%]|\.\d|\s*(?:mm|cm|x\s*\d|millimet|centimet)"
    r"|\s+(?:masks|segmentations|results|outputs|regions|structures|organs)\b)"
)
_COUNT = rf"(?:{_DIGITS}|(?P<word>{_CARDINALS})(?![\w-]))"
_NTH = rf"(?:(?P<n>\d{{1,4}})(?:st|nd|rd|th)|(?P<word>{_ORDINALS}))"
_NO = r"[\s_-]*(?:no\.?|number|nr\.?|#)?\s*"

# An earlier pattern is surer than a later one.
NUMBERED = [
    _pattern(text)
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
    _pattern(text)
    for text in (
        rf"\b{_COUNT}\s+rounds?\s+(?:ago|back|earlier)\b",
        rf"\b{_NTH}[\s-]+(?:to|from)[\s-]+(?:the\s+)?last\s+(?:round|instance|{MADE})\b",
        rf"\bround\s+before\s+(?:the\s+)?last\b|\b(?:penultimate|last\s+but\s+one)\s+(?:round|instance|{MADE})\b",
    )
]
LATEST = _pattern(
    r"\b(?:last|latest|newest|most\s+recent|previous|preceding|prior|earlier|above)\s+"
    rf"(?:round|instance|turn|{MADE})s?\b|\bthe\s+(?:{MADE})\s+(?:above|just\s+now|so\s+far)\b"
)

# ---- names ----

BASED_ON = (
    r"based\s+(?:up)?on|on\s+the\s+basis\s+of|(?:with|in|by)\s+reference\s+to|(?:with|in)\s+respect\s+to|"
    r"with\s+regard\s+to|in\s+relation\s+to|relative\s+to|according\s+to|refer(?:ring)?\s+to|referencing|given|using|guided\s+by|"
    r"starting\s+from|compared\s+(?:to|with)"
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
_ASKS_FOR = _pattern(
    rf"\b(?:(?:{MADE}|region|outline|contour|picture|image|area|boundary|borders?|edge|limit|location|position|map"
    r"|roi|ring|pixel|voxel)s?(?:\s+that)?)\s+\Z"
)
# So do "colour in the left kidney" and "I'm after the left kidney".
_WANTS = _pattern(r"\b(?:(?:colou?r|shade|fill)\s+in|all\s+of|i(?:'m|\s+am)\s+after)\s+(?:(?:the|my)\s+)?[\"']?\Z")

# ---- words that lean on something ----

_PRONOUN = _pattern(
    r"\b(?:its|it(?!')|their|them)\b"
    r"|\b(?:of|in|inside|within|on|from|near|above|below|around|behind|beside|under|over|to)\s+(?:that|this)"
    r"(?=\s*(?:[.,;?!]|$))"
    rf"|\b(?:this|that)\s+(?:{_THING})\b(?!\s+of\b)"
)
# "Is it possible", "if it is visible": stands for nothing that was segmented.
_EMPTY_IT = _pattern(
    r"\b(?:is|was|would|will|could|can|may|might)\s+it\s+"
    r"(?:be\s+)?(?:possible|ok|okay|fine|alright|clear|visible|help|the|an?)\b"
    r"|(?:\A|[.,;:?!]|\b(?:if|whether|since|because|as|when|so|but|think|believe))\s*it"
    r"(?=\s+(?:is|was|exists?|seems?|looks?|appears?|can|could|should|would|will|may|might|has|does|shows?)\b)"
)
# "I am looking for the liver, outline it": what the query itself has named.
_DRAWN = _pattern(rf"\b(?:{VERBS}|colou?r|paint|point)\s+(?:it|them)\Z")
# What is named before one of these may be what a pronoun behind it means: "the heart and its chambers".
_BREAK = _pattern(
    r"[,;.?!:]|\b(?:and|or|then|with(?!\s+(?:it|them)\b)|without|including|plus|as\s+well\s+as|along\s+with|together\s+with|if|when|while"
    r"|because|but)\b"
)
_STRUCTURE = _pattern(
    rf"\b(?:the|a|an|my|{VERBS})\s+"
    r"(?:(?:the|a|an|my|me|us|all|both|left|right|other|next|previous|opposite|first|second|last)\b\s*)*+"
    rf"(?!(?:{_NO_ROUND}|{_THING}|{_THINGS}|{MADE}|{_ENDS}|medical|lot)\b)[a-z]"
)

_FOLLOWING_NOUN = rf"(?P<noun>(?:\s+{_WORD}){{0,4}})"
_RELATIVE = _pattern(
    rf"(?:\b(?P<article>the|its|that)\s+(?:immediately\s+)?|\A|\b(?:{VERBS})\s+(?:me\s+)?)"
    r"(?P<which>other|opposite|contralateral|next|previous|preceding|following|subsequent|succeeding)\b"
    rf"(?!\s+(?:to|than|of)\b){_FOLLOWING_NOUN}|\b(?P<another>another){_FOLLOWING_NOUN.replace('noun', 'noun2')}"
)
_SIDE_OF_SOMETHING = _pattern(r"\s+(?:of|from|as|to)\s+(?!(?:it|that|this)\b|the\s+(?:body|midline|image|patient)\b)")
# The noun comes first: "the lung on the other side", "the vertebra one level below", "the organ you just found".
_PRECEDING_NOUN = rf"\bthe\s+(?P<noun>(?:(?!the\b){_WORD}\s+){{1,3}}?)"
_NOUN_FIRST = [
    _pattern(_PRECEDING_NOUN + text)
    for text in (
        r"(?:on|at)\s+(?:the|its)\s+(?:other|opposite|contralateral|same)\s+side\b"
        r"(?!\s+(?:as|of|from)\s+(?!the\s+(?:body|midline|image|patient)\b))",
        r"(?:(?:one|two|a)\s+levels?\s+)?(?:(?:directly|just|immediately|right)\s+)?"
        r"(?:above|below|before|after|beneath|underneath|overhead)(?=\s*(?:[.,;?!]|$)|\s+(?:in|on|from|is|and|please|for|again)\b)",
        rf"(?:(?:that|which)\s+)?(?:you|we|i)\s+(?:have\s+|had\s+)?(?:just\s+|already\s+|previously\s+)?(?:{_DONE})\b",
        rf"(?:{_DONE})\s+(?:above|before|earlier|previously|just\s+now)\b",
    )
]
_NOUN_LAST = [
    _pattern(text + _FOLLOWING_NOUN)
    for text in (
        rf"\bthe\s+(?:just|previously|already|recently|earlier)[\s-]+(?:{_DONE})",
        r"\bthe\s+(?:segmented|aforementioned|above-?mentioned)",
        rf"\bwhat\s+(?:you|we|i)\s+(?:have\s+|had\s+)?(?:just\s+|already\s+|previously\s+)?(?:{_DONE})\b",
        r"\bthe\s+(?:counterpart|partner)\b(?!\s+of\b)",
    )
]
_THIS_KIND = _pattern(rf"\b(?:this|that){_FOLLOWING_NOUN}")
_END = r"(?=\s*(?:[.,;?!]|$)|\s+(?:please|pls|thanks|now|again|too)\b)"
_ENDS_OF_CHAIN = r"the\s+(?:head|skull(?:\s+base)?|neck|feet|legs|pelvis|sacrum|tailbone|coccyx)\b"
_GO = r"(?:go|move|step|drop|climb|slide|skip|shift|going|moving)"
_GO_ON = (
    r"(?:carry(?:ing)?\s+on|continu(?:e|ing)|keep\s+(?:going|heading|moving)|work\s+(?:your|the)\s+way|head(?:ing)?|going"
    r"|travel(?:l?ing)?(?:\s+on)?|walk(?:\s+on)?|shift|slide)"
)
_ALONG = r"(?:(?:up|down)(?:wards?)?|caudally|cranially|caudad|cephalad)"
# A step along a chain: "go one step down", "descend by a single vertebra", "one lower", "heading caudally".
_STEP = [
    _pattern(text)
    for text in (
        rf"\b{_GO}\s+(?:back\s+)?(?:(?:up|down)\s+)?(?:one|another|a)\s+(?:step|level|place|notch|rung)\b",
        r"\b(?:descend|ascend|climb|(?:go|going|move|moving)\s+(?:back\s+)?(?:up|down|on))\s+by\s+(?:one|an?(?:\s+single)?)"
        rf"\b{_FOLLOWING_NOUN}",
        rf"\b(?:rewind|follow|{_GO_ON})\b[^.,;:?!]{{0,30}}?\s?\bby\s+(?:one|a\s+single)\b{_FOLLOWING_NOUN}",
        rf"\b(?:one|an?(?=\s+(?:step|level|place|notch|rung)\b))(?P<noun>(?:\s+{_WORD}){{0,2}}?)\s+(?:further\s+)?"
        rf"(?:(?:up|down)(?:wards?)?|higher|lower|above|below|beneath|underneath){_END}",
        # "Slide down to the next one", but neither "slide down to the liver" nor "the nerve going down the neck".
        rf"(?:\A|[.,;:?!]|\b(?:please|now|then|and|just|you|to))\s*{_GO_ON}\s+(?:{_ALONG}"
        rf"(?!\s+to\b(?!\s+the\s+(?:next|adjacent|adjoining|one)\b))|(?:towards?|for)\s+{_ENDS_OF_CHAIN})",
        r"\bthe\s+(?:caudal|cranial|inferior|superior|upper|lower)\s+neighbou?r\b(?!\s+(?:of|to|from)\b)",
        rf"\bnext\s+in\s+(?:line|the\s+(?:series|row|chain|list))\b|\bthe\s+one\s+(?:closer|nearer)\s+to\s+{_ENDS_OF_CHAIN}",
    )
]
# The other of two, said without a kind: "the twin", "swap sides", "the remaining one of the pair".
_PAIR = _pattern(
    rf"\b(?:the|its)\s+(?:mirror\s+)?(?:twin|mate|fellow|companion){_END}"
    rf"|\bof\s+the\s+(?:two|pair){_END}|\bone\s+of\s+two{_END}"
    r"|\b(?:complete|finish)\s+the\s+pair\b|\bditto\b|\bsame\s+(?:again|thing)\b"
    r"|(?:\A|[.,;:?!]|\b(?:please|now|then))\s*(?:(?:swap|switch|change)\s+sides|cross\s+the\s+midline)\b"
)
# One more of a pair or a chain, only where an earlier round is of that kind. What has a number for a name is not among
# them: the second rib is a rib of its own.
_ONE_MORE = [
    _pattern(text)
    for text in (
        rf"\b(?:and\s+(?:what\s+about\s+)?|where(?:'s|\s+is)\s+)the\s+second(?!\s+(?:rib|toe|finger|\w*\s*(?:vertebra|molar)|meta\w+)){_FOLLOWING_NOUN}",
        rf"\b(?:one\s+more|same){_FOLLOWING_NOUN}",
        rf"\bthe\s+(?:remaining|missing|matching|fellow|companion|partner|sister|homologous|adjoining){_FOLLOWING_NOUN}",
        rf"\b(?:continue|carry\s+on)\s+with\s+the\s+(?:upper|lower){_FOLLOWING_NOUN}",
        rf"{_PRECEDING_NOUN}(?:across\s+the\s+midline|(?:opposite|that\s+matches){_END})",
        rf"{_PRECEDING_NOUN}(?:(?:closer|nearer)\s+to|towards|in\s+the\s+direction\s+of)\s+{_ENDS_OF_CHAIN}",
        rf"\bthe\s+(?P<noun>(?:{_WORD}\s+){{0,2}}?{_WORD})\s+(?:of|on)\s+the\s+remaining\s+side\b",
    )
]


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
            if not _any_of(f"{_ENDS}|{_NO_ROUND}", words):
                yield _lean(text, match.start(), match.end(), words)
    yield from _relatives(text)
    for pattern in _NOUN_LAST:
        for match in pattern.finditer(text):
            words = _noun(match["noun"])
            yield _lean(text, match.start(), match.start("noun"), words)
    for pattern in (*_STEP, _PAIR):
        for match in pattern.finditer(text):
            yield Lean(*match.span(), " ".join(_noun(match.groupdict().get("noun") or "")))
    for pattern in (*_ONE_MORE, _THIS_KIND):
        for match in pattern.finditer(text):
            if words := _noun(match["noun"]):
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
        words = _noun(match[group])
        end = match.start(group) + _length(match[group], len(words))
        if not _is_ordinary(match, words, text[end:]):
            yield _lean(text, match.start(), end, words)


def _is_ordinary(match: re.Match[str], words: list[str], rest: str) -> bool:
    """Whether "other", "next" and the like with the noun after it lean on nothing; `rest` is the text behind them."""
    which = (match["which"] or match["another"]).lower()
    last = words[-1:]
    return bool(
        (not match["article"] and match["which"] and (not words or _any_of(VERBS, words[:1])))  # "Next, segment .."
        or _any_of(_NO_ROUND, words)
        or _any_of(_THINGS, last)
        or (which in ("opposite", "contralateral") and not words)
        or (which in ("previous", "preceding") and _any_of(_HISTORY, last))
        or (which == "following" and (":" in rest or _any_of(_THING, last)))
        or (last == ["side"] and _SIDE_OF_SOMETHING.match(rest))
    )


def _lean(text: str, start: int, end: int, words: list[str]) -> Lean:
    """A lean on a kind of structure; where the query itself speaks of that kind before, an earlier round must too."""
    before, noun = text[:start], " ".join(words)
    if set(words) <= set(_THING.split("|")):
        own = re.search(r"\b(?:left|right)\b", before, re.IGNORECASE)
        return Lean(start, end, before if own else noun, only_kind=bool(own))
    return Lean(start, end, noun, only_kind=bool(re.search(rf"\b{re.escape(words[-1])}", before, re.IGNORECASE)))


def _noun(text: str) -> list[str]:
    """The words of a noun phrase up to where it ends."""
    words = text.lower().split()
    stop = next((k for k, word in enumerate(words) if _any_of(_ENDS, [word])), len(words))
    return words[:stop]


def _length(text: str, words: int) -> int:
    """How many characters the first so many words of the text take, with the space before each."""
    return next((match.end() for k, match in enumerate(re.finditer(r"\s+\S+", text), start=1) if k == words), 0)
