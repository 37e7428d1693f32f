"""The chat: a view a round, the running one, and a welcome where there is none."""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import qt
from slicer.i18n import tr as _

from MediRoundSlicerLib.Look import Look
from MediRoundSlicerLib.RoundView import RoundView, ShownRound
from MediRoundSlicerLib.RunningView import RunningView
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Understanding import Choice
from MediRoundSlicerLib.Welcome import Welcome


class ChatView:
    """Fills a scroll area with rounds; only views that show something else than before are drawn anew.

    ```
    chat = ChatView(look, ui.chatArea, conversation.segments)
    chat.roundMade.connect(wire)            # (RoundView): connect its signals
    chat.show([ShownRound(..), ..])
    chat.showRunning(pending, numberOfNewRound)
    ```

    Args:
        area: an empty QScrollArea.
        choices: what references can be chosen from.
    """

    def __init__(self, look: Look, area: Any, choices: Callable[[], Sequence[Choice]]) -> None:
        self.roundMade = Signal()
        self.exampleChosen = Signal()
        self.cancelled = Signal()
        # One for each place; those that a shorter dialogue does not need are kept, as making them costs most.
        self._views: list[RoundView] = []
        self._look = look
        self._choices = choices
        self._area = area
        self._content = area.widget()
        self._rows = qt.QVBoxLayout(self._content)
        self._rows.setContentsMargins(4, 6, 4, 6)
        self._rows.setSpacing(3)
        self.welcome = Welcome(self._content)
        self.welcome.chosen.connect(self.exampleChosen.emit)
        self.running = RunningView(look, self._content)
        self.running.row.cancelled.connect(self.cancelled.emit)
        self._rows.addWidget(self.welcome.widget, 1)
        self._rows.addWidget(self.running.widget)
        self._rows.addStretch(0)
        # The newest round stays in sight unless the user scrolled away from it.
        self._atEnd = True
        bar = area.verticalScrollBar()
        bar.connect("valueChanged(int)", self._onScrolled)
        bar.connect("rangeChanged(int,int)", self._onRangeChanged)
        look.changed.connect(self._onLookChanged)

    @property
    def rounds(self) -> dict[str, RoundView]:
        """The views of the rounds that are shown, by the rounds' ids."""
        return {view.roundID: view for view in self._views if view.shown is not None}

    def show(self, rounds: Sequence[ShownRound]) -> None:
        """Show these rounds, in this order."""
        before = set(self.rounds)
        while len(self._views) < len(rounds):
            self._views.append(self._make())
        for view, shown in zip_longest(self._views, rounds):
            view.show(shown)
        if any(shown.done.id not in before for shown in rounds):
            self._atEnd = True
        self._showWelcome()

    def showRunning(self, pending: Any, number: int | None) -> None:
        """Show the running round.

        Args:
            pending: the Conversation's, or None.
            number: the round that it will be, or None where it belongs to another dialogue.
        """
        again = None if pending is None or number is None else pending.roundID
        for view in self._views:
            if again is not None and view.roundID == again:
                view.setRunning(pending.stage, pending.started)
            else:
                view.setRunning(None)
        if pending is None or again is not None:
            self.running.hide()
        else:
            if not self.running.widget.isVisible():
                self._atEnd = True
            stage = pending.stage
            if number is None:
                stage = _("In another dialogue: {stage}").format(stage=stage)
            self.running.show(number, pending.query, stage, pending.started)
        self._showWelcome()

    def _make(self) -> RoundView:
        view = RoundView(self._look, self._content, self._choices)
        view.running.cancelled.connect(self.cancelled.emit)
        # Below the welcome and the earlier rounds.
        self._rows.insertWidget(1 + len(self._views), view.widget)
        self.roundMade.emit(view)
        return view

    def _showWelcome(self) -> None:
        self.welcome.widget.setVisible(not self.rounds and self.running.widget.isHidden())

    def _onScrolled(self, value: int) -> None:
        self._atEnd = value >= self._area.verticalScrollBar().maximum - 8

    def _onRangeChanged(self, least: int, most: int) -> None:
        if self._atEnd:
            self._area.verticalScrollBar().setValue(most)

    def _onLookChanged(self) -> None:
        for view in self._views:
            view.redraw()
