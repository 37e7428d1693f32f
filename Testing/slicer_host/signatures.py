"""What PySide6's functions take, and which of it PythonQt takes too."""

import enum
import inspect
import typing
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui
from shibokensupport.signature import get_signature  # type: ignore[import-not-found]

Qt = QtCore.Qt
# Conversions that PySide6 makes by itself, as does PythonQt. It makes no others.
IMPLICIT = {
    (QtGui.QColor, QtGui.QBrush),
    (QtGui.QColor, QtGui.QPen),
    (Qt.GlobalColor, QtGui.QColor),
    (Qt.GlobalColor, QtGui.QBrush),
    (Qt.CursorShape, QtGui.QCursor),
}
# What PythonQt takes in none of its overloads.
REFUSED: set[tuple[str, type]] = {
    ("QImage", bytes),  # no stride, and the bytes are not kept: loadFromData does it
    ("QPixmap", QtGui.QImage),
    ("QPainter.setBrush", Qt.BrushStyle),
    ("QSettings.value", type),  # the type that is wanted
}
NOTHING = {bool: False, int: 0, float: 0.0}
FREE = (Any, object, inspect.Parameter.empty)


@cache
def _overloads(member: Any) -> list[inspect.Signature]:
    found = get_signature(member)
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


@cache
def _wanted(member: Any, count: int) -> tuple[tuple[Any, ...], ...]:
    """The annotations of the first `count` parameters in each overload that takes so many."""
    found = []
    for overload in _overloads(member):
        parameters = [one for one in overload.parameters.values() if one.kind is not one.KEYWORD_ONLY]
        if parameters and parameters[0].name == "self":
            parameters = parameters[1:]
        needed = sum(one.default is one.empty for one in parameters)
        if needed <= count <= len(parameters):
            found.append(tuple(one.annotation for one in parameters[:count]))
    return tuple(found)


@cache
def accepts(member: Any, name: str, kinds: tuple[type, ...]) -> bool:
    """Whether PythonQt takes arguments of these classes without a conversion that only PySide6 makes."""
    if any((name, kind) in REFUSED for kind in kinds):
        return False
    overloads = _wanted(member, len(kinds))
    return not overloads or any(all(map(_suits, kinds, wanted)) for wanted in overloads)


def _suits(kind: type, annotation: Any) -> bool:
    # The first of several is what Qt itself declares; the others are PySide6's conversions.
    parts = typing.get_args(annotation)
    main = parts[0] if parts and not isinstance(annotation, type) else annotation
    if not isinstance(main, type) or main in FREE or kind is type(None) or (kind, main) in IMPLICIT:
        return True
    if isinstance(main, enum.EnumMeta):
        return issubclass(kind, main | int)
    if issubclass(kind, shiboken6.Object):
        return issubclass(kind, main)
    if issubclass(main, shiboken6.Object) and main is not QtCore.QByteArray:
        return not issubclass(kind, str | int | float | enum.Enum)
    return True


def withTexts(member: Any, arguments: Sequence[Any]) -> list[Any]:
    """'None' for None where only a text fits, as PythonQt has it.

    Raises:
        TypeError: There bytes belong.
    """
    overloads = _wanted(member, len(arguments))
    made = list(arguments)
    for place, value in enumerate(arguments):
        wanted = [one[place] for one in overloads]
        if value is None and wanted and all("QByteArray" in str(one) for one in wanted):
            raise TypeError("PythonQt would take None as its printed text: give bytes")
        if value is None and wanted and all(one is str for one in wanted):
            made[place] = "None"
    return made


def converted(member: Any, arguments: Sequence[Any]) -> Iterator[list[Any]]:
    """The arguments as each overload would have them: enums of ints, ints of floats, texts of what is no text."""
    for wanted in _wanted(member, len(arguments)):
        yield [_fitted(value, annotation) for value, annotation in zip(arguments, wanted, strict=True)]


def _fitted(value: Any, annotation: Any) -> Any:
    isNumber = isinstance(value, int | enum.Enum) and not isinstance(value, bool)
    for kind in (typing.get_args(annotation) or (annotation,)) if isNumber else ():
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


def nothing(member: Any) -> Any:
    """What stands for a result that a Python override did not give."""
    return next((NOTHING.get(one.return_annotation) for one in _overloads(member)), None)
