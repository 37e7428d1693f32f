"""What is captured is what the slice view shows, at the volume's own voxels, for every way that a volume can lie."""

from typing import Any

import numpy as np
import pytest
import slicer
from MediRoundSlicerLib import SliceCapture
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
    viewPixels,
    voxels,
    window,
    worldOf,
)

VIEWS = ("Red", "Green", "Yellow")
# A voxel in no symmetric place.
AT = (4.0, 7.0, 6.0)


def colours(image: Any) -> Any:
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("lie", LIES)
def test_a_plane_of_voxels_is_captured_voxel_by_voxel(scene: Any, lie: str, view: str) -> None:
    array = voxels()
    volume = addVolume(array, LIES[lie])
    place(scene, view, volume, AT)
    alongVoxels(scene, view, volume)
    goTo(scene.sliceLogics[view].GetSliceNode(), worldOf(volume)(AT))
    captured = SliceCapture.captureView(view)
    plane = captured.plane
    assert plane.axis is not None
    assert plane.pixelToIJK is not None
    assert plane.index == AT[plane.axis]
    assert captured.image.shape == plane.shape
    toIJK = np.array(plane.pixelToIJK).reshape(4, 4)
    # Pixels lie where the matrices say, in the patient and in the volume alike.
    np.testing.assert_allclose(LIES[lie].world @ toIJK, plane.matrix, atol=1e-9)
    np.testing.assert_array_equal(colours(captured.image), viewPixels(scene, view, plane))
    matrix = np.rint(toIJK).astype(int)
    if np.abs(matrix - toIJK).max() < 1e-9:
        rows, columns = np.mgrid[: plane.shape[0], : plane.shape[1]]
        i, j, k = (matrix[a, 0] * columns + matrix[a, 1] * rows + matrix[a, 3] for a in range(3))
        np.testing.assert_array_equal(captured.image, window(array[k, j, i]))
        assert sorted(plane.shape) == sorted(SIZE[a] for a in range(3) if a != plane.axis)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("tilt", [(0, 0, 0), (30, 0, 0), (0, 45, 0), (20, -35, 50)])
def test_an_oblique_plane_is_captured_at_the_volumes_resolution(
    scene: Any, lie: str, view: str, tilt: tuple[float, float, float]
) -> None:
    volume = addVolume(voxels(), LIES[lie])
    place(scene, view, volume, AT, turn(tilt))
    captured = SliceCapture.captureView(view)
    np.testing.assert_array_equal(colours(captured.image), viewPixels(scene, view, captured.plane))
    # All that the plane cuts of the volume is on the image, and the image ends where that ends.
    rows, columns = captured.plane.shape
    c, r = np.meshgrid(np.arange(-9, columns + 9, 0.25), np.arange(-9, rows + 9, 0.25))
    onPlane = np.stack([c, r, 0 * c, 0 * c + 1]).reshape(4, -1)
    ijk = (np.linalg.inv(LIES[lie].world) @ captured.plane.matrix @ onPlane)[:3]
    inside = ((ijk > -0.5) & (ijk < np.array(SIZE)[:, None] - 0.5)).all(axis=0)
    for pixels, count in ((c.ravel()[inside], columns), (r.ravel()[inside], rows)):
        assert -0.501 <= pixels.min() < 0.6
        assert count - 1.6 < pixels.max() <= count - 0.499


def test_an_oblique_pixel_is_as_large_as_the_volumes_finest_voxel(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["anisotropic"])
    place(scene, "Red", volume, AT, turn((3, 0, 0)))
    matrix = SliceCapture.captureView("Red").plane.matrix
    assert np.linalg.norm(matrix[:3, 0]) == pytest.approx(0.7)
    assert np.linalg.norm(matrix[:3, 1]) == pytest.approx(0.7, rel=0.01)


@pytest.mark.parametrize("tilt", [None, (25, 10, 0)])
def test_pan_zoom_and_size_of_the_view_do_not_matter(scene: Any, tilt: Any) -> None:
    volume = addVolume(voxels(), LIES["rotated"])
    node = place(scene, "Red", volume, AT, None if tilt is None else turn(tilt))
    if tilt is None:
        alongVoxels(scene, "Red", volume)
        goTo(node, worldOf(volume)(AT))
    first = SliceCapture.captureView("Red")
    node.SetFieldOfView(11, 13, 1)
    node.SetDimensions(77, 31, 1)
    node.SetXYZOrigin(31, -12, 0)
    matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
    matrix[:3, 3] += 17 * matrix[:3, 0] - 5 * matrix[:3, 1]
    node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
    node.UpdateMatrices()
    second = SliceCapture.captureView("Red")
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_allclose(first.plane.pixelToRAS, second.plane.pixelToRAS, atol=1e-9)
    assert SliceCapture.samePlane(first.plane, second.plane)


def test_a_view_between_two_slices_takes_the_nearer_one(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["anisotropic"])
    for depth, index in ((5.6, 6), (6.4, 6), (6.6, 7), (-0.49, 0), (9.49, 9)):
        place(scene, "Red", volume, (3, 3, depth))
        found = SliceCapture.planeOfView("Red")
        assert found is not None
        assert found[1].index == index
    assert SliceCapture.captureView("Red").plane.offset == pytest.approx(5 + 9 * 2.1)


def test_pixels_are_square_and_edges_stay(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["all spacings differ"])
    place(scene, "Red", volume, AT)
    plane = SliceCapture.captureView("Red").plane
    # 14 voxels of 0.5 mm stay; 12 of 0.8 mm become 19 of about 0.5 mm.
    assert plane.shape == (19, 14)
    assert np.linalg.norm(plane.matrix[:3, 1]) == pytest.approx(9.6 / 19)
    edge = plane.matrix @ [0, -0.5, 0, 1]
    assert edge[1] == pytest.approx(worldOf(volume)((0, -0.5, 0))[1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.float32, np.float64])
def test_every_kind_of_number(scene: Any, dtype: Any) -> None:
    array = np.clip(voxels(), -100, 100).astype(dtype) if dtype == np.int8 else voxels(dtype)
    volume = addVolume(array, LIES["as DICOM lies"])
    place(scene, "Green", volume, AT)
    captured = SliceCapture.captureView("Green")
    assert captured.image.dtype == np.uint8
    assert captured.image.ndim == 2
    assert (captured.window, captured.level) == (800.0, 100.0)
    np.testing.assert_array_equal(captured.image, window(array[::-1, 7, :]))
    np.testing.assert_array_equal(colours(captured.image), viewPixels(scene, "Green", captured.plane))


def test_a_voxel_that_is_no_number_darkens_itself_alone(scene: Any) -> None:
    array = voxels(np.float32)
    array[6, 3, 4] = np.nan
    volume = addVolume(array, LIES["as DICOM lies"])
    place(scene, "Red", volume, AT)
    image = SliceCapture.captureView("Red").image
    expected = window(np.nan_to_num(array[6], nan=-1e6))
    expected[3, 4] = image[3, 4]
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("components", [3, 4])
@pytest.mark.parametrize("tilt", [(0, 0, 0), (20, 10, 0)])
def test_colours_come_as_they_are(scene: Any, components: int, tilt: Any) -> None:
    array = voxels(np.uint8, components=components)
    volume = addVolume(array, LIES["as DICOM lies"], colours=True)
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevel(255, 127.5)
    place(scene, "Red", volume, AT, turn(tilt))
    captured = SliceCapture.captureView("Red")
    assert captured.image.shape[2:] == (3,)
    assert captured.window is None
    assert captured.level is None
    if tilt == (0, 0, 0):
        np.testing.assert_array_equal(captured.image, array[6, ..., :3])
    np.testing.assert_array_equal(captured.image, viewPixels(scene, "Red", captured.plane))


def test_a_single_slice_is_seen_flat_and_not_from_its_edge(scene: Any) -> None:
    array = voxels(np.uint8, size=(14, 12, 1))
    volume = addVolume(array, LIES["as DICOM lies"])
    scene.show(volume)
    captured = SliceCapture.captureView("Red")
    assert (captured.plane.axis, captured.plane.index) == (2, 0)
    np.testing.assert_array_equal(captured.image, window(array[0]))
    assert SliceCapture.planeOfView("Green") is None
    with pytest.raises(DialogueError, match="from its edge"):
        SliceCapture.captureView("Green")
    place(scene, "Red", volume, (5, 5, 0), turn((20, 0, 0)))
    assert "from its edge" in SliceCapture.whyNot("Red")


def inverted(display: Any) -> None:
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeInvertedGrey")


def flippedRange(display: Any) -> None:
    display.SetInvertDisplayScalarRange(1)


def rainbow(display: Any) -> None:
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeRainbow")


def threshold(display: Any) -> None:
    display.AutoThresholdOff()
    display.SetThreshold(0, 400)
    display.ApplyThresholdOn()


def blocky(display: Any) -> None:
    display.InterpolateOff()


def narrow(display: Any) -> None:
    display.SetWindowLevel(3, -20)


@pytest.mark.parametrize("change", [inverted, flippedRange, rainbow, threshold, blocky, narrow])
@pytest.mark.parametrize("tilt", [(0, 0, 0), (20, 10, 0)])
def test_the_volumes_display_is_followed(scene: Any, change: Any, tilt: Any) -> None:
    volume = addVolume(voxels(), LIES["anisotropic"])
    place(scene, "Yellow", volume, AT, turn(tilt))
    plain = SliceCapture.captureView("Yellow")
    change(volume.GetDisplayNode())
    changed = SliceCapture.captureView("Yellow")
    assert changed.image.ndim == (3 if change is rainbow else 2)
    if change is not blocky or tilt == (20, 10, 0):
        assert changed.image.shape != plain.image.shape or (changed.image != plain.image).any()
    np.testing.assert_array_equal(colours(changed.image), viewPixels(scene, "Yellow", changed.plane))


def test_a_thick_slab_is_captured_as_it_is_shown(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["as DICOM lies"])
    node = place(scene, "Red", volume, AT)
    node.SetFieldOfView(node.GetFieldOfView()[0], node.GetFieldOfView()[1], 1.0)
    node.SlabReconstructionEnabledOn()
    node.SetSlabReconstructionType(1)
    node.SetSlabReconstructionThickness(3.0)
    thick = SliceCapture.captureView("Red")
    array = voxels()
    assert (thick.image >= window(array[6])).all()
    assert (thick.image > window(array[6])).any()
    np.testing.assert_array_equal(colours(thick.image), viewPixels(scene, "Red", thick.plane))
    again = SliceCapture.capturePlane(volume, thick.plane, "Red")
    np.testing.assert_array_equal(again.image, thick.image)
    np.testing.assert_array_equal(SliceCapture.capturePlane(volume, thick.plane).image, window(array[6]))


@pytest.mark.parametrize("inverse", [False, True])
def test_a_bent_volume_is_captured_as_it_is_shown(scene: Any, inverse: bool) -> None:
    volume = addVolume(voxels(size=(30, 24, 20)), Lie(affine(np.eye(3), (2, 2, 2), (-30, -24, -20))))
    volume.SetAndObserveTransformNodeID(bendingTransform(inverse=inverse).GetID())
    place(scene, "Red", volume, (15, 12, 9))
    captured = SliceCapture.captureView("Red")
    assert (captured.plane.axis, captured.plane.pixelToIJK) == (None, None)
    assert captured.plane.orientation == "axial"
    assert captured.plane.shape == pytest.approx((24, 30), abs=6)
    np.testing.assert_array_equal(colours(captured.image), viewPixels(scene, "Red", captured.plane))


def test_the_same_plane_again_after_the_volume_was_moved(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["rotated"])
    place(scene, "Red", volume, AT)
    alongVoxels(scene, "Red", volume)
    goTo(scene.sliceLogics["Red"].GetSliceNode(), worldOf(volume)(AT))
    first = SliceCapture.captureView("Red")
    volume.SetAndObserveTransformNodeID(linearTransform(affine(turn((0, 50, 0)), (1, 1, 1), (1, 2, 3))).GetID())
    again = SliceCapture.capturePlane(volume, first.plane)
    np.testing.assert_array_equal(again.image, first.image)
    assert again.plane.pixelToIJK == first.plane.pixelToIJK
    np.testing.assert_allclose(again.plane.matrix @ [0, 0, 0, 1], [*worldOf(volume)(corner(first.plane)), 1])


def corner(plane: Any) -> Any:
    return (np.array(plane.pixelToIJK).reshape(4, 4) @ [0, 0, 0, 1])[:3]


def test_the_same_plane_again_in_another_window(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["rotated"])
    place(scene, "Red", volume, AT)  # along the patient: oblique in the volume
    first = SliceCapture.captureView("Red")
    assert first.plane.axis is None
    volume.GetDisplayNode().SetWindowLevel(200, 0)
    again = SliceCapture.capturePlane(volume, first.plane)
    assert (again.window, again.level) == (200, 0)
    assert again.plane == first.plane
    assert (again.image != first.image).any()


def test_planes_are_the_same_where_they_lie_in_the_same_place(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["anisotropic"])
    place(scene, "Red", volume, AT)
    here = SliceCapture.captureView("Red").plane
    alongVoxels(scene, "Green", volume)
    scene.sliceLogics["Green"].GetSliceNode().SetOrientation("Axial")
    place(scene, "Green", volume, AT, turn((0, 0, 90)))
    turned = SliceCapture.captureView("Green").plane
    assert turned.pixelToIJK != here.pixelToIJK
    assert SliceCapture.samePlane(here, turned)
    place(scene, "Green", volume, (4, 7, 7))
    beside = SliceCapture.captureView("Green").plane
    assert not SliceCapture.samePlane(here, beside)
    place(scene, "Yellow", volume, AT)
    assert not SliceCapture.samePlane(here, SliceCapture.captureView("Yellow").plane)


def test_oblique_planes_are_the_same_within_half_a_pixel(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["plain"])
    node = place(scene, "Red", volume, AT, turn((20, 0, 0)))
    here = SliceCapture.captureView("Red").plane
    normal = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 2]
    for step, same in ((0.0, True), (0.4, True), (-0.4, True), (0.6, False), (-0.6, False)):
        goTo(node, worldOf(volume)(AT) + step * normal)
        assert SliceCapture.samePlane(here, SliceCapture.captureView("Red").plane) is same
    place(scene, "Red", volume, AT, turn((5, 0, 0)))
    assert not SliceCapture.samePlane(here, SliceCapture.captureView("Red").plane)


def test_orientations_have_names(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["rotated"])
    for view, name in zip(VIEWS, ("axial", "coronal", "sagittal"), strict=True):
        node = place(scene, view, volume, AT)
        assert SliceCapture.captureView(view).plane.orientation == name
        assert SliceCapture.captureView(view).plane.axis is None
        assert SliceCapture.captureView(view).plane.offset == pytest.approx(node.GetSliceOffset())
        alongVoxels(scene, view, volume)
        goTo(node, worldOf(volume)(AT))
        assert SliceCapture.captureView(view).plane.orientation == name
    place(scene, "Red", volume, AT, turn((30, 0, 0)))
    assert SliceCapture.captureView("Red").plane.orientation == "oblique"


def test_why_nothing_can_be_captured(scene: Any) -> None:
    def why(view: str = "Red") -> str:
        assert SliceCapture.planeOfView(view) is None
        with pytest.raises(DialogueError) as caught:
            SliceCapture.captureView(view)
        assert str(caught.value) == SliceCapture.whyNot(view)
        return str(caught.value)

    assert "no slice view Purple" in why("Purple")
    assert "shows no volume" in why()
    volume = addVolume(voxels(), LIES["plain"])
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    assert "shows no volume" in why()
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    slicer.util.updateVolumeFromArray(labels, (voxels() > 300).astype(np.uint8))
    labels.CreateDefaultDisplayNodes()
    composite = scene.sliceLogics["Red"].GetSliceCompositeNode()
    composite.SetLabelVolumeID(labels.GetID())
    assert "shows a label map and no image" in why()
    composite.SetBackgroundVolumeID(labels.GetID())
    assert "Labels is a label map" in why()
    place(scene, "Red", volume, (4, 4, 30))
    assert "beside CT chest" in why()
    place(scene, "Red", volume, (4, 4, 30), turn((30, 0, 0)))
    assert "beside CT chest" in why()
    place(scene, "Green", volume, AT)
    volume.SetAndObserveImageData(None)
    assert "holds no image" in why("Green")
    vectors = addVolume(voxels(np.uint8, components=2), LIES["plain"], colours=True, name="Field")
    place(scene, "Green", vectors, AT)
    assert "Field holds vectors" in why("Green")
    slicer.mrmlScene.RemoveNode(vectors)
    assert "shows no volume" in why("Green")


def test_a_plane_that_the_volume_has_lost(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["plain"])
    place(scene, "Red", volume, (4, 4, 9))
    plane = SliceCapture.captureView("Red").plane
    slicer.util.updateVolumeFromArray(volume, voxels()[:5])
    with pytest.raises(DialogueError, match="no such slice any more"):
        SliceCapture.capturePlane(volume, plane)


def test_every_slice_view_counts(scene: Any) -> None:
    assert SliceCapture.viewNames() == list(scene.sliceLogics)
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(scene.logic)
    logic.SetMRMLScene(slicer.mrmlScene)
    logic.AddSliceNode("Überblick 2")
    scene.sliceLogics["Überblick 2"] = logic
    assert "Überblick 2" not in SliceCapture.viewNames()  # on no screen
    logic.GetSliceNode().SetMappedInLayout(1)
    assert "Überblick 2" in SliceCapture.viewNames()
    volume = addVolume(voxels(), LIES["plain"])
    place(scene, "Überblick 2", volume, AT)
    assert SliceCapture.captureView("Überblick 2").plane.index == 6
    for one in scene.sliceLogics.values():
        one.GetSliceNode().SetMappedInLayout(0)
    assert len(SliceCapture.viewNames()) == 4
    scene.logic.GetSliceLogics().AddItem(logic)


@pytest.mark.parametrize("lie", ["plain", "rotated", "under a transform", "permuted"])
@pytest.mark.parametrize("tilt", [(0, 0, 0), (30, 20, 0)])
def test_a_view_comes_back_to_a_plane(scene: Any, lie: str, tilt: Any) -> None:
    volume = addVolume(voxels(), LIES[lie])
    other = addVolume(voxels(), LIES["plain"], name="MR")
    node = place(scene, "Red", volume, AT, turn(tilt))
    if tilt == (0, 0, 0):
        alongVoxels(scene, "Red", volume)
        goTo(node, worldOf(volume)(AT))
    first = SliceCapture.captureView("Red")
    # Scrolled and zoomed: zoom and pan stay.
    node.SetFieldOfView(21, 22, 1)
    node.SetXYZOrigin(3, -2, 0)
    goTo(node, worldOf(volume)((1, 1, 1)))
    SliceCapture.showPlane("Red", volume, first.plane)
    assert node.GetFieldOfView() == (21, 22, 1)
    assert node.GetXYZOrigin() == (3, -2, 0)
    shownAgain(first, "Red")
    # Turned elsewhere, and on another volume.
    place(scene, "Red", other, (2, 2, 2), turn((0, 60, 10)))
    SliceCapture.showPlane("Red", volume, first.plane)
    shownAgain(first, "Red")
    np.testing.assert_array_equal(SliceCapture.captureView("Red").image, first.image)
    # In another view, which it then fills.
    SliceCapture.showPlane("Yellow", volume, first.plane)
    shownAgain(first, "Yellow")
    inverse = np.linalg.inv(slicer.util.arrayFromVTKMatrix(scene.sliceLogics["Yellow"].GetSliceNode().GetXYToRAS()))
    rows, columns = first.plane.shape
    corners = inverse @ first.plane.matrix @ np.array([[0, 0, 0, 1], [columns - 1, rows - 1, 0, 1]]).T
    assert corners[:2].min() > 0
    assert (corners[:2].max(axis=1) < scene.sliceLogics["Yellow"].GetSliceNode().GetDimensions()[:2]).all()
    SliceCapture.showPlane("Purple", volume, first.plane)  # a view that is gone


def shownAgain(first: Any, view: str) -> None:
    found = SliceCapture.planeOfView(view)
    assert found is not None
    assert found[0] is first.volumeNode
    assert SliceCapture.samePlane(found[1], first.plane)


def test_capturing_leaves_nothing_behind(scene: Any) -> None:
    volume = addVolume(voxels(), LIES["plain"])
    scene.show(volume)
    SliceCapture.captureView("Red")
    count = slicer.mrmlScene.GetNumberOfNodes()
    before = [node.GetMTime() for node in (volume, volume.GetDisplayNode(), scene.sliceLogics["Red"].GetSliceNode())]
    colours = volume.GetDisplayNode().GetColorNode()
    references = colours.GetReferenceCount()
    for _ in range(3):
        SliceCapture.captureView("Red")
    after = [node.GetMTime() for node in (volume, volume.GetDisplayNode(), scene.sliceLogics["Red"].GetSliceNode())]
    assert after == before
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    # The display node that a capture makes for itself holds on to the colours as long as it lives.
    assert colours.GetReferenceCount() == references
