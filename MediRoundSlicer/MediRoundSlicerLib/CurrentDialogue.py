"""Which dialogue is in view: follows the slice view, the scene, and what the user chooses from the list."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import slicer
from slicer.util import VTKObservationMixin

from MediRoundSlicerLib import SegmentStore, SliceCapture
from MediRoundSlicerLib.Dialogues import Dialogue, PlaneGrid
from MediRoundSlicerLib.DialogueStore import DialogueStore, Stored
from MediRoundSlicerLib.Place import ViewFollower, isTurned
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Understanding import Choice, spokenName


class CurrentDialogue(VTKObservationMixin):
    """
    ```
    current = CurrentDialogue(store, later)
    current.changed.connect(...)        # another dialogue, or its rounds, names or colours
    current.moved.connect(...)          # the view shows another slice
    current.view.follow("Red")
    current.dialogue                    # that of the slice in view, or None
    ```

    Args:
        store: the scene's dialogues.
        later: calls a function soon, once for many calls in a row.

    Attributes:
        closing: Signal (), the scene is about to be closed.
        imported: Signal (), a scene was opened or added.
    """

    def __init__(self, store: DialogueStore, later: Callable[[Callable[[], None]], None]) -> None:
        super().__init__()
        self.changed = Signal()
        self.moved = Signal()
        self.closing = Signal()
        self.imported = Signal()
        self.dialogue: Dialogue | None = None
        self.view = ViewFollower(later)
        self.view.moved.connect(self._onMoved)
        self._store = store
        self._later = later
        self._chosenSegmentation: Any = None
        self._observedSegmentation: Any = None
        # Dialogues last used, last: where a slice has several, that one comes back.
        self._used: list[str] = []
        # The volume and the plane on which the user wants a new dialogue.
        self._fresh: tuple[Any, PlaneGrid] | None = None
        # A dialogue that she chose and that no view can show, since its volume is gone; and where the view was then.
        self._homeless: tuple[str, Any, Any] | None = None
        self._busy = False
        scene = slicer.mrmlScene
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndBatchProcessEvent):
            self.addObserver(scene, event, self._onNodesChanged)
        self.addObserver(scene, scene.StartCloseEvent, self._onStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneChanged)
        self.addObserver(scene, scene.EndImportEvent, self._onImported)

    def close(self) -> None:
        """Let go of the scene."""
        self.removeObservers()
        self.view.stop()

    @property
    def stored(self) -> Stored | None:
        """The dialogue with its nodes; None where there is none, or it is not in the scene yet."""
        return None if self.dialogue is None else self._store.get(self.dialogue.id)

    @property
    def segmentation(self) -> Any:
        """Where segments of the slice in view are, or None as long as there is no segmentation."""
        stored = self.stored
        if stored is not None and stored.segmentation is not None:
            return stored.segmentation
        if self._chosenSegmentation is not None and self._chosenSegmentation.GetScene() is not None:
            return self._chosenSegmentation
        return None if self.view.volume is None else SegmentStore.findSegmentation(self.view.volume)

    def chooseSegmentation(self, node: Any) -> None:
        """New dialogues are about this segmentation; None for one of the volume's own."""
        if node is not self._chosenSegmentation:
            self._chosenSegmentation = node
            self._setDialogue(self.dialogue)

    def choices(self) -> list[Choice]:
        """Every segment that a query could lean on: those of this dialogue's rounds first."""
        node = self.segmentation
        if node is None:
            return []
        rounds = {} if self.dialogue is None else {done.segmentID: done for done in self.dialogue.rounds}
        choices = []
        for info in SegmentStore.segments(node):
            done = rounds.get(info.id)
            spoken = info.name if done is None else spokenName(done, info.name)
            made = (None, None) if done is None else (done.id, done.number)
            choices.append(Choice(info.id, info.name, spoken, info.colour, *made))
        return sorted(choices, key=lambda choice: (choice.number is None, choice.number or 0))

    def isHere(self, segmentID: str) -> bool:
        """Whether a segment has pixels on the slice in view."""
        node, view = self.segmentation, self.view
        if node is None or view.volume is None or view.plane is None:
            return False
        return bool(SegmentStore.readPlane(node, segmentID, view.volume, view.plane).any())

    def shows(self, volume: Any, dialogue: Dialogue) -> bool:
        """Whether the view is on the slice of a dialogue about `volume`."""
        return self._isOn(volume, dialogue.plane)

    def go(self, stored: Stored) -> None:
        """Show the slice of a dialogue: in its own view, where the one that is followed would have to be turned."""
        if stored.volume is None:
            return
        plane, own = SliceCapture.planeNow(stored.volume, stored.dialogue.plane), stored.dialogue.viewName
        if isTurned(self.view.name, plane) and own != self.view.name and own in SliceCapture.viewNames():
            self.view.follow(own)
        SliceCapture.showPlane(self.view.name, stored.volume, stored.dialogue.plane)

    def choose(self, stored: Stored) -> None:
        """Show a dialogue, and go to its slice."""
        self.use(stored.dialogue.id)
        self._fresh = self._homeless = None
        self.go(stored)
        self.view.refresh()
        if stored.volume is None:
            self._homeless = (stored.dialogue.id, self.view.volume, self.view.plane)
        self._setDialogue(stored.dialogue)

    def beginNew(self) -> None:
        """Let there be none, as if the slice in view had none."""
        view = self.view
        self._fresh = None if view.plane is None else (view.volume, view.plane)
        self._homeless = None
        self._setDialogue(None)

    def take(self, dialogue: Dialogue) -> None:
        """This one is in view now, or another state of it."""
        self._fresh = self._homeless = None
        self.use(dialogue.id)
        self._setDialogue(dialogue)

    def use(self, dialogueID: str) -> None:
        """Of several dialogues on a slice, this one comes back."""
        self._used = [used for used in self._used if used != dialogueID] + [dialogueID]

    def find(self) -> None:
        """Look up the dialogue of the slice in view: the one last used, else the one begun last."""
        if self._homeless is not None:
            stored = self._store.get(self._homeless[0])
            if stored is not None and stored.volume is None:
                self._setDialogue(stored.dialogue)
                return
        here = [one.dialogue for one in self._store.all() if one.volume and self.shows(one.volume, one.dialogue)]
        here.sort(key=lambda one: (self._used.index(one.id) if one.id in self._used else -1, one.begun))
        self._setDialogue(here[-1] if here and self._fresh is None else None)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """While several nodes change by one action, nothing is looked up."""
        was, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = was

    def _isOn(self, volume: Any, plane: PlaneGrid) -> bool:
        view = self.view
        return view.plane is not None and view.volume is volume and SliceCapture.samePlane(view.plane, plane)

    # ---- following the scene ----

    def _onMoved(self) -> None:
        node = self.segmentation
        if node is not None and self.view.volume is not None:
            SegmentStore.followVolume(node, self.view.volume)  # it may be under another transform now
        self.moved.emit()
        if self._homeless is not None and self._homeless[1:] != (self.view.volume, self.view.plane):
            self._homeless = None
        if self._fresh is not None and not self._isOn(*self._fresh):
            self._fresh = None
        self.find()

    def _setDialogue(self, dialogue: Dialogue | None) -> None:
        self.dialogue = dialogue
        self._observeSegmentation()
        self.changed.emit()

    def _observeSegmentation(self) -> None:
        """Names and colours may change, and segments come and go, in Segment Editor or anywhere else."""
        node = self.segmentation
        if node is self._observedSegmentation:
            return
        kinds = slicer.vtkSegmentation
        for event in (kinds.SegmentModified, kinds.SegmentAdded, kinds.SegmentRemoved):
            if self._observedSegmentation is not None:
                self.removeObserver(self._observedSegmentation, event, self._onSegmentModified)
            if node is not None:
                self.addObserver(node, event, self._onSegmentModified)
        self._observedSegmentation = node

    def _onSegmentModified(self, caller: Any, event: Any) -> None:
        if not self._busy:
            self._later(self.changed.emit)

    def _onNodesChanged(self, caller: Any, event: Any) -> None:
        """A volume, a view or a dialogue came or went by other hands."""
        if not self._busy and not slicer.mrmlScene.IsBatchProcessing():
            self._later(self.view.refresh)

    def _onStartClose(self, caller: Any, event: Any) -> None:
        self._used, self._fresh, self._homeless, self._chosenSegmentation = [], None, None, None
        self.closing.emit()

    def _onSceneChanged(self, caller: Any, event: Any) -> None:
        # Views may be other nodes now.
        self.view.follow(self.view.name)

    def _onImported(self, caller: Any, event: Any) -> None:
        with self.changing():
            self._store.tellApart()
        self._onSceneChanged(caller, event)
        self.imported.emit()
