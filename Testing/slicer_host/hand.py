"""The user's hand on the host, for the path of MediRoundSlicerJourney; MediRoundSlicerHand is 3D Slicer's."""

from collections.abc import Callable
from typing import Any


class Hand:
    """Types, clicks and waits by real events of mouse and keyboard; waits `patience` seconds at most."""

    def __init__(self, host: Any, patience: float) -> None:
        self.host = host
        self.patience = patience
        self.click = host.click
        self.key = host.key

    def type(self, widget: Any, text: str) -> None:
        widget.clear()
        self.host.typeText(widget, text)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        self.host.wait(condition, self.patience, what)
