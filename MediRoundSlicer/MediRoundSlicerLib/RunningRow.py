"""The live state of a running round: what the engine does now, for how long, and a button to cancel."""

import time
from typing import Any

import qt
from slicer.i18n import tr as _

from MediRoundSlicerLib.Look import Look
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Style import setKind

# Slow enough to be calm and to cost nothing.
TICK_MS = 350


class RunningRow:
    """Three dots, "Reading the query · 3 s", Cancel.

    ```
    row = RunningRow(look, parent)
    row.cancelled.connect(conversation.cancel)
    row.start(pending.stage, pending.started)
    row.stop()
    ```
    """

    def __init__(self, look: Look, parent: Any) -> None:
        self.cancelled = Signal()
        self._look = look
        self._stage = ""
        self._started = 0.0
        self._tick = 0
        self.widget = qt.QWidget(parent)
        layout = qt.QHBoxLayout(self.widget)
        layout.setContentsMargins(8, 0, 0, 0)
        layout.setSpacing(6)
        self._dots = qt.QLabel(self.widget)
        self._dots.setFixedWidth(24)
        self._label = qt.QLabel(self.widget)
        setKind(self._label, "quiet")
        self._label.setWordWrap(True)
        self.cancelButton = qt.QToolButton(self.widget)
        setKind(self.cancelButton, "link")
        self.cancelButton.setText(_("Cancel"))
        self.cancelButton.setToolTip(_("Stop this round (Escape)"))
        self.cancelButton.setFocusPolicy(qt.Qt.TabFocus)
        self.cancelButton.connect("clicked()", self.cancelled.emit)
        layout.addWidget(self._dots)
        layout.addWidget(self._label, 1)
        layout.addWidget(self.cancelButton)
        self._timer = qt.QTimer(self.widget)
        self._timer.connect("timeout()", self._onTick)
        self.widget.hide()

    def start(self, stage: str, started: float) -> None:
        """Show a stage; `started` is the `time.monotonic()` of asking."""
        self._stage = stage
        self._started = started
        self._draw()
        self.widget.show()
        if not self._timer.isActive():
            self._timer.start(TICK_MS)

    def stop(self) -> None:
        self._timer.stop()
        self.widget.hide()

    def _onTick(self) -> None:
        self._tick += 1
        self._draw()

    def _draw(self) -> None:
        seconds = int(time.monotonic() - self._started)
        self._dots.setPixmap(self._look.dots(self._tick % 3))
        self._label.setText(_("{stage} · {seconds} s").format(stage=self._stage or _("Working"), seconds=seconds))
