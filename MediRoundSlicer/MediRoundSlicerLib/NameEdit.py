"""A segment's name beside its colour; a double click turns it into an input to rename it."""

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from MediRoundSlicerLib.Look import Look
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Style import RGB, plain, setKind, toolTip


class NameEdit:
    """
    ```
    name = NameEdit(look, parent)
    name.clicked.connect(...)           # select the segment, go to its slice
    name.renamed.connect(...)           # (text) as the user typed it
    name.ended.connect(...)             # the input is closed again, renamed or not
    name.show("Left lung (round 1)", (230, 120, 90), "Left lung")
    name.edit()
    ```
    """

    def __init__(self, look: Look, parent: Any) -> None:
        self.clicked = Signal()
        self.renamed = Signal()
        self.ended = Signal()
        self._look = look
        self._name = ""
        self.widget = qt.QWidget(parent)
        layout = qt.QHBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        self.button = _NameButton(self.widget, self.edit)
        setKind(self.button, "segment")
        self.button.setToolButtonStyle(qt.Qt.ToolButtonTextBesideIcon)
        self.button.setIconSize(qt.QSize(14, 14))
        self.button.setFocusPolicy(qt.Qt.TabFocus)
        self.button.setMinimumWidth(40)
        self.button.setSizePolicy(qt.QSizePolicy.Maximum, qt.QSizePolicy.Fixed)
        self.button.connect("clicked()", self.clicked.emit)
        layout.addWidget(self.button, 0, qt.Qt.AlignLeft)
        self.input: Any = None

    def show(self, name: str | None, colour: RGB | None, short: str) -> None:
        """Show a segment by a short form of its name; `name` and `colour` are None where it was deleted."""
        present = name is not None and colour is not None
        self._name = name or ""
        self.button.setEnabled(present)
        if name is not None and colour is not None:
            self.button.setText(plain(short))
            self.button.setIcon(self._look.swatch(colour))
            tip = _("{name}: click to select it and go to its slice, double-click to rename it")
            self.button.setToolTip(toolTip(tip.format(name=name)))
            self.button.setAccessibleName(_("Segment {name}").format(name=name))
        else:
            self.button.setText(_("segment deleted"))
            self.button.setIcon(qt.QIcon())
            self.button.setToolTip(_("Ask again to make it anew."))
            self.button.setAccessibleName(_("segment deleted"))

    def edit(self) -> None:
        """Turn the name into an input."""
        if self.input is not None or not self.button.isEnabled():
            return
        self.input = qt.QLineEdit(self._name, self.widget)
        self.input.setAccessibleName(_("New name of the segment"))
        escape = qt.QShortcut(qt.QKeySequence(qt.Qt.Key_Escape), self.input)
        escape.setContext(qt.Qt.WidgetShortcut)
        escape.connect("activated()", self.cancel)
        self.input.connect("editingFinished()", self._finish)
        self.widget.layout().addWidget(self.input, 1)
        self.button.hide()
        self.input.show()
        self.input.selectAll()
        self.input.setFocus()

    def _finish(self) -> None:
        if self.input is None:
            return
        text = self.input.text.strip()
        self._close()
        if text and text != self._name:
            self.renamed.emit(text)
        self.ended.emit()

    def cancel(self) -> None:
        """Leave the input without renaming."""
        if self.input is not None:
            self._close()
            self.ended.emit()

    def _close(self) -> None:
        # Hiding takes the focus away, which finishes editing once more: there is no input by then.
        closed, self.input = self.input, None
        closed.hide()
        closed.deleteLater()
        self.button.show()


class _NameButton(qt.QToolButton):
    """Calls a function on a double click."""

    def __init__(self, parent: Any, onDoubleClicked: Callable[[], None]) -> None:
        super().__init__(parent)
        self._onDoubleClicked = onDoubleClicked

    def mouseDoubleClickEvent(self, event: Any) -> None:
        self._onDoubleClicked()
