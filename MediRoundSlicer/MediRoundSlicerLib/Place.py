"""Where the user looks: the volume and the plane of one slice view, followed as she scrolls."""

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from MediRoundSlicerLib import PlaneGeometry, SliceCapture
from MediRoundSlicerLib.Dialogues import PlaneGrid
from MediRoundSlicerLib.Signal import Signal

# A view that is tilted less against a plane shows it without the user noticing that it was turned.
_NEARLY_PARALLEL = np.cos(np.radians(20))


class ViewFollower(VTKObservationMixin):
    """Follows one slice view; another one when the layout takes it from the screen.

    ```
    follower = ViewFollower(later)
    follower.moved.connect(self.onMoved)        # another plane or volume is shown, or it has another name
    follower.follow("Red")
    follower.volume, follower.plane             # None where the view shows no volume
    ```

    Args:
        later: calls a function soon, once for many calls in a row: a view that is scrolled fires many events.
    """

    def __init__(self, later: Callable[[Callable[[], None]], None]) -> None:
        super().__init__()
        self.moved = Signal()
        self.name = ""
        self.volume: Any = None
        self.plane: PlaneGrid | None = None
        self._later = later
        self._seen: list[Any] = []

    def follow(self, name: str) -> None:
        """Follow the slice view of that name; `moved` is emitted at once."""
        self.stop()
        self.name = name
        self.refresh()

    def refresh(self) -> None:
        """Look again: the view, its volume or the volume's transform changed."""
        names = SliceCapture.viewNames()
        if self.name and names and self.name not in names:
            self.name = names[0]
        if SliceCapture.sliceNode(self.name) is not (self._seen[0] if self._seen else None):
            self.stop()
            self._watch()
        found = SliceCapture.planeOfView(self.name) if self._seen else None
        volume, plane = found if found is not None else (None, None)
        if volume is not self.volume:
            for event in self._volumeEvents():
                if self.volume is not None and self.hasObserver(self.volume, event, self._onModified):
                    self.removeObserver(self.volume, event, self._onModified)
                if volume is not None:
                    self.addObserver(volume, event, self._onModified)
        self.volume, self.plane = volume, plane
        self.moved.emit()

    def stop(self) -> None:
        self.removeObservers()
        self._seen = []
        self.volume, self.plane = None, None

    def _watch(self) -> None:
        node = SliceCapture.sliceNode(self.name)
        if node is None:
            return
        self._seen = [node, slicer.vtkMRMLSliceLogic.GetSliceCompositeNode(node)]
        for seen in self._seen:
            if seen is not None:
                self.addObserver(seen, vtk.vtkCommand.ModifiedEvent, self._onModified)

    def _volumeEvents(self) -> tuple[int, ...]:
        """The volume has another name or other voxels; it was moved."""
        return vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLTransformableNode.TransformModifiedEvent

    def _onModified(self, caller: Any, event: Any) -> None:
        self._later(self.refresh)


def isTurned(viewName: str, plane: PlaneGrid) -> bool:
    """Whether a slice view lies across a plane, or is not there: it would have to be turned to show it."""
    node = SliceCapture.sliceNode(viewName)
    if node is None:
        return True
    matrix = node.GetSliceToRAS()
    normal = np.array([matrix.GetElement(row, 2) for row in range(3)])
    return bool(abs(normal @ PlaneGeometry.normalOf(plane)) < _NEARLY_PARALLEL * np.linalg.norm(normal))


def title(plane: PlaneGrid) -> str:
    """A plane in words, such as "Axial 34"; slices are counted from 1, as Slicer counts them."""
    names = {
        "axial": _("Axial"),
        "coronal": _("Coronal"),
        "sagittal": _("Sagittal"),
        "oblique": _("Oblique"),
    }
    name = names[plane.orientation]
    if plane.index is None:
        return _("{plane} at {offset} mm").format(plane=name, offset=f"{plane.offset:.1f}")
    return f"{name} {plane.index + 1}"


def describe(volume: Any, plane: PlaneGrid | None) -> str:
    """What a view shows, such as "CT chest · Axial 34"."""
    return "" if volume is None or plane is None else f"{volume.GetName()} · {title(plane)}"
