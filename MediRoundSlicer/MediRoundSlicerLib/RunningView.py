"""A new round while the engine works on it: the user's words and the live state."""

from typing import Any

import qt

from MediRoundSlicerLib.Look import Look
from MediRoundSlicerLib.RunningRow import RunningRow
from MediRoundSlicerLib.Style import breakable, setKind


class RunningView:
    """Looks like a RoundView that has no answer yet.

    ```
    view = RunningView(look, parent)
    view.show(3, pending.query, pending.stage, pending.started)
    view.hide()
    ```
    """

    def __init__(self, look: Look, parent: Any) -> None:
        self.widget = qt.QFrame(parent)
        setKind(self.widget, "running")
        grid = qt.QGridLayout(self.widget)
        grid.setContentsMargins(5, 6, 5, 6)
        grid.setHorizontalSpacing(5)
        grid.setVerticalSpacing(5)
        grid.setColumnMinimumWidth(0, 14)
        grid.setColumnStretch(1, 1)
        self._number = qt.QLabel(self.widget)
        setKind(self._number, "number")
        self._query = qt.QLabel(self.widget)
        setKind(self._query, "query")
        self._query.setTextFormat(qt.Qt.PlainText)
        self._query.setWordWrap(True)
        self.row = RunningRow(look, self.widget)
        grid.addWidget(self._number, 0, 0, qt.Qt.AlignTop)
        grid.addWidget(self._query, 0, 1)
        grid.addWidget(self.row.widget, 1, 1)
        self.widget.hide()

    def show(self, number: int | None, query: str, stage: str, started: float) -> None:
        """`number` is the round that it will be, or None where it belongs to another dialogue."""
        self._number.setText("" if number is None else str(number))
        self._query.setText(breakable(query))
        self.row.start(stage, started)
        self.widget.show()

    def hide(self) -> None:
        self.row.stop()
        self.widget.hide()
