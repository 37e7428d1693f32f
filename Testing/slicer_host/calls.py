"""Calls of PySide6's functions with what PythonQt's functions accept, and what they give."""

import inspect
from collections.abc import Callable
from typing import Any

from slicer_host import signatures

# Results that PySide6 gives with what Qt writes into a pointer, and PythonQt without.
FIRST_ONLY = (
    *(f"QFileDialog.{name}" for name in ("getOpenFileName", "getOpenFileNames", "getSaveFileName")),
    "QInputDialog.getText",
)
# Answers in the place of functions that would wait for a user, by name such as "QFileDialog.getSaveFileName".
answers: dict[str, Callable[..., Any]] = {}


def call(function: Callable[..., Any], name: str, arguments: list[Any], member: Any) -> Any:
    """Calls `function` of PySide6 as PythonQt would: ints are enums where Qt wants them, and None a text.

    Args:
        member: the class, or the class's function, which knows its signatures.

    Raises:
        ValueError: No overload of PythonQt takes the arguments.
    """
    if name in answers:
        return answers[name](*arguments)
    if inspect.isfunction(function) or inspect.ismethod(function):  # the host's own
        return function(*arguments)
    # Of a class's function that is called with its object, the object is the first argument.
    isExplicit = function is member and type(function).__name__ == "method_descriptor"
    if not signatures.accepts(member, name, tuple(type(one) for one in arguments[isExplicit:])):
        raise ValueError(f"Could not find matching overload of {name} for given arguments: {arguments!r}")
    if any(one is None for one in arguments):
        arguments = signatures.withTexts(member, arguments)
    try:
        result = function(*arguments)
    except TypeError as error:
        result = _again(function, name, arguments, member, error)
    except RuntimeError as error:
        if "already deleted" in str(error):
            raise ValueError(f"{name} of a destroyed object") from error
        raise
    return result[0] if name in FIRST_ONLY else result


def _again(function: Callable[..., Any], name: str, arguments: list[Any], member: Any, error: Exception) -> Any:
    for other in signatures.converted(member, arguments):
        try:
            return function(*other)
        except TypeError:
            continue
    raise ValueError(f"Could not find matching overload of {name} for given arguments: {error}") from error


def truth(raw: Any) -> bool:
    """A wrapper's truth: of what is null, empty or not valid it is False."""
    for name, wanted in (("isNull", False), ("isEmpty", False), ("isValid", True)):
        ask = getattr(raw, name, None)
        if ask is not None:
            return bool(ask()) is wanted
    return True
