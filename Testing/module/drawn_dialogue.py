"""A volume, a segmentation and a dialogue about one axial slice, as the module's writers of files meet them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from MediRoundSlicerLib.Dialogues import Dialogue, PlaneGrid, Reference, Round, newID
from numpy.typing import NDArray

SHAPE = (12, 40, 50)
# IJK to RAS: anisotropic; flipped as DICOM is; left-handed; slanted as a tilted gantry is; rotated about every axis.
GEOMETRIES = {
    "anisotropic": np.diag([0.5, 2.0, 5.0, 1.0]),
    "flipped": np.array([[-1.5, 0, 0, 70], [0, -1.5, 0, 80], [0, 0, 4, -300], [0, 0, 0, 1.0]]),
    "left-handed": np.array([[-1, 0, 0, 10], [0, 1, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1.0]]),
    "sagittal": np.array([[0, 0, -3, 10], [-1, 0, 0, 20], [0, -1, 0, 30], [0, 0, 0, 1.0]]),
    "slanted": np.array([[-1, 0, 0, 4], [0, -1, 0.5, 3], [0, 0, 1.5, 2], [0, 0, 0, 1.0]]),
    "rotated": np.array([[0.36, -1.6, 2.4, -12.5], [0.48, 1.2, 3.2, 40.25], [-0.8, 0.0, 3.0, 7.75], [0, 0, 0, 1.0]])
    @ np.diag([2.0, 0.5, 1.0, 1.0]),
}


def matrixNode(values: NDArray[np.float64]) -> Any:
    """A linear transform node in the scene."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(values))
    return node


def bentNode() -> Any:
    """A transform node in the scene that is not linear: it moves everything by 6 mm to the left of the patient."""
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for x in (-200, 200):
        for y in (-200, 200):
            for z in (-200, 200):
                source.InsertNextPoint(x, y, z)
                target.InsertNextPoint(x - 6, y, z)
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    node.SetAndObserveTransformToParent(spline)
    return node


class DrawnDialogue:
    """A study of a patient in the scene, and a dialogue of rounds whose masks are boxes.

    ```
    drawn = DrawnDialogue("rotated")
    first = drawn.round("Left kidney (round 1)", drawn.box(3, 10, 12))
    Export.exportFiles([drawn.dialogue], drawn.segmentation, drawn.volume, folder)
    ```
    """

    def __init__(self, geometry: str = "flipped", index: int = 4) -> None:
        values = np.random.default_rng(0).integers(-200, 300, SHAPE).astype(np.int16)
        self.volume = slicer.util.addVolumeFromArray(values, name="DOE^JANE 1961")
        self.volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(GEOMETRIES[geometry]))
        self.volume.CreateDefaultDisplayNodes()
        self.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "DOE^JANE 1961 MediRound")
        self.segmentation.CreateDefaultDisplayNodes()
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        plane = axialPlane(GEOMETRIES[geometry], index)
        self.dialogue = Dialogue(newID(), f"Axial {index + 1}", plane, "Red", begun=1)

    def box(self, k: int, j: int, i: int, size: int = 8) -> NDArray[np.bool_]:
        """Voxels of SHAPE that are set in a square on slice `k`."""
        mask = np.zeros(SHAPE, bool)
        mask[k, j : j + size, i : i + size] = True
        return mask

    def segment(
        self, name: str, voxels: NDArray[np.bool_], colour: tuple[int, int, int] = (255, 0, 0), **tags: str
    ) -> str:
        """A segment that a user draws. Returns its id."""
        segments = self.segmentation.GetSegmentation()
        segmentID: str = segments.AddEmptySegment("", name, [part / 255 for part in colour])
        for key, value in tags.items():
            segments.GetSegment(segmentID).SetTag(key, value)
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            voxels.astype(np.uint8), self.segmentation, segmentID, self.volume
        )
        return segmentID

    def round(self, name: str, voxels: NDArray[np.bool_], **changes: Any) -> Round:
        """A further round, whose segment has that name; `changes` are fields of the round."""
        number = self.dialogue.nextNumber
        colour = changes.pop("colour", (255, 60 * number % 256, 0))
        segmentID = self.segment(name, voxels, colour)
        made = Round(
            id=newID(),
            number=number,
            query=f"Segment the {name}.",
            answer=f"{name} [SEG].",
            text=f"{name}: instance {number}.",
            name=name.partition(" (")[0].lower(),
            autoName=name,
            segmentID=segmentID,
            quality=0.8,
            seconds=0.5,
            model="mediround-tiny",
            pixels=int(voxels.sum()),
        )
        made = replace(made, **changes)
        self.dialogue = self.dialogue.withRound(made)
        return made

    def twoRounds(self) -> list[NDArray[np.bool_]]:
        """Two rounds that overlap, and a segment that is no round's. Returns the masks of the rounds."""
        boxes = [self.box(4, 8, 5), self.box(4, 12, 9)]
        self.segment("my lesion", self.box(6, 1, 1))
        self.round("Left kidney (round 1)", boxes[0])
        self.round("Right kidney (round 2)", boxes[1])
        return boxes

    def leaning(self, done: Round, phrase: str = "") -> Reference:
        """A reference to that round."""
        return Reference(done.segmentID, done.id, phrase, chosen=not phrase)


def axialPlane(ijkToRAS: NDArray[np.float64], index: int) -> PlaneGrid:
    """The plane of slice `index` along K with the volume's own pixels; here it is called axial however it lies."""
    voxels = np.eye(4)
    voxels[2, 3] = index
    placed = ijkToRAS @ voxels
    return PlaneGrid(
        pixelToRAS=tuple(placed.ravel().tolist()),
        pixelToIJK=tuple(voxels.ravel().tolist()),
        shape=SHAPE[1:],
        axis=2,
        index=index,
        orientation="axial",
        offset=float(placed[2, 3]),
    )


def ijkToRAS(node: Any) -> NDArray[np.float64]:
    """(4, 4) of a volume node, without transforms that it is under."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array(slicer.util.arrayFromVTKMatrix(matrix))


def filesIn(folder: Path) -> list[str]:
    """Everything below a folder, hidden files too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
