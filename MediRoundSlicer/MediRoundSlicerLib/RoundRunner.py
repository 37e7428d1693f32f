"""A round from the query to the segment: sent to the engine, and its answer written into the scene."""

import dataclasses
from typing import Any, Literal

from slicer.i18n import tr as _

from MediRoundSlicerLib import SegmentStore, SliceCapture, Understanding, Unexpected
from MediRoundSlicerLib.Asking import AUTO, STAGES, Pending, Question, imageKey
from MediRoundSlicerLib.CurrentDialogue import CurrentDialogue
from MediRoundSlicerLib.Dialogues import Dialogue, DialogueError, Reference, Round
from MediRoundSlicerLib.DialogueStore import DialogueStore
from MediRoundSlicerLib.EngineMessages import Answer, AskRequest
from MediRoundSlicerLib.History import DialogueChanged, History, Step
from MediRoundSlicerLib.RoundWriter import writeRound
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.SliceCapture import CapturedSlice


class RoundRunner:
    """Runs one round at a time.

    ```
    runner = RoundRunner(engine, store, history, current)
    runner.send(query, AUTO, dialogue, None)        # returns at once
    runner.leave()                                  # its answer shall not call the user back
    runner.cancel()
    ```

    Attributes:
        pending: the running round, or None.
        pendingChanged: Signal (), it began, went on or ended.
        unanswered: Signal (), it ended without an answer; `failed` or `noticed` says why.
        failed, noticed: Signal (sentence).
        written: Signal (), an answer was written into a dialogue that is not in view.
    """

    def __init__(self, engine: Any, store: DialogueStore, history: History, current: CurrentDialogue) -> None:
        self.pendingChanged, self.unanswered, self.written = Signal(), Signal(), Signal()
        self.failed, self.noticed = Signal(), Signal()
        self.pending: Pending | None = None
        self._engine = engine
        self._store = store
        self._history = history
        self._current = current
        self._left = False
        engine.answered.connect(self._onAnswered)
        engine.failed.connect(self._onFailed)
        engine.progressed.connect(self._onProgressed)

    def close(self) -> None:
        """Let go of the engine."""
        self._engine.answered.disconnect(self._onAnswered)
        self._engine.failed.disconnect(self._onFailed)
        self._engine.progressed.disconnect(self._onProgressed)

    def send(
        self, query: str, reference: Reference | Literal["auto"] | None, dialogue: Dialogue, replaces: Round | None
    ) -> None:
        """Have a query answered.

        Args:
            query: checked.
            reference: what it leans on; AUTO for what its words say.
            dialogue: that the round will join; not in the scene yet where it is new.
            replaces: the round that is asked again, or None.

        Raises:
            DialogueError: it cannot be asked.
        """
        self.refuseWhileRunning()
        pending, request = self._prepare(query, reference, dialogue, replaces)
        # The engine may go on, answer or fail before ask() returns.
        self.pending, self._left = pending, False
        self.pendingChanged.emit()
        requestID = self._engine.ask(request)
        if self.pending is not None and self.pending.asked is pending.asked:
            self.pending = dataclasses.replace(self.pending, requestID=requestID)

    def prepare(self, dialogue: Dialogue | None) -> None:
        """Have the engine look at a dialogue's slice (None: that in view) before a query comes; nothing is told."""
        if self.pending is not None:
            return
        try:
            captured = self._capture(dialogue)
        except DialogueError:
            return  # the query will say so
        dialogueID = "" if dialogue is None else dialogue.id
        self._engine.prefetch(dialogueID, captured.image, imageKey(captured.image))

    def cancel(self) -> None:
        """Give up the running round at once."""
        if self.pending is not None:
            self._engine.cancel(self.pending.requestID)

    def leave(self) -> None:
        """The user went to another dialogue: the answer of the running round does not call her back."""
        self._left = True

    def refuseWhileRunning(self) -> None:
        """Raises DialogueError while a round runs."""
        if self.pending is not None:
            raise DialogueError(_("A round is still running: wait for it, or cancel it with Escape."))

    def _prepare(
        self, query: str, reference: Reference | Literal["auto"] | None, dialogue: Dialogue, replaces: Round | None
    ) -> tuple[Pending, AskRequest]:
        captured, segmentation = self._capture(dialogue), self._current.segmentation
        if segmentation is not None:
            SegmentStore.checkSegmentation(segmentation)
        question = Question(dialogue, replaces, captured, segmentation, self._current.choices())
        if reference == AUTO:
            reference = Understanding.understand(query, question.rounds, question.choices, self._current.isHere)
        return question.asked(query, reference)

    def _capture(self, dialogue: Dialogue | None) -> CapturedSlice:
        """The slice that a round of a dialogue would be about; None for a new dialogue on the slice in view."""
        view, stored = self._current.view, None if dialogue is None else self._store.get(dialogue.id)
        volume = view.volume if stored is None else stored.volume
        if volume is None:
            raise DialogueError(_("The volume of this dialogue was deleted; load it again and begin a new dialogue."))
        if dialogue is None or (stored is None and not dialogue.rounds):
            return SliceCapture.captureView(view.name)
        # The view that shows the slice may be set up to show a slab of several.
        shown = view.name if self._current.shows(volume, dialogue) else ""
        return SliceCapture.capturePlane(volume, dialogue.plane, shown)

    def _onProgressed(self, requestID: int | None, stage: str, fraction: float | None) -> None:
        if self.pending is not None and stage in STAGES:
            self.pending = dataclasses.replace(self.pending, stage=STAGES[stage])
            self.pendingChanged.emit()

    def _onFailed(self, requestID: int, code: str, message: str) -> None:
        if self._end(requestID) is None:
            return
        self.unanswered.emit()
        if code == "cancelled":
            self.noticed.emit(_("Cancelled."))
        else:
            self.failed.emit(message)

    def _onAnswered(self, requestID: int, answer: Answer) -> None:
        pending = self._end(requestID)
        if pending is None:
            return
        try:
            if not _living(pending.volume):
                raise DialogueError(_("The volume was deleted while the round ran, so its answer was dropped."))
            self._write(pending, answer)
        except Exception as error:  # the engine called this: nobody else would say it
            self.unanswered.emit()
            self.failed.emit(str(error) if isinstance(error, DialogueError) else Unexpected.sentence(error))

    def _end(self, requestID: int) -> Pending | None:
        """The running round if it is that one; it runs no longer."""
        pending = self.pending
        if pending is None or pending.requestID not in (0, requestID):
            return None
        self.pending = None
        self.pendingChanged.emit()
        return pending

    def _write(self, pending: Pending, answer: Answer) -> None:
        """Write an answer into segment, dialogue and history."""
        stored = self._store.get(pending.dialogueID)
        before = None if stored is None else stored.dialogue
        with self._current.changing():
            segmentation = pending.segmentation
            if not _living(segmentation):
                segmentation = SegmentStore.segmentationFor(pending.volume)
            made, changes = writeRound(answer, pending.asked, pending.dialogue, pending.volume, segmentation)
            after = pending.dialogue.withRound(made)
            self._store.put(after, pending.volume, segmentation)
        changes.append(DialogueChanged(self._store, before, after, pending.volume, segmentation))
        info = SegmentStore.segment(segmentation, made.segmentID)
        self._history.add(Step(info.name if info is not None else made.autoName, changes))
        SegmentStore.selectSegment(segmentation, made.segmentID)
        if self._current.shows(pending.volume, after) and not self._left:
            self._current.take(after)
        else:
            isOther = self._current.view.volume is not pending.volume
            title = f"{pending.volume.GetName()} · {after.title}" if isOther else after.title
            self.noticed.emit(_("The answer is on {title}.").format(title=title))
            self.written.emit()


def _living(node: Any) -> bool:
    return node is not None and node.GetScene() is not None
