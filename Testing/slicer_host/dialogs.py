"""Boxes and file dialogs: in tests nobody is there to click, so that they are noted and answered at once."""

from typing import Any

from PySide6 import QtWidgets

from slicer_host import calls

Button = QtWidgets.QMessageBox.StandardButton
FILES = ("getOpenFileName", "getSaveFileName", "getExistingDirectory")


class Dialogs:
    """What was shown, and what the test's user says to it.

    Attributes:
        messages: (icon, text) of every box, such as ("Critical", "No volume."); the oldest first.
        answers: for the next questions, in order: a button's name ("Yes", "Cancel"), or a path for a file dialog.
        waits: whether a real user is there: then the boxes are shown.
    """

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.answers: list[str] = []
        self.waits = False

    def clear(self) -> None:
        self.messages.clear()
        self.answers.clear()

    def answer(self, question: str) -> str:
        """The next answer. Raises AssertionError where the test has none: in Slicer it would wait for ever."""
        assert self.answers, f"nobody answers: {question}"
        return self.answers.pop(0)

    def ask(self, box: QtWidgets.QMessageBox) -> QtWidgets.QMessageBox.StandardButton:
        """The button that the user presses."""
        self.messages.append((box.icon().name, box.text()))
        buttons = box.standardButtons()
        if buttons in (Button.NoButton, Button.Ok, Button.Close):
            return Button.Ok if buttons == Button.NoButton else Button(buttons.value)
        pressed = getattr(Button, self.answer(box.text()))
        assert pressed in buttons, f"no button {pressed.name}: {box.text()}"
        return pressed

    def file(self, *arguments: Any) -> str:
        """The path that the user chooses; "" is a cancelled dialog."""
        return self.answer(f"file dialog {arguments!r}")


dialogs = Dialogs()


class ctkMessageBox(QtWidgets.QMessageBox):
    """The box of `slicer.util`'s displays and confirmations."""

    def exec(self) -> Any:
        return super().exec() if dialogs.waits else dialogs.ask(self)


def install(waits: bool) -> None:
    """Puts the answers in the place of the file dialogs, or takes them away where a user is there."""
    dialogs.waits = waits
    dialogs.clear()
    for name in FILES:
        calls.answers.pop(f"QFileDialog.{name}", None)
        if not waits:
            calls.answers[f"QFileDialog.{name}"] = dialogs.file
