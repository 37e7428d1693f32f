"""Calls a function soon, once for many calls in a row: a slice view that is scrolled fires many events."""

from collections.abc import Callable
from typing import Any

import qt


class Later:
    """
    ```
    later = Later(widget)
    later(refresh)          # a moment later, however often this is called meanwhile
    later.stop()
    ```

    Args:
        rests: whether each call begins the delay anew, so that nothing is called before there is a rest.
    """

    def __init__(self, parent: Any, delayMs: int = 30, rests: bool = False) -> None:
        self._rests = rests
        self._wanted: list[Callable[[], None]] = []
        self._timer = qt.QTimer(parent)
        self._timer.setSingleShot(True)
        self._timer.setInterval(delayMs)
        self._timer.connect("timeout()", self._call)

    def __call__(self, function: Callable[[], None]) -> None:
        if function not in self._wanted:
            self._wanted.append(function)
        if self._rests or not self._timer.isActive():
            self._timer.start()

    def stop(self) -> None:
        """Forget what was wanted."""
        self._timer.stop()
        self._wanted = []

    def _call(self) -> None:
        wanted, self._wanted = self._wanted, []
        for function in wanted:
            function()
