"""What is written is found again on its plane and nowhere else, however volumes and segmentations lie."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from MediRoundSlicerLib import SegmentStore, SegmentVoxels, SliceCapture
from MediRoundSlicerLib.Dialogues import DialogueError
from planes import (
    LIES,
    SIZE,
    Lie,
    addVolume,
    affine,
    alongVoxels,
    bendingTransform,
    goTo,
    linearTransform,
    place,
    turn,
    voxels,
    worldOf,
)

VIEWS = ("Red", "Green", "Yellow")
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
    array = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
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


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("tilt", [None, (30, 0, 0), (0, 45, 0), (20, -35, 50)])
def test_a_mask_is_on_its_plane_and_nowhere_else(scene: Any, lie: str, view: str, tilt: Any) -> None:
    volume = addVolume(voxels(), LIES[lie])
    plane = captured(scene, view, volume, tilt)
    mask = drawing(plane.shape)
    node = SegmentStore.segmentationFor(volume)
    segmentID = add(node)
    SegmentStore.writePlane(node, segmentID, volume, plane, mask)
    layer, values = expected(node, matrixOf(node, segmentID), volume, plane, mask)
    assert values.any()
    np.testing.assert_array_equal(whole(node, segmentID), values)
    # None beside the volume.
    assert values.sum() == values[MARGIN:-MARGIN, MARGIN:-MARGIN, MARGIN:-MARGIN].sum()
    read = SegmentStore.readPlane(node, segmentID, volume, plane)
    np.testing.assert_array_equal(read, under(plane, LIES[lie].world, whole(node, segmentID)))
    if plane.pixelToIJK is not None and lie != "tilted gantry":
        SegmentStore.writePlane(node, segmentID, volume, plane, read)
        np.testing.assert_array_equal(whole(node, segmentID), values)
        pixels = np.array(plane.pixelToIJK).reshape(4, 4)
        if np.abs(pixels - np.rint(pixels)).max() < 1e-9:
            np.testing.assert_array_equal(read, mask)
            assert values.sum() == mask.sum()
    # Another mask replaces it, and an empty one leaves nothing.
    SegmentStore.writePlane(node, segmentID, volume, plane, ~mask)
    np.testing.assert_array_equal(whole(node, segmentID), layer & ~values)
    SegmentStore.writePlane(node, segmentID, volume, plane, np.zeros_like(mask))
    assert not whole(node, segmentID).any()
    assert not SegmentStore.readPlane(node, segmentID, volume, plane).any()


@pytest.mark.parametrize("tilt", [(30, 0, 0), (0, 45, 0), (20, -35, 50)])
def test_a_full_mask_leaves_no_hole_and_is_thin(scene: Any, tilt: Any) -> None:
    volume = addVolume(voxels(), LIES["as DICOM lies"])
    plane = captured(scene, "Red", volume, tilt)
    node = SegmentStore.segmentationFor(volume)
    segmentID = add(node)
    SegmentStore.writePlane(node, segmentID, volume, plane, np.ones(plane.shape, bool))
    # Any point of the image within the volume, not only its pixels' centres.
    c, r = np.meshgrid(np.arange(-0.4, plane.shape[1] - 0.6, 0.13), np.arange(-0.4, plane.shape[0] - 0.6, 0.13))
    points = plane.matrix @ np.stack([c.ravel(), r.ravel(), 0 * c.ravel(), 0 * c.ravel() + 1])
    ijk = (np.linalg.inv(matrixOf(node, segmentID)) @ points)[:3]
    ijk = ijk[:, ((ijk > -0.499) & (ijk < np.array(SIZE)[:, None] - 0.501)).all(axis=0)]
    k, j, i = np.rint(ijk[::-1]).astype(int) + MARGIN
    assert len(k) > 5000
    assert whole(node, segmentID)[k, j, i].all()
    # Seen along any axis, no more than three voxels lie behind one another where the plane is steep to it.
    assert whole(node, segmentID).sum(axis=0).max() <= 3


OTHERS: dict[str, Callable[[Any], Any]] = {
    "coarser": lambda m: m @ affine(np.eye(3), (2, 2, 2), (0.5, 0.5, 0.5)),
    "finer": lambda m: m @ affine(np.eye(3), (0.5, 0.5, 0.5), (-0.25, -0.25, -0.25)),
    "thicker slices": lambda m: m @ affine(np.eye(3), (1, 1, 3), (0, 0, 1)),
    "shifted by half": lambda m: m @ affine(np.eye(3), (1, 1, 1), (0.5, 0.5, 0.5)),
    "shifted": lambda m: m @ affine(np.eye(3), (1, 1, 1), (3.3, -2.2, 0.4)),
    "rotated": lambda m: m @ affine(turn((10, 20, 30)), (1, 1, 1), (1, 1, 1)),
    "axes swapped": lambda m: m @ affine(np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]]), (1, 1, 1), (0, 9, 0)),
}


def distances(plane: Any, point: Any) -> Any:
    """(H, W): mm from a point in world."""
    columns, rows = np.meshgrid(np.arange(plane.shape[1]), np.arange(plane.shape[0]))
    points = np.stack([columns, rows, 0 * rows, 0 * rows + 1], axis=-1) @ plane.matrix.T
    return np.linalg.norm(points[..., :3] - point, axis=-1)


def withGeometry(node: Any, matrix: Any, size: tuple[int, int, int] = SIZE) -> None:
    image = vtk.vtkImageData()
    image.SetDimensions(*size)
    text = slicer.vtkSegmentationConverter.SerializeImageGeometry(slicer.util.vtkMatrixFromArray(matrix), image)
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    node.GetSegmentation().SetConversionParameter(name, text)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("lie", ["as DICOM lies", "all spacings differ", "rotated", "under a transform"])
@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("tilt", [None, (20, -35, 50)])
def test_a_segmentation_with_a_grid_and_a_transform_of_its_own(
    scene: Any, other: str, lie: str, moved: bool, tilt: Any
) -> None:
    volume = addVolume(voxels(), LIES[lie])
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    node.CreateDefaultDisplayNodes()
    grid = OTHERS[other](LIES[lie].world)
    if moved:
        parent = affine(turn((40, 0, 10)), (1.2, 0.9, 1.0), (5, -6, 7))
        node.SetAndObserveTransformNodeID(linearTransform(parent).GetID())
        grid = np.linalg.inv(parent) @ grid
    withGeometry(node, grid)
    plane = captured(scene, "Red", volume, tilt)
    mask = drawing(plane.shape)
    segmentID = add(node)
    SegmentStore.writePlane(node, segmentID, volume, plane, mask)
    np.testing.assert_allclose(matrixOf(node, segmentID), grid, atol=1e-9)
    box = (np.full(3, -20), np.full(3, 70))
    layer, values = expected(node, grid, volume, plane, mask, *box)
    assert values.sum() > 10
    np.testing.assert_array_equal(whole(node, segmentID, *box), values)
    read = SegmentStore.readPlane(node, segmentID, volume, plane)
    if tilt is None and other in ("finer", "axes swapped") and lie == "as DICOM lies":
        np.testing.assert_array_equal(read, mask)
    SegmentStore.writePlane(node, segmentID, volume, plane, ~mask)
    np.testing.assert_array_equal(whole(node, segmentID, *box), layer & ~values)


def test_other_planes_of_the_segment_stay(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["rotated"])
    node = SegmentStore.segmentationFor(volume)
    segmentID = add(node)
    kept = np.zeros(np.array(SIZE[::-1]) + 2 * MARGIN, bool)
    for depth in (6, 2, 8):
        plane = captured(scene, "Red", volume, None, (4, 7, depth))
        mask = drawing(plane.shape, depth)
        SegmentStore.writePlane(node, segmentID, volume, plane, mask)
        kept |= expected(node, matrixOf(node, segmentID), volume, plane, mask)[1]
        np.testing.assert_array_equal(whole(node, segmentID), kept)
    # One across them: only the voxels of its own layer change.
    plane = captured(scene, "Green", volume)
    mask = drawing(plane.shape, 9)
    SegmentStore.writePlane(node, segmentID, volume, plane, mask)
    layer, values = expected(node, matrixOf(node, segmentID), volume, plane, mask)
    np.testing.assert_array_equal(whole(node, segmentID), np.where(layer, values, kept))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("tilt", [None, (20, -35, 50)])
def test_overlapping_segments_leave_each_other_alone(scene: Any, shared: bool, tilt: Any) -> None:
    volume = addVolume(voxels(), LIES["anisotropic"])
    node = SegmentStore.segmentationFor(volume)
    segmentation = node.GetSegmentation()
    plane = captured(scene, "Red", volume, tilt)
    masks = [drawing(plane.shape, seed) for seed in range(4)]
    assert (masks[0] & masks[1]).any()
    ids = [add(node, f"Segment {number}") for number in range(4)]
    for segmentID, mask in zip(ids, masks, strict=True):
        SegmentStore.writePlane(node, segmentID, volume, plane, mask)
    if shared:
        segmentation.CollapseBinaryLabelmaps(False)  # what saving does
    held = [whole(node, segmentID) for segmentID in ids]
    for turnOf in (2, 0, 3, 0):
        mask = drawing(plane.shape, 10 + turnOf)
        SegmentStore.writePlane(node, ids[turnOf], volume, plane, mask)
        held[turnOf] = expected(node, matrixOf(node, ids[turnOf]), volume, plane, mask)[1]
        for segmentID, values in zip(ids, held, strict=True):
            np.testing.assert_array_equal(whole(node, segmentID), values)


def test_segments_on_one_labelmap(scene: Any) -> None:
    """Segments as Segment Editor makes them: side by side in one labelmap."""
    volume = addVolume(voxels(), LIES["as DICOM lies"])
    node = SegmentStore.segmentationFor(volume)
    segmentation = node.GetSegmentation()
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[2:9, 2:6, 2:6], labels[2:9, 6:10, 2:6], labels[2:9, 2:6, 6:12] = 1, 2, 3
    imported = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    slicer.util.updateVolumeFromArray(imported, labels)
    imported.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(LIES["as DICOM lies"].matrix))
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(imported, node)
    ids = list(segmentation.GetSegmentIDs())
    assert segmentation.GetNumberOfLayers() == 1
    plane = captured(scene, "Red", volume)
    before = [whole(node, segmentID) for segmentID in ids]
    inside = np.zeros(plane.shape, bool)
    inside[3:5, 3:5] = True
    # Smaller, in place: nothing moves to another labelmap.
    SegmentStore.writePlane(node, ids[0], volume, plane, inside)
    layer, values = expected(node, matrixOf(node, ids[0]), volume, plane, inside)
    before[0] = np.where(layer, values, before[0])
    assert segmentation.GetNumberOfLayers() == 1
    for segmentID, values in zip(ids, before, strict=True):
        np.testing.assert_array_equal(whole(node, segmentID), values)
    # Over its neighbours.
    everywhere = np.ones(plane.shape, bool)
    SegmentStore.writePlane(node, ids[1], volume, plane, everywhere)
    layer, values = expected(node, matrixOf(node, ids[1]), volume, plane, everywhere)
    before[1] = np.where(layer, values, before[1])
    assert segmentation.GetNumberOfLayers() == 2
    for segmentID, values in zip(ids, before, strict=True):
        np.testing.assert_array_equal(whole(node, segmentID), values)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(imported), labels)
    # A segment that Segment Editor has just added: empty, and sharing.
    fresh = segmentation.AddEmptySegment("", "Mine")
    SegmentStore.writePlane(node, fresh, volume, plane, everywhere)
    layer, values = expected(node, matrixOf(node, fresh), volume, plane, everywhere)
    np.testing.assert_array_equal(whole(node, fresh), values)
    for segmentID, values in zip(ids, before, strict=True):
        np.testing.assert_array_equal(whole(node, segmentID), values)


def test_what_the_user_drew_is_read(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["anisotropic"])
    node = SegmentStore.segmentationFor(volume)
    drawn = node.GetSegmentation().AddEmptySegment("", "Mine")
    plane = captured(scene, "Red", volume)
    assert not SegmentStore.readPlane(node, drawn, volume, plane).any()
    array = np.zeros(SIZE[::-1], np.uint8)
    array[6] = drawing(SIZE[1::-1])
    array[7] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, drawn, volume)
    np.testing.assert_array_equal(SegmentStore.readPlane(node, drawn, volume, plane), array[6] > 0)
    SegmentStore.writePlane(node, drawn, volume, plane, np.zeros(plane.shape, bool))
    array[6] = 0
    np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, drawn, volume), array)


@pytest.mark.parametrize("kind", ["same", "volume bent", "segmentation bent", "bent since"])
@pytest.mark.parametrize("inverse", [False, True])
def test_bent_volumes(scene: Any, kind: str, inverse: bool) -> None:
    size = (40, 36, 30)
    volume = addVolume(voxels(size=size), Lie(affine(np.eye(3), (2, 2, 2), (-40, -36, -30))))
    node = SegmentStore.segmentationFor(volume)
    bending = bendingTransform(inverse=inverse).GetID()
    for one, bent in ((volume, kind in ("same", "volume bent")), (node, kind in ("same", "segmentation bent"))):
        one.SetAndObserveTransformNodeID(bending if bent else None)
    plane = captured(scene, "Red", volume, None, (20, 18, 14)) if kind != "same" and kind != "volume bent" else None
    if plane is None:
        place(scene, "Red", volume, (20, 18, 14))
        plane = SliceCapture.captureView("Red").plane
    if kind == "bent since":
        volume.SetAndObserveTransformNodeID(bending)
    rows, columns = np.mgrid[: plane.shape[0], : plane.shape[1]]
    mask = (rows - plane.shape[0] / 2) ** 2 + (columns - plane.shape[1] / 2) ** 2 < 120
    segmentID = add(node)
    SegmentStore.writePlane(node, segmentID, volume, plane, mask)
    read = SegmentStore.readPlane(node, segmentID, volume, plane)
    assert 2 * (read & mask).sum() / (read.sum() + mask.sum()) > 0.93
    # Thin, and where it belongs: each voxel's centre within a voxel of the plane, beneath the mask.
    found = np.argwhere(whole(node, segmentID, (0, 0, 0), size[::-1]))
    assert 0.8 * mask.sum() < len(found) < 2.5 * mask.sum()
    world = np.array([worldOf(node_ijk(node, volume))(point[::-1]) for point in found[::7]])
    if kind == "bent since":
        local = np.array([volumeFromWorld(volume, point) for point in world])
        assert np.abs(local[:, 2] - 14).max() < 1.3
    else:
        heights = (world - plane.matrix[:3, 3]) @ (np.cross(plane.matrix[:3, 0], plane.matrix[:3, 1]) / 4)
        assert np.abs(heights).max() < 2.6
    SegmentStore.writePlane(node, segmentID, volume, plane, np.zeros_like(mask))
    assert not SegmentStore.readPlane(node, segmentID, volume, plane).any()


def node_ijk(node: Any, volume: Any) -> Any:
    """A volume node with the segmentation's transform, to compute with."""
    copy = slicer.vtkMRMLScalarVolumeNode()
    slicer.mrmlScene.AddNode(copy)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    copy.SetIJKToRASMatrix(matrix)
    copy.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    return copy


def volumeFromWorld(volume: Any, point: Any) -> Any:
    general, matrix = vtk.vtkGeneralTransform(), vtk.vtkMatrix4x4()
    volume.GetParentTransformNode().GetTransformFromWorld(general)
    volume.GetRASToIJKMatrix(matrix)
    return np.array(matrix.MultiplyPoint([*general.TransformPoint(point), 1])[:3])


def test_the_plane_follows_the_volume(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["rotated"])
    plane = captured(scene, "Red", volume)
    node = SegmentStore.segmentationFor(volume)
    first, second = add(node, "One"), add(node, "Two")
    mask = drawing(plane.shape)
    SegmentStore.writePlane(node, first, volume, plane, mask)
    volume.SetAndObserveTransformNodeID(linearTransform(affine(turn((0, 50, 0)), (1, 1, 1), (1, 2, 3))).GetID())
    assert SegmentStore.segmentationFor(volume) is node
    assert node.GetTransformNodeID() == volume.GetTransformNodeID()
    np.testing.assert_array_equal(SegmentStore.readPlane(node, first, volume, plane), mask)
    SegmentStore.writePlane(node, second, volume, plane, mask)
    np.testing.assert_array_equal(whole(node, first), whole(node, second))
    # A transform that the user chose for the segments stays.
    own = linearTransform(affine(turn((5, 0, 0)), (1, 1, 1), (0, 0, 0))).GetID()
    node.SetAndObserveTransformNodeID(own)
    SegmentStore.segmentationFor(volume)
    assert node.GetTransformNodeID() == own


def test_the_segmentation_of_a_volume(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["under a transform"], name="CT chest")
    other = addVolume(voxels(), LIES["plain"], name="CT chest")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    subject = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Phantom")
    study = hierarchy.CreateStudyItem(subject, "Chest")
    hierarchy.CreateItem(study, volume)
    assert SegmentStore.findSegmentation(volume) is None
    foreign = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Foreign")
    foreign.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    assert SegmentStore.findSegmentation(volume) is None
    node = SegmentStore.segmentationFor(volume)
    assert node.GetName() == "CT chest MediRound"
    assert node.GetDisplayNode() is not None
    assert node.GetParentTransformNode() is volume.GetParentTransformNode()
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert node.GetNodeReference(role) is volume
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
    assert SegmentStore.findSegmentation(volume) is node
    assert SegmentStore.segmentationFor(volume) is node
    assert SegmentStore.segmentationFor(other) is not node
    assert SegmentStore.segmentationFor(other).GetName() != node.GetName()


def test_names_colours_terminology_and_tags(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["plain"])
    node = SegmentStore.segmentationFor(volume)
    first = SegmentStore.addSegment(node, "Left lung", "left lung", {"MediRound.Query": "a | b\nc"}, (1, 2, 3), "mine")
    assert first == "mine"
    assert SegmentStore.segment(node, first) == SegmentStore.SegmentInfo("mine", "Left lung", (1, 2, 3))
    segment = node.GetSegmentation().GetSegment(first)

    def tag(name: str) -> str:
        value = vtk.reference("")
        assert segment.GetTag(name, value)
        return str(value)

    assert tag("MediRound.Query") == "a / b c"
    assert "SCT^39607008^Lung~SCT^7771000^Left" in tag(slicer.vtkSegment.GetTerminologyEntryTagName())
    SegmentStore.setTags(node, first, {"MediRound.Model": "tiny"})
    assert tag("MediRound.Model") == "tiny"
    assert tag("MediRound.Query") == "a / b c"
    others = [SegmentStore.addSegment(node, name, "thing", {}) for name in ("LEFT LUNG", "Left lung", "肺", "肺")]
    names = [info.name for info in SegmentStore.segments(node)]
    assert names == ["Left lung", "LEFT LUNG (2)", "Left lung (3)", "肺", "肺 (2)"]
    assert SegmentStore.rename(node, others[0], "  Right \n lung ") == "Right lung"
    assert SegmentStore.rename(node, others[0], "Right lung") == "Right lung"
    assert SegmentStore.rename(node, others[1], "right lung") == "right lung (2)"
    with pytest.raises(DialogueError, match="needs a name"):
        SegmentStore.rename(node, first, " ")
    for number in range(40):
        SegmentStore.addSegment(node, f"Nodule {number}", "nodule", {})
    colours = [info.colour for info in SegmentStore.segments(node)]
    assert len(set(colours)) == len(colours)
    for k, one in enumerate(colours[:12]):
        assert all(np.abs(np.array(one) - two).max() > 25 for two in colours[:k])
    assert SegmentStore.segment(node, "gone") is None


def test_a_known_structure_has_the_colour_of_slicers_terminology(
    scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def coded(value: str, meaning: str, **more: Any) -> dict[str, Any]:
        return {"CodingSchemeDesignator": "SCT", "CodeValue": value, "CodeMeaning": meaning, **more}

    right = coded("24028007", "Right", recommendedDisplayRGBValue=[197, 165, 145])
    types = [
        coded("10200004", "Liver", recommendedDisplayRGBValue=[221, 130, 101]),
        coded("39607008", "Lung", Modifier=[right]),
    ]
    structures = coded("123037004", "Anatomical Structure", showAnatomy="true", Type=types)
    # Slicer's own list, which slicer-core comes without, in short.
    name = "Segmentation category and type - 3D Slicer General Anatomy list"
    content = {
        "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/segment-context-schema.json#",
        "SegmentationCategoryTypeContextName": name,
        "SegmentationCodes": {"Category": [structures]},
    }
    (tmp_path / "anatomy.term.json").write_text(json.dumps(content))
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    assert logic.LoadTerminologyFromFile(str(tmp_path / "anatomy.term.json")) == name
    monkeypatch.setattr(slicer.modules, "terminologies", SimpleNamespace(logic=lambda: logic), raising=False)
    node = SegmentStore.segmentationFor(addVolume(voxels(), LIES["plain"]))
    ids = [
        SegmentStore.addSegment(node, structure.capitalize(), structure, {})
        for structure in ("liver", "right lung", "liver", "something")
    ]
    colours = [info.colour for info in SegmentStore.segments(node)]
    assert [info.id for info in SegmentStore.segments(node)] == ids
    assert colours[:2] == [(221, 130, 101), (197, 165, 145)]
    assert len(set(colours)) == 4


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("removed", [False, True])
def test_a_saved_segment_comes_back_as_it_was(scene: Any, shared: bool, removed: bool) -> None:
    volume = addVolume(voxels(), LIES["rotated"])
    node = SegmentStore.segmentationFor(volume)
    segmentation = node.GetSegmentation()
    plane = captured(scene, "Red", volume)
    ids = [add(node, f"Segment {number}") for number in range(4)]
    for number, segmentID in enumerate(ids):
        SegmentStore.writePlane(node, segmentID, volume, plane, drawing(plane.shape, number))
    across = captured(scene, "Yellow", volume)
    SegmentStore.writePlane(node, ids[1], volume, across, drawing(across.shape, 8))
    SegmentStore.setTags(node, ids[1], {"MediRound.Round": "2"})
    node.GetDisplayNode().SetSegmentVisibility(ids[1], False)
    if shared:
        segmentation.CollapseBinaryLabelmaps(False)
    before = [(info, whole(node, info.id)) for info in SegmentStore.segments(node)]
    saved = SegmentStore.saveSegment(node, ids[1])
    if removed:
        SegmentStore.removeSegment(node, ids[1])
        assert [info.id for info in SegmentStore.segments(node)] == [ids[0], ids[2], ids[3]]
        SegmentStore.removeSegment(node, ids[1])  # one that is gone
    else:
        SegmentStore.rename(node, ids[1], "Another")
        SegmentStore.setTags(node, ids[1], {"MediRound.Round": "9", "More": "x"})
        SegmentStore.writePlane(node, ids[1], volume, plane, ~drawing(plane.shape, 1))
        segmentation.SetSegmentIndex(ids[1], 0)
    for info, values in before:
        if info.id != ids[1]:
            np.testing.assert_array_equal(whole(node, info.id), values)
    SegmentStore.restoreSegment(node, saved)
    for (info, values), now in zip(before, SegmentStore.segments(node), strict=True):
        assert info == now
        np.testing.assert_array_equal(whole(node, info.id), values)
    value = vtk.reference("")
    assert segmentation.GetSegment(ids[1]).GetTag("MediRound.Round", value)
    assert str(value) == "2"
    assert not segmentation.GetSegment(ids[1]).HasTag("More")
    assert not node.GetDisplayNode().GetSegmentVisibility(ids[1])
    assert segmentation.GetSegment(ids[1]).GetNameAutoGenerated() is False
    # Again, as undo and redo do, with its neighbour gone meanwhile.
    SegmentStore.removeSegment(node, ids[1])
    SegmentStore.removeSegment(node, ids[2])
    SegmentStore.restoreSegment(node, saved)
    assert [info.id for info in SegmentStore.segments(node)] == [ids[0], ids[1], ids[3]]


def test_an_empty_segment_is_saved_too(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["plain"])
    node = SegmentStore.segmentationFor(volume)
    segmentID = add(node)
    saved = SegmentStore.saveSegment(node, segmentID)
    SegmentStore.removeSegment(node, segmentID)
    SegmentStore.restoreSegment(node, saved)
    plane = captured(scene, "Red", volume)
    mask = drawing(plane.shape)
    SegmentStore.writePlane(node, segmentID, volume, plane, mask)
    np.testing.assert_array_equal(SegmentStore.readPlane(node, segmentID, volume, plane), mask)


@pytest.mark.parametrize("tilt", [None, (20, -35, 50)])
def test_a_saved_plane_comes_back_voxel_by_voxel(scene: Any, tilt: Any) -> None:
    volume = addVolume(voxels(), LIES["anisotropic"])
    node = SegmentStore.segmentationFor(volume)
    segmentID = add(node)
    plane = captured(scene, "Red", volume, tilt)
    saved = SegmentStore.savePlane(node, segmentID, volume, plane)
    SegmentStore.writePlane(node, segmentID, volume, plane, drawing(plane.shape))
    drawn = np.random.default_rng(1).random(SIZE[::-1]) < 0.5
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn.astype(np.uint8), node, segmentID, volume)
    before = whole(node, segmentID)
    second = SegmentStore.savePlane(node, segmentID, volume, plane)
    SegmentStore.writePlane(node, segmentID, volume, plane, drawing(plane.shape, 5))
    assert (whole(node, segmentID) != before).any()
    SegmentStore.restorePlane(node, second)
    np.testing.assert_array_equal(whole(node, segmentID), before)
    SegmentStore.restorePlane(node, saved)
    layer, _values = expected(node, matrixOf(node, segmentID), volume, plane, drawing(plane.shape))
    np.testing.assert_array_equal(whole(node, segmentID), before & ~layer)
    SegmentStore.removeSegment(node, segmentID)
    SegmentStore.restorePlane(node, saved)


def test_one_round_of_events_an_action(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["plain"])
    node = SegmentStore.segmentationFor(volume)
    events = ["SourceRepresentationModified", "RepresentationModified", "ContainedRepresentationNamesModified"]
    events += ["SegmentModified", "SegmentAdded", "SegmentRemoved"]
    seen: list[str] = []
    for name in events:
        node.AddObserver(getattr(slicer.vtkSegmentation, name), lambda *_, name=name: seen.append(name))
    node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: seen.append("Modified"))
    plane = captured(scene, "Red", volume)
    segmentID = add(node)
    assert seen.count("SegmentAdded") == 1
    assert len(seen) <= 2
    for mask in (drawing(plane.shape, 1), drawing(plane.shape, 2), np.zeros(plane.shape, bool)):
        seen.clear()
        SegmentStore.writePlane(node, segmentID, volume, plane, mask)
        assert seen.count("SourceRepresentationModified") == 1
        assert seen.count("RepresentationModified") == 1
        assert len(seen) == len(set(seen)) <= 3
        seen.clear()
        SegmentStore.writePlane(node, segmentID, volume, plane, mask)
        assert seen == []
        SegmentStore.readPlane(node, segmentID, volume, plane)
        assert seen == []
    seen.clear()
    SegmentStore.setTags(node, segmentID, {"A": "1", "B": "2", "C": "3"})
    assert seen == ["SegmentModified"]
    seen.clear()
    SegmentStore.removeSegment(node, segmentID)
    assert seen.count("SegmentRemoved") == 1


def test_surfaces_that_are_shown_follow(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["as DICOM lies"])
    node = SegmentStore.segmentationFor(volume)
    segmentation = node.GetSegmentation()
    surface = slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName()
    plane = captured(scene, "Red", volume)
    mask = np.zeros(plane.shape, bool)
    mask[2:6, 2:6] = True
    ids = [add(node, name) for name in ("One", "Two")]
    SegmentStore.writePlane(node, ids[0], volume, plane, mask)
    assert not segmentation.ContainsRepresentation(surface)  # none is made unasked
    node.CreateClosedSurfaceRepresentation()
    first = segmentation.GetSegment(ids[0]).GetRepresentation(surface)
    assert first.GetNumberOfPoints() > 0
    mask[2:6, 6:10] = True
    SegmentStore.writePlane(node, ids[1], volume, plane, mask)
    assert segmentation.GetSegment(ids[0]).GetRepresentation(surface) is first
    bounds = segmentation.GetSegment(ids[1]).GetRepresentation(surface).GetBounds()
    assert bounds[1] - bounds[0] == pytest.approx(6.5, abs=1.2)
    mask[:, 6:] = False
    SegmentStore.writePlane(node, ids[1], volume, plane, mask)
    bounds = segmentation.GetSegment(ids[1]).GetRepresentation(surface).GetBounds()
    assert bounds[1] - bounds[0] == pytest.approx(2.5, abs=1.2)
    SegmentStore.writePlane(node, ids[1], volume, plane, np.zeros_like(mask))
    assert segmentation.GetSegment(ids[1]).GetRepresentation(surface).GetNumberOfPoints() == 0


def test_segments_that_are_surfaces_are_read_and_not_written(scene: Any) -> None:
    volume = addVolume(voxels(size=(40, 40, 40)), LIES["plain"])
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Plan")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetSourceRepresentationToClosedSurface()
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(20, 20, 20)
    sphere.SetRadius(8)
    sphere.SetPhiResolution(40)
    sphere.SetThetaResolution(40)
    sphere.Update()
    segmentID = node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "Target")
    plane = captured(scene, "Red", volume, None, (20, 20, 20))
    disc = distances(plane, (20, 20, 20)) < 8
    read = SegmentStore.readPlane(node, segmentID, volume, plane)
    assert 2 * (read & disc).sum() / (read.sum() + disc.sum()) > 0.95
    for change in (lambda: add(node), lambda: SegmentStore.writePlane(node, segmentID, volume, plane, disc)):
        with pytest.raises(DialogueError, match="Plan are surfaces"):
            change()


def test_a_single_slice_and_colours(scene: Any) -> None:
    array = voxels(np.uint8, size=(14, 12, 1), components=3)
    volume = addVolume(array, LIES["as DICOM lies"], colours=True)
    plane = captured(scene, "Red", volume, None, (4, 7, 0))
    mask = drawing(plane.shape)
    node = SegmentStore.segmentationFor(volume)
    segmentID = add(node)
    SegmentStore.writePlane(node, segmentID, volume, plane, mask)
    labels = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentID, volume)
    np.testing.assert_array_equal(labels[0] > 0, mask)


def test_cost_does_not_grow_with_the_volume(scene: Any) -> None:
    """Labelmaps hold the voxels that are set and no others, and saved segments are as small."""
    shapes = []
    for depth in (4, 400):
        volume = addVolume(np.zeros((depth, 40, 50), np.int16), LIES["plain"])
        plane = captured(scene, "Red", volume, None, (4, 7, depth - 2))
        mask = np.zeros(plane.shape, bool)
        mask[10:20, 5:45] = True
        node = SegmentStore.segmentationFor(volume)
        segmentID = add(node)
        SegmentStore.writePlane(node, segmentID, volume, plane, mask)
        image = SegmentVoxels.labelmapOf(node.GetSegmentation(), segmentID)
        shapes.append(image.GetDimensions())
        assert SegmentStore.saveSegment(node, segmentID).block.shape == (1, 10, 40)
        # The index that is computed is that of one plane, not of the volume.
        saved = SegmentStore.savePlane(node, segmentID, volume, plane)
        assert saved.values.size == 40 * 50
    assert shapes == [(40, 10, 1), (40, 10, 1)]


def test_an_oblique_layer_costs_as_much_as_the_plane(scene: Any) -> None:
    volume = addVolume(np.zeros((120, 120, 120), np.uint8), LIES["plain"])
    plane = captured(scene, "Red", volume, (45, 0, 0), (60, 60, 60))
    node = SegmentStore.segmentationFor(volume)
    saved = SegmentStore.savePlane(node, add(node), volume, plane)
    assert saved.values.size < 2.5 * plane.shape[0] * plane.shape[1]


def test_slicer_draws_what_was_written(scene: Any) -> None:
    """Slicer's own displayable manager fills the mask on an oblique slice without a hole, and follows changes."""
    size = (60, 60, 40)
    volume = addVolume(np.full(size[::-1], -2000, np.int16), Lie(affine(np.eye(3), (1, 1, 1.5), (-30, -30, -30))))
    plane = captured(scene, "Red", volume, (45, 20, 0), (30, 30, 20))
    SliceCapture.showPlane("Red", volume, plane)
    node = SegmentStore.segmentationFor(volume)
    segmentID = add(node, colour=(255, 0, 0))
    node.GetDisplayNode().SetOpacity2DFill(1.0)
    centre = (plane.matrix @ [plane.shape[1] / 2, plane.shape[0] / 2, 0, 1])[:3]
    view = scene.sliceLogics["Red"].GetSliceNode()
    width, height = view.GetDimensions()[:2]
    x, y = np.meshgrid(np.arange(width), height - 1 - np.arange(height))
    shown = np.stack([x, y, 0 * x, 0 * x + 1], axis=-1) @ slicer.util.arrayFromVTKMatrix(view.GetXYToRAS()).T
    away = np.linalg.norm(shown[..., :3] - centre, axis=-1)
    for radius in (15.0, 8.0, 18.0):
        SegmentStore.writePlane(node, segmentID, volume, plane, distances(plane, centre) < radius)
        red = scene.sliceImage("Red")[..., 0] > 100
        assert red[away < radius - 2.5].all()
        assert not red[away > radius + 2.5].any()


def test_selecting_shows_and_tells_the_editor(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["plain"])
    node = SegmentStore.segmentationFor(volume)
    ids = [add(node, name) for name in ("One", "Two")]
    editors = [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode") for _ in range(2)]
    editors[0].SetAndObserveSegmentationNode(node)
    node.GetDisplayNode().SetVisibility(0)
    node.GetDisplayNode().SetSegmentVisibility(ids[1], False)
    SegmentStore.selectSegment(node, ids[1])
    assert node.GetDisplayNode().GetVisibility()
    assert node.GetDisplayNode().GetSegmentVisibility(ids[1])
    assert editors[0].GetSelectedSegmentID() == ids[1]
    assert not editors[1].GetSelectedSegmentID()


def test_the_terminology_needs_neither_pillow_nor_simpleitk() -> None:
    import subprocess
    import sys

    code = (
        "import sys; import MediRoundLib.outputs.terminology, MediRoundLib.outputs.colours; "
        "print([name for name in ('PIL', 'SimpleITK', 'torch', 'pydicom') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
