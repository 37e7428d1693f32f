"""Rounds as labelmaps, in the scene and as files, and the whole segmentation as `.seg.nrrd`.

Every round is a labelmap of its own, as rounds may overlap. Its label value is the number of the round. A labelmap
holds the whole segment, as it is now: the user's own edits, and other slices that she drew it on.

Files lie in the coordinates of the volume's own file. A transform that the volume is under is not applied to them, so
that they fit the image that they were made on, in any program.
"""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from MediRoundSlicerLib.Dialogues import Dialogue, DialogueError
from MediRoundSlicerLib.ExportedRounds import (
    ExportedRound,
    byDialogue,
    description,
    exportedRounds,
    itkSnapLabels,
    placeName,
)
from MediRoundSlicerLib.StagedFolder import stagedFolder, uniqueName, writeProblem

SUFFIXES = (".nii.gz", ".nrrd")
LABELS = "labels.json"
_SEGMENTATION = ".seg.nrrd"
_BINARY_LABELMAP = "Binary labelmap"
_BLOCK = 1 << 20
# Axes with dot products up to this are at right angles, as matrices in files are rounded.
_SQUARE = 1e-3


def exportLabelmapNodes(dialogues: Sequence[Dialogue], segmentationNode: Any, volumeNode: Any) -> list[Any]:
    """Add a labelmap volume node to the scene for each round, beside the volume and under its transform.

    It is named as its segment is; its colour table, one for each dialogue, names and colours its label value.

    Args:
        dialogues: about slices of that volume.
        segmentationNode: holds the segments of their rounds.
        volumeNode: the geometry of the labelmaps.

    Returns:
        The nodes, in the order of dialogues and rounds. A round whose segment was deleted has none.

    Raises:
        DialogueError: the volume or every segment is gone.
    """
    kept = exportedRounds(dialogues, segmentationNode, volumeNode)
    # All voxels first: where one fails, nothing was added to the scene.
    images = {one.round.id: _image(segmentationNode, volumeNode, one) for one in kept}
    nodes = []
    for dialogue, rounds in byDialogue(kept):
        colours = _colourTable(f"{dialogue.title} labels", rounds)
        for one in rounds:
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", one.segment.name)
            _fill(node, images.pop(one.round.id), volumeNode)
            node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
            node.CreateDefaultDisplayNodes()
            node.GetDisplayNode().SetAndObserveColorNodeID(colours.GetID())
            _placeBeside(node, volumeNode)
            nodes.append(node)
    return nodes


def exportFiles(
    dialogues: Sequence[Dialogue],
    segmentationNode: Any,
    volumeNode: Any,
    folder: Path,
    suffix: str = ".nii.gz",
) -> list[Path]:
    """Write a labelmap file for each round, and what they are.

    Files are named for slice, round and structure alone, such as `axial_35_02_left_kidney.nii.gz`: never for the
    volume, whose name may be a patient's. Beside them lie `labels.json` (slice, round, name, value, colour and file of
    each) and, for each dialogue, a label description for ITK-SNAP, such as `axial_35_labels.txt`.

    Args:
        dialogues, segmentationNode, volumeNode: as for `exportLabelmapNodes`.
        folder: made if absent. Files of an earlier export of the same rounds are replaced.
        suffix: one of SUFFIXES.

    Returns:
        The labelmap files, in the order of dialogues and rounds, then the files that describe them.

    Raises:
        DialogueError: the volume or every segment is gone, the form cannot hold the volume's geometry, or the folder
            cannot be written to; no file is left then.
    """
    if suffix not in SUFFIXES:
        raise ValueError(f"labelmaps are written as {' or '.join(SUFFIXES)}, not as {suffix!r}")
    kept = exportedRounds(dialogues, segmentationNode, volumeNode)
    if suffix == ".nii.gz" and _isSheared(volumeNode):
        raise DialogueError(_("NIfTI cannot hold a volume with slanted slices, as this one has; export NRRD instead."))
    taken: set[str] = set()
    labelmaps = [uniqueName(one.fileName, taken) + suffix for one in kept]
    texts = {LABELS: description(dialogues, kept, labelmaps, volumeNode)}
    for dialogue, rounds in byDialogue(kept):
        texts[uniqueName(f"{placeName(dialogue.plane)}_labels", taken) + ".txt"] = itkSnapLabels(rounds)
    with stagedFolder(folder) as staged:
        for one, name in zip(kept, labelmaps, strict=True):
            node = slicer.vtkMRMLLabelMapVolumeNode()
            _fill(node, _image(segmentationNode, volumeNode, one), volumeNode)
            _write(slicer.vtkMRMLVolumeArchetypeStorageNode(), node, staged / name, folder)
        for name, text in texts.items():
            (staged / name).write_text(text, encoding="utf-8", newline="\n")
    return [folder / name for name in (*labelmaps, *texts)]


def exportSegmentation(segmentationNode: Any, path: Path) -> Path:
    """Write all segments with names, colours, tags and overlaps as one file that Slicer loads as a segmentation.

    Args:
        path: ".seg.nrrd" is added where its name does not end so. A file of that name is replaced.

    Returns:
        The file.

    Raises:
        DialogueError: the segmentation is gone or empty, or the folder cannot be written to; no file is left then.
    """
    if segmentationNode is not None and segmentationNode.GetScene() is None:
        raise DialogueError(_("The segmentation was deleted; undo that, or ask again, before exporting it."))
    if segmentationNode is None or segmentationNode.GetSegmentation().GetNumberOfSegments() == 0:
        raise DialogueError(_("There are no segments to export; ask for a structure first."))
    name = path.name.removesuffix(_SEGMENTATION).removesuffix(".nrrd") + _SEGMENTATION
    with stagedFolder(path.parent) as staged:
        # A storage of its own: where the user saved this segmentation herself stays as it is.
        _write(slicer.vtkMRMLSegmentationStorageNode(), segmentationNode, staged / name, path.parent)
    return path.parent / name


# ---- voxels ----


def _image(segmentationNode: Any, volumeNode: Any, one: ExportedRound) -> Any:
    """The voxels of a round in the volume's grid, 0 or the number of the round."""
    if not segmentationNode.GetSegmentation().CreateRepresentation(_BINARY_LABELMAP):
        raise DialogueError(
            _('The segment "{name}" cannot be made into a labelmap; convert it in the Segmentations module.').format(
                name=one.segment.name
            )
        )
    segmentIDs, values = vtk.vtkStringArray(), vtk.vtkIntArray()
    segmentIDs.InsertNextValue(one.segment.id)
    values.InsertNextValue(one.round.number)
    image = slicer.vtkOrientedImageData()
    # This follows the transforms of both nodes, where they are under different ones.
    slicer.vtkSlicerSegmentationsModuleLogic.GenerateMergedLabelmapInReferenceGeometry(
        segmentationNode,
        volumeNode,
        segmentIDs,
        slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY,
        image,
        values,
    )
    return image


def _fill(node: Any, image: Any, volumeNode: Any) -> None:
    """Give a labelmap node its voxels, and exactly the geometry of the volume."""
    slicer.vtkSlicerSegmentationsModuleLogic.CreateLabelmapVolumeFromOrientedImageData(image, node)
    node.CopyOrientation(volumeNode)


def _isSheared(volumeNode: Any) -> bool:
    """Whether the axes of a volume's voxels are not at right angles, as a tilted gantry makes them."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASDirectionMatrix(matrix)
    axes = slicer.util.arrayFromVTKMatrix(matrix)[:3, :3]
    return not np.allclose(axes.T @ axes, np.eye(3), atol=_SQUARE)


def _write(storage: Any, node: Any, path: Path, folder: Path) -> None:
    """Write a node by its storage; `folder` is what the user is told where that fails."""
    storage.SetFileName(str(path))
    storage.SetUseCompression(1)
    done = storage.WriteData(node)
    # NIfTI's writer says nothing of a disk that is full.
    if not done or not path.exists() or (path.suffix == ".gz" and not _isWhole(path, node)):
        raise writeProblem(folder)


def _isWhole(path: Path, node: Any) -> bool:
    """Whether a compressed NIfTI file holds all voxels of a node."""
    image = node.GetImageData()
    size = 0
    try:
        with gzip.open(path) as file:
            while block := file.read(_BLOCK):
                size += len(block)
    except (OSError, EOFError, zlib.error):
        return False
    return bool(size >= image.GetNumberOfPoints() * image.GetScalarSize())


# ---- the scene ----


def _colourTable(name: str, rounds: Sequence[ExportedRound]) -> Any:
    """A colour table in which every round has its segment's name and colour at its number."""
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", name)
    table.SetTypeToUser()
    table.SetNumberOfColors(max(one.round.number for one in rounds) + 1)
    table.SetColor(0, _("background"), 0.0, 0.0, 0.0, 0.0)
    for one in rounds:
        table.SetColor(one.round.number, one.segment.name, *(part / 255 for part in one.segment.colour), 1.0)
    return table


def _placeBeside(node: Any, volumeNode: Any) -> None:
    """Put a node where the volume is in the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    beside = hierarchy.GetItemByDataNode(volumeNode)
    parent = hierarchy.GetItemParent(beside) if beside else hierarchy.GetSceneItemID()
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, parent)
    else:
        hierarchy.CreateItem(parent, node)
