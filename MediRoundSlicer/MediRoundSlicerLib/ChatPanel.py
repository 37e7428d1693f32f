"""The panel: shows a Conversation, and calls it for everything that the user does."""

from collections.abc import Callable
from typing import Any

from MediRoundSlicerLib import Unexpected
from MediRoundSlicerLib.ChatView import ChatView
from MediRoundSlicerLib.Dialogues import DialogueError, Reference, Round
from MediRoundSlicerLib.ExportMenu import ExportMenu
from MediRoundSlicerLib.Header import Header
from MediRoundSlicerLib.Look import Look
from MediRoundSlicerLib.MessageStrip import MessageStrip
from MediRoundSlicerLib.QueryInput import QueryInput
from MediRoundSlicerLib.RoundView import RoundView, ShownRound
from MediRoundSlicerLib.StatusLine import StatusLine
from MediRoundSlicerLib.Understanding import Choice, label


class ChatPanel:
    """Fills the widgets of MediRoundSlicer.ui.

    ```
    panel = ChatPanel(uiWidget, slicer.util.childWidgetVariables(uiWidget), conversation)
    panel.showInstall(True)             # the engine's packages are missing
    panel.close()
    ```
    """

    def __init__(self, widget: Any, ui: Any, conversation: Any) -> None:
        self.conversation = conversation
        self._installing = False
        self._ui = ui
        self.look = Look(widget)
        self.header = Header(self.look, ui, conversation)
        self.chat = ChatView(self.look, ui.chatArea, conversation.segments)
        self.strip = MessageStrip(self.look, ui.messageStrip, ui.messageIcon, ui.messageLabel, ui.dismissButton)
        self.input = QueryInput(self.look, ui, conversation)
        self.status = StatusLine(self.look, ui, conversation.engine)
        self.export = ExportMenu(self.look, ui.exportButton, conversation)
        self._connectParts()
        conversation.dialogueChanged.connect(self._onDialogueChanged)
        conversation.placeChanged.connect(self._onPlaceChanged)
        conversation.pendingChanged.connect(self._onPendingChanged)
        conversation.unanswered.connect(self.input.putBack)
        conversation.failed.connect(self.strip.error)
        conversation.noticed.connect(self.strip.notice)
        ui.installArea.hide()
        self.refresh()

    def close(self) -> None:
        """Let go of the conversation and the engine."""
        self.look.close()
        self.status.close()
        self.conversation.dialogueChanged.disconnect(self._onDialogueChanged)
        self.conversation.placeChanged.disconnect(self._onPlaceChanged)
        self.conversation.pendingChanged.disconnect(self._onPendingChanged)
        self.conversation.unanswered.disconnect(self.input.putBack)
        self.conversation.failed.disconnect(self.strip.error)
        self.conversation.noticed.disconnect(self.strip.notice)

    def refresh(self) -> None:
        """Show everything as it is now."""
        self.look.refresh()
        self._onDialogueChanged()
        self.conversation.tellProblems()

    def showInstall(self, wanted: bool) -> None:
        """Show the installation in place of the welcome; rounds that are in the scene stay in sight."""
        self._installing = wanted
        self._ui.installArea.setVisible(wanted)
        self._ui.inputArea.setVisible(not wanted)
        self._showChat()

    def _showChat(self) -> None:
        self._ui.chatArea.setVisible(not self._installing or bool(self.chat.rounds))

    def _connectParts(self) -> None:
        conversation = self.conversation
        self.header.viewChosen.connect(lambda name: self._do(conversation.setView, name))
        self.header.dialogueChosen.connect(lambda dialogueID: self._do(conversation.select, dialogueID))
        self.header.newWanted.connect(lambda: self._do(conversation.newDialogue))
        self.header.undone.connect(lambda: self._do(conversation.undo))
        self.header.redone.connect(lambda: self._do(conversation.redo))
        self.chat.roundMade.connect(self._onRoundMade)
        self.chat.exampleChosen.connect(self.input.setText)
        self.chat.cancelled.connect(self._onCancelled)
        self.strip.dismissed.connect(self.input.focus)
        self.input.sent.connect(self._onSent)
        self.input.branched.connect(self._onBranched)
        self.input.cancelled.connect(self._onCancelled)
        self.export.begun.connect(self.strip.clear)
        self.export.done.connect(self.strip.notice)
        self.export.failed.connect(self.strip.error)

    def _onRoundMade(self, view: RoundView) -> None:
        conversation = self.conversation
        view.clicked.connect(lambda roundID: self._do(conversation.goTo, roundID))
        view.renamed.connect(lambda roundID, name: self._do(conversation.rename, roundID, name))
        view.referenceChosen.connect(self._onReferenceChosen)
        view.askAgain.connect(self._onAskAgain)
        view.edit.connect(self._onEdit)
        view.delete.connect(lambda roundID: self._do(conversation.deleteRound, roundID))
        view.ended.connect(self.input.focus)

    # ---- what the conversation says ----

    def _onDialogueChanged(self) -> None:
        conversation = self.conversation
        dialogue = conversation.current
        # Once for all rounds: listing the segments costs with their number.
        choices = conversation.segments()
        segments = {choice.segmentID: choice for choice in choices}
        rounds = () if dialogue is None else dialogue.rounds
        self.chat.show([_shown(done, segments.get(done.segmentID), choices) for done in rounds])
        self._showChat()
        self._onPendingChanged()

    def _onPlaceChanged(self) -> None:
        self.header.refresh()
        self.input.refresh()

    def _onPendingChanged(self) -> None:
        pending, dialogue = self.conversation.pending, self.conversation.current
        number = None
        if pending is not None:
            here = dialogue is None or dialogue.id == pending.dialogueID
            number = pending.dialogue.nextNumber if here else None
        self.chat.showRunning(pending, number)
        self._onPlaceChanged()

    # ---- what the user does ----

    def _onSent(self, query: str, reference: Any) -> None:
        self._send(self.conversation.ask, query, reference)

    def _onBranched(self, roundID: str, query: str) -> None:
        self._send(self.conversation.branch, roundID, query)

    def _onCancelled(self) -> None:
        if self.conversation.pending is None:
            self.strip.clear()
            return
        self._do(self.conversation.cancel)

    def _onAskAgain(self, roundID: str) -> None:
        self.input.forget()
        self._do(self.conversation.askAgain, roundID)

    def _onReferenceChosen(self, roundID: str, reference: Reference | None) -> None:
        self.input.forget()
        self._do(self.conversation.askAgain, roundID, reference)

    def _onEdit(self, roundID: str) -> None:
        done = self.conversation.current.round(roundID)
        self.input.editRound(roundID, done.number, done.query)

    def _send(self, action: Callable[..., bool], *arguments: Any) -> None:
        """Send a query; it is given back where it was refused."""
        if not self._do(action, *arguments):
            self.input.putBack()

    def _do(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """Call the conversation; what goes wrong is said, and the focus stays in the input."""
        self.strip.clear()
        done = None
        try:
            done = action(*arguments)
        except DialogueError as error:
            self.strip.error(str(error))
        except Exception as error:  # in a slot of Qt it would be seen by nobody
            self.strip.error(Unexpected.sentence(error))
        self.input.focus()
        return done


def _shown(done: Round, segment: Choice | None, choices: list[Choice]) -> ShownRound:
    """A round with its segment as it is now."""
    name, colour = (None, None) if segment is None else (segment.name, segment.colour)
    return ShownRound(done, name, colour, label(done.reference, choices))
