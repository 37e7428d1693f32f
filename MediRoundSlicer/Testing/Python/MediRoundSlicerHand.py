"""Types, clicks and waits inside 3D Slicer, as the tests' host does with its own means."""

import time
from collections.abc import Callable
from typing import Any

import qt
import slicer

# Shortcuts, such as Escape's, do not hear of events that are sent to a widget.
_KEYS = {"Enter": qt.Qt.Key_Return}
# The first round starts the engine and loads its model.
PATIENCE = 180.0


class Hand:
    """The user's hand.

    ```
    hand = Hand()
    hand.type(ui.queryEdit, "Segment the liver.")
    hand.key(ui.queryEdit, "Enter")
    hand.wait(lambda: conversation.pending is None, "an answer")
    ```
    """

    def type(self, widget: Any, text: str) -> None:
        """Type letter by letter."""
        widget.setFocus()
        for letter in text:
            self._press(widget, 0, letter)

    def key(self, widget: Any, name: str) -> None:
        """Press a key, "Enter"."""
        widget.setFocus()
        self._press(widget, _KEYS[name], "")

    def click(self, button: Any) -> None:
        assert button.isEnabled(), button.toolTip
        button.click()

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Let Slicer's event loop run until the condition holds. Raises AssertionError when patience ends."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"waited in vain for {what}"
            slicer.app.processEvents()
            time.sleep(0.01)

    def _press(self, widget: Any, key: int, text: str) -> None:
        for kind in (qt.QEvent.KeyPress, qt.QEvent.KeyRelease):
            qt.QCoreApplication.sendEvent(widget, qt.QKeyEvent(kind, key, qt.Qt.NoModifier, text))
