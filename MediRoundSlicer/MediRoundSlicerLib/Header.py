"""The top of the panel: which slice view, what it shows, which dialogue, undo and redo."""

from collections.abc import Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from MediRoundSlicerLib.Dialogues import Dialogue
from MediRoundSlicerLib.DialogueStore import Stored
from MediRoundSlicerLib.Look import Look
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Style import breakable, setKind, toolTip


class Header:
    """
    ```
    header = Header(look, ui, conversation)
    header.viewChosen.connect(...)          # (name)
    header.dialogueChosen.connect(...)      # (dialogueID)
    header.refresh()                        # the conversation changed
    ```

    Args:
        ui: the widgets viewSelector, placeLabel, dialogueSelector, newDialogueButton, undoButton, redoButton.
        conversation: what is shown.
    """

    def __init__(self, look: Look, ui: Any, conversation: Any) -> None:
        self.viewChosen = Signal()
        self.dialogueChosen = Signal()
        self.newWanted = Signal()
        self.undone = Signal()
        self.redone = Signal()
        self._look = look
        self._ui = ui
        self._conversation = conversation
        self._views: list[str] = []
        self._dialogues: list[tuple[str, str]] = []
        ui.viewSelector.connect("activated(int)", self._onView)
        ui.dialogueSelector.connect("activated(int)", self._onDialogue)
        for button, signal in (
            (ui.newDialogueButton, self.newWanted),
            (ui.undoButton, self.undone),
            (ui.redoButton, self.redone),
        ):
            setKind(button, "more")
            button.setFocusPolicy(qt.Qt.TabFocus)
            button.connect("clicked()", signal.emit)
        look.changed.connect(self._drawIcons)
        self._drawIcons()

    def refresh(self) -> None:
        """Show the conversation as it is now."""
        conversation, ui = self._conversation, self._ui
        views = list(conversation.viewNames())
        if views != self._views:
            self._views = views
            _fill(ui.viewSelector, views)
        if conversation.viewName in views:
            _choose(ui.viewSelector, views.index(conversation.viewName))
        ui.placeLabel.setText(breakable(conversation.place or _("No volume in this view")))
        self._showDialogues()
        ui.newDialogueButton.setEnabled(conversation.current is not None)
        for button, done, idle, text in (
            (ui.undoButton, _("Undo {step}"), _("Nothing to undo"), conversation.undoText),
            (ui.redoButton, _("Redo {step}"), _("Nothing to redo"), conversation.redoText),
        ):
            button.setEnabled(bool(text) and conversation.pending is None)
            button.setToolTip(toolTip(done.format(step=text)) if text else idle)

    def _showDialogues(self) -> None:
        dialogues = _listed(self._conversation.stored())
        current = self._conversation.current
        if current is None:
            dialogues.append(("", _("New dialogue")))
        elif current.id not in {known for known, text in dialogues}:
            dialogues.append((current.id, _dialogueText(current)))
        if dialogues != self._dialogues:
            self._dialogues = dialogues
            _fill(self._ui.dialogueSelector, [text for known, text in dialogues])
        wanted = "" if current is None else current.id
        _choose(self._ui.dialogueSelector, [known for known, text in dialogues].index(wanted))

    def _drawIcons(self) -> None:
        self._ui.newDialogueButton.setIcon(self._look.icon("add"))
        self._ui.undoButton.setIcon(self._look.icon("undo"))
        self._ui.redoButton.setIcon(self._look.icon("redo"))

    def _onView(self, index: int) -> None:
        self.viewChosen.emit(self._views[index])

    def _onDialogue(self, index: int) -> None:
        chosen = self._dialogues[index][0]
        if chosen:
            self.dialogueChosen.emit(chosen)


def _listed(stored: Sequence[Stored]) -> list[tuple[str, str]]:
    """The id and the text of each dialogue; with the name of its volume where there are several volumes."""
    names = [_("no volume") if one.volume is None else one.volume.GetName() for one in stored]
    several = len(set(names)) > 1
    return [
        (one.dialogue.id, f"{name} · {_dialogueText(one.dialogue)}" if several else _dialogueText(one.dialogue))
        for one, name in zip(stored, names, strict=True)
    ]


def _dialogueText(dialogue: Dialogue) -> str:
    count = len(dialogue.rounds)
    words = _("{title} · 1 round") if count == 1 else _("{title} · {count} rounds")
    return words.format(title=dialogue.title, count=count)


def _fill(selector: Any, texts: list[str]) -> None:
    was = selector.blockSignals(True)
    selector.clear()
    selector.addItems(texts)
    selector.blockSignals(was)


def _choose(selector: Any, index: int) -> None:
    if selector.currentIndex != index:
        was = selector.blockSignals(True)
        selector.setCurrentIndex(index)
        selector.blockSignals(was)
