"""The line to type a query in, and above it what the query is understood to lean on."""

from typing import Any

import qt
from slicer.i18n import tr as _

from MediRoundSlicerLib.Asking import AUTO
from MediRoundSlicerLib.Dialogues import Reference
from MediRoundSlicerLib.Look import Look
from MediRoundSlicerLib.ReferenceChip import ReferenceChip
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Style import breakable, setKind, toolTip

# What was typed is understood after a short rest.
REST_MS = 150


class QueryInput:
    """Enter sends, Up and Down recall, Escape cancels.

    ```
    query = QueryInput(look, ui, conversation)
    query.sent.connect(...)             # (query, reference): AUTO, None or a Reference
    query.branched.connect(...)         # (roundID, query): an earlier round edited
    query.cancelled.connect(...)        # Escape or the button, with nothing of its own to cancel
    query.putBack()                     # what was sent last did not come to an answer
    ```

    Args:
        ui: the widgets queryEdit, sendButton, contextArea, contextLabel and contextError.
        conversation: asked for `understood`, `segments`, `queries`, `hint` and `pending`, and told to `prepare`.
    """

    def __init__(self, look: Look, ui: Any, conversation: Any) -> None:
        self.sent = Signal()
        self.branched = Signal()
        self.cancelled = Signal()
        self._conversation = conversation
        self._edit = ui.queryEdit
        self._button = ui.sendButton
        self._label = ui.contextLabel
        self._error = ui.contextError
        # What the user chose instead of what her words say.
        self._reference: Any = AUTO
        self._editing: tuple[str, int] | None = None
        self._last: tuple[str, Any, tuple[str, int] | None] | None = None
        # Whether a query was begun, which is told to the engine once.
        self._isTyping = False
        # The place among earlier queries while they are recalled, and what was typed before.
        self._recalled: int | None = None
        self._draft = ""
        self.chip = ReferenceChip(look, ui.contextArea, conversation.segments, words=True)
        self.chip.chosen.connect(self._onReferenceChosen)
        self.chip.byWords.connect(self._onByWords)
        look.changed.connect(self.chip.redraw)
        ui.contextArea.layout().insertWidget(0, self.chip.widget, 0, qt.Qt.AlignLeft)
        self._rest = qt.QTimer(self._edit)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.connect("timeout()", self.refresh)
        self._edit.connect("textChanged(QString)", self._onTextChanged)
        self._edit.connect("textEdited(QString)", self._onTextEdited)
        self._edit.connect("returnPressed()", self.send)
        self._button.connect("clicked()", self._onButton)
        self._shortcuts = [
            self._shortcut(qt.Qt.Key_Up, self._recallEarlier),
            self._shortcut(qt.Qt.Key_Down, self._recallLater),
            self._shortcut(qt.Qt.Key_Escape, self.escape),
        ]
        self.refresh()

    @property
    def text(self) -> str:
        return self._edit.text.strip()

    def setText(self, text: str) -> None:
        """Put a query into the input, to be sent or changed."""
        self._edit.setText(text)
        self.focus()

    def focus(self) -> None:
        self._edit.setFocus()

    def send(self) -> None:
        """Send what is typed."""
        query = self.text
        if not query:
            return
        self._last = (query, self._reference, self._editing)
        reference, editing = self._reference, self._editing
        self._clear()
        if editing is not None:
            self.branched.emit(editing[0], query)
        else:
            self.sent.emit(query, reference)
        self.focus()

    def putBack(self) -> None:
        """Give the user her last query again, unless she has typed another meanwhile."""
        if self._last is not None and not self.text:
            query, self._reference, self._editing = self._last
            self._edit.setText(query)
            self.refresh()
        self._last = None

    def forget(self) -> None:
        """Something else is asked now; the last query is not put back any more."""
        self._last = None

    def editRound(self, roundID: str, number: int, query: str) -> None:
        """Let the user change an earlier query; sent, it branches the dialogue there."""
        self._editing = (roundID, number)
        self._edit.setText(query)
        self._edit.selectAll()
        self.refresh()
        self.focus()

    def escape(self) -> None:
        """Leave what was begun here; else it is the running round that is cancelled."""
        if self._editing is not None:
            self._clear()
        else:
            self.cancelled.emit()

    def refresh(self) -> None:
        """Say what is understood, and what can be done now."""
        self._rest.stop()
        running = self._conversation.pending is not None
        hint = self._conversation.hint
        self._button.setText(_("Cancel") if running else _("Send"))
        setKind(self._button, "cancel" if running else "send")
        self._button.setEnabled(running or bool(self.text and not hint))
        tip = _("Stop this round (Escape)") if running else hint or _("Send the query (Enter)")
        self._button.setToolTip(toolTip(tip))
        self._showContext(hint)

    def _showContext(self, hint: str) -> None:
        """Above the input: the chip of what is typed, or a few words where nothing is, and what is wrong with it."""
        words = problem = ""
        if self._editing is not None:
            words = _("Editing round {number}: a new dialogue begins from there. Escape leaves it as it is.").format(
                number=self._editing[1]
            )
        elif hint:
            words = hint
        elif not self.text:
            words = _("Enter sends · ↑ recalls earlier queries")
        else:
            understood = self._conversation.understood(self.text, self._reference)
            reference, problem = understood.reference, understood.error
            self.chip.show(understood.label, None if reference is None else reference.segmentID)
        self._label.setText(breakable(words))
        self._label.setVisible(bool(words))
        self.chip.widget.setVisible(not words)
        self._error.setText(breakable(problem))
        self._error.setVisible(bool(problem))

    def _clear(self) -> None:
        self._reference = AUTO
        self._editing = None
        self._recalled = None
        self._isTyping = False
        self._edit.clear()
        self.refresh()

    def _shortcut(self, key: Any, slot: Any) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(key), self._edit)
        shortcut.setContext(qt.Qt.WidgetShortcut)
        shortcut.connect("activated()", slot)
        return shortcut

    def _onTextChanged(self, text: str) -> None:
        if not self.text:
            self._reference = AUTO
        self._rest.start()

    def _onTextEdited(self, text: str) -> None:
        self._recalled = None
        if text and not self._isTyping:
            self._conversation.prepare()
        self._isTyping = bool(text)

    def _onButton(self) -> None:
        if self._conversation.pending is not None:
            self.cancelled.emit()
        else:
            self.send()
        self.focus()

    def _onReferenceChosen(self, reference: Reference | None) -> None:
        self._reference = reference
        self.refresh()
        self.focus()

    def _onByWords(self) -> None:
        self._reference = AUTO
        self.refresh()
        self.focus()

    def _recallEarlier(self) -> None:
        self._recall(-1)

    def _recallLater(self) -> None:
        self._recall(1)

    def _recall(self, step: int) -> None:
        queries = self._conversation.queries()
        if self._recalled is None:
            if step > 0:
                return
            self._draft = self._edit.text
        place = (len(queries) if self._recalled is None else self._recalled) + step
        if place < 0:
            return
        atEnd = place >= len(queries)
        self._recalled = None if atEnd else place
        self._edit.setText(self._draft if atEnd else queries[place])
