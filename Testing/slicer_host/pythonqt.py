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

from slicer_host import calls, names, properties, signatures, slots
from slicer_host.enums import EnumNames, EnumValue

# Virtual functions that PythonQt calls by other names in some classes.
REFUSED_OVERRIDES = ("sizeHint", "minimumSizeHint")


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
        if properties.has(raw, name):
            return wrap(properties.read(raw, name))
        try:
            return _member(type(raw), name, self)
        except AttributeError:
            if isinstance(raw, QtCore.QObject) and name.encode() in [one.data() for one in raw.dynamicPropertyNames()]:
                return wrap(raw.property(name))
            raise AttributeError(f"{type(raw).__name__} has no attribute named '{name}'") from None

    def __setattr__(self, name: str, value: Any) -> None:
        raw, kind, className = self._raw, type(self)._rawClass, type(self).__name__
        if raw is None and hasattr(kind, "staticMetaObject") and kind.staticMetaObject.indexOfProperty(name) < 0:
            object.__setattr__(self, name, value)  # a Python subclass, before it calls the constructor of its base
            return
        if raw is None or not shiboken6.isValid(raw):
            raise AttributeError(f"Trying to set property '{name}' on a destroyed {className} object")
        if properties.has(raw, name):
            properties.write(raw, name, int(value) if isinstance(value, EnumValue) else unwrap(value))
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
        className = kind if isinstance(kind, str) else kind._rawClass.__name__
        found = self._alive().findChildren(QtCore.QObject, name) if name else self._alive().findChildren(QtCore.QObject)
        return tuple(wrap(one) for one in found if one.inherits(className))

    def findChild(self, kind: Any, name: str = "") -> Any:
        """The first of them, or None."""
        return next(iter(self.findChildren(kind, name)), None)

    def className(self) -> str:
        return type(self).__name__

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


def _member(rawClass: Any, name: str, owner: Wrapper | None) -> Any:
    """A function, signal, enum or enum value of a class by its name, bound to `owner` where there is one."""
    if name.startswith("_") or not names.isKnown(rawClass, name):
        raise AttributeError(f"{rawClass.__name__} has no attribute named '{name}'")
    found = getattr(rawClass, name)
    if isinstance(found, enum.EnumMeta):
        return EnumNames(found)
    if isinstance(found, enum.Enum):
        return EnumValue(found)
    if type(found) is QtCore.Signal and owner is not None:
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
