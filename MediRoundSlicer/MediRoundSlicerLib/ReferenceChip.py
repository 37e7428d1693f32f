"""The chip that says what a query leans on, and lets the user choose something else."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import qt
from slicer.i18n import tr as _

from MediRoundSlicerLib.Dialogues import Reference
from MediRoundSlicerLib.Look import Look
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Style import plain, setKind, toolTip
from MediRoundSlicerLib.Understanding import Choice


class ReferenceChip:
    """A small button such as "↳ round 1 · left lung ▾" with a menu of everything that can be referred to.

    ```
    chip = ReferenceChip(look, parent, conversation.segments)
    chip.chosen.connect(lambda reference: ...)      # a Reference, or None for "no reference"
    chip.show("round 1 · left lung", "segment id")
    layout.addWidget(chip.widget)
    ```

    Args:
        choices: called when the menu opens, gives what can be chosen.
        words: whether the menu also offers to go by the words again; `byWords` is emitted then.
    """

    def __init__(self, look: Look, parent: Any, choices: Callable[[], Sequence[Choice]], words: bool = False) -> None:
        self.chosen = Signal()
        self.byWords = Signal()
        self._look = look
        self._choices = choices
        self._words = words
        self._segmentID: str | None = None
        self.widget = qt.QToolButton(parent)
        setKind(self.widget, "chip")
        self.widget.setToolButtonStyle(qt.Qt.ToolButtonTextBesideIcon)
        self.widget.setIconSize(qt.QSize(14, 14))
        self.widget.setIcon(look.quietIcon("reference"))
        self.widget.setPopupMode(qt.QToolButton.InstantPopup)
        self.widget.setFocusPolicy(qt.Qt.TabFocus)
        # A long name is cut off with an ellipsis, the tool tip has it whole.
        self.widget.setMinimumWidth(60)
        self.widget.setSizePolicy(qt.QSizePolicy.Maximum, qt.QSizePolicy.Fixed)
        self._menu = qt.QMenu(self.widget)
        self._menu.connect("aboutToShow()", self._fill)
        self.widget.setMenu(self._menu)

    def show(self, label: str, segmentID: str | None) -> None:
        """Say what the query leans on.

        Args:
            label: that in words.
            segmentID: the segment of it, marked in the menu; None for no reference.
        """
        self._segmentID = segmentID
        self.widget.setText(plain(label) + " ▾")
        tip = _("Refers to: {label}. Click to choose another reference.").format(label=label)
        self.widget.setToolTip(toolTip(tip))
        self.widget.setAccessibleName(_("Reference: {label}").format(label=label))

    def redraw(self) -> None:
        """Draw the icon anew, in the colours of now."""
        self.widget.setIcon(self._look.quietIcon("reference"))

    def _fill(self) -> None:
        self._menu.clear()
        choices = self._choices()
        rounds = [choice for choice in choices if choice.number is not None]
        others = [choice for choice in choices if choice.number is None]
        if self._words:
            self._add(_("As the words say"), self.byWords.emit)
            self._menu.addSeparator()
        for choice in rounds:
            self._offer(choice, _("{number} · {name}").format(number=choice.number, name=choice.spoken))
        if rounds and others:
            self._menu.addSeparator()
        for choice in others:
            self._offer(choice, choice.spoken)
        if choices:
            self._menu.addSeparator()
        none = self._add(_("No reference"), partial(self.chosen.emit, None))
        _mark(none, self._segmentID is None)

    def _offer(self, choice: Choice, text: str) -> None:
        reference = Reference(choice.segmentID, choice.roundID, chosen=True)
        action = self._add(plain(text), partial(self.chosen.emit, reference))
        action.setIcon(self._look.swatch(choice.colour))
        _mark(action, choice.segmentID == self._segmentID)

    def _add(self, text: str, slot: Callable[[], None]) -> Any:
        action = self._menu.addAction(text)
        action.connect("triggered()", slot)
        return action


def _mark(action: Any, chosen: bool) -> None:
    """The present choice in bold: a check mark would take the place of the colour."""
    if chosen:
        font = action.font
        font.setBold(True)
        action.setFont(font)
