"""First use: what the engine still needs, one button that installs it, and the other way out."""

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MediRoundSlicerLib.Dialogues import DialogueError
from MediRoundSlicerLib.Packages import TORCH, Outcome, Packages, named
from MediRoundSlicerLib.SettingsPanel import choosePython
from MediRoundSlicerLib.SettingsStore import interpreter
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Style import breakable, setKind

_UI = Path(__file__).resolve().parent.parent / "Resources" / "UI" / "Install.ui"


class InstallPanel:
    """Says in plain words what is missing, and installs it when asked.

    ```
    panel = InstallPanel(packages)
    panel.installed.connect(showChat)
    panel.pythonChosen.connect(lambda path: settingsStore.set(python=path))
    panel.showMissing()                        # Slicer's own Python lacks packages
    panel.showEnvironment(python, names)       # another environment does
    ```

    Attributes:
        widget: the QWidget.
        installed: Signal (), everything is there.
        pythonChosen: Signal (path), the interpreter of another environment; "" for Slicer's own; the same again to
            look once more whether its packages are there.
    """

    def __init__(self, packages: Packages) -> None:
        self.installed = Signal()
        self.pythonChosen = Signal()
        self.widget = slicer.util.loadUI(str(_UI))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self._packages = packages
        self._python = ""
        ui = self.ui
        ui.installButton.connect("clicked()", self._onInstall)
        ui.restartButton.connect("clicked()", self._onRestart)
        ui.copyButton.connect("clicked()", self._onCopy)
        ui.againButton.connect("clicked()", self._onAgain)
        ui.pythonButton.connect("clicked()", self._onChoosePython)
        ui.ownButton.connect("clicked()", self._onOwn)
        packages.stepBegan.connect(self._onStepBegan)
        packages.finished.connect(self._onFinished)
        self.showMissing()

    def close(self) -> None:
        """Stop listening to the installation, which may still run."""
        self._packages.stepBegan.disconnect(self._onStepBegan)
        self._packages.finished.disconnect(self._onFinished)

    def showMissing(self) -> None:
        """Show what Slicer's own Python lacks."""
        self._python = ""
        missing = self._packages.missing()
        ui = self.ui
        ui.titleLabel.setText(_("One step before the first question"))
        if TORCH in missing:
            text = _("The engine needs PyTorch and some smaller Python packages, which Slicer does not have yet.")
        elif missing:
            text = _("The engine needs some small Python packages, which Slicer does not have yet.")
        else:
            text = _("Everything that the engine needs is installed.")
        if self._packages.extensionMissing():
            text += " " + _("PyTorch comes through Slicer's PyTorch extension, which is installed first.")
        ui.textLabel.setText(text)
        ui.detailLabel.setText(self._details(missing) if missing else "")
        ui.pythonButton.setText(_("Use another Python environment…"))
        self._show("installButton", "pythonButton")

    def showEnvironment(self, python: str, names: tuple[str, ...] | list[str]) -> None:
        """Show what another environment lacks, and the command that installs it there.

        Args:
            python: its interpreter.
            names: packages as pip names them.
        """
        self._python = python
        self.ui.titleLabel.setText(_("The chosen Python environment is not complete"))
        self.ui.textLabel.setText(
            breakable(
                _("{python} lacks: {names}. Run this in a terminal, then check again:").format(
                    python=python, names=named(names)
                )
            )
        )
        self.ui.commandEdit.setText(self._packages.command(python))
        self.ui.commandEdit.setCursorPosition(0)
        self.ui.detailLabel.setText(_("MediRound changes nothing in an environment of yours."))
        self.ui.pythonButton.setText(_("Choose another…"))
        self._show("commandEdit", "copyButton", "againButton", "pythonButton", "ownButton")

    def showRestart(self, message: str) -> None:
        """Show that Slicer must be restarted first, and why."""
        self.ui.titleLabel.setText(_("Restart Slicer to go on"))
        self.ui.textLabel.setText(message)
        self.ui.detailLabel.setText(_("Save the scene first if it holds work of yours."))
        self._show("restartButton", "pythonButton")

    def _details(self, missing: tuple[str, ...]) -> str:
        """The names, and the space they take at most."""
        size, free = self._packages.gigabytes(), self._packages.freeGigabytes()
        text = _("Missing: {names}.").format(names=named(missing))
        if size:
            text += " " + _("They take up to {size} GB on the disk.").format(size=f"{size:.1f}")
        if free is not None and free < size:
            text += " " + _("Only {free} GB are free where Slicer is installed.").format(free=f"{free:.1f}")
        return text + " " + _("You are asked before anything is downloaded.")

    def _show(self, *names: str) -> None:
        """Show these of the parts that come and go, and nothing of an earlier result."""
        for name in (
            "commandEdit",
            "progressBar",
            "resultFrame",
            "installButton",
            "restartButton",
            "copyButton",
            "againButton",
            "pythonButton",
            "ownButton",
        ):
            part: Any = getattr(self.ui, name)
            part.setVisible(name in names)
            part.setEnabled(True)

    def _tell(self, message: str, kind: str) -> None:
        setKind(self.ui.resultFrame, kind)
        self.ui.resultLabel.setText(breakable(message))
        self.ui.resultFrame.setVisible(bool(message))

    def _onInstall(self) -> None:
        self._show("installButton", "pythonButton", "progressBar")
        self.ui.installButton.setEnabled(False)
        self.ui.pythonButton.setEnabled(False)
        self.ui.detailLabel.setText(_("Looking what is missing."))
        self._packages.install()

    def _onStepBegan(self, sentence: str) -> None:
        self.ui.detailLabel.setText(sentence)

    def _onFinished(self, outcome: Outcome) -> None:
        self.showMissing()
        if outcome.kind == "restart":
            self.showRestart(outcome.message)
        else:
            self._tell(outcome.message, "error" if outcome.kind == "failed" else "notice")
        if outcome.kind == "done":
            self._show()
            self._tell(outcome.message, "notice")
            self.installed.emit()

    def _onRestart(self) -> None:
        if slicer.mrmlScene.GetModifiedSinceRead() and not slicer.util.confirmOkCancelDisplay(
            _("Slicer closes now, and what is not saved in the scene is lost. Restart?"), _("Restart Slicer")
        ):
            return
        slicer.util.restart()

    def _onCopy(self) -> None:
        qt.QApplication.clipboard().setText(self._packages.command(self._python))
        self._tell(_("The command is copied."), "notice")

    def _onAgain(self) -> None:
        self.pythonChosen.emit(self._python)

    def _onChoosePython(self) -> None:
        choosePython(self.widget, self._python, self._choose)

    def _choose(self, path: str) -> None:
        try:
            python = interpreter(path)
        except DialogueError as error:
            self._tell(str(error), "error")
            return
        self.pythonChosen.emit(python)

    def _onOwn(self) -> None:
        self.pythonChosen.emit("")
