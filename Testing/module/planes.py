"""Volumes of all kinds, lying in the patient in all ways, and slice views put onto them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from MediRoundSlicerLib.Dialogues import PlaneGrid
from vtk.util.numpy_support import vtk_to_numpy

# (i, j, k): no two alike, so that mixed-up axes are seen.
SIZE = (14, 12, 10)
WINDOW, LEVEL = 800.0, 100.0


def turn(angles: tuple[float, float, float]) -> Any:
    """(3, 3) rotation by angles about R, A and S, in degrees."""
    transform = vtk.vtkTransform()
    for rotate, angle in zip((transform.RotateX, transform.RotateY, transform.RotateZ), angles, strict=True):
        rotate(angle)
    return slicer.util.arrayFromVTKMatrix(transform.GetMatrix())[:3, :3]


def affine(directions: Any, spacing: tuple[float, float, float], origin: tuple[float, float, float]) -> Any:
    """(4, 4) IJK-to-RAS matrix; directions has a column for each axis."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(directions, dtype=float) @ np.diag(spacing)
    matrix[:3, 3] = origin
    return matrix


@dataclass(frozen=True)
class Lie:
    """How a volume lies: its matrix, and the (4, 4) transform that it is under, or None."""

    matrix: Any
    parent: Any = None

    @property
    def world(self) -> Any:
        return self.matrix if self.parent is None else self.parent @ self.matrix


_USUAL = np.diag([-1.0, -1.0, 1.0])
_TILTED = np.array([[1.0, 0, 0], [0, 1, np.sin(0.3)], [0, 0, np.cos(0.3)]])
LIES: dict[str, Lie] = {
    "plain": Lie(np.eye(4)),
    "as DICOM lies": Lie(affine(_USUAL, (1, 1, 1), (40, 55, -12.5))),
    "anisotropic": Lie(affine(_USUAL, (0.7, 0.7, 2.1), (3, 4, 5))),
    "all spacings differ": Lie(affine(_USUAL, (0.5, 0.8, 1.7), (3, 4, 5))),
    "flipped": Lie(affine(np.diag([1.0, 1, -1]), (1, 1, 1), (-3, 2, 80))),
    "permuted": Lie(affine(np.array([[0, 0, 1], [-1, 0, 0], [0, 1, 0]]), (1.0, 1.0, 1.5), (7, 7, 7))),
    "rotated": Lie(affine(turn((12, -8, 20)) @ _USUAL, (1, 1, 2), (10, -20, 30))),
    "turned on its head": Lie(affine(turn((100, 30, -80)), (1.2, 1.2, 1.2), (0, 0, 0))),
    "under a transform": Lie(affine(_USUAL, (1, 1, 2), (5, 5, 5)), affine(turn((0, 0, 25)), (1, 1, 1), (9, 8, 7))),
    "under a scaling": Lie(affine(_USUAL, (1, 1, 2), (5, 5, 5)), affine(np.eye(3), (1.5, 0.5, 1), (0, 0, 3))),
    "tilted gantry": Lie(affine(_TILTED, (1, 1, 1.5), (-4, 3, 2))),
}


def voxels(dtype: Any = np.int16, size: tuple[int, int, int] = SIZE, components: int = 1) -> Any:
    """(k, j, i) noise from -500 to 700, or over the range of uint8."""
    shape = size[::-1] if components == 1 else (*size[::-1], components)
    low, high = (0, 256) if dtype == np.uint8 else (-500, 700)
    return np.random.default_rng(7).integers(low, high, shape).astype(dtype)


def addVolume(array: Any, lie: Lie, colours: bool = False, name: str = "CT chest") -> Any:
    """The volume in the scene, with window and level set."""
    kind = "vtkMRMLVectorVolumeNode" if colours else "vtkMRMLScalarVolumeNode"
    node = slicer.util.addVolumeFromArray(array, ijkToRAS=lie.matrix, name=name, nodeClassName=kind)
    node.CreateDefaultDisplayNodes()
    if not colours:
        node.GetDisplayNode().AutoWindowLevelOff()
        node.GetDisplayNode().SetWindowLevel(WINDOW, LEVEL)
    if lie.parent is not None:
        node.SetAndObserveTransformNodeID(linearTransform(lie.parent).GetID())
    return node


def linearTransform(matrix: Any) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def bendingTransform(size: float = 4.0, inverse: bool = False) -> Any:
    """A grid transform that bends everything within 60 mm by up to `size` mm."""
    ticks = np.arange(7)
    k, j, i = np.meshgrid(ticks, ticks, ticks, indexing="ij")
    waves = np.stack([np.sin(j / 2), np.cos(k / 2), np.sin(i / 2 + 1)], axis=-1) * size
    image = vtk.vtkImageData()
    image.SetDimensions(7, 7, 7)
    image.SetOrigin(-60, -60, -60)
    image.SetSpacing(20, 20, 20)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = waves.reshape(-1, 3)
    grid = slicer.vtkOrientedGridTransform()
    grid.SetDisplacementGridData(image)
    grid.SetInterpolationModeToCubic()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    (node.SetAndObserveTransformFromParent if inverse else node.SetAndObserveTransformToParent)(grid)
    return node


def window(values: Any) -> Any:
    """As VTK maps greys: cut off between 0 and 255."""
    scaled = (values.astype(np.float64) - (LEVEL - WINDOW / 2)) * 255 / WINDOW
    return np.clip(np.floor(scaled), 0, 255).astype(np.uint8)


def place(scene: Any, view: str, volume: Any, at: tuple[float, float, float], tilt: Any = None) -> Any:
    """Show a volume in a view through an IJK position; `tilt` turns the view, None leaves it along the patient."""
    logic = scene.sliceLogics[view]
    node = logic.GetSliceNode()
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    if tilt is not None:
        matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
        matrix[:3, :3] = tilt @ matrix[:3, :3]
        node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
        node.UpdateMatrices()
    goTo(node, worldOf(volume)(np.array(at, dtype=float)))
    return node


def goTo(node: Any, point: Any) -> None:
    """Scroll a slice view to a point in world, and leave it where it is within its plane."""
    matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
    normal = np.cross(matrix[:3, 0], matrix[:3, 1])
    matrix[:3, 3] += normal * (normal @ (point - matrix[:3, 3]))
    node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
    node.UpdateMatrices()


def alongVoxels(scene: Any, view: str, volume: Any) -> None:
    """Turn a view along the volume's own axes."""
    scene.sliceLogics[view].GetSliceNode().RotateToVolumePlane(volume)


def worldOf(volume: Any) -> Callable[[Any], Any]:
    """(i, j, k) to world."""
    matrix, general = vtk.vtkMatrix4x4(), vtk.vtkGeneralTransform()
    volume.GetIJKToRASMatrix(matrix)
    if volume.GetParentTransformNode() is not None:
        volume.GetParentTransformNode().GetTransformToWorld(general)
    straight = slicer.util.arrayFromVTKMatrix(matrix)
    return lambda ijk: np.array(general.TransformPoint((straight @ [*ijk, 1.0])[:3]))


def viewPixels(scene: Any, view: str, plane: PlaneGrid) -> Any:
    """(rows, columns, 3): what Slicer's own view shows at the pixels of a plane, when it is zoomed to just these.

    The view is left there.
    """
    logic = scene.sliceLogics[view]
    node = logic.GetSliceNode()
    matrix = plane.matrix
    pixel = [float(np.linalg.norm(matrix[:3, k])) for k in (0, 1)]
    rows, columns = plane.shape
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1] = matrix[:3, 0] / pixel[0], -matrix[:3, 1] / pixel[1]
    pose[:3, 2] = np.cross(pose[:3, 0], pose[:3, 1])
    pose[:3, 3] = (matrix @ [0, rows - 1, 0, 1])[:3]
    node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(pose))
    node.SetDimensions(columns, rows, 1)
    node.SetFieldOfView(columns * pixel[0], rows * pixel[1], 1)
    node.SetXYZOrigin(columns * pixel[0] / 2, rows * pixel[1] / 2, 0)
    node.UpdateMatrices()
    logic.UpdatePipeline()
    layer = logic.GetBackgroundLayer().GetImageDataConnection()
    layer.GetProducer().Update()
    shown = vtk_to_numpy(layer.GetProducer().GetOutputDataObject(layer.GetIndex()).GetPointData().GetScalars())
    shown = shown.reshape(rows, columns, -1)[::-1].astype(np.float64)
    return np.rint(shown[..., :3] * shown[..., -1:] / 255).astype(np.uint8)
