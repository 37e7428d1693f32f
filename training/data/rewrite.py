"""An optional step: a language model puts the questions of a dialogue into other words. Off unless asked for.

Only the words of the questions are sent, to the OpenAI-compatible address that the user names: no image, no mask, no
patient. The structure's name and what is said of an earlier round are hidden behind marks before. An answer is taken
only if every mark is in it once, if the new question leans on the same round as the old one, and if it says the same
of left and right, up and down; else the template's own words stay.
"""

import json
import os
import re
import urllib.request
import warnings
from collections.abc import Sequence
from dataclasses import replace
from http.client import HTTPException

from MediRoundLib.dialogue import PastRound
from MediRoundLib.language import CHINESE
from MediRoundLib.naming import name_beside, structure_name
from MediRoundLib.references import resolve
from training.data.entities import Language, entities
from training.data.rounds import Dialogue, Turn, means

KEY_VARIABLE = "MEDIROUND_REWRITE_KEY"
TIMEOUT = 60.0
LONGEST = 300  # characters of a question
_MARK = re.compile(r"<[A-Z]>")
_INSTRUCTION = {
    "en": (
        "Rewrite the question of a medical trainee in other words, in English, as one short natural sentence. Keep its "
        "meaning. Keep the marks {marks} exactly as they are, each once. Answer with the sentence alone."
    ),
    "zh": (
        "用另外的措辞改写医学学员的这个问题，用中文，一句简短自然的话，意思不变。"
        "标记{marks}须原样保留，各出现一次。只回答这句话。"
    ),
}
# What a question says of direction must not change, whatever the words.
_DIRECTIONS = (
    r"\bleft\b|左",
    r"\bright\b|右",
    r"\b(?:above|upper|higher|over|cranial|previous|preced\w+|before|head|up|top)\b|上|之前",
    r"\b(?:below|lower|under\w*|beneath|caudal|next|follow\w+|after|feet|down)\b|下|之后",
    r"\b(?:other|opposite|contralateral|counterpart|partner|mirror|pairs?|across)\b|另一|对侧|对称|成对",
)
PATIENCE = 5  # times that the address may fail in a row before it is left alone
_FORBIDDEN = re.compile(r"\[(?!\d+\])|[\n{}<>]")  # tags, tokens and marks; "[2]" is an earlier round


class Rewriter:
    """Rewrites dialogues; `refused` counts questions whose new words were not taken."""

    def __init__(self, url: str, model: str, key: str | None = None) -> None:
        """`url` is the API's base, such as http://localhost:8000/v1; the key is that of $MEDIROUND_REWRITE_KEY."""
        self._url, self._model = url.rstrip("/") + "/chat/completions", model
        self._key = key if key is not None else os.environ.get(KEY_VARIABLE, "")
        self.refused = 0
        self._failures = 0

    def __call__(self, dialogue: Dialogue) -> Dialogue:
        """The dialogue with other words where that went well; targets and references stay."""
        turns: list[Turn] = []
        past: list[PastRound] = []
        for turn in dialogue.turns:
            query = self._rewritten(turn, past, dialogue.language) or turn.query
            turns.append(replace(turn, query=query))
            lean = None if turn.reference is None else past[turn.reference].name
            name = structure_name(query) if lean is None else name_beside(query, lean)
            past.append(PastRound(len(turns), query, name))
        return replace(dialogue, turns=turns)

    def _rewritten(self, turn: Turn, past: Sequence[PastRound], language: Language) -> str:
        """The question in other words, "" where they cannot be had or not be trusted."""
        self.refused += 1
        if self._failures >= PATIENCE:
            return ""
        hidden, marks = _hide(turn, past, language)
        try:
            answer = self._ask(hidden, list(marks), language)
        except (OSError, HTTPException, ValueError, KeyError, IndexError, TypeError) as error:
            self._failures += 1
            if self._failures == PATIENCE:
                warnings.warn(f"{self._url} does not answer ({error}); the templates' words are kept", stacklevel=2)
            return ""
        self._failures = 0
        query = _shown(answer, marks) if _says_the_same(answer, hidden, language) else ""
        if not query or not means(query, past, turn.reference):
            return ""
        self.refused -= 1
        return query

    def _ask(self, text: str, marks: Sequence[str], language: Language) -> str:
        instruction = _INSTRUCTION[language].format(marks=", ".join(marks) or "-")
        messages = [{"role": "system", "content": instruction}, {"role": "user", "content": text}]
        body = json.dumps({"model": self._model, "messages": messages, "temperature": 0.9, "max_tokens": 200})
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._url, body.encode(), headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            content = json.load(reply)["choices"][0]["message"]["content"]
        return str(content).strip().strip('"“”').strip()


def _hide(turn: Turn, past: Sequence[PastRound], language: Language) -> tuple[str, dict[str, str]]:
    """The question with marks for the target's name and for an earlier round that is named outright."""
    marks: dict[str, str] = {}
    text = turn.query
    found = resolve(text, past) if means(text, past, turn.reference) else None
    pieces = [found.phrase] if found is not None and found.explicit else []
    names = sorted(entities()[turn.entity].names[language], key=len, reverse=True)
    pieces += [name for name in names if name in text][:1]
    for letter, piece in zip("AB", pieces, strict=False):
        if text.count(piece) == 1:
            marks[f"<{letter}>"] = piece
            text = text.replace(piece, f"<{letter}>")
    return text, marks


def _shown(answer: str, marks: dict[str, str]) -> str:
    """The answer with the words back in the marks' places; "" where a mark is missing, doubled or made up."""
    if sorted(_MARK.findall(answer)) != sorted(marks):
        return ""
    for mark, piece in marks.items():
        answer = answer.replace(mark, piece)
    return answer


def _says_the_same(answer: str, hidden: str, language: Language) -> bool:
    """Whether new words are of the right kind and language, and tell the same directions; names are still hidden."""
    if not 0 < len(answer) <= LONGEST or _FORBIDDEN.search(_MARK.sub("", answer)):
        return False
    if bool(CHINESE.search(answer)) != (language == "zh"):
        return False
    return all(bool(re.search(way, answer, re.I)) == bool(re.search(way, hidden, re.I)) for way in _DIRECTIONS)
