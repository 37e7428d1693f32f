"""Signals to Python: connections by signature, and the errors that Qt swallows, kept for the tests."""

import inspect
import sys
import traceback
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

# Errors in slots, overrides and event filters: printed and swallowed, as in Slicer; the tests fail on them.
swallowed: list[BaseException] = []


class Slot:
    """A Python function that Qt calls: with as many arguments as it takes, and no error leaves it."""

    def __init__(self, function: Callable[..., Any], wrap: Callable[[Any], Any]) -> None:
        self.function, self._wrap = function, wrap
        self._count = _argumentCount(function)

    def __call__(self, *arguments: Any) -> Any:
        try:
            return self.function(*[self._wrap(one) for one in arguments[: self._count]])
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            swallowed.append(error)
            return None


def _argumentCount(function: Any) -> int | None:
    """How many arguments of a signal it gets at most; None for all. As in PythonQt, defaults do not matter."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & inspect.CO_VARARGS:
        return None
    return code.co_argcount - inspect.ismethod(function)


def connect(raw: Any, signature: str, slot: Any, wrap: Callable[[Any], Any]) -> bool:
    """Whether `raw` has that signal; if not, it says so as PythonQt does."""
    signal = _known(raw, signature)
    if signal is None:
        name = raw.metaObject().className()
        print(f"PythonQt: QObject::connect() signal '{signature}' does not exist on {name}", file=sys.stderr)
        return False
    if not callable(slot):
        raise TypeError(f"not a function: {slot!r}")
    made = Slot(slot, wrap)
    if not QtCore.QObject.connect(raw, f"2{signal}", made.__call__):
        raise RuntimeError(f"PySide6 did not connect {signature}")
    _connections(raw).append((signal, slot, made))
    return True


def disconnect(raw: Any, signature: str, slot: Any = None) -> bool:
    """Whether `slot`, or any where it is None, was connected to that signal."""
    signal = _known(raw, signature)
    found = [one for one in _connections(raw) if one[0] == signal and (slot is None or one[1] == slot)]
    for one in found:
        QtCore.QObject.disconnect(raw, f"2{signal}", one[2].__call__)
        _connections(raw).remove(one)
    return bool(found)


def signatureOf(raw: Any, name: str) -> str:
    """The signature of the first signal of that name, which is the one with the most arguments."""
    meta = raw.metaObject()
    methods = [meta.method(index) for index in range(meta.methodCount())]
    signals = [one for one in methods if one.methodType() == QtCore.QMetaMethod.MethodType.Signal]
    return next(one.methodSignature().data().decode() for one in signals if one.name().data().decode() == name)


def _known(raw: Any, signature: str) -> str | None:
    signature = getattr(raw, "signalNames", {}).get(signature, signature)
    # Its type hint asks for bytes, which it does not take.
    normal = QtCore.QMetaObject.normalizedSignature(signature).data().decode()  # type: ignore[arg-type]
    return normal if raw.metaObject().indexOfSignal(normal) >= 0 else None


def _connections(raw: Any) -> list[tuple[str, Any, Slot]]:
    if not hasattr(raw, "_connections"):
        raw._connections = []
    return raw._connections
