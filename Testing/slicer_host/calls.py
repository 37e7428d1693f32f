"""Calls of PySide6's functions with what PythonQt's functions accept."""

import enum
import inspect
import typing
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from PySide6 import QtCore  # noqa: F401 - shibokensupport is found only after it
from shibokensupport.signature import get_signature  # type: ignore[import-not-found]

# Results that PySide6 gives with what Qt writes into a pointer, and PythonQt without.
FIRST_ONLY = frozenset(
    f"{owner}.{name}"
    for owner, name in (
        ("QFileDialog", "getOpenFileName"),
        ("QFileDialog", "getOpenFileNames"),
        ("QFileDialog", "getSaveFileName"),
        ("QInputDialog", "getText"),
    )
)
# Answers in the place of functions that would wait for a user, by name such as "QFileDialog.getSaveFileName".
answers: dict[str, Callable[..., Any]] = {}

NOTHING = {bool: False, int: 0, float: 0.0}


def call(function: Callable[..., Any], name: str, arguments: list[Any], member: Any) -> Any:
    """`function` of PySide6 with ints where it wants an enum, and texts of what is no text, as PythonQt does.

    Args:
        member: the class, or the class's function, which knows its signatures.

    Raises:
        ValueError: No overload takes the arguments.
    """
    if name in answers:
        return answers[name](*arguments)
    if inspect.isfunction(function) or inspect.ismethod(function):  # the host's own
        return function(*arguments)
    if name == "QImage" and arguments and isinstance(arguments[0], bytes):
        raise ValueError("PythonQt has no QImage of bytes with a stride, and does not keep the bytes: use loadFromData")
    if any(one is None for one in arguments):
        arguments = _withTexts(member, arguments)
    try:
        result = function(*arguments)
    except TypeError as error:
        for other in _converted(member, arguments):
            try:
                result = function(*other)
                break
            except TypeError:
                continue
        else:
            raise ValueError(f"Could not find matching overload for given arguments: {error}") from error
    except RuntimeError as error:
        if "already deleted" in str(error):
            raise ValueError(f"{name} of a destroyed object") from error
        raise
    return result[0] if name in FIRST_ONLY else result


@cache
def _overloads(function: Any) -> list[inspect.Signature]:
    found = get_signature(function)
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _wanted(function: Any, count: int) -> Iterator[list[Any]]:
    """The annotations of the first `count` parameters in each overload that takes so many."""
    for overload in _overloads(function):
        parameters = list(overload.parameters.values())
        if parameters and parameters[0].name == "self":
            parameters = parameters[1:]
        needed = sum(one.default is inspect.Parameter.empty for one in parameters)
        if needed <= count <= len(parameters):
            yield [one.annotation for one in parameters[:count]]


def _withTexts(function: Any, arguments: list[Any]) -> list[Any]:
    """'None' for None where only a text fits, as PythonQt has it."""
    overloads = list(_wanted(function, len(arguments)))
    for place, value in enumerate(arguments):
        if value is None and overloads and all("QByteArray" in str(one[place]) for one in overloads):
            raise TypeError("PythonQt would take None as its printed text: give bytes")
    return [
        "None" if value is None and overloads and all(one[place] is str for one in overloads) else value
        for place, value in enumerate(arguments)
    ]


def _converted(function: Any, arguments: list[Any]) -> Iterator[list[Any]]:
    for wanted in _wanted(function, len(arguments)):
        yield [_fitted(value, annotation) for value, annotation in zip(arguments, wanted, strict=True)]


def _fitted(value: Any, annotation: Any) -> Any:
    kinds = typing.get_args(annotation) or (annotation,)
    isNumber = isinstance(value, int | enum.Enum) and not isinstance(value, bool)
    for kind in kinds if isNumber else ():
        number = value.value if isinstance(value, enum.Enum) else value
        if isinstance(kind, enum.EnumMeta):
            return kind(number)
        if kind in (int, float):
            return kind(number)
    if annotation is int and isinstance(value, float):
        return int(value)
    if annotation is bool:
        return bool(value)
    if annotation is str and not isinstance(value, str):
        return str(value)
    return value


def nothing(function: Any) -> Any:
    """What stands for a result that a Python override did not give."""
    return next((NOTHING.get(one.return_annotation) for one in _overloads(function)), None)


def truth(raw: Any) -> bool:
    """A wrapper's truth: of what is null, empty or not valid it is False."""
    for name, wanted in (("isNull", False), ("isEmpty", False), ("isValid", True)):
        ask = getattr(raw, name, None)
        if ask is not None:
            return bool(ask()) is wanted
    return True
