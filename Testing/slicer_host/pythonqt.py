"""PythonQt's objects over PySide6's: each Qt object is seen through a wrapper with PythonQt's manners.

A name that is a Qt property is its value, and nothing may be set that Qt does not have; functions take no keywords and
give tuples; enum values are ints; the wrapper classes know of no inheritance among each other. What PySide6 would allow
beyond that is refused here, so that code which runs on these wrappers runs in 3D Slicer.
"""

import enum
import operator
import weakref
from collections.abc import Callable, Iterator, KeysView, Set, ValuesView
from typing import Any

import shiboken6
from PySide6 import QtCore

from slicer_host import calls, names, signatures, slots

# Slots hide these properties.
HIDDEN_PROPERTIES = {("QTimer", "singleShot")}
# Properties of Qt 6 that are methods in Qt 5: code that uses either breaks in the other.
DIFFERENT_IN_QT5 = {("QLayout", "contentsMargins")}
# Virtual functions that PythonQt calls by other names in some classes.
REFUSED_OVERRIDES = ("sizeHint", "minimumSizeHint")


class EnumValue(int):
    """A value of a Qt enum; or-ed with others it is a plain int, as all the rest of PythonQt's numbers.

    Attributes:
        raw: PySide6's own.
    """

    raw: Any

    def __new__(cls, raw: enum.Enum) -> "EnumValue":
        value = super().__new__(cls, raw.value)
        value.raw = raw
        return value


class EnumNames:
    """The class of an enum, such as `qt.QFrame.Shape`: its values by name."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> EnumValue:
        return EnumValue(getattr(self._raw, name))

    def __call__(self, value: int) -> EnumValue:
        return EnumValue(self._raw(int(value)))


def wrap(value: Any) -> Any:
    """What PySide6 gave, as PythonQt gives it."""
    if isinstance(value, enum.Enum):
        return EnumValue(value)
    if isinstance(value, list | tuple):
        return tuple(wrap(one) for one in value)
    if isinstance(value, dict):
        return {key: wrap(one) for key, one in value.items()}
    if not isinstance(value, shiboken6.Object):
        return value
    if isinstance(value, QtCore.QObject):
        known = getattr(value, "_kept", None) or getattr(value, "_wrapper", lambda: None)()
        if known is not None:
            return known
    wrapperClass = classOf(type(value))
    made = object.__new__(wrapperClass)
    made._take(value)
    return made


def unwrap(value: Any) -> Any:
    """What a caller of PythonQt gives, as PySide6 takes it."""
    if isinstance(value, Wrapper):
        return value._alive()
    if isinstance(value, EnumValue):
        return value.raw
    if isinstance(value, WrapperType):
        return value._rawClass
    if isinstance(value, list | tuple):
        return [unwrap(one) for one in value]
    if isinstance(value, dict):
        return {key: unwrap(one) for key, one in value.items()}
    if isinstance(value, bytearray | memoryview):
        raise TypeError(f"PythonQt would take this {type(value).__name__} as its printed text: give bytes")
    if isinstance(value, KeysView | ValuesView | Set | Iterator):
        raise ValueError(f"PythonQt takes a list or a tuple, not {type(value).__name__}")
    if callable(value) and not isinstance(value, type | QtCore.QObject):
        return slots.Slot(value, wrap)
    return value


class Function:
    """A function of Qt, free or bound: no keywords, PythonQt's conversions; equal to another of the same object."""

    def __init__(self, function: Callable[..., Any], name: str, owner: Any = None) -> None:
        self._function, self._name, self._owner = function, name, owner

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        if keywords:
            raise ValueError(f"Called {self._name} with keyword arguments, but called slot does not support kwargs.")
        return wrap(calls.call(self._bound(), self._name, [unwrap(one) for one in arguments], self._function))

    def _bound(self) -> Callable[..., Any]:
        # Looked up on the object: what is static and not in one, such as QFile.exists, crashes otherwise.
        return self._function if self._owner is None else getattr(self._owner._alive(), self._name.rpartition(".")[2])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Function) and (self._name, self._owner) == (other._name, other._owner)

    def __hash__(self) -> int:
        return hash((self._name, self._owner))

    def __repr__(self) -> str:
        return f"<qt slot {self._name}>"


class BoundSignal:
    """`button.clicked`: connects, disconnects, and emits when it is called."""

    def __init__(self, owner: "Wrapper", signature: str) -> None:
        self._owner, self._signature = owner, signature

    def connect(self, slot: Any) -> bool:
        return self._owner.connect(self._signature, slot)

    def disconnect(self, slot: Any = None) -> bool:
        return self._owner.disconnect(self._signature, slot)

    def __call__(self, *arguments: Any) -> None:
        name = self._signature.partition("(")[0]
        getattr(self._owner._alive(), name).emit(*[unwrap(one) for one in arguments])


class WrapperType(type):
    """Makes the wrapper classes, and the PySide6 class behind a Python subclass of one."""

    _rawClass: Any
    _isPython: bool

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        made = super().__new__(cls, name, bases, namespace)
        behind = [base._rawClass for base in bases if isinstance(base, WrapperType) and hasattr(base, "_rawClass")]
        if behind and "_rawClass" not in namespace:
            made._rawClass = _behind(made, behind[0])
            made._isPython = True
        return made

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")
        return _member(cls._rawClass, name, None)


class Wrapper(metaclass=WrapperType):
    """PythonQtInstanceWrapper. `_raw` is PySide6's object."""

    _isPython = False
    _raw: Any = None

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        kind = type(self)._rawClass
        if keywords:
            raise ValueError(f"Called {kind.__name__} with keyword arguments, but called slot does not support kwargs.")
        self._take(calls.call(kind, kind.__name__, [unwrap(one) for one in arguments], kind))

    def _take(self, raw: Any) -> None:
        object.__setattr__(self, "_raw", raw)
        if isinstance(raw, QtCore.QObject):
            raw._wrapper = weakref.ref(self)  # type: ignore[attr-defined]

    def __del__(self) -> None:
        # As in PythonQt, a Python subclass lives as long as its C++ object, whose parent keeps it.
        raw = self._raw
        if self._isPython and raw is not None and shiboken6.isValid(raw) and raw.parent() is not None:
            raw._kept = self

    def _alive(self) -> Any:
        raw = self._raw
        if raw is None or not shiboken6.isValid(raw):
            raise ValueError(f"Trying to use a destroyed {type(self).__name__} object")
        return raw

    def __getattr__(self, name: str) -> Any:
        # Only names that Python itself does not find come here: a Python subclass's own go first.
        if name.startswith("__"):
            raise AttributeError(name)
        raw = self._alive()
        if name in ("exec_", "print_"):
            name = name[:-1]
        found, value = _property(raw, name)
        if found:
            return wrap(value)
        try:
            return _member(type(raw), name, self)
        except AttributeError:
            if isinstance(raw, QtCore.QObject) and name.encode() in [one.data() for one in raw.dynamicPropertyNames()]:
                return wrap(raw.property(name))
            raise AttributeError(f"{_className(raw)} has no attribute named '{name}'") from None

    def __setattr__(self, name: str, value: Any) -> None:
        raw, className = self._raw, type(self).__name__
        if raw is None or not shiboken6.isValid(raw):
            raise AttributeError(f"Trying to set property '{name}' on a destroyed {className} object")
        if isinstance(raw, QtCore.QObject) and names.isKnown(type(raw), name) and _hasProperty(raw, name):
            _setProperty(raw, "objectName" if name == "name" else name, value)
        elif hasattr(type(raw), name) and name not in vars(type(self)):
            raise AttributeError(f"Slot '{name}' can not be overwritten on {className} object")
        elif self._isPython:
            object.__setattr__(self, name, value)
        else:
            raise AttributeError(
                f"'{name}' does not exist on {className} and creating new attributes on C++ objects is not allowed"
            )

    def connect(self, signature: str, slot: Any, member: str | None = None) -> bool:
        """Whether the object has that signal; its slot is then `slot`, or the slot `member` of the Qt object `slot`."""
        if member is not None:
            return bool(QtCore.QObject.connect(self._alive(), f"2{signature}", unwrap(slot), f"1{member}"))
        return slots.connect(self._alive(), signature, slot, wrap)

    def disconnect(self, signature: str, slot: Any = None) -> bool:
        """Whether `slot`, or any where it is None, was connected."""
        return slots.disconnect(self._alive(), signature, slot)

    def findChildren(self, kind: Any, name: str = "") -> tuple[Any, ...]:
        """The children, at any depth, of a class or of a class of that name; of that object name, if one is given."""
        className = kind if isinstance(kind, str) else kind.__name__
        found = self._alive().findChildren(QtCore.QObject, name) if name else self._alive().findChildren(QtCore.QObject)
        return tuple(wrap(one) for one in found if one.inherits(className))

    def findChild(self, kind: Any, name: str = "") -> Any:
        """The first of them, or None."""
        return next(iter(self.findChildren(kind, name)), None)

    def className(self) -> str:
        return _className(self._alive())

    def delete(self) -> None:
        shiboken6.delete(self._alive())

    def __bool__(self) -> bool:
        raw = self._raw
        if raw is None or not shiboken6.isValid(raw):
            return False
        if isinstance(raw, QtCore.QObject) and raw.isWidgetType() and not hasattr(raw, "addSeparator"):
            return True
        return calls.truth(raw)

    def __eq__(self, other: object) -> bool:
        if other is None:
            return self._raw is None or not shiboken6.isValid(self._raw)
        if not isinstance(other, Wrapper):
            return False
        return bool(self._raw is other._raw or (not isinstance(self._raw, QtCore.QObject) and self._raw == other._raw))

    def __hash__(self) -> int:
        return id(self._raw)

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({self._raw!r})"


def _arithmetic(name: str) -> Callable[[Wrapper, Any], Any]:
    def apply(self: Wrapper, other: Any) -> Any:
        return wrap(getattr(operator, name)(self._alive(), unwrap(other)))

    return apply


for _name in ("__add__", "__sub__", "__mul__", "__truediv__", "__lt__"):
    setattr(Wrapper, _name, _arithmetic(_name))

_classes: dict[Any, WrapperType] = {}


def classOf(rawClass: Any) -> Any:
    """The wrapper class of a PySide6 class."""
    if rawClass not in _classes:
        _classes[rawClass] = WrapperType(rawClass.__name__, (Wrapper,), {"_rawClass": rawClass})
    return _classes[rawClass]


def _className(raw: Any) -> str:
    return raw.metaObject().className() if isinstance(raw, QtCore.QObject) else type(raw).__name__


def _hasProperty(raw: Any, name: str) -> bool:
    if (type(raw).__name__, name) in HIDDEN_PROPERTIES:
        return False
    return name == "name" or raw.metaObject().indexOfProperty(name) >= 0


def _property(raw: Any, name: str) -> tuple[bool, Any]:
    """Whether it is a property of Qt, and its value."""
    if not isinstance(raw, QtCore.QObject) or not _hasProperty(raw, name):
        return False, None
    if not names.isKnown(type(raw), name):
        return False, None
    if any(raw.inherits(owner) and name == one for owner, one in DIFFERENT_IN_QT5):
        raise AttributeError(f"'{name}' is a method in Qt 5 and a property in Qt 6: do without it")
    try:
        return True, raw.property("objectName" if name == "name" else name)
    except RuntimeError:  # PySide6 has no converter for most enums here, but its getters have
        upper = name[0].upper() + name[1:]
        getter = next(getattr(raw, one) for one in (name, f"is{upper}", f"has{upper}") if hasattr(raw, one))
        return True, getter()


def _setProperty(raw: Any, name: str, value: Any) -> None:
    declared = raw.metaObject().property(raw.metaObject().indexOfProperty(name))
    kind = declared.typeName()
    if not declared.isWritable():
        raise AttributeError(f"Property '{name}' of {_className(raw)} object is not writable")
    given = unwrap(value)
    if kind == "QString" and not isinstance(given, str):
        given = str(given)
    elif kind == "bool":
        given = bool(given)
    elif kind == "int" and isinstance(given, float):
        given = int(given)
    elif isinstance(value, EnumValue):
        given = int(value)
    if not raw.setProperty(name, given):
        raise AttributeError(
            f"Property '{name}' of type '{kind}' does not accept an object of type {type(value).__name__} ({value!r})"
        )


def _member(rawClass: Any, name: str, owner: Wrapper | None) -> Any:
    """A function, signal, enum or enum value of a class by its name, bound to `owner` where there is one."""
    if name.startswith("_") or not names.isKnown(rawClass, name):
        raise AttributeError(f"{rawClass.__name__} has no attribute named '{name}'")
    found = getattr(rawClass, name)
    if isinstance(found, enum.EnumMeta):
        return EnumNames(found)
    if isinstance(found, enum.Enum):
        return EnumValue(found)
    if (
        type(found) is QtCore.Signal
    ):  # isinstance gives away a reference to False each time: the process ends in the end
        if owner is None:
            raise AttributeError(f"{rawClass.__name__} has no attribute named '{name}'")
        return BoundSignal(owner, slots.signatureOf(owner._alive(), name))
    if isinstance(found, type):
        return classOf(found)
    if not callable(found):
        raise AttributeError(f"{rawClass.__name__} has no attribute named '{name}'")
    return Function(found, f"{rawClass.__name__}.{name}", owner)


def _behind(wrapperClass: Any, rawClass: Any) -> Any:
    """The PySide6 class whose virtual functions call the methods of a Python subclass of a wrapper class."""
    overrides: dict[str, Any] = {}
    for base in wrapperClass.__mro__[: wrapperClass.__mro__.index(Wrapper)]:
        for name, value in vars(base).items():
            if name.startswith("_") or not callable(value) or not hasattr(rawClass, name):
                continue
            if name in REFUSED_OVERRIDES:
                raise TypeError(
                    f"PythonQt does not call {name} of a Python subclass: set sizes with setMinimumWidth and such"
                )
            overrides.setdefault(name, _override(name, rawClass))
    # The same name: to Qt, and to style sheets, a Python subclass is of its C++ class.
    return type(rawClass.__name__, (rawClass,), overrides)


def _override(name: str, rawClass: Any) -> Callable[..., Any]:
    nothing = signatures.nothing(getattr(rawClass, name))

    def override(raw: Any, *arguments: Any) -> Any:
        slot = slots.Slot(getattr(wrap(raw), name), wrap)
        result = unwrap(slot(*arguments))
        return nothing if result is None else result

    return override
