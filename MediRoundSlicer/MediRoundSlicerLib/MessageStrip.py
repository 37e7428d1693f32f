"""One sentence to the user above the input: calm, and gone when she dismisses it."""

from typing import Any

from slicer.i18n import tr as _

from MediRoundSlicerLib.Look import Look
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Style import breakable, setKind


class MessageStrip:
    """
    ```
    strip = MessageStrip(look, ui.messageStrip, ui.messageIcon, ui.messageLabel, ui.dismissButton)
    strip.error("The engine ended twice. ...")
    strip.notice("Cancelled.")
    strip.clear()
    ```
    """

    def __init__(self, look: Look, frame: Any, icon: Any, label: Any, button: Any) -> None:
        self.dismissed = Signal()
        self._look = look
        self._frame = frame
        self._icon = icon
        self._label = label
        self._button = button
        self._kind = ""
        setKind(button, "more")
        button.connect("clicked()", self._onDismissed)
        look.changed.connect(self._draw)
        self._draw()

    @property
    def text(self) -> str:
        """The sentence as it was given; "" while nothing is said."""
        return self._text if self._kind else ""

    def error(self, sentence: str) -> None:
        self._say("error", sentence)

    def notice(self, sentence: str) -> None:
        self._say("notice", sentence)

    def clear(self) -> None:
        self._say("", "")

    def _say(self, kind: str, sentence: str) -> None:
        self._kind = kind
        self._text = sentence
        self._label.setText(breakable(sentence))
        self._frame.setAccessibleName(_("Error") if kind == "error" else _("Notice"))
        self._draw()

    def _draw(self) -> None:
        self._frame.setVisible(bool(self._kind))
        self._button.setIcon(self._look.icon("close"))
        if self._kind:
            setKind(self._frame, self._kind)
            icon = self._look.icon("warning" if self._kind == "error" else "notice")
            self._icon.setPixmap(icon.pixmap(16, 16))

    def _onDismissed(self) -> None:
        self.clear()
        self.dismissed.emit()
