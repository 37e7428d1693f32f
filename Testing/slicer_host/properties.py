"""Qt's properties by their names, as PythonQt finds them."""

from typing import Any

from PySide6 import QtCore

from slicer_host import names

# Slots hide these.
HIDDEN = {("QTimer", "singleShot")}
# Properties of Qt 6 that are methods in Qt 5: code that uses either breaks in the other.
DIFFERENT_IN_QT5 = {("QLayout", "contentsMargins")}


def has(raw: Any, name: str) -> bool:
    """Whether PythonQt knows a property of that name on this object; Slicer's also calls the object's name `name`."""
    if not isinstance(raw, QtCore.QObject) or (type(raw).__name__, name) in HIDDEN:
        return False
    return name == "name" or (names.isKnown(type(raw), name) and raw.metaObject().indexOfProperty(name) >= 0)


def read(raw: Any, name: str) -> Any:
    """Its value, as PySide6 gives it."""
    if any(raw.inherits(owner) and name == one for owner, one in DIFFERENT_IN_QT5):
        raise AttributeError(f"'{name}' is a method in Qt 5 and a property in Qt 6: do without it")
    name = "objectName" if name == "name" else name
    try:
        return raw.property(name)
    except RuntimeError:  # PySide6 has no converter for most enums here, but its getters have
        upper = name[0].upper() + name[1:]
        return next(getattr(raw, one) for one in (name, f"is{upper}", f"has{upper}") if hasattr(raw, one))()


def write(raw: Any, name: str, value: Any) -> None:
    """Sets it, with PythonQt's conversions: texts are made of anything, numbers are cut.

    Raises:
        AttributeError: It cannot be set, or not to that.
    """
    name = "objectName" if name == "name" else name
    declared = raw.metaObject().property(raw.metaObject().indexOfProperty(name))
    kind = declared.typeName()
    if not declared.isWritable():
        raise AttributeError(f"Property '{name}' of {type(raw).__name__} object is not writable")
    if kind == "QString" and not isinstance(value, str):
        value = str(value)
    elif kind == "bool":
        value = bool(value)
    elif kind == "int" and isinstance(value, float):
        value = int(value)
    if not raw.setProperty(name, value):
        raise AttributeError(f"Property '{name}' of type '{kind}' does not accept {value!r}")
