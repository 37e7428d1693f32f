"""What the engine says to the user: the answer with the segment's name for `[SEG]`, and honest caution. No torch."""

from collections.abc import Sequence

from MediRoundLib.errors import QueryError
from MediRoundLib.language import CHINESE

# Words of the prompt's own language; in a query they would be read as commands.
_PICTURES = ("[BBOXINPUT]", "[CROPPEDIMAGE]", "<image>")
_RESERVED = ("[SEG]", *_PICTURES, "<s>", "</s>", "<unk>", "[INST]", "[/INST]")

_WORDS = {
    "en": {
        "instance": "instance {number}",
        "no_mask": "No mask was drawn.",
        "empty": "The mask is empty: the model sees no such structure here.",
        "poor": "Low quality ({quality:.2f}): check it, this may not be what you asked for.",
        "unsupported": "The referenced mask is nearly empty, so the whole image stood in for it.",
    },
    "zh": {
        "instance": "实例{number}",
        "no_mask": "没有给出分割。",
        "empty": "分割为空：模型在此图像上没有看到该结构。",
        "poor": "质量较低（{quality:.2f}）：请核对，这可能不是您所要求的结构。",
        "unsupported": "所引用的分割几乎为空，因此以整幅图像代替。",
    },
}


def language_of(query: str) -> str:
    """'zh' for a query with Chinese characters, else 'en'."""
    return "zh" if CHINESE.search(query) else "en"


def check_query(query: str) -> str:
    """The query without surrounding white space.

    Raises:
        QueryError: it is empty, or holds a word of the prompt's own language.
    """
    query = " ".join(query.split())
    if not query:
        raise QueryError('The query is empty; type what to segment, for example "Segment the left kidney."')
    if any("\ud800" <= letter <= "\udfff" for letter in query):
        raise QueryError("The query is not valid text (UTF-8); set the terminal to UTF-8 and type it again.")
    _refuse_reserved(query, "query", _RESERVED)
    return query


def check_answer(answer: str) -> None:
    """Raises QueryError unless an exact answer holds `[SEG]` once, and no other word of the prompt's own language."""
    _refuse_reserved(answer, "answer", [word for word in _RESERVED if word != "[SEG]"])
    if answer.count("[SEG]") != 1:
        raise QueryError("The answer has to hold [SEG] once, where the mask belongs; leave it out for the model's own.")


def check_told_answer(answer: str) -> None:
    """Raises QueryError for an earlier answer that no model can have given: with a word that stands for a picture."""
    _refuse_reserved(answer, "earlier answer", _PICTURES)


def _refuse_reserved(text: str, what: str, reserved: Sequence[str]) -> None:
    for word in reserved:
        if word in text:
            raise QueryError(f"The {what} holds {word}, which the model reads as a command; leave it out.")


def answer_text(
    answer: str,
    number: int,
    pixels: int,
    quality: float | None,
    threshold: float,
    language: str,
    whole_image: bool = False,
) -> str:
    """The sentences shown for a round.

    Args:
        answer: exact answer with `[SEG]` in it.
        number: the round, from 1; its mask is the instance of that number.
        pixels: size of the mask.
        quality: the score of the feature that drew the mask, in [0, 1], or None without a JCM.
        threshold: beta; a quality at or below it is said to be low.
        language: 'en' or 'zh'.
        whole_image: whether the whole image stood in for a nearly empty reference.
    """
    words = _WORDS[language]
    sentences = [answer.replace("[SEG]", words["instance"].format(number=number))]
    if "[SEG]" not in answer:
        sentences.append(words["no_mask"])
    elif pixels == 0:
        sentences.append(words["empty"])
    elif quality is not None and quality <= threshold:
        sentences.append(words["poor"].format(quality=quality))
    if whole_image:
        sentences.append(words["unsupported"])
    return ("" if language == "zh" else " ").join(sentences)
