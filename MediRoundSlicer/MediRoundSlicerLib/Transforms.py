"""Matrices and transforms of MRML nodes as numpy arrays: (4, 4) float64, world is RAS in mm."""

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from MediRoundSlicerLib.PlaneGeometry import Floats


def arrayOf(matrix: Any) -> Floats:
    """A vtkMatrix4x4 as an array."""
    return np.asarray(slicer.util.arrayFromVTKMatrix(matrix), dtype=np.float64)


def matrixOf(array: Floats) -> Any:
    """An array as a vtkMatrix4x4."""
    return slicer.util.vtkMatrixFromArray(array)


def ijkToRAS(volumeNode: Any) -> Floats:
    """Of a volume, without the transform that it is under."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return arrayOf(matrix)


def toWorld(node: Any) -> Floats | None:
    """From a node's own coordinates to world; None under a transform that is not linear."""
    transform = node.GetParentTransformNode()
    matrix = vtk.vtkMatrix4x4()
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            return None
        transform.GetMatrixTransformToWorld(matrix)
    return arrayOf(matrix)


def ijkToWorld(volumeNode: Any) -> Floats | None:
    """Of a volume; None under a transform that is not linear."""
    matrix = toWorld(volumeNode)
    return None if matrix is None else matrix @ ijkToRAS(volumeNode)


def generalFromWorld(node: Any) -> Any:
    """A vtkGeneralTransform from world to a node's own coordinates, under any transform."""
    general = vtk.vtkGeneralTransform()
    if node.GetParentTransformNode() is not None:
        node.GetParentTransformNode().GetTransformFromWorld(general)
    return general


def generalToWorld(node: Any) -> Any:
    """A vtkGeneralTransform from a node's own coordinates to world, under any transform."""
    general = vtk.vtkGeneralTransform()
    if node.GetParentTransformNode() is not None:
        node.GetParentTransformNode().GetTransformToWorld(general)
    return general


def through(transform: Any) -> Callable[[Floats], Floats]:
    """A function of (..., 3) points, from a vtkAbstractTransform."""

    def transformed(points: Floats) -> Floats:
        given, taken = vtk.vtkPoints(), vtk.vtkPoints()
        taken.SetDataTypeToDouble()
        given.SetData(numpy_to_vtk(np.ascontiguousarray(points.reshape(-1, 3)), deep=True))
        transform.TransformPoints(given, taken)
        return np.array(vtk_to_numpy(taken.GetData()), dtype=np.float64).reshape(points.shape)

    return transformed
