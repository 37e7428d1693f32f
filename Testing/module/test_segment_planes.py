"""What is written is found again on its plane and nowhere else, however volumes and segmentations lie."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from MediRoundSlicerLib import SegmentStore, SegmentVoxels, SliceCapture
from MediRoundSlicerLib.Dialogues import DialogueError
from planes import LIES, SIZE, Lie, addVolume, affine, bendingTransform, linearTransform, place, turn, voxels, worldOf
from segment_checks import MARGIN, add, captured, distances, drawing, expected, matrixOf, under, whole

VIEWS = ("Red", "Green", "Yellow")


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
    np.testing.assert_array_equal(SegmentStore.readPlane(node, first, volume, plane), mask)
    assert node.GetTransformNodeID() == volume.GetTransformNodeID()
    SegmentStore.writePlane(node, second, volume, plane, mask)
    np.testing.assert_array_equal(whole(node, first), whole(node, second))
    # A transform that the user chose for the segments stays.
    own = linearTransform(affine(turn((5, 0, 0)), (1, 1, 1), (0, 0, 0))).GetID()
    node.SetAndObserveTransformNodeID(own)
    assert SegmentStore.segmentationFor(volume) is node
    SegmentStore.writePlane(node, second, volume, plane, mask)
    assert node.GetTransformNodeID() == own
    # A segmentation that is not the volume's own does not follow.
    other = addVolume(voxels(), LIES["plain"], name="MR")
    foreign = SegmentStore.segmentationFor(other)
    SegmentStore.followVolume(foreign, volume)
    assert foreign.GetTransformNodeID() is None


def test_the_plane_stays_where_the_volumes_transform_is_hardened(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["rotated"])
    volume.SetAndObserveTransformNodeID(linearTransform(affine(turn((0, 50, 0)), (1, 1, 1), (1, 2, 3))).GetID())
    plane = captured(scene, "Red", volume)
    node = SegmentStore.segmentationFor(volume)
    first, second = add(node, "One"), add(node, "Two")
    mask = drawing(plane.shape)
    SegmentStore.writePlane(node, first, volume, plane, mask)
    volume.HardenTransform()
    np.testing.assert_array_equal(SegmentStore.readPlane(node, first, volume, plane), mask)
    assert node.GetTransformNodeID() is None
    SegmentStore.writePlane(node, second, volume, plane, mask)
    np.testing.assert_array_equal(whole(node, first), whole(node, second))


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
    image = SegmentVoxels.labelmapOf(node.GetSegmentation(), segmentID)
    image.SetSpacing(3, 3, 3)
    with pytest.raises(DialogueError, match="Left lung were resampled"):
        SegmentStore.restorePlane(node, second)
    SegmentStore.removeSegment(node, segmentID)
    SegmentStore.restorePlane(node, saved)


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
