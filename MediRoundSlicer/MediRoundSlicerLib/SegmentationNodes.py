"""The segmentation that belongs to a volume: found, made, and kept where the volume is."""

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from MediRoundSlicerLib import Transforms
from MediRoundSlicerLib.PlaneGeometry import Floats

# Marks the segmentations that this module made.
_ATTRIBUTE = "MediRound.Segmentation"
# The transform that such a segmentation was put under because its volume is.
_FOLLOWED = "MediRound.Transform"


def findSegmentation(volumeNode: Any) -> Any:
    """The scene's MediRound segmentation of a volume, or None."""
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if _belongs(node, volumeNode):
            followVolume(node, volumeNode)
            return node
    return None


def segmentationFor(volumeNode: Any) -> Any:
    """The scene's MediRound segmentation of a volume; if there is none, one is made on its grid, in the same study."""
    node = findSegmentation(volumeNode)
    if node is not None:
        return node
    name = slicer.mrmlScene.GenerateUniqueName(_("{volume} MediRound").format(volume=volumeNode.GetName()))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetAttribute(_ATTRIBUTE, "1")
    _putUnder(node, volumeNode.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    # The source volume, too, for whoever exports the segments.
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    _putBeside(node, volumeNode)
    return node


def followVolume(segmentationNode: Any, volumeNode: Any) -> None:
    """Put the MediRound segmentation of a volume under the transform that the volume is under now.

    Where the volume's transform was hardened, so is the segmentation's. Other segmentations stay where they are, and so
    does one that the user gave a transform of her own.
    """
    wanted = volumeNode.GetTransformNodeID()
    present = segmentationNode.GetTransformNodeID()
    ours = present == segmentationNode.GetNodeReferenceID(_FOLLOWED)
    if present != wanted and ours and _belongs(segmentationNode, volumeNode):
        if wanted is None and _isHardened(segmentationNode, volumeNode):
            segmentationNode.HardenTransform()
        _putUnder(segmentationNode, wanted)


def referenceGrid(segmentationNode: Any) -> Floats | None:
    """(4, 4) IJK to the segmentation's RAS of the grid that new segments are on, or None where none is set."""
    parameter = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    geometry = segmentationNode.GetSegmentation().GetConversionParameter(parameter)
    if not geometry:
        return None
    image = slicer.vtkOrientedImageData()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(geometry, image, False)
    grid = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(grid)
    return Transforms.arrayOf(grid)


def _isHardened(segmentationNode: Any, volumeNode: Any) -> bool:
    """Whether a volume without a transform is where the segmentation is under its own."""
    world, grid = Transforms.toWorld(segmentationNode), referenceGrid(segmentationNode)
    return world is not None and grid is not None and np.allclose(Transforms.ijkToRAS(volumeNode), world @ grid)


def _belongs(segmentationNode: Any, volumeNode: Any) -> bool:
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    marked = bool(segmentationNode.GetAttribute(_ATTRIBUTE))
    return marked and segmentationNode.GetNodeReferenceID(role) == volumeNode.GetID()


def _putUnder(segmentationNode: Any, transformID: str | None) -> None:
    segmentationNode.SetNodeReferenceID(_FOLLOWED, transformID)
    segmentationNode.SetAndObserveTransformNodeID(transformID)


def _putBeside(segmentationNode: Any, volumeNode: Any) -> None:
    """Under the same study, or folder, as the volume."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volumeNode) if hierarchy is not None else 0
    if item:
        parent = hierarchy.GetItemParent(item)
        own = hierarchy.GetItemByDataNode(segmentationNode) or hierarchy.CreateItem(parent, segmentationNode)
        hierarchy.SetItemParent(own, parent)
