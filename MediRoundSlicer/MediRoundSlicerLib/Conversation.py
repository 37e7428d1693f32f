"""The conversation: what the user can do, without a widget. The panel shows this and calls this, and nothing else.

It joins the rooms: the slice in view (Place, SliceCapture), what a query leans on (Understanding), the engine process,
the segments (RoundWriter, SegmentStore), the scene's dialogues (DialogueStore) and the steps that can be undone
(History).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from MediRoundLib.errors import QueryError
from MediRoundLib.words import check_query
from MediRoundSlicerLib import SegmentStore, SliceCapture, Understanding
from MediRoundSlicerLib.Asking import STAGES, Pending, Question
from MediRoundSlicerLib.Dialogues import Dialogue, DialogueError, Reference, Round, newID
from MediRoundSlicerLib.DialogueStore import DialogueStore, Stored
from MediRoundSlicerLib.EngineMessages import Answer, AskRequest
from MediRoundSlicerLib.History import Change, DialogueChanged, History, SegmentRemoved, SegmentRenamed, Step
from MediRoundSlicerLib.Place import ViewFollower, describe, title
from MediRoundSlicerLib.RoundWriter import writeRound
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Understanding import Choice, Understood

# Instead of a reference: what the words say; what the round leaned on before.
AUTO: Literal["auto"] = "auto"
KEEP: Literal["keep"] = "keep"


class Conversation(VTKObservationMixin):
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
    """

    def __init__(self, engine: Any, later: Callable[[Callable[[], None]], None] | None = None) -> None:
        super().__init__()
        self.dialogueChanged = Signal()
        self.placeChanged = Signal()
        self.pendingChanged = Signal()
        self.failed = Signal()
        self.noticed = Signal()
        self.engine = engine
        self.store = DialogueStore()
        self.history = History()
        self.current: Dialogue | None = None
        self.pending: Pending | None = None
        self._later = later if later is not None else lambda function: function()
        self._view = ViewFollower(self._later)
        self._view.moved.connect(self._onMoved)
        self._chosenSegmentation: Any = None
        self._observedSegmentation: Any = None
        # Dialogues last used, last: where a slice has several, that one comes back.
        self._used: list[str] = []
        # The user wants a new dialogue on the slice in view.
        self._fresh = False
        self._asked: list[str] = []
        # While several nodes change by one action, the dialogue is looked up once, at the end.
        self._busy = False
        engine.answered.connect(self._onAnswered)
        engine.failed.connect(self._onEngineFailed)
        engine.progressed.connect(self._onProgressed)
        engine.noticed.connect(self.noticed.emit)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeAddedEvent, self._onNodesChanged)
        self.addObserver(scene, scene.NodeRemovedEvent, self._onNodesChanged)
        self.addObserver(scene, scene.StartCloseEvent, self._onStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneChanged)
        self.addObserver(scene, scene.EndImportEvent, self._onSceneChanged)

    def close(self) -> None:
        """Let go of the scene and end the engine."""
        self.removeObservers()
        self._view.stop()
        self.engine.answered.disconnect(self._onAnswered)
        self.engine.failed.disconnect(self._onEngineFailed)
        self.engine.progressed.disconnect(self._onProgressed)
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
        return SliceCapture.whyNot(self.viewName)

    @property
    def volumeNode(self) -> Any:
        return self._view.volume

    @property
    def segmentationNode(self) -> Any:
        """Where segments of the slice in view are, or None as long as there is no segmentation."""
        stored = None if self.current is None else self.store.get(self.current.id)
        if stored is not None and stored.segmentation is not None:
            return stored.segmentation
        if self._chosenSegmentation is not None and self._chosenSegmentation.GetScene() is not None:
            return self._chosenSegmentation
        return None if self._view.volume is None else SegmentStore.findSegmentation(self._view.volume)

    def setSegmentation(self, node: Any) -> None:
        """Write new dialogues into this segmentation; None for one of the volume's own."""
        if node is not self._chosenSegmentation:
            self._chosenSegmentation = node
            self._observeSegmentation()
            self.dialogueChanged.emit()

    # ---- dialogues ----

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
        self._use(dialogueID)
        self._fresh = False
        if stored.volume is None:
            self.failed.emit(_("The volume of this dialogue was deleted; its segments are still in the scene."))
        else:
            SliceCapture.showPlane(self.viewName, stored.volume, stored.dialogue.plane)
        self._view.refresh()
        self._setCurrent(stored.dialogue)

    def newDialogue(self) -> None:
        """Begin a new dialogue on the slice in view with the next query; the old one stays in the list."""
        self._fresh = True
        self._setCurrent(None)

    def queries(self) -> list[str]:
        """Earlier queries for the up-arrow, oldest first: those of the scene, then those of this session."""
        earlier = [done.query for dialogue in self.dialogues() for done in dialogue.rounds]
        asked = [query for query in earlier if query not in self._asked] + self._asked
        return [query for k, query in enumerate(asked) if k == 0 or query != asked[k - 1]]

    # ---- segments and references ----

    def segments(self) -> list[Choice]:
        """Every segment that a query could lean on: those of this dialogue's rounds first."""
        node = self.segmentationNode
        if node is None:
            return []
        rounds = {} if self.current is None else {done.segmentID: done for done in self.current.rounds}
        choices = []
        for info in SegmentStore.segments(node):
            done = rounds.get(info.id)
            spoken = info.name if done is None else Understanding.spokenName(done, info.name)
            made = (None, None) if done is None else (done.id, done.number)
            choices.append(Choice(info.id, info.name, spoken, info.colour, *made))
        return sorted(choices, key=lambda choice: (choice.number is None, choice.number or 0))

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
                reference = Understanding.understand(query, rounds, choices, self._isHere)
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
        dialogue = self.current if self.current is not None else self._begin()
        return self._send(query, reference, dialogue, None)

    def askAgain(self, roundID: str, reference: Reference | Literal["keep"] | None = KEEP) -> bool:
        """Ask a round of the current dialogue again, with the rounds before it; its segment's plane is written over."""
        done = None if self.current is None else self.current.round(roundID)
        if done is None or self.current is None:
            return False
        return self._send(done.query, done.reference if reference == KEEP else reference, self.current, done)

    def branch(self, roundID: str, query: str) -> bool:
        """Ask another query in the place of a round: a new dialogue with the rounds before it. The old one stays."""
        if self.current is None or self.current.round(roundID) is None:
            return False
        rounds = self.current.before(roundID)
        branched = dataclasses.replace(
            self.current,
            id=newID(),
            title=_("{title}, from round {number}").format(title=title(self.current.plane), number=len(rounds) + 1),
            rounds=rounds,
            begun=self.store.nextBegun(),
        )
        return self._send(query, AUTO, branched, None)

    def cancel(self) -> None:
        """Give up the running round at once; nothing of the dialogue changes."""
        if self.pending is not None:
            self.engine.cancel(self.pending.requestID)

    def _begin(self) -> Dialogue:
        plane = self._view.plane
        assert plane is not None
        return Dialogue(newID(), title(plane), plane, self.viewName, begun=self.store.nextBegun())

    def _send(
        self, query: str, reference: Reference | Literal["auto"] | None, dialogue: Dialogue, replaces: Round | None
    ) -> bool:
        try:
            self._refuseWhileRunning()
            pending, request = self._prepare(check_query(query), reference, dialogue, replaces)
        except (DialogueError, QueryError) as error:
            return self._refuse(str(error))
        self._asked.append(pending.query)
        # The engine may answer, or fail, before ask() returns.
        self.pending = pending
        self.pendingChanged.emit()
        requestID = self.engine.ask(request)
        if self.pending is pending:
            self.pending = dataclasses.replace(pending, requestID=requestID)
        return True

    def _prepare(
        self, query: str, reference: Reference | Literal["auto"] | None, dialogue: Dialogue, replaces: Round | None
    ) -> tuple[Pending, AskRequest]:
        stored = self.store.get(dialogue.id)
        volume = self._view.volume if stored is None else stored.volume
        if volume is None:
            raise DialogueError(_("The volume of this dialogue was deleted; load it again and begin a new dialogue."))
        if stored is None and not dialogue.rounds:
            captured = SliceCapture.captureView(self.viewName)
        else:
            captured = SliceCapture.capturePlane(volume, dialogue.plane)
        question = Question(dialogue, replaces, captured, self.segmentationNode, self.segments())
        if reference == AUTO:
            reference = Understanding.understand(query, question.rounds, question.choices, self._isHere)
        return question.asked(query, reference)

    def _isHere(self, segmentID: str) -> bool:
        """Whether a segment has pixels on the slice in view."""
        node, volume, plane = self.segmentationNode, self._view.volume, self._view.plane
        if node is None or volume is None or plane is None:
            return False
        return bool(SegmentStore.readPlane(node, segmentID, volume, plane).any())

    def _refuse(self, sentence: str) -> bool:
        self.failed.emit(sentence)
        return False

    def _refuseWhileRunning(self) -> None:
        if self.pending is not None:
            raise DialogueError(_("A round is still running: wait for it, or cancel it with Escape."))

    # ---- answers ----

    def _onProgressed(self, requestID: int | None, stage: str, fraction: float | None) -> None:
        if self.pending is not None and stage in STAGES:
            self.pending = dataclasses.replace(self.pending, stage=STAGES[stage])
            self.pendingChanged.emit()

    def _onEngineFailed(self, requestID: int, code: str, message: str) -> None:
        if self._end(requestID) is None:
            return
        if code == "cancelled":
            self.noticed.emit(_("Cancelled."))
        else:
            self.failed.emit(message)

    def _onAnswered(self, requestID: int, answer: Answer) -> None:
        pending = self._end(requestID)
        if pending is None:
            return
        if not _living(pending.volume):
            self.failed.emit(_("The volume was deleted while the round ran, so its answer was dropped."))
            return
        try:
            self._keep(pending, answer)
        except DialogueError as error:
            self.failed.emit(str(error))

    def _end(self, requestID: int) -> Pending | None:
        """The running round if it is that one; it runs no longer."""
        pending = self.pending
        if pending is None or pending.requestID not in (0, requestID):
            return None
        self.pending = None
        self.pendingChanged.emit()
        return pending

    def _keep(self, pending: Pending, answer: Answer) -> None:
        """Write an answer into segment, dialogue and history."""
        segmentation = pending.segmentation
        if not _living(segmentation):
            segmentation = SegmentStore.segmentationFor(pending.volume)
        stored = self.store.get(pending.dialogueID)
        before = None if stored is None else stored.dialogue
        dialogue = pending.dialogue
        self._busy = True
        try:
            made, changes = writeRound(answer, pending.asked, dialogue, pending.volume, segmentation)
            after = dialogue.withRound(made)
            self.store.put(after, pending.volume, segmentation)
        finally:
            self._busy = False
        changes.append(DialogueChanged(self.store, before, after, pending.volume, segmentation))
        self._step(made, segmentation, changes)
        self._use(after.id)
        SegmentStore.selectSegment(segmentation, made.segmentID)
        if self._shows(pending.volume, after):
            self._fresh = False
            self._setCurrent(after)
        else:
            self.noticed.emit(_("The answer is on {title}.").format(title=after.title))
            self.dialogueChanged.emit()

    def _step(self, done: Round, segmentation: Any, changes: list[Change]) -> None:
        info = SegmentStore.segment(segmentation, done.segmentID)
        self.history.add(Step(info.name if info is not None else done.autoName, changes))

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
        stored = None if self.current is None else self.store.get(self.current.id)
        done = None if stored is None else stored.dialogue.round(roundID)
        if stored is not None and done is not None:
            self._change(lambda: self._delete(stored, done))

    def _delete(self, stored: Stored, done: Round) -> None:
        changes: list[Change] = []
        name = done.autoName
        info = None if stored.segmentation is None else SegmentStore.segment(stored.segmentation, done.segmentID)
        if info is not None:
            name = info.name
            if not self._sharedSegment(stored.dialogue, done):
                saved = SegmentStore.saveSegment(stored.segmentation, done.segmentID)
                SegmentStore.removeSegment(stored.segmentation, done.segmentID)
                changes.append(SegmentRemoved(stored.segmentation, done.segmentID, saved))
        left = stored.dialogue.withoutRound(done.id)
        after = left if left.rounds else None
        if after is None:
            self.store.remove(left.id)
        else:
            self.store.put(after, stored.volume, stored.segmentation)
        changes.append(DialogueChanged(self.store, stored.dialogue, after, stored.volume, stored.segmentation))
        self.history.add(Step(_("deleting {name}").format(name=name), changes))

    def _sharedSegment(self, dialogue: Dialogue, done: Round) -> bool:
        """Whether a branch has the same round, and so the same segment."""
        others = (other for other in self.dialogues() if other.id != dialogue.id)
        return any(one.segmentID == done.segmentID for other in others for one in other.rounds)

    def rename(self, roundID: str, name: str) -> None:
        """Give a round's segment another name; later queries may use it."""
        done = None if self.current is None else self.current.round(roundID)
        node = self.segmentationNode
        info = None if done is None or node is None else SegmentStore.segment(node, done.segmentID)
        name = " ".join(name.split())
        if info is None or not name or name == info.name:
            return
        given = SegmentStore.rename(node, info.id, name)
        self.history.add(
            Step(_("renaming {name}").format(name=given), [SegmentRenamed(node, info.id, info.name, given)])
        )
        self.dialogueChanged.emit()

    def goTo(self, roundID: str) -> None:
        """Show a round's slice and select its segment."""
        stored = None if self.current is None else self.store.get(self.current.id)
        done = None if stored is None else stored.dialogue.round(roundID)
        if stored is None or done is None:
            return
        if stored.volume is not None:
            SliceCapture.showPlane(self.viewName, stored.volume, stored.dialogue.plane)
        if stored.segmentation is not None and SegmentStore.segment(stored.segmentation, done.segmentID) is not None:
            SegmentStore.selectSegment(stored.segmentation, done.segmentID)

    def _change(self, action: Callable[[], None]) -> bool:
        """Do what changes several nodes, then look once at what is there; False where a round is running."""
        try:
            self._refuseWhileRunning()
        except DialogueError as error:
            return self._refuse(str(error))
        self._busy = True
        try:
            action()
        finally:
            self._busy = False
        self._findCurrent()
        return True

    # ---- following the scene ----

    def _onMoved(self) -> None:
        node = self.segmentationNode
        if node is not None and self._view.volume is not None:
            SegmentStore.followVolume(node, self._view.volume)  # it may be under another transform now
        self.placeChanged.emit()
        if self.current is not None and not self._shows(self._view.volume, self.current):
            self._fresh = False
        if not self._fresh:
            self._findCurrent()

    def _shows(self, volume: Any, dialogue: Dialogue) -> bool:
        """Whether the view is on the slice of a dialogue about `volume`."""
        view = self._view
        return view.plane is not None and view.volume is volume and SliceCapture.samePlane(view.plane, dialogue.plane)

    def _findCurrent(self) -> None:
        """The dialogue of the slice in view: the one last used, else the one begun last."""
        here = [one.dialogue for one in self.store.all() if one.volume and self._shows(one.volume, one.dialogue)]
        here.sort(key=lambda one: (self._used.index(one.id) if one.id in self._used else -1, one.begun))
        self._setCurrent(here[-1] if here and not self._fresh else None)

    def _setCurrent(self, dialogue: Dialogue | None) -> None:
        self.current = dialogue
        self._observeSegmentation()
        self.dialogueChanged.emit()

    def _use(self, dialogueID: str) -> None:
        self._used = [used for used in self._used if used != dialogueID] + [dialogueID]

    def _observeSegmentation(self) -> None:
        """Names and colours may change in Segment Editor or anywhere else."""
        node = self.segmentationNode
        if node is self._observedSegmentation:
            return
        for event in (slicer.vtkSegmentation.SegmentModified, slicer.vtkSegmentation.SegmentRemoved):
            if self._observedSegmentation is not None:
                self.removeObserver(self._observedSegmentation, event, self._onSegmentModified)
            if node is not None:
                self.addObserver(node, event, self._onSegmentModified)
        self._observedSegmentation = node

    def _onSegmentModified(self, caller: Any, event: Any) -> None:
        if not self._busy:
            self._later(self.dialogueChanged.emit)

    def _onNodesChanged(self, caller: Any, event: Any) -> None:
        """A dialogue came or went by other hands: Slicer's own delete, an imported scene."""
        if not self._busy and not slicer.mrmlScene.IsBatchProcessing():
            self._later(self._view.refresh)

    def _onStartClose(self, caller: Any, event: Any) -> None:
        self.cancel()
        self.history.clear()
        self._used, self._fresh, self._chosenSegmentation = [], False, None

    def _onSceneChanged(self, caller: Any, event: Any) -> None:
        # Views may be other nodes now.
        self._view.follow(self.viewName)


def _living(node: Any) -> bool:
    return node is not None and node.GetScene() is not None
