"""What a slice view shows, as an image for the engine and a place in the patient.

A plane of voxels is taken voxel by voxel, whatever the view's zoom; the one nearest to the view, where the view lies
between two. Any other plane is cut through the volume at the volume's own resolution. The background volume alone is
captured, with its window, colours and threshold of now.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from slicer.i18n import tr as _

from MediRoundSlicerLib import PlaneGeometry, SlicePixels, Transforms
from MediRoundSlicerLib.Dialogues import DialogueError, PlaneGrid
from MediRoundSlicerLib.PlaneGeometry import Floats

# Nodes of the lattice over a volume that a transform bends, along each axis.
_BENT_NODES = 7
# A view whose normal is this near to a plane's shows it without being turned.
_PARALLEL = np.cos(np.radians(0.05))
# Share of a slice view that a plane fills when the view is set up for it.
_FILL = 0.95

samePlane = PlaneGeometry.samePlane


@dataclass(frozen=True)
class CapturedSlice:
    """A slice as displayed.

    Attributes:
        image: (H, W), or (H, W, 3) for colours, uint8; row 0 at the top.
        plane: where its pixels are.
        volumeNode: what it was taken from.
        window, level: grey values that are shown, or None for colours.
    """

    image: NDArray[np.uint8]
    plane: PlaneGrid
    volumeNode: Any
    window: float | None
    level: float | None


def viewNames() -> list[str]:
    """Names of the slice views on the screen; of all that the scene has, where none is."""
    nodes = _sliceNodes()
    return [node.GetLayoutName() for node in ([node for node in nodes if node.IsMappedInLayout()] or nodes)]


def sliceNode(viewName: str) -> Any:
    """The node of a slice view, or None."""
    return next((node for node in _sliceNodes() if node.GetLayoutName() == viewName), None)


def planeOfView(viewName: str) -> tuple[Any, PlaneGrid] | None:
    """The volume that a view shows and the plane that would be captured; None where `captureView` would fail.

    Looks at no pixels, so that a view can be followed with it.
    """
    try:
        return _shown(viewName)[1:]
    except DialogueError:
        return None


def whyNot(viewName: str) -> str:
    """Why `planeOfView` gives None: one sentence with the way out; "" where it gives a plane."""
    try:
        _shown(viewName)
    except DialogueError as error:
        return str(error)
    return ""


def captureView(viewName: str) -> CapturedSlice:
    """What a view shows now. Raises DialogueError where that is nothing."""
    view, volumeNode, plane = _shown(viewName)
    return _capture(volumeNode, plane, view)


def capturePlane(volumeNode: Any, plane: PlaneGrid, viewName: str = "") -> CapturedSlice:
    """The pixels of a plane again, as the volume is displayed now.

    Args:
        volumeNode: the volume of the plane; its transform may have changed.
        plane: as captured once.
        viewName: a view that shows a thick slab of this plane, or "".

    Raises:
        DialogueError: the volume has no pixels there.
    """
    _checkVolume(volumeNode, viewName)
    if plane.axis is not None and not 0 <= (plane.index or 0) < volumeNode.GetImageData().GetDimensions()[plane.axis]:
        raise DialogueError(
            _("The volume {volume} has no such slice any more; begin a new dialogue.").format(
                volume=volumeNode.GetName()
            )
        )
    return _capture(volumeNode, planeNow(volumeNode, plane), sliceNode(viewName) if viewName else None)


def planeNow(volumeNode: Any, plane: PlaneGrid) -> PlaneGrid:
    """Where a plane of voxels is now, if the volume was moved; any other plane stays in the world."""
    matrix = Transforms.ijkToWorld(volumeNode)
    if matrix is None or plane.pixelToIJK is None:
        return plane
    return PlaneGeometry.moved(plane, matrix @ np.array(plane.pixelToIJK).reshape(4, 4))


def showPlane(viewName: str, volumeNode: Any, plane: PlaneGrid) -> None:
    """Put a view on a plane of a volume; pan and zoom stay where the view is not turned and shows this volume."""
    view = sliceNode(viewName)
    if view is None:
        return
    plane = planeNow(volumeNode, plane)
    composite = slicer.vtkMRMLSliceLogic.GetSliceCompositeNode(view)
    other = composite is not None and composite.GetBackgroundVolumeID() != volumeNode.GetID()
    matrix, centre = Transforms.arrayOf(view.GetSliceToRAS()), PlaneGeometry.centreOf(plane)
    turned = abs(_normal(matrix) @ PlaneGeometry.normalOf(plane)) < _PARALLEL
    with slicer.util.NodeModify(view):
        if turned:
            matrix[:3, 0] = plane.matrix[:3, 0] / np.linalg.norm(plane.matrix[:3, 0])
            matrix[:3, 1] = -plane.matrix[:3, 1] / np.linalg.norm(plane.matrix[:3, 1])
            matrix[:3, 2] = PlaneGeometry.normalOf(plane)
        if turned or other:
            matrix[:3, 3] = centre
            _fit(view, plane)
        else:
            matrix[:3, 3] += _normal(matrix) * (_normal(matrix) @ (centre - matrix[:3, 3]))
        view.GetSliceToRAS().DeepCopy(Transforms.matrixOf(matrix))
        view.UpdateMatrices()
    if other:
        composite.SetBackgroundVolumeID(volumeNode.GetID())


def _fit(view: Any, plane: PlaneGrid) -> None:
    """Zoom so that the plane fills the view."""
    width, height = (
        count * float(np.linalg.norm(plane.matrix[:3, k])) for k, count in ((0, plane.shape[1]), (1, plane.shape[0]))
    )
    columns, rows = (max(1, count) for count in view.GetDimensions()[:2])
    pixel = max(width / columns, height / rows) / _FILL
    view.SetXYZOrigin(0.0, 0.0, 0.0)
    view.SetFieldOfView(pixel * columns, pixel * rows, view.GetFieldOfView()[2])


def _shown(viewName: str) -> tuple[Any, Any, PlaneGrid]:
    """The node, the volume and the plane of a view. Raises DialogueError where it shows no volume."""
    view = sliceNode(viewName)
    if view is None:
        raise DialogueError(_("There is no slice view {view}; choose another one.").format(view=viewName))
    composite = slicer.vtkMRMLSliceLogic.GetSliceCompositeNode(view)
    shown = None if composite is None else composite.GetBackgroundVolumeID()
    volumeNode = None if not shown else slicer.mrmlScene.GetNodeByID(shown)
    if volumeNode is None:
        if composite is not None and composite.GetLabelVolumeID():
            raise DialogueError(
                _("The {view} view shows a label map and no image; choose a volume for its background.").format(
                    view=viewName
                )
            )
        raise DialogueError(
            _("The {view} view shows no volume; load a study, or choose a volume for the view.").format(view=viewName)
        )
    _checkVolume(volumeNode, viewName)
    try:
        return view, volumeNode, _planeAt(volumeNode, Transforms.arrayOf(view.GetSliceToRAS()))
    except PlaneGeometry.OffVolume:
        text = _("The {view} view is beside {volume}; scroll to where it shows the volume.")
    except PlaneGeometry.EdgeOn:
        text = _("The {view} view sees {volume} from its edge; use the view that shows it flat.")
    raise DialogueError(text.format(view=viewName, volume=volumeNode.GetName()))


def _planeAt(volumeNode: Any, sliceToRAS: Floats) -> PlaneGrid:
    size = volumeNode.GetImageData().GetDimensions()
    matrix = Transforms.ijkToWorld(volumeNode)
    if matrix is None:
        straight = Transforms.ijkToRAS(volumeNode)
        lattice = PlaneGeometry.apply(straight, PlaneGeometry.boxLattice(size, _BENT_NODES))
        bent = Transforms.through(Transforms.generalToWorld(volumeNode))(lattice)
        return PlaneGeometry.cutGrid(bent, straight, size, sliceToRAS)
    found = PlaneGeometry.voxelPlane(matrix, size, sliceToRAS)
    if found is not None:
        return PlaneGeometry.voxelGrid(matrix, size, sliceToRAS, *found)
    corners = PlaneGeometry.apply(matrix, PlaneGeometry.boxLattice(size, 2))
    return PlaneGeometry.cutGrid(corners, matrix, size, sliceToRAS)


def _checkVolume(volumeNode: Any, viewName: str) -> None:
    """Raises DialogueError for what is no image."""
    name = volumeNode.GetName()
    if volumeNode.IsA("vtkMRMLLabelMapVolumeNode"):
        raise DialogueError(
            _("{volume} is a label map; choose the volume itself for the background of the {view} view.").format(
                volume=name, view=viewName
            )
        )
    image = volumeNode.GetImageData()
    if image is None or min(image.GetDimensions()) < 1 or image.GetPointData().GetScalars() is None:
        raise DialogueError(_("{volume} holds no image; load it again.").format(volume=name))
    SlicePixels.check(volumeNode)


def _capture(volumeNode: Any, plane: PlaneGrid, view: Any) -> CapturedSlice:
    image = SlicePixels.render(volumeNode, plane, None if view is None else SlicePixels.slabOf(view, volumeNode))
    display = volumeNode.GetDisplayNode()
    if volumeNode.IsA("vtkMRMLVectorVolumeNode"):
        return CapturedSlice(image, plane, volumeNode, None, None)
    return CapturedSlice(image, plane, volumeNode, float(display.GetWindow()), float(display.GetLevel()))


def _sliceNodes() -> list[Any]:
    return [node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode") if node.GetLayoutName()]


def _normal(sliceToRAS: Floats) -> Floats:
    normal = np.cross(sliceToRAS[:3, 0], sliceToRAS[:3, 1])
    return np.asarray(normal / np.linalg.norm(normal))
