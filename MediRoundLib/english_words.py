"""The English words that queries are made of, as alternatives for patterns. No torch."""

import re


def compiled(text: str) -> re.Pattern[str]:
    """A pattern that does not regard case."""
    return re.compile(text, re.IGNORECASE)


CARDINALS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen|twenty"
)
ORDINALS = (
    "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|"
    "sixteenth|seventeenth|eighteenth|nineteenth|twentieth"
)
# What a round makes. "Structure", "object" and "segment" are not among them: the first structure on the left is no
# round, and the liver has a segment 4.
MADE = "output|result|mask|segmentation|prediction|answer|response|reply"
VERBS = (
    "segment|outline|delineate|contour|mark|highlight|show|find|locate|identify|extract|provide|give|generate|draw|"
    "create|see|get|annotate|label|select|detect|mask|indicate|trace|isolate|display|want|need"
)
DONE = "segmented|outlined|delineated|contoured|marked|highlighted|shown|found|drew|drawn|identified|detected|annotated"
# The image, its patient, and steps in time: "this image" and "the next step" are no rounds.
IMAGING = (
    "image|images|picture|scan|scans|slice|slices|frame|view|plane|photo|series|study|exam|case|ct|mr|mri|x-ray|xray|"
    "radiograph|ultrasound|volume"
)
NO_ROUND = (
    f"{IMAGING}|patient|person|subject|data|dataset|modality|window|screen|step|task|time|way|hand|day|words|point|"
    "query|question|request|round|example|anatomy|physiology|pathology|radiology|lecture|course|textbook|report"
)
# What a patient had before: "the previous infarct" is no round.
HISTORY = "infarct|infarction|stroke|hemorrhage|haemorrhage|fracture|surgery|operation|resection|biopsy|treatment"
# Nouns of no kind of their own; their plurals leave nothing to lean on ("the other organs").
THING = "organ|structure|region|area|part|tissue|thing|object|side|one|mask|segment|segmentation|instance"
THINGS = "organs|structures|regions|areas|parts|tissues|things|objects|ones"
# Words of place, side and number; a segment that is called "left" is not meant by "on the left".
WHERE = (
    "left|right|top|bottom|front|back|middle|centre|center|upper|lower|anterior|posterior|superior|inferior|medial|"
    "lateral|edge|border|boundary|outline|contour|background|foreground|body|other|opposite|next|previous|last|same|new|"
    "old|both|each|every|any|some|my|what|original|reference|basis"
)
# Words that end a noun phrase.
ENDS = (
    "a|about|above|after|again|all|also|an|and|are|as|at|based|before|behind|below|beneath|beside|between|but|by|can|"
    "could|does|down|during|for|from|given|had|has|have|here|i|if|in|including|inside|instead|into|is|it|its|just|me|near|"
    "next|now|of|off|on|once|or|out|over|please|relative|segmented|shown|so|than|thanks|that|the|then|there|this|to|too|"
    "under|up|using|was|we|when|where|which|while|who|will|with|within|would|you|your"
)
WORD = r"[a-z][\w'-]*"
FOLLOWING_NOUN = rf"(?P<noun>(?:\s+{WORD}){{0,4}})"
# The noun comes first: "the lung on the other side", "the vertebra one level below", "the organ you just found".
PRECEDING_NOUN = rf"(?P<noun>(?:(?!the\b){WORD}\s+){{1,3}}?)"


def noun_in(text: str) -> list[str]:
    """The words of a noun phrase up to where it ends."""
    words = text.lower().split()
    stop = next((k for k, word in enumerate(words) if word in ENDS.split("|")), len(words))
    return words[:stop]
