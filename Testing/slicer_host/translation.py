"""`slicer.i18n`: texts in the user's language."""

from collections.abc import Callable
from string import Formatter

# What stands for the application's translations; a test can see with its own that a text goes through it.
translator: list[Callable[[str], str]] = []


def translate(context: str, text: str) -> str:
    return translator[-1](text) if translator else text


def tr(text: str) -> str:
    """The text in the user's language, or as it is where the translation lacks its fields."""
    made = translate("", text)
    return made if _fields(made) == _fields(text) else text


def _fields(text: str) -> set[str | None]:
    return {name for _literal, name, _format, _conversion in Formatter().parse(text)} - {None}
