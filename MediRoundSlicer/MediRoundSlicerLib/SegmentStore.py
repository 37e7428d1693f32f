"""Segmentations and their segments: made, named, written one plane at a time, saved and brought back."""

from dataclasses import dataclass
from typing import Any

import slicer
from slicer.i18n import tr as _

from MediRoundLib.outputs.terminology import terminology_entry
from MediRoundSlicerLib import SegmentColours, SegmentVoxels
from MediRoundSlicerLib.Dialogues import DialogueError, newID
from MediRoundSlicerLib.SegmentPlanes import (
    SavedPlane,
    checkSegmentation,
    readPlane,
    restorePlane,
    savePlane,
    writePlane,
)
from MediRoundSlicerLib.SegmentVoxels import Block

__all__ = [
    "SavedPlane",
    "SavedSegment",
    "SegmentInfo",
    "addSegment",
    "findSegmentation",
    "readPlane",
    "removeSegment",
    "rename",
    "restorePlane",
    "restoreSegment",
    "savePlane",
    "saveSegment",
    "segment",
    "segmentationFor",
    "segments",
    "selectSegment",
    "setTags",
    "writePlane",
]

# Marks the segmentations that this module made.
_ATTRIBUTE = "MediRound.Segmentation"
# The transform that such a segmentation was put under because its volume is.
_FOLLOWED = "MediRound.Transform"


@dataclass(frozen=True)
class SegmentInfo:
    """A segment as the user sees it; `colour` is (red, green, blue) in 0..255."""

    id: str
    name: str
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class SavedSegment:
    """A whole segment, for undo.

    Attributes:
        id: its ID.
        details: a vtkSegment with its name, colour and tags.
        block: its voxels.
        following: IDs of the segments after it in the list.
        visible: whether it was shown.
    """

    id: str
    details: Any
    block: Block
    following: tuple[str, ...]
    visible: bool


# ---- segmentations ----


def findSegmentation(volumeNode: Any) -> Any:
    """The scene's MediRound segmentation of a volume, or None."""
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if node.GetAttribute(_ATTRIBUTE) and node.GetNodeReferenceID(role) == volumeNode.GetID():
            return node
    return None


def segmentationFor(volumeNode: Any) -> Any:
    """The scene's MediRound segmentation of a volume, made if there is none: on its grid, and beside it in the study.

    It follows the volume under another transform, unless the user gave it one of her own.
    """
    node = findSegmentation(volumeNode)
    if node is not None:
        if node.GetTransformNodeID() == node.GetNodeReferenceID(_FOLLOWED):
            _follow(node, volumeNode)
        return node
    name = slicer.mrmlScene.GenerateUniqueName(_("{volume} MediRound").format(volume=volumeNode.GetName()))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetAttribute(_ATTRIBUTE, "1")
    _follow(node, volumeNode)
    node.CreateDefaultDisplayNodes()
    # The source volume, too, for whoever exports the segments.
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    _putBeside(node, volumeNode)
    return node


def _follow(segmentationNode: Any, volumeNode: Any) -> None:
    wanted = volumeNode.GetTransformNodeID()
    if segmentationNode.GetTransformNodeID() != wanted:
        segmentationNode.SetAndObserveTransformNodeID(wanted)
    if segmentationNode.GetNodeReferenceID(_FOLLOWED) != wanted:
        segmentationNode.SetNodeReferenceID(_FOLLOWED, wanted)


def _putBeside(segmentationNode: Any, volumeNode: Any) -> None:
    """Under the same study, or folder, as the volume."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volumeNode) if hierarchy is not None else 0
    if item:
        parent = hierarchy.GetItemParent(item)
        own = hierarchy.GetItemByDataNode(segmentationNode) or hierarchy.CreateItem(parent, segmentationNode)
        hierarchy.SetItemParent(own, parent)


# ---- segments ----


def segments(segmentationNode: Any) -> list[SegmentInfo]:
    """All segments, in the order of the list."""
    segmentation = segmentationNode.GetSegmentation()
    return [
        _info(segmentation.GetNthSegmentID(place), segmentation.GetNthSegment(place))
        for place in range(segmentation.GetNumberOfSegments())
    ]


def segment(segmentationNode: Any, segmentID: str) -> SegmentInfo | None:
    """One segment, or None where there is none of that ID."""
    found = segmentationNode.GetSegmentation().GetSegment(segmentID)
    return None if found is None else _info(segmentID, found)


def addSegment(
    segmentationNode: Any,
    name: str,
    structure: str,
    tags: dict[str, str],
    colour: tuple[int, int, int] | None = None,
    segmentID: str | None = None,
) -> str:
    """Add an empty segment at the end of the list.

    Args:
        segmentationNode: where.
        name: as wanted; another segment of that name makes it "name (2)".
        structure: the anatomical structure in English, for its terminology.
        tags: what else it says of itself.
        colour: 0..255; None for the structure's own, or one that is told from the others.
        segmentID: None for a new one.

    Returns:
        Its ID.

    Raises:
        DialogueError: the segmentation cannot hold single slices.
    """
    checkSegmentation(segmentationNode)
    made = slicer.vtkSegment()
    made.SetName(_unusedName(segmentationNode, name, ""))
    made.SetNameAutoGenerated(False)
    used = [info.colour for info in segments(segmentationNode)]
    chosen = SegmentColours.colourFor(structure, used) if colour is None else colour
    made.SetColor(*(value / 255 for value in chosen))
    made.SetColorAutoGenerated(False)
    made.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminology_entry(structure))
    _tag(made, tags)
    segmentID = segmentID or f"MediRound_{newID()}"
    segmentationNode.GetSegmentation().AddSegment(made, segmentID)
    return segmentID


def removeSegment(segmentationNode: Any, segmentID: str) -> None:
    """Remove a segment; one that is not there is let pass."""
    segmentation = segmentationNode.GetSegmentation()
    if segmentation.GetSegment(segmentID) is None:
        return
    with slicer.util.NodeModify(segmentationNode):
        SegmentVoxels.separate(segmentation, segmentID)
    segmentation.RemoveSegment(segmentID)


def rename(segmentationNode: Any, segmentID: str, name: str) -> str:
    """Give a segment another name, and return the unique one that it got. Raises DialogueError for an empty one."""
    name = " ".join(name.split())
    if not name:
        raise DialogueError(_("A segment needs a name; type one."))
    given = _unusedName(segmentationNode, name, segmentID)
    with slicer.util.NodeModify(segmentationNode):
        found = segmentationNode.GetSegmentation().GetSegment(segmentID)
        found.SetName(given)
        found.SetNameAutoGenerated(False)
    return given


def setTags(segmentationNode: Any, segmentID: str, tags: dict[str, str]) -> None:
    """Set what a segment says of itself; other tags stay."""
    with slicer.util.NodeModify(segmentationNode):
        _tag(segmentationNode.GetSegmentation().GetSegment(segmentID), tags)


def selectSegment(segmentationNode: Any, segmentID: str) -> None:
    """Show a segment, and select it in Segment Editor where that is on its segmentation."""
    display = segmentationNode.GetDisplayNode()
    if display is not None:
        with slicer.util.NodeModify(display):
            display.SetVisibility(1)
            display.SetSegmentVisibility(segmentID, True)
    for editor in slicer.util.getNodesByClass("vtkMRMLSegmentEditorNode"):
        if editor.GetSegmentationNode() is segmentationNode:
            editor.SetSelectedSegmentID(segmentID)


# ---- whole segments, for undo ----


def saveSegment(segmentationNode: Any, segmentID: str) -> SavedSegment:
    """All of a segment; costs as much as the box around its voxels."""
    segmentation, display = segmentationNode.GetSegmentation(), segmentationNode.GetDisplayNode()
    details = slicer.vtkSegment()
    details.DeepCopyMetadata(segmentation.GetSegment(segmentID))
    details.SetNameAutoGenerated(segmentation.GetSegment(segmentID).GetNameAutoGenerated())
    details.SetColorAutoGenerated(segmentation.GetSegment(segmentID).GetColorAutoGenerated())
    following = segmentation.GetSegmentIDs()[segmentation.GetSegmentIndex(segmentID) + 1 :]
    visible = display is None or bool(display.GetSegmentVisibility(segmentID))
    return SavedSegment(segmentID, details, SegmentVoxels.pack(segmentation, segmentID), tuple(following), visible)


def restoreSegment(segmentationNode: Any, saved: SavedSegment) -> None:
    """Bring a segment back as it was saved, whether it was removed or changed since."""
    segmentation = segmentationNode.GetSegmentation()
    before = next((one for one in saved.following if segmentation.GetSegment(one) is not None), "")
    made = slicer.vtkSegment()
    made.DeepCopyMetadata(saved.details)
    made.SetNameAutoGenerated(saved.details.GetNameAutoGenerated())
    made.SetColorAutoGenerated(saved.details.GetColorAutoGenerated())
    made.SetLabelValue(1)
    made.AddRepresentation(SegmentVoxels.representationName(), SegmentVoxels.imageOf(saved.block))
    if segmentation.GetSegment(saved.id) is not None:
        removeSegment(segmentationNode, saved.id)
    segmentation.AddSegment(made, saved.id, before)
    if segmentationNode.GetDisplayNode() is not None:
        segmentationNode.GetDisplayNode().SetSegmentVisibility(saved.id, saved.visible)


# ---- helpers ----


def _info(segmentID: str, found: Any) -> SegmentInfo:
    red, green, blue = (round(value * 255) for value in found.GetColor())
    return SegmentInfo(segmentID, found.GetName(), (red, green, blue))


def _unusedName(segmentationNode: Any, name: str, segmentID: str) -> str:
    """A name that no other segment has, in capitals or not: queries find segments by it."""
    used = {info.name.casefold() for info in segments(segmentationNode) if info.id != segmentID}
    given, number = name, 1
    while given.casefold() in used:
        number += 1
        given = f"{name} ({number})"
    return given


def _tag(found: Any, tags: dict[str, str]) -> None:
    for key, value in tags.items():
        # In a file, a tag is one line that ends in "|".
        found.SetTag(key, " ".join(value.replace("|", "/").split()))
