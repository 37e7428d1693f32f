"""How tests look at segments: by Slicer's own means, or voxel by voxel."""

from typing import Any

import numpy as np
import slicer
import vtk
from MediRoundSlicerLib import SegmentStore, SegmentVoxels, SliceCapture
from planes import SIZE, alongVoxels, goTo, place, turn, worldOf
from vtk.util.numpy_support import vtk_to_numpy

AT = (4.0, 7.0, 6.0)
# Voxels beside the volume that are looked at, too.
MARGIN = 8


def matrixOf(node: Any, segmentID: str) -> Any:
    matrix = SegmentVoxels.matrixOf(SegmentVoxels.labelmapOf(node.GetSegmentation(), segmentID))
    assert matrix is not None
    return matrix


def whole(node: Any, segmentID: str, low: Any = None, shape: Any = None) -> Any:
    """(k, j, i) bool over a box that holds everything: by Slicer's own way of taking a segment out."""
    low = np.full(3, -MARGIN) if low is None else np.asarray(low)
    shape = np.array(SIZE[::-1]) + 2 * MARGIN if shape is None else np.asarray(shape)
    found = np.zeros(tuple(shape), bool)
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segmentID, image)
    if image.GetPointData().GetScalars() is None or min(image.GetDimensions()) < 1:
        return found
    extent = image.GetExtent()
    array = vtk_to_numpy(image.GetPointData().GetScalars())
    array = array.reshape(image.GetDimensions()[::-1]) > 0
    start = np.array([extent[4], extent[2], extent[0]])
    found[tuple((np.argwhere(array) + start - low).T)] = True
    return found


def expected(
    node: Any, matrix: Any, volume: Any, plane: Any, mask: Any, low: Any = None, shape: Any = None
) -> tuple[Any, Any]:
    """(layer, values) over the same box, by looking at every voxel: the rule of PlaneVoxels said once more."""
    low = np.full(3, -MARGIN) if low is None else np.asarray(low)
    shape = np.array(SIZE[::-1]) + 2 * MARGIN if shape is None else np.asarray(shape)
    parent = np.eye(4)
    if node.GetParentTransformNode() is not None:
        between = vtk.vtkMatrix4x4()
        node.GetParentTransformNode().GetMatrixTransformToWorld(between)
        parent = slicer.util.arrayFromVTKMatrix(between)
    toWorld = parent @ matrix
    k, j, i = np.meshgrid(*(np.arange(start, start + n) for start, n in zip(low, shape, strict=True)), indexing="ij")
    points = np.stack([i, j, k, np.ones(i.shape)], axis=-1) @ toWorld.T
    frame = plane.matrix
    frame[:3, 2] = np.cross(frame[:3, 0], frame[:3, 1])
    frame[:3, 2] /= np.linalg.norm(frame[:3, 2])
    slope = frame[:3, 2] @ toWorld[:3, :3]
    slope = slope if slope[np.argmax(np.abs(slope))] > 0 else -slope
    sign = np.sign(slope @ (np.linalg.inv(toWorld)[:3, :3] @ frame[:3, 2]))
    height = sign * ((points - frame[:, 3]) @ [*frame[:3, 2], 0])
    half, tiny = np.abs(slope).sum() / 2, 1e-6 * np.abs(slope).max()
    pixels = np.floor(points @ np.linalg.inv(frame).T + 0.5 + 1e-6).astype(int)
    column, row = pixels[..., 0], pixels[..., 1]
    inside = (column >= 0) & (column < mask.shape[1]) & (row >= 0) & (row < mask.shape[0])
    layer = (height > -half + tiny) & (height <= half + tiny) & inside
    # Voxels that do not meet the volume are left out.
    corner, back = vtk.vtkMatrix4x4(), np.eye(4)
    volume.GetIJKToRASMatrix(corner)
    if volume.GetParentTransformNode() is not None:
        between = vtk.vtkMatrix4x4()
        volume.GetParentTransformNode().GetMatrixTransformToWorld(between)
        back = slicer.util.arrayFromVTKMatrix(between)
    toVolume = np.linalg.inv(back @ slicer.util.arrayFromVTKMatrix(corner))
    reach = np.abs((toVolume @ toWorld)[:3, :3]).sum(axis=1) / 2 - 1e-6
    at = (points @ toVolume.T)[..., :3]
    layer &= ((at > -0.5 - reach) & (at < np.array(volume.GetImageData().GetDimensions()) - 0.5 + reach)).all(axis=-1)
    values = np.zeros(layer.shape, bool)
    values[layer] = mask[row[layer], column[layer]]
    return layer, values


def under(plane: Any, toWorld: Any, found: Any) -> Any:
    """(H, W): the voxel of `whole` at each pixel's centre; False far beside the volume."""
    columns, rows = np.meshgrid(np.arange(plane.shape[1]), np.arange(plane.shape[0]))
    pixels = np.stack([columns, rows, 0 * rows, 0 * rows + 1], axis=-1)
    ijk = np.floor(pixels @ (np.linalg.inv(toWorld) @ plane.matrix).T + 0.5 + 1e-6).astype(int)[..., :3]
    place = np.moveaxis(np.clip(ijk[..., ::-1] + MARGIN, 0, np.array(found.shape) - 1), -1, 0)
    return found[tuple(place)]


def drawing(shape: tuple[int, int], seed: int = 3) -> Any:
    """A mask with nothing regular in it."""
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.25
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return mask | ((rows - shape[0] * 0.4) ** 2 + (columns - shape[1] * 0.6) ** 2 < (min(shape) / 3) ** 2)


def captured(scene: Any, view: str, volume: Any, tilt: Any = None, at: Any = AT) -> Any:
    """The plane that a view shows: along the voxels where `tilt` is None."""
    node = place(scene, view, volume, at, None if tilt is None else turn(tilt))
    if tilt is None:
        alongVoxels(scene, view, volume)
        goTo(node, worldOf(volume)(at))
    return SliceCapture.captureView(view).plane


def add(node: Any, name: str = "Left lung", **options: Any) -> str:
    return SegmentStore.addSegment(node, name, name.lower(), {}, **options)


def distances(plane: Any, point: Any) -> Any:
    """(H, W): mm from a point in world."""
    columns, rows = np.meshgrid(np.arange(plane.shape[1]), np.arange(plane.shape[0]))
    points = np.stack([columns, rows, 0 * rows, 0 * rows + 1], axis=-1) @ plane.matrix.T
    return np.linalg.norm(points[..., :3] - point, axis=-1)
