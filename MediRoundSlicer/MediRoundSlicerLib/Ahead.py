"""The engine a step ahead of the user: it is loaded before she asks, and has seen the slice that she rests on."""

from collections.abc import Callable
from typing import Any

# A view that is scrolled is looked at once it has stood still for so long.
REST_MS = 300


class Ahead:
    """Works while the module is shown; nothing of it is told.

    ```
    ahead = Ahead(conversation, Later(widget, REST_MS, rests=True))
    ahead.begin(firstUse.look())        # the module is entered
    ahead.end()                         # it is left
    ```

    Args:
        conversation: its slice in view and its engine are followed.
        rest: calls a function once nothing has called for it for a while.
    """

    def __init__(self, conversation: Any, rest: Callable[[Callable[[], None]], None]) -> None:
        self._conversation = conversation
        self._rest = rest
        self._isShown = self._mayStart = False
        conversation.placeChanged.connect(self._onPlaceChanged)
        conversation.engine.stateChanged.connect(self._onStateChanged)

    def close(self) -> None:
        """Let go of the conversation and the engine."""
        self.end()
        self._conversation.placeChanged.disconnect(self._onPlaceChanged)
        self._conversation.engine.stateChanged.disconnect(self._onStateChanged)

    def begin(self, mayStart: bool) -> None:
        """Follow the user; `mayStart` has the engine started as soon as there is a volume to ask about."""
        self._isShown, self._mayStart = True, mayStart
        self._onPlaceChanged()

    def end(self) -> None:
        """In other modules the user scrolls without a question in mind."""
        self._isShown = self._mayStart = False

    def _onPlaceChanged(self) -> None:
        if not self._isShown or self._conversation.volumeNode is None:
            return
        if self._mayStart:
            self._mayStart = False  # once: scrolling starts no engine that has ended
            self._conversation.engine.startQuietly()
        self._rest(self._look)

    def _onStateChanged(self) -> None:
        # She may have scrolled while the model was loaded, or while a round ran.
        if self._conversation.engine.state == "ready":
            self._onPlaceChanged()

    def _look(self) -> None:
        if self._isShown:
            self._conversation.lookAhead()
