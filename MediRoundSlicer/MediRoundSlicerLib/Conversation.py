"""The conversation: what the user can do, without a widget. The panel shows this and calls this, and nothing else.

It joins the rooms: the slice and the dialogue in view (CurrentDialogue), what a query leans on (Understanding), the
running round (RoundRunner), the scene's dialogues (DialogueStore) and the steps that can be undone (History, Revising).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from slicer.i18n import tr as _

from MediRoundLib.errors import QueryError
from MediRoundLib.words import check_query
from MediRoundSlicerLib import Revising, SegmentStore, SliceCapture, Understanding
from MediRoundSlicerLib.Asking import AUTO, KEEP, Pending
from MediRoundSlicerLib.CurrentDialogue import CurrentDialogue
from MediRoundSlicerLib.Dialogues import Dialogue, DialogueError, Reference, Round, newID
from MediRoundSlicerLib.DialogueStore import DialogueStore, Stored
from MediRoundSlicerLib.History import History
from MediRoundSlicerLib.Place import describe, title
from MediRoundSlicerLib.RoundRunner import RoundRunner
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Understanding import Choice, Understood


class Conversation:
    """All dialogues of the scene, and the one in view.

    ```
    conversation = Conversation(EngineProcess())
    conversation.setView("Red")
    conversation.ask("Segment the right lung.")     # returns at once; dialogueChanged comes with the answer
    ```

    What the user cannot do is not raised but said: `failed` gives one sentence.

    Args:
        engine: an EngineProcess, or what behaves like one.
        later: calls a function soon, once for many calls in a row; None calls it now.

    Attributes:
        dialogueChanged: Signal (), the dialogue in view, the list of dialogues, names or colours changed.
        placeChanged: Signal (), the view shows another slice.
        pendingChanged: Signal (), the running round began, went on or ended.
        unanswered: Signal (), the running round ended without an answer; `failed` or `noticed` says why.
        failed, noticed: Signal (sentence).
    """

    def __init__(self, engine: Any, later: Callable[[Callable[[], None]], None] | None = None) -> None:
        self.dialogueChanged = Signal()
        self.placeChanged = Signal()
        self.pendingChanged = Signal()
        self.unanswered = Signal()
        self.failed = Signal()
        self.noticed = Signal()
        self.engine = engine
        self.store = DialogueStore()
        self.history = History()
        self._later = later if later is not None else lambda function: function()
        self._current = CurrentDialogue(self.store, self._later)
        self._current.changed.connect(self.dialogueChanged.emit)
        self._current.moved.connect(self.placeChanged.emit)
        self._current.closing.connect(self._onSceneCloses)
        self._current.imported.connect(self.tellProblems)
        self._view = self._current.view
        self._runner = RoundRunner(engine, self.store, self.history, self._current)
        self._runner.pendingChanged.connect(self.pendingChanged.emit)
        self._runner.unanswered.connect(self.unanswered.emit)
        self._runner.written.connect(self.dialogueChanged.emit)
        self._runner.failed.connect(self.failed.emit)
        self._runner.noticed.connect(self.noticed.emit)
        self._asked: list[str] = []
        self._told: set[str] = set()
        engine.noticed.connect(self.noticed.emit)

    def close(self) -> None:
        """Let go of the scene and end the engine."""
        self._current.close()
        self._runner.close()
        self.engine.noticed.disconnect(self.noticed.emit)
        self.engine.stop()

    # ---- where the user looks ----

    @property
    def viewName(self) -> str:
        return self._view.name

    def viewNames(self) -> list[str]:
        return SliceCapture.viewNames()

    def setView(self, name: str) -> None:
        """Follow another slice view."""
        self._view.follow(name)

    @property
    def place(self) -> str:
        """What the view shows, such as "CT chest · Axial 34", or ""."""
        return describe(self._view.volume, self._view.plane)

    @property
    def hint(self) -> str:
        """Why nothing can be asked here, or ""."""
        if self._view.volume is not None:
            return ""
        if not self.viewName:
            return _("Choose a slice view.")
        return SliceCapture.whyNot(self.viewName)

    @property
    def volumeNode(self) -> Any:
        return self._view.volume

    @property
    def segmentationNode(self) -> Any:
        """Where segments of the slice in view are, or None as long as there is no segmentation."""
        return self._current.segmentation

    def setSegmentation(self, node: Any) -> None:
        """Write new dialogues into this segmentation; None for one of the volume's own."""
        self._current.chooseSegmentation(node)

    # ---- dialogues ----

    @property
    def current(self) -> Dialogue | None:
        """The dialogue in view."""
        return self._current.dialogue

    def dialogues(self) -> list[Dialogue]:
        """All of the scene, in the order in which they were begun."""
        return [stored.dialogue for stored in self.store.all()]

    def stored(self) -> list[Stored]:
        """All of the scene, with their volumes and segmentations."""
        return self.store.all()

    def select(self, dialogueID: str) -> None:
        """Show a dialogue and go to its slice."""
        stored = self.store.get(dialogueID)
        if stored is None:
            return
        self._runner.leave()
        self._current.choose(stored)
        if stored.volume is None:
            self.failed.emit(_("The volume of this dialogue was deleted; its segments are still in the scene."))

    def newDialogue(self) -> None:
        """Begin a new dialogue on the slice in view with the next query; the old one stays in the list."""
        self._runner.leave()
        self._current.beginNew()

    def goTo(self, roundID: str) -> None:
        """Show a round's slice and select its segment."""
        stored = self._current.stored
        done = None if stored is None else stored.dialogue.round(roundID)
        if stored is None or done is None:
            return
        self._current.go(stored)
        if stored.segmentation is not None and SegmentStore.segment(stored.segmentation, done.segmentID) is not None:
            SegmentStore.selectSegment(stored.segmentation, done.segmentID)

    def queries(self) -> list[str]:
        """Earlier queries for the up-arrow, oldest first: those of the scene, then those of this session."""
        earlier = [done.query for dialogue in self.dialogues() for done in dialogue.rounds]
        asked = [query for query in earlier if query not in self._asked] + self._asked
        return [query for k, query in enumerate(asked) if k == 0 or query != asked[k - 1]]

    def tellProblems(self) -> None:
        """Say once of each dialogue in the scene that cannot be read that it cannot."""
        for nodeID, sentence in self.store.problems().items():
            if nodeID not in self._told:
                self._told.add(nodeID)
                self.failed.emit(sentence)

    # ---- segments and references ----

    def segments(self) -> list[Choice]:
        """Every segment that a query could lean on: those of this dialogue's rounds first."""
        return self._current.choices()

    def segmentOf(self, done: Round) -> Any:
        """The SegmentInfo of a round of the current dialogue, or None where its segment was deleted."""
        node = self.segmentationNode
        return None if node is None else SegmentStore.segment(node, done.segmentID)

    def understood(self, query: str, reference: Reference | Literal["auto"] | None = AUTO) -> Understood:
        """How a query would be understood if it were sent now; `reference` is the user's own choice, or AUTO."""
        choices = self.segments()
        if reference == AUTO:
            try:
                rounds = () if self.current is None else self.current.rounds
                reference = Understanding.understand(query, rounds, choices, self._current.isHere)
            except DialogueError as error:
                return Understood(None, Understanding.label(None, choices), str(error))
        return Understood(reference, Understanding.label(reference, choices))

    # ---- asking ----

    def ask(self, query: str, reference: Reference | Literal["auto"] | None = AUTO) -> bool:
        """Ask about the slice in view.

        Args:
            query: in English or Chinese.
            reference: AUTO for what the words say, None for none, or the segment that the user chose.

        Returns:
            Whether the query was sent; `failed` has said why not.
        """
        # The view may have been scrolled a moment ago.
        self._view.refresh()
        if self.hint:
            return self._refuse(self.hint)
        return self._send(query, reference, self.current or self._begin(), None)

    def askAgain(self, roundID: str, reference: Reference | Literal["keep"] | None = KEEP) -> bool:
        """Ask a round of the current dialogue again, with the rounds before it; its segment's plane is written over."""
        done = None if self.current is None else self.current.round(roundID)
        if done is None or self.current is None:
            return False
        return self._send(done.query, done.reference if reference == KEEP else reference, self.current, done)

    def branch(self, roundID: str, query: str) -> bool:
        """Ask another query in the place of a round: a new dialogue with the rounds before it. The old one stays."""
        done = None if self.current is None else self.current.round(roundID)
        if done is None or self.current is None:
            return False
        branched = dataclasses.replace(
            self.current,
            id=newID(),
            title=_("{title}, from round {number}").format(title=title(self.current.plane), number=done.number),
            rounds=self.current.before(roundID),
            begun=self.store.nextBegun(),
        )
        return self._send(query, AUTO, branched, None)

    def prepare(self) -> None:
        """The user begins to type: have the engine look at the slice already. Whatever becomes of it is not told."""
        self._later(self._prepare)

    def lookAhead(self) -> None:
        """The user rests on a slice: as `prepare`, where the engine is loaded already and has nothing else to do."""
        if self.engine.state == "ready":
            self._prepare()

    def _prepare(self) -> None:
        if not self.hint:
            self._runner.prepare(self.current)

    @property
    def pending(self) -> Pending | None:
        """The running round, or None."""
        return self._runner.pending

    def cancel(self) -> None:
        """Give up the running round at once; nothing of the dialogue changes."""
        self._runner.cancel()

    def _begin(self) -> Dialogue:
        plane = self._view.plane
        assert plane is not None
        return Dialogue(newID(), title(plane), plane, self.viewName, begun=self.store.nextBegun())

    def _send(
        self, query: str, reference: Reference | Literal["auto"] | None, dialogue: Dialogue, replaces: Round | None
    ) -> bool:
        try:
            query = check_query(query)
            self._runner.send(query, reference, dialogue, replaces)
        except (DialogueError, QueryError) as error:
            return self._refuse(str(error))
        self._asked.append(query)
        return True

    def _refuse(self, sentence: str) -> bool:
        self.failed.emit(sentence)
        return False

    # ---- changing a dialogue ----

    @property
    def undoText(self) -> str:
        """What undo would take back, or ""."""
        return self.history.undoText

    @property
    def redoText(self) -> str:
        return self.history.redoText

    def undo(self) -> None:
        """Take back the last step, segment and chat together."""
        text = self.undoText
        if text and self._change(self.history.undo):
            self.noticed.emit(_("Undone: {step}.").format(step=text))

    def redo(self) -> None:
        text = self.redoText
        if text and self._change(self.history.redo):
            self.noticed.emit(_("Done again: {step}.").format(step=text))

    def deleteRound(self, roundID: str) -> None:
        """Delete a round and its segment; the other rounds keep their numbers."""
        stored = self._current.stored
        done = None if stored is None else stored.dialogue.round(roundID)
        if stored is not None and done is not None:
            self._change(lambda: Revising.deleteRound(self.store, self.history, stored, done))

    def rename(self, roundID: str, name: str) -> None:
        """Give a round's segment another name; later queries may use it."""
        done = None if self.current is None else self.current.round(roundID)
        node = self.segmentationNode
        if done is None or node is None:
            return
        if Revising.renameSegment(self.history, node, done.segmentID, name):
            self.dialogueChanged.emit()

    def _change(self, action: Callable[[], None]) -> bool:
        """Do what changes several nodes, then look once at what is there; False where a round is running."""
        try:
            self._runner.refuseWhileRunning()
        except DialogueError as error:
            return self._refuse(str(error))
        try:
            with self._current.changing():
                action()
        finally:
            self._current.find()
        return True

    def _onSceneCloses(self) -> None:
        self.cancel()
        self.history.clear()
        self.store.clear()
        self._told.clear()
