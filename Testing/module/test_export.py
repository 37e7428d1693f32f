"""Exported rounds: read back by programs that know nothing of this one, voxel for voxel and in the right place."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from drawn_dialogue import GEOMETRIES, SHAPE, DrawnDialogue, bentNode, filesIn, ijkToRAS, matrixNode
from MediRoundSlicerLib import Export
from MediRoundSlicerLib.Dialogues import DialogueError, newID

MOVED = np.array([[0, -1, 0, 30], [1, 0, 0, -20], [0, 0, 1, 15], [0, 0, 0, 1.0]])


@pytest.fixture(params=list(GEOMETRIES))
def drawn(request: Any, scene: Any) -> DrawnDialogue:
    return DrawnDialogue(request.param)


@pytest.fixture
def study(scene: Any) -> DrawnDialogue:
    return DrawnDialogue()


def places(image: sitk.Image) -> np.ndarray:
    """Where the corners of an image lie, in RAS."""
    size = image.GetSize()
    corners = [(i, j, k) for i in (0, size[0] - 1) for j in (0, size[1] - 1) for k in (0, size[2] - 1)]
    return np.array([image.TransformIndexToPhysicalPoint(corner) for corner in corners]) * (-1, -1, 1)


def expectedPlaces(geometry: np.ndarray) -> np.ndarray:
    depth, height, width = SHAPE
    corners = [(i, j, k, 1) for i in (0, width - 1) for j in (0, height - 1) for k in (0, depth - 1)]
    return (np.array(corners) @ geometry.T)[:, :3]


# ---- nodes ----


def test_each_round_is_a_labelmap_node_of_its_own(drawn: DrawnDialogue) -> None:
    boxes = drawn.twoRounds()
    nodes = Export.exportLabelmapNodes([drawn.dialogue], drawn.segmentation, drawn.volume)
    assert [node.GetName() for node in nodes] == ["Left kidney (round 1)", "Right kidney (round 2)"]
    for number, (node, box) in enumerate(zip(nodes, boxes, strict=True), start=1):
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), number * box)
        np.testing.assert_array_equal(ijkToRAS(node), ijkToRAS(drawn.volume))
        colours = node.GetDisplayNode().GetColorNode()
        assert colours.GetColorName(number) == node.GetName()
        colour = [0.0] * 4
        colours.GetColor(number, colour)
        assert [round(255 * part) for part in colour] == [255, 60 * number, 0, 255]
        colours.GetColor(0, colour)
        assert colour[3] == 0
    assert nodes[0].GetDisplayNode().GetColorNode() is nodes[1].GetDisplayNode().GetColorNode()


def test_nodes_lie_beside_the_volume_in_the_subject_hierarchy(study: DrawnDialogue) -> None:
    study.twoRounds()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    folder = hierarchy.CreateStudyItem(patient, "Study")
    hierarchy.CreateItem(folder, study.volume)
    for node in Export.exportLabelmapNodes([study.dialogue], study.segmentation, study.volume):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == folder


def test_nodes_stand_under_the_transform_of_the_volume(study: DrawnDialogue) -> None:
    boxes = study.twoRounds()
    moved = matrixNode(MOVED)
    for node in (study.volume, study.segmentation):
        node.SetAndObserveTransformNodeID(moved.GetID())
    nodes = Export.exportLabelmapNodes([study.dialogue], study.segmentation, study.volume)
    assert [node.GetTransformNodeID() for node in nodes] == [moved.GetID()] * 2
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(nodes[1]), 2 * boxes[1])


@pytest.mark.parametrize("bent", [False, True])
def test_a_segmentation_that_was_moved_is_exported_where_it_is_seen(study: DrawnDialogue, bent: bool) -> None:
    """Moved by 6 mm, four voxels of 1.5 mm, to where columns of this volume grow."""
    box = study.box(4, 8, 5)
    study.round("Left kidney (round 1)", box)
    moved = bentNode() if bent else matrixNode(np.array([[1, 0, 0, -6], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    study.segmentation.SetAndObserveTransformNodeID(moved.GetID())
    (node,) = Export.exportLabelmapNodes([study.dialogue], study.segmentation, study.volume)
    assert node.GetTransformNodeID() is None
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node) > 0, study.box(4, 8, 9))


def test_a_round_holds_what_the_user_drew_on_other_slices(study: DrawnDialogue) -> None:
    box = study.box(4, 8, 5) | study.box(9, 20, 20)
    study.round("Left kidney (round 1)", box)
    (node,) = Export.exportLabelmapNodes([study.dialogue], study.segmentation, study.volume)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node) > 0, box)


def test_a_segmentation_of_another_grid_is_exported_on_the_volumes_own(study: DrawnDialogue) -> None:
    """One of half the spacing, as Slicer's "oversampling" makes it."""
    box = study.box(4, 8, 5)
    fine = np.repeat(np.repeat(np.repeat(box, 2, 0), 2, 1), 2, 2).astype(np.uint8)
    reference = slicer.util.addVolumeFromArray(fine)
    geometry = GEOMETRIES["flipped"] @ np.diag([0.5, 0.5, 0.5, 1.0])
    geometry[:3, 3] += GEOMETRIES["flipped"][:3, :3] @ np.full(3, -0.25)
    reference.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(geometry))
    study.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    done = study.round("Left kidney (round 1)", box)
    slicer.util.updateSegmentBinaryLabelmapFromArray(fine, study.segmentation, done.segmentID, reference)
    (node,) = Export.exportLabelmapNodes([study.dialogue], study.segmentation, study.volume)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node) > 0, box)


def test_an_empty_round_is_an_empty_labelmap(study: DrawnDialogue, tmp_path: Path) -> None:
    study.round("Left kidney (round 1)", np.zeros(SHAPE, bool))
    (node,) = Export.exportLabelmapNodes([study.dialogue], study.segmentation, study.volume)
    assert slicer.util.arrayFromVolume(node).shape == SHAPE
    assert not slicer.util.arrayFromVolume(node).any()
    path = Export.exportFiles([study.dialogue], study.segmentation, study.volume, tmp_path)[0]
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(path))).shape == SHAPE


# ---- files ----


@pytest.mark.parametrize(
    ("geometry", "suffix"),
    [(name, suffix) for name in GEOMETRIES for suffix in Export.SUFFIXES if (name, suffix) != ("slanted", ".nii.gz")],
)
def test_files_hold_each_round_where_it_is(scene: Any, tmp_path: Path, geometry: str, suffix: str) -> None:
    drawn = DrawnDialogue(geometry)
    boxes = drawn.twoRounds()
    paths = Export.exportFiles([drawn.dialogue], drawn.segmentation, drawn.volume, tmp_path / "new", suffix)
    names = [f"axial_5_01_left_kidney{suffix}", f"axial_5_02_right_kidney{suffix}"]
    assert [path.name for path in paths] == [*names, "labels.json", "axial_5_labels.txt"]
    assert filesIn(tmp_path / "new") == sorted(path.name for path in paths)
    for number, (path, box) in enumerate(zip(paths, boxes, strict=False), start=1):
        image = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), number * box)
        np.testing.assert_allclose(places(image), expectedPlaces(GEOMETRIES[geometry]), atol=1e-4)


def test_slanted_slices_are_not_written_where_they_are_not(scene: Any, tmp_path: Path) -> None:
    drawn = DrawnDialogue("slanted")
    drawn.twoRounds()
    with pytest.raises(DialogueError, match="export NRRD instead"):
        Export.exportFiles([drawn.dialogue], drawn.segmentation, drawn.volume, tmp_path / "new", ".nii.gz")
    assert filesIn(tmp_path) == []


def test_labels_say_what_the_files_are(study: DrawnDialogue, tmp_path: Path) -> None:
    study.twoRounds()
    paths = Export.exportFiles([study.dialogue], study.segmentation, study.volume, tmp_path, ".nrrd")
    described = json.loads(paths[2].read_text(encoding="utf-8"))
    assert described["coordinates"] == "those of the volume's own file"
    assert described["labels"][1] == {
        "slice": "axial_5",
        "round": 2,
        "name": "Right kidney (round 2)",
        "value": 2,
        "colour": [255, 120, 0],
        "file": "axial_5_02_right_kidney.nrrd",
    }
    assert paths[3].read_text(encoding="utf-8").splitlines() == [
        '0 0 0 0 0 0 0 "Clear Label"',
        '1 255 60 0 1 1 1 "Left kidney (round 1)"',
        '2 255 120 0 1 1 1 "Right kidney (round 2)"',
    ]


def test_a_transform_is_kept_out_of_the_files_and_that_is_said(study: DrawnDialogue, tmp_path: Path) -> None:
    boxes = study.twoRounds()
    moved = matrixNode(MOVED)
    for node in (study.volume, study.segmentation):
        node.SetAndObserveTransformNodeID(moved.GetID())
    paths = Export.exportFiles([study.dialogue], study.segmentation, study.volume, tmp_path)
    image = sitk.ReadImage(str(paths[0]))
    np.testing.assert_allclose(places(image), expectedPlaces(GEOMETRIES["flipped"]), atol=1e-4)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image) > 0, boxes[0])
    assert "is not applied" in json.loads((tmp_path / "labels.json").read_text())["coordinates"]


def test_file_names_are_safe_and_hold_no_patient(study: DrawnDialogue, tmp_path: Path) -> None:
    box = study.box(4, 8, 5)
    names = ["左肾", "Läsion: a/b\\c*?", "..", "x" * 200, "my lesion", "My Lesion!"]
    for name in names:
        study.round(name, box, autoName="", number=3)
    paths = Export.exportFiles([study.dialogue], study.segmentation, study.volume, tmp_path)
    stems = [path.name.removesuffix(".nii.gz") for path in paths[:6]]
    assert stems == [
        "axial_5_03_segment",
        "axial_5_03_lasion_a_b_c",
        "axial_5_03_segment_2",
        f"axial_5_03_{'x' * 60}",
        "axial_5_03_my_lesion",
        "axial_5_03_my_lesion_2",
    ]
    labels = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))["labels"]
    assert [label["name"] for label in labels] == names
    for name in filesIn(tmp_path):
        assert "doe" not in name.lower() + (tmp_path / name).read_bytes().decode("latin1").lower()


def test_dialogues_about_two_slices_go_into_one_folder(study: DrawnDialogue, tmp_path: Path) -> None:
    study.twoRounds()
    first = study.dialogue
    plane = dataclasses.replace(first.plane, index=None, axis=None, orientation="oblique", offset=-12.46)
    study.dialogue = dataclasses.replace(first, id=newID(), plane=plane, rounds=(), title="Oblique at -12.5 mm")
    study.round("Spleen (round 1)", study.box(7, 3, 3))
    paths = Export.exportFiles([first, study.dialogue], study.segmentation, study.volume, tmp_path)
    assert [path.name for path in paths] == [
        "axial_5_01_left_kidney.nii.gz",
        "axial_5_02_right_kidney.nii.gz",
        "oblique_minus_12_5mm_01_spleen.nii.gz",
        "labels.json",
        "axial_5_labels.txt",
        "oblique_minus_12_5mm_labels.txt",
    ]
    nodes = Export.exportLabelmapNodes([first, study.dialogue], study.segmentation, study.volume)
    assert [slicer.util.arrayFromVolume(node).max() for node in nodes] == [1, 2, 1]
    assert nodes[2].GetDisplayNode().GetColorNode().GetColorName(1) == "Spleen (round 1)"


def test_writing_again_replaces_and_leaves_other_files_alone(study: DrawnDialogue, tmp_path: Path) -> None:
    done = study.round("Left kidney (round 1)", study.box(4, 8, 5))
    (tmp_path / "notes.txt").write_text("mine")
    Export.exportFiles([study.dialogue], study.segmentation, study.volume, tmp_path)
    box = study.box(4, 20, 20)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        box.astype(np.uint8), study.segmentation, done.segmentID, study.volume
    )
    path = Export.exportFiles([study.dialogue], study.segmentation, study.volume, tmp_path)[0]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))) > 0, box)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(filesIn(tmp_path)) == 4


def test_an_export_leaves_the_scene_as_it_was(study: DrawnDialogue, tmp_path: Path) -> None:
    study.twoRounds()
    before = slicer.mrmlScene.GetNumberOfNodes()
    Export.exportFiles([study.dialogue], study.segmentation, study.volume, tmp_path)
    Export.exportSegmentation(study.segmentation, tmp_path / "all")
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert study.segmentation.GetStorageNode() is None


# ---- the whole segmentation ----


def test_the_whole_segmentation_keeps_overlaps_names_colours_and_tags(drawn: DrawnDialogue, tmp_path: Path) -> None:
    boxes = drawn.twoRounds()
    drawn.segment("右肾", drawn.box(4, 9, 6), (0, 51, 255), **{"MediRound.Query": "分割右肾。", "MediRound.Round": "3"})
    path = Export.exportSegmentation(drawn.segmentation, tmp_path / "all")
    assert path == tmp_path / "all.seg.nrrd"
    assert filesIn(tmp_path) == ["all.seg.nrrd"]
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    read = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage.ReadData(read)
    segments = read.GetSegmentation()
    names = [segments.GetNthSegment(k).GetName() for k in range(segments.GetNumberOfSegments())]
    assert names == ["my lesion", "Left kidney (round 1)", "Right kidney (round 2)", "右肾"]
    last = segments.GetNthSegment(3)
    tag = vtk.mutable("")
    assert last.GetTag("MediRound.Query", tag)
    assert tag.get() == "分割右肾。"
    assert last.GetColor() == pytest.approx((0, 0.2, 1))
    for k, box in ((1, boxes[0]), (2, boxes[1])):
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(read, segments.GetNthSegmentID(k), drawn.volume)
        np.testing.assert_array_equal(voxels > 0, box)


@pytest.mark.parametrize("name", ["all.seg.nrrd", "all.nrrd", "all"])
def test_the_segmentations_file_ends_as_slicer_wants_it(study: DrawnDialogue, tmp_path: Path, name: str) -> None:
    study.twoRounds()
    assert Export.exportSegmentation(study.segmentation, tmp_path / name).name == "all.seg.nrrd"
