"""Events between the module's own objects: signals that are defined in Python are fragile under PythonQt."""

from collections.abc import Callable
from typing import Any


class Signal:
    """Calls every connected function with what `emit` is given.

    ```
    answered = Signal()
    answered.connect(panel.onAnswered)
    answered.emit(requestID, answer)
    ```
    """

    def __init__(self) -> None:
        self._slots: list[Callable[..., Any]] = []

    def connect(self, slot: Callable[..., Any]) -> None:
        self._slots.append(slot)

    def disconnect(self, slot: Callable[..., Any]) -> None:
        """Unknown slots are let pass: an object that goes away need not know what it was connected to."""
        if slot in self._slots:
            self._slots.remove(slot)

    def emit(self, *arguments: Any) -> None:
        # A copy: a slot may connect or disconnect others.
        for slot in list(self._slots):
            slot(*arguments)
