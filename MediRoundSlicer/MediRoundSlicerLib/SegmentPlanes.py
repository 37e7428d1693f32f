"""One plane of a segment at a time: written, read, saved and brought back.

Whatever the segmentation's own grid and transform are, a plane is written where it lies in the patient: PlaneVoxels
says which voxels it is made of.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from slicer.i18n import tr as _

from MediRoundSlicerLib import PlaneVoxels, SegmentVoxels, SliceCapture, Transforms
from MediRoundSlicerLib.Dialogues import DialogueError, PlaneGrid
from MediRoundSlicerLib.PlaneGeometry import Floats, apply
from MediRoundSlicerLib.SegmentationNodes import followVolume, referenceGrid
from MediRoundSlicerLib.SegmentVoxels import Index


@dataclass(frozen=True)
class SavedPlane:
    """The voxels of one plane of one segment, for undo."""

    segmentID: str
    matrix: Floats
    index: Index
    values: NDArray[np.bool_]


def writePlane(
    segmentationNode: Any, segmentID: str, volumeNode: Any, plane: PlaneGrid, mask: NDArray[np.bool_]
) -> None:
    """Replace one plane of a segment; its other planes and all other segments stay as they are.

    The module's own segmentation is brought to where the volume is, if that was moved.

    Args:
        segmentationNode, segmentID: the segment.
        volumeNode, plane: where the mask was drawn.
        mask: (H, W) bool on `plane.shape`.

    Raises:
        DialogueError: the segmentation cannot hold single slices.
    """
    checkSegmentation(segmentationNode)
    followVolume(segmentationNode, volumeNode)
    matrix = _lattice(segmentationNode, segmentID, volumeNode)
    layer = _layer(segmentationNode, matrix, volumeNode, plane)
    with slicer.util.NodeModify(segmentationNode):
        SegmentVoxels.write(
            segmentationNode.GetSegmentation(), segmentID, matrix, layer.index, layer.values(np.asarray(mask, bool))
        )


def readPlane(segmentationNode: Any, segmentID: str, volumeNode: Any, plane: PlaneGrid) -> NDArray[np.bool_]:
    """(H, W) bool: where a segment is on a plane now; at each pixel, what the voxel there says.

    A segment that is gone is nowhere.
    """
    segmentation = segmentationNode.GetSegmentation()
    if segmentation.GetSegment(segmentID) is None:
        return np.zeros(plane.shape, bool)
    followVolume(segmentationNode, volumeNode)
    if SegmentVoxels.labelmapOf(segmentation, segmentID) is None:
        # A segment that is a surface, such as one of a treatment plan.
        segmentation.CreateRepresentation(SegmentVoxels.representationName())
    matrix = SegmentVoxels.matrixOf(SegmentVoxels.labelmapOf(segmentation, segmentID))
    if matrix is None:
        return np.zeros(plane.shape, bool)
    straight = _pixelToVoxel(segmentationNode, matrix, volumeNode, plane)
    if straight is not None:
        index = PlaneVoxels.underPixels(straight, plane.shape)
    else:
        index = PlaneVoxels.underBentPixels(_bent(segmentationNode, matrix, volumeNode, plane), plane.shape)
    return np.array(np.broadcast_to(SegmentVoxels.read(segmentation, segmentID, index), plane.shape))


def savePlane(segmentationNode: Any, segmentID: str, volumeNode: Any, plane: PlaneGrid) -> SavedPlane:
    """The voxels that `writePlane` would replace: `restorePlane` brings them back one by one."""
    followVolume(segmentationNode, volumeNode)
    matrix = _lattice(segmentationNode, segmentID, volumeNode)
    index = _layer(segmentationNode, matrix, volumeNode, plane).index
    values = SegmentVoxels.read(segmentationNode.GetSegmentation(), segmentID, index)
    k, j, i = (axis.astype(np.int32) for axis in index)  # they stay in the history
    return SavedPlane(segmentID, matrix, (k, j, i), values)


def restorePlane(segmentationNode: Any, saved: SavedPlane) -> None:
    """Undo what was done to a plane; a segment that is gone is let pass.

    Raises:
        DialogueError: the segment lies on another grid by now, so that its voxels are not the same any more.
    """
    segmentation = segmentationNode.GetSegmentation()
    found = segmentation.GetSegment(saved.segmentID)
    if found is None:
        return
    matrix = SegmentVoxels.matrixOf(SegmentVoxels.labelmapOf(segmentation, saved.segmentID))
    if matrix is not None and not np.allclose(matrix, saved.matrix, atol=1e-4):
        raise DialogueError(
            _("The voxels of {segment} were resampled meanwhile; ask the round again instead of undoing it.").format(
                segment=found.GetName()
            )
        )
    with slicer.util.NodeModify(segmentationNode):
        SegmentVoxels.write(segmentation, saved.segmentID, saved.matrix, saved.index, saved.values)


def checkSegmentation(segmentationNode: Any) -> None:
    """Raises DialogueError for a segmentation that cannot hold single slices."""
    segmentation = segmentationNode.GetSegmentation()
    if segmentation.GetSourceRepresentationName() == SegmentVoxels.representationName():
        return
    if segmentation.GetNumberOfSegments() == 0:
        segmentationNode.SetSourceRepresentationToBinaryLabelmap()
        return
    raise DialogueError(
        _(
            "The segments of {segmentation} are surfaces, which single slices cannot be written to; choose another "
            "segmentation, or make binary labelmaps its source in the Segmentations module."
        ).format(segmentation=segmentationNode.GetName())
    )


def _lattice(segmentationNode: Any, segmentID: str, volumeNode: Any) -> Floats:
    """(4, 4) IJK to the segmentation's RAS: the grid that a segment's voxels are on, or would be on."""
    segmentation = segmentationNode.GetSegmentation()
    matrix = SegmentVoxels.matrixOf(SegmentVoxels.labelmapOf(segmentation, segmentID))
    if matrix is not None:
        return matrix
    grid = referenceGrid(segmentationNode)
    if grid is not None:
        return grid
    for other in segmentation.GetSegmentIDs():
        matrix = SegmentVoxels.matrixOf(SegmentVoxels.labelmapOf(segmentation, other))
        if matrix is not None:
            return matrix
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    grid = referenceGrid(segmentationNode)
    assert grid is not None
    return grid


def _layer(segmentationNode: Any, matrix: Floats, volumeNode: Any, plane: PlaneGrid) -> PlaneVoxels.Layer:
    """The voxels of a plane on a labelmap of that matrix, as far as the volume goes."""
    straight = _pixelToVoxel(segmentationNode, matrix, volumeNode, plane)
    if straight is not None:
        layer = PlaneVoxels.layerOf(straight, plane.shape)
    else:
        layer = PlaneVoxels.bentLayer(_bent(segmentationNode, matrix, volumeNode, plane), plane.shape)
    if segmentationNode.GetParentTransformNode() is volumeNode.GetParentTransformNode():
        between: Floats | None = np.eye(4)
    else:
        own, other = Transforms.toWorld(segmentationNode), Transforms.toWorld(volumeNode)
        between = None if own is None or other is None else np.linalg.solve(other, own)
    image = volumeNode.GetImageData()
    if between is None or image is None:
        return layer
    return layer.within(np.linalg.solve(Transforms.ijkToRAS(volumeNode), between @ matrix), image.GetDimensions())


def _pixelToVoxel(segmentationNode: Any, matrix: Floats, volumeNode: Any, plane: PlaneGrid) -> Floats | None:
    """(column, row, height in mm, 1) to voxels of a labelmap; None where a transform between them is not linear."""
    world = Transforms.toWorld(segmentationNode)
    together = segmentationNode.GetParentTransformNode() is volumeNode.GetParentTransformNode()
    if plane.pixelToIJK is not None and together:
        # Under one transform, whichever it is, what it does to both is nothing between them.
        local = Transforms.ijkToRAS(volumeNode) @ np.array(plane.pixelToIJK).reshape(4, 4)
    elif world is None or (plane.pixelToIJK is not None and Transforms.toWorld(volumeNode) is None):
        return None
    else:
        local = np.linalg.solve(world, SliceCapture.planeNow(volumeNode, plane).matrix)
    seen = np.eye(3) if world is None else world[:3, :3]
    normal = np.cross(seen @ local[:3, 0], seen @ local[:3, 1])
    local[:3, 2] = np.linalg.solve(seen, normal / np.linalg.norm(normal))
    return np.asarray(np.linalg.solve(matrix, local))


def _bent(segmentationNode: Any, matrix: Floats, volumeNode: Any, plane: PlaneGrid) -> Callable[[Floats], Floats]:
    """A function of (n, 2) columns and rows to (n, 3) voxels of a labelmap, through transforms of any kind."""
    fromWorld = Transforms.through(Transforms.generalFromWorld(segmentationNode))
    inverse = np.linalg.inv(matrix)
    moved = plane.pixelToIJK is not None and Transforms.toWorld(volumeNode) is None
    if moved:
        local = Transforms.ijkToRAS(volumeNode) @ np.array(plane.pixelToIJK).reshape(4, 4)
        toWorld = Transforms.through(Transforms.generalToWorld(volumeNode))
    else:
        local = SliceCapture.planeNow(volumeNode, plane).matrix

    def toVoxels(pixels: Floats) -> Floats:
        points = apply(local, np.column_stack([pixels, np.zeros(len(pixels))]))
        return apply(inverse, fromWorld(toWorld(points) if moved else points))

    return toVoxels
