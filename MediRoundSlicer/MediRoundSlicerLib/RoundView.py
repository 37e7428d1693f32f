"""One round of the chat: the user's words, what they leaned on, the answer, its segment and how good it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

from MediRoundSlicerLib.Dialogues import Reference, Round
from MediRoundSlicerLib.Look import Look
from MediRoundSlicerLib.NameEdit import NameEdit
from MediRoundSlicerLib.ReferenceChip import ReferenceChip
from MediRoundSlicerLib.RunningRow import RunningRow
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Style import RGB, breakable, plain, setKind, toolTip
from MediRoundSlicerLib.Understanding import Choice

# At or below this the engine corrects a round; where it stays below, the badge says so.
LOW_QUALITY = 0.6


@dataclass(frozen=True)
class ShownRound:
    """What a RoundView shows; where nothing of it changed, nothing is drawn anew.

    Attributes:
        done: the round.
        name, colour: of its segment, or None where that was deleted.
        reference: what it leaned on, in words.
    """

    done: Round
    name: str | None
    colour: RGB | None
    reference: str


class RoundView:
    """
    ```
    view = RoundView(look, parent, conversation.segments)
    view.clicked.connect(conversation.goTo)
    view.show(ShownRound(done, "Left lung (round 1)", (230, 120, 90), "no reference"))
    ```

    All signals give the round's id first; `renamed` and `referenceChosen` also the new name or reference.

    Args:
        choices: what a reference can be chosen from; rounds from this one on are left out.
    """

    def __init__(self, look: Look, parent: Any, choices: Callable[[], Sequence[Choice]]) -> None:
        self.clicked = Signal()
        self.renamed = Signal()
        self.referenceChosen = Signal()
        self.askAgain = Signal()
        self.edit = Signal()
        self.delete = Signal()
        self.ended = Signal()
        self._look = look
        self.shown: ShownRound | None = None
        self._choices = choices
        self.widget = _RoundFrame(parent, self._onClicked)
        setKind(self.widget, "round")
        # Two columns: the round's number, and what is said.
        grid = qt.QGridLayout(self.widget)
        grid.setContentsMargins(5, 6, 5, 6)
        grid.setHorizontalSpacing(5)
        grid.setVerticalSpacing(3)
        grid.setColumnMinimumWidth(0, 14)
        grid.setColumnStretch(1, 1)

        self._number = _label(self.widget, "number")
        self._query = _label(self.widget, "query", wrap=True)
        grid.addWidget(self._number, 0, 0, qt.Qt.AlignTop)
        grid.addWidget(self._query, 0, 1)

        self.chip = ReferenceChip(look, self.widget, self._earlier)
        self.chip.chosen.connect(self._onReferenceChosen)
        self._time = _label(self.widget, "quiet")
        self.moreButton = self._makeMoreButton()
        row = _row(self.chip.widget, self._time)
        row.addWidget(self.moreButton)
        grid.addLayout(row, 1, 1)

        self._answer = _label(self.widget, "answer", wrap=True)
        grid.addWidget(self._answer, 2, 1)

        self.name = NameEdit(look, self.widget)
        self.name.clicked.connect(self._onClicked)
        self.name.renamed.connect(self._onRenamed)
        self.name.ended.connect(self.ended.emit)
        self._badge = _label(self.widget, "badge")
        self._badge.setIndent(0)
        grid.addLayout(_row(self.name.widget, self._badge, fills=True), 3, 1)

        self.running = RunningRow(look, self.widget)
        grid.addWidget(self.running.widget, 4, 1)

    @property
    def roundID(self) -> str:
        return "" if self.shown is None else self.shown.done.id

    def show(self, shown: ShownRound | None) -> None:
        """Show a round, or what changed of it, or nothing."""
        if shown == self.shown:
            return
        if shown is None or shown.done.id != self.roundID:
            self.name.cancel()
            self.running.stop()
        self.shown = shown
        self.widget.setVisible(shown is not None)
        if shown is not None:
            self._draw(shown)

    def redraw(self) -> None:
        """Icons hold their colours: draw everything anew in those of now."""
        self.moreButton.setIcon(self._look.quietIcon("more"))
        self.chip.redraw()
        if self.shown is not None:
            self._draw(self.shown)

    def _draw(self, shown: ShownRound) -> None:
        done = shown.done
        self._number.setText(str(done.number))
        self._number.setToolTip(_('Round {number}: "instance {number}" in a query.').format(number=done.number))
        self._query.setText(breakable(done.query))
        self._answer.setText(breakable(done.text))
        seconds = f"{done.seconds:.1f}" if done.seconds >= 0.1 else "< 0.1"
        self._time.setText(_("{seconds} s").format(seconds=seconds))
        self._time.setToolTip(toolTip(_("Time that {model} took.").format(model=done.model or _("the engine"))))
        self.chip.show(shown.reference, None if done.reference is None else done.reference.segmentID)
        self.name.show(shown.name, shown.colour, _shortName(shown))
        self._showQuality(done)
        self.widget.setAccessibleName(_("Round {number}: {query}").format(number=done.number, query=done.query))

    def setRunning(self, stage: str | None, started: float = 0.0) -> None:
        """Show that this round is asked again now, or None when it is over."""
        if stage is None:
            self.running.stop()
        else:
            self.running.start(stage, started)

    def _showQuality(self, done: Round) -> None:
        text, low, tip = qualityText(done)
        self._badge.setVisible(bool(text))
        self._badge.setText(text)
        self._badge.setToolTip(tip)
        setKind(self._badge, "lowBadge" if low else "badge")

    def _makeMoreButton(self) -> Any:
        button = qt.QToolButton(self.widget)
        setKind(button, "more")
        button.setIcon(self._look.quietIcon("more"))
        button.setIconSize(qt.QSize(16, 16))
        button.setToolTip(_("More for this round"))
        button.setAccessibleName(_("More for this round"))
        button.setPopupMode(qt.QToolButton.InstantPopup)
        button.setFocusPolicy(qt.Qt.TabFocus)
        menu = qt.QMenu(button)
        for text, slot in (
            (_("Ask again"), lambda: self.askAgain.emit(self.roundID)),
            (_("Edit and branch…"), lambda: self.edit.emit(self.roundID)),
            (_("Rename segment…"), lambda: self.name.edit()),
            (_("Delete round"), lambda: self.delete.emit(self.roundID)),
        ):
            menu.addAction(plain(text)).connect("triggered()", slot)
        button.setMenu(menu)
        return button

    def _earlier(self) -> list[Choice]:
        assert self.shown is not None
        number = self.shown.done.number
        return [choice for choice in self._choices() if choice.number is None or choice.number < number]

    def _onClicked(self) -> None:
        self.clicked.emit(self.roundID)

    def _onRenamed(self, name: str) -> None:
        self.renamed.emit(self.roundID, name)

    def _onReferenceChosen(self, reference: Reference | None) -> None:
        self.referenceChosen.emit(self.roundID, reference)


def qualityText(done: Round) -> tuple[str, bool, str]:
    """The badge of a round: its text, whether it warns, and its tool tip."""
    final = done.finalQuality
    if final is None or done.quality is None:
        return "", False, ""
    low = final <= LOW_QUALITY
    if done.corrected:
        text = _("corrected {before} → {after}").format(before=f"{done.quality:.2f}", after=f"{final:.2f}")
        tip = _("The model judged its first answer at {before} of 1, and corrected it.").format(
            before=f"{done.quality:.2f}"
        )
        return (_("{badge} · low").format(badge=text) if low else text), low, tip
    text = _("low quality {quality}") if low else _("quality {quality}")
    tip = _("How well the model itself expects the mask to fit, from 0 to 1.")
    return text.format(quality=f"{final:.2f}"), low, tip


class _RoundFrame(qt.QFrame):
    """Calls a function when it is clicked anywhere that is no button."""

    def __init__(self, parent: Any, onClicked: Callable[[], None]) -> None:
        super().__init__(parent)
        self._onClicked = onClicked

    def mousePressEvent(self, event: Any) -> None:
        event.accept()

    def mouseReleaseEvent(self, event: Any) -> None:
        if event.button() == qt.Qt.LeftButton:
            self._onClicked()


def _shortName(shown: ShownRound) -> str:
    """The segment's name without " (round 2)", which stands beside it."""
    done = shown.done
    if shown.name == done.autoName and done.name:
        return done.name[0].upper() + done.name[1:]
    return shown.name or ""


def _label(parent: Any, kind: str, wrap: bool = False) -> Any:
    label = qt.QLabel(parent)
    setKind(label, kind)
    # What the user or the model wrote is never taken for HTML.
    label.setTextFormat(qt.Qt.PlainText)
    label.setWordWrap(wrap)
    return label


def _row(left: Any, right: Any, fills: bool = False) -> Any:
    """A row with one widget at its left end, or all the way, and one at its right."""
    row = qt.QHBoxLayout()
    row.setSpacing(6)
    if fills:
        row.addWidget(left, 1)
    else:
        row.addWidget(left, 1, qt.Qt.AlignLeft)
    row.addWidget(right)
    return row
