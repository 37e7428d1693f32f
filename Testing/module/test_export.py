"""Exported rounds: read back by programs that know nothing of this one, voxel for voxel and in the right place."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from drawn_dialogue import GEOMETRIES, SHAPE, DrawnDialogue, axialPlane, bentNode, matrixNode
from MediRoundSlicerLib import Export, SegmentStore, StagedFolder
from MediRoundSlicerLib.Dialogues import DialogueError, newID

MOVED = np.array([[0, -1, 0, 30], [1, 0, 0, -20], [0, 0, 1, 15], [0, 0, 0, 1.0]])


@pytest.fixture(params=list(GEOMETRIES))
def drawn(request: Any, scene: Any) -> DrawnDialogue:
    return DrawnDialogue(request.param)


@pytest.fixture
def study(scene: Any) -> DrawnDialogue:
    return DrawnDialogue()


def twoRounds(drawn: DrawnDialogue) -> list[np.ndarray]:
    """Two rounds that overlap, and a drawn segment that is no round. Returns the masks of the rounds."""
    boxes = [drawn.box(4, 8, 5), drawn.box(4, 12, 9)]
    drawn.segment("my lesion", drawn.box(6, 1, 1))
    drawn.round("Left kidney (round 1)", boxes[0])
    drawn.round("Right kidney (round 2)", boxes[1])
    assert (boxes[0] & boxes[1]).any()
    return boxes


def filesIn(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


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
    boxes = twoRounds(drawn)
    nodes = Export.exportLabelmapNodes([drawn.dialogue], drawn.segmentation, drawn.volume)
    assert [node.GetName() for node in nodes] == ["Left kidney (round 1)", "Right kidney (round 2)"]
    for number, (node, box) in enumerate(zip(nodes, boxes, strict=True), start=1):
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), number * box)
        np.testing.assert_array_equal(
            slicer.util.arrayFromVTKMatrix(ijkToRAS(node)), slicer.util.arrayFromVTKMatrix(ijkToRAS(drawn.volume))
        )
        colours = node.GetDisplayNode().GetColorNode()
        assert colours.GetColorName(number) == node.GetName()
        colour = [0.0] * 4
        colours.GetColor(number, colour)
        assert [round(255 * part) for part in colour] == [255, 60 * number, 0, 255]
        colours.GetColor(0, colour)
        assert colour[3] == 0
    assert nodes[0].GetDisplayNode().GetColorNode() is nodes[1].GetDisplayNode().GetColorNode()


def ijkToRAS(node: Any) -> Any:
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    node.GetIJKToRASMatrix(matrix)
    return matrix


def test_nodes_lie_beside_the_volume_in_the_subject_hierarchy(study: DrawnDialogue) -> None:
    twoRounds(study)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    folder = hierarchy.CreateStudyItem(patient, "Study")
    hierarchy.CreateItem(folder, study.volume)
    for node in Export.exportLabelmapNodes([study.dialogue], study.segmentation, study.volume):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == folder


def test_nodes_stand_under_the_transform_of_the_volume(study: DrawnDialogue) -> None:
    boxes = twoRounds(study)
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


@pytest.mark.parametrize("suffix", Export.SUFFIXES)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_files_hold_each_round_where_it_is(scene: Any, tmp_path: Path, suffix: str, geometry: str) -> None:
    drawn = DrawnDialogue(geometry)
    boxes = twoRounds(drawn)
    if (geometry, suffix) == ("slanted", ".nii.gz"):
        with pytest.raises(DialogueError, match="export NRRD instead"):
            Export.exportFiles([drawn.dialogue], drawn.segmentation, drawn.volume, tmp_path / "new", suffix)
        assert filesIn(tmp_path) == []
        return
    paths = Export.exportFiles([drawn.dialogue], drawn.segmentation, drawn.volume, tmp_path / "new", suffix)
    names = [f"axial_5_01_left_kidney{suffix}", f"axial_5_02_right_kidney{suffix}"]
    assert [path.name for path in paths] == [*names, "labels.json", "axial_5_labels.txt"]
    assert filesIn(tmp_path / "new") == sorted(path.name for path in paths)
    for number, (path, box) in enumerate(zip(paths, boxes, strict=False), start=1):
        image = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), number * box)
        np.testing.assert_allclose(places(image), expectedPlaces(GEOMETRIES[geometry]), atol=1e-4)


def test_labels_say_what_the_files_are(study: DrawnDialogue, tmp_path: Path) -> None:
    twoRounds(study)
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
    boxes = twoRounds(study)
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
    twoRounds(study)
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
    twoRounds(study)
    before = slicer.mrmlScene.GetNumberOfNodes()
    Export.exportFiles([study.dialogue], study.segmentation, study.volume, tmp_path)
    Export.exportSegmentation(study.segmentation, tmp_path / "all")
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert study.segmentation.GetStorageNode() is None


# ---- the whole segmentation ----


def test_the_whole_segmentation_keeps_overlaps_names_colours_and_tags(drawn: DrawnDialogue, tmp_path: Path) -> None:
    boxes = twoRounds(drawn)
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
    twoRounds(study)
    assert Export.exportSegmentation(study.segmentation, tmp_path / name).name == "all.seg.nrrd"


# ---- what goes wrong ----


def test_rounds_whose_segments_were_deleted_are_left_out_and_named(study: DrawnDialogue, tmp_path: Path) -> None:
    twoRounds(study)
    study.segmentation.GetSegmentation().RemoveSegment(study.dialogue.rounds[0].segmentID)
    paths = Export.exportFiles([study.dialogue], study.segmentation, study.volume, tmp_path)
    assert paths[0].name == "axial_5_02_right_kidney.nii.gz"
    described = json.loads((tmp_path / "labels.json").read_text())
    assert described["left_out_as_their_segments_were_deleted"] == [{"slice": "axial_5", "round": 1}]
    assert len(Export.exportLabelmapNodes([study.dialogue], study.segmentation, study.volume)) == 1


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        ("segments", "segments of these rounds were deleted"),
        ("segmentation", "segments of these rounds were deleted"),
        ("volume", "volume of this dialogue was deleted"),
        ("rounds", "no rounds yet"),
    ],
)
def test_what_is_gone_is_said_in_a_sentence(study: DrawnDialogue, tmp_path: Path, gone: str, sentence: str) -> None:
    twoRounds(study)
    dialogue = study.dialogue
    if gone == "segments":
        study.segmentation.GetSegmentation().RemoveAllSegments()
    elif gone == "rounds":
        dialogue = dataclasses.replace(dialogue, rounds=())
    else:
        slicer.mrmlScene.RemoveNode(getattr(study, gone))
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(DialogueError, match=sentence):
        Export.exportLabelmapNodes([dialogue], study.segmentation, study.volume)
    with pytest.raises(DialogueError, match=sentence):
        Export.exportFiles([dialogue], study.segmentation, study.volume, tmp_path)
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert filesIn(tmp_path) == []


def test_a_segmentation_that_is_gone_or_empty_is_not_written(study: DrawnDialogue, tmp_path: Path) -> None:
    with pytest.raises(DialogueError, match="no segments yet"):
        Export.exportSegmentation(study.segmentation, tmp_path / "all")
    slicer.mrmlScene.RemoveNode(study.segmentation)
    for gone in (None, study.segmentation):
        with pytest.raises(DialogueError, match="was deleted"):
            Export.exportSegmentation(gone, tmp_path / "all")
    assert filesIn(tmp_path) == []


def write(study: DrawnDialogue, folder: Path, kind: str) -> None:
    if kind == "segmentation":
        Export.exportSegmentation(study.segmentation, folder / "all.seg.nrrd")
    else:
        Export.exportFiles([study.dialogue], study.segmentation, study.volume, folder, kind)


KINDS = (*Export.SUFFIXES, "segmentation")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_nothing_behind(study: DrawnDialogue, tmp_path: Path, kind: str) -> None:
    import resource

    study.round("Left kidney (round 1)", np.random.default_rng(1).random(SHAPE) < 0.5)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(DialogueError, match="choose another folder") as caught:
            write(study, tmp_path / "new" / "folder", kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path / "new" / "folder") in str(caught.value)
    assert filesIn(tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_a_file_is_said(study: DrawnDialogue, tmp_path: Path, kind: str) -> None:
    twoRounds(study)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DialogueError, match="choose another folder"):
        write(study, tmp_path / "file", kind)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may write anywhere")
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_read_only_is_said(study: DrawnDialogue, tmp_path: Path, kind: str) -> None:
    twoRounds(study)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DialogueError, match="cannot be written to; choose another folder"):
            write(study, tmp_path, kind)
    finally:
        tmp_path.chmod(0o700)


def stage(folder: Path, files: tuple[str, ...], error: Exception | None = None) -> None:
    """Write files into a folder as exports do, and fail after the last one."""
    with StagedFolder.stagedFolder(folder) as staged:
        for name in files:
            (staged / name).write_text(name)
        if error is not None:
            raise error


def test_errors_of_the_system_are_sentences(tmp_path: Path) -> None:
    for number, sentence in ((28, "disk of .* is full"), (13, "cannot be written to"), (5, "Input/output error")):
        with pytest.raises(DialogueError, match=sentence):
            stage(tmp_path / "new", ("half",), OSError(number, os.strerror(number)))
        assert filesIn(tmp_path) == []


def test_a_failure_of_another_kind_leaves_nothing_either(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"):
        stage(tmp_path, ("half",), ValueError("mine"))
    assert filesIn(tmp_path) == []


def test_a_folder_in_the_place_of_a_file_stops_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(DialogueError, match="choose another folder"):
        stage(tmp_path, ("a", "b"))
    assert filesIn(tmp_path) == ["b"]


# ---- DICOM segmentation objects ----


@pytest.fixture
def dicomStudy(scene: Any) -> tuple[Any, Any, int]:
    """A volume as Slicer loads it from DICOM, a segmentation with two rounds, and the study's item."""
    volume = DrawnDialogue("flipped").volume
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(f"1.2.3.{k}" for k in range(SHAPE[0])))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    study = hierarchy.CreateStudyItem(patient, "Study")
    hierarchy.CreateItem(study, volume)
    segmentation = SegmentStore.segmentationFor(volume)
    for k, name in enumerate(("Left kidney", "my own thing")):
        segmentID = SegmentStore.addSegment(segmentation, f"{name} (round {k + 1})", name.lower(), {})
        mask = np.zeros(SHAPE[1:], bool)
        mask[10 + 3 * k : 20, 5:15] = True
        SegmentStore.writePlane(segmentation, segmentID, volume, axialPlane(GEOMETRIES["flipped"], 4), mask)
    return volume, segmentation, study


def test_dicom_export_finds_the_source_and_the_study(dicomStudy: tuple[Any, Any, int]) -> None:
    """What Slicer's exporter of DICOM segmentation objects looks up: the source volume, its instances, the study."""
    volume, segmentation, study = dicomStudy
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(segmentation)) == study
    source = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
    assert source is volume
    assert len(source.GetAttribute("DICOM.instanceUIDs").split()) == SHAPE[0]


def test_dicom_export_finds_a_terminology_for_every_segment(dicomStudy: tuple[Any, Any, int]) -> None:
    segments = dicomStudy[1].GetSegmentation()
    codes = []
    for k in range(segments.GetNumberOfSegments()):
        entry = slicer.vtkSlicerTerminologyEntry()
        tag = vtk.mutable("")
        assert segments.GetNthSegment(k).GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag)
        assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(tag.get(), entry)
        for part in (entry.GetCategoryObject(), entry.GetTypeObject()):
            assert part.GetCodingSchemeDesignator() == "SCT"
            assert part.GetCodeValue()
            assert part.GetCodeMeaning()
        codes.append(entry.GetTypeObject().GetCodeMeaning())
    assert codes == ["Kidney", "Tissue"]


def test_dicom_export_finds_voxels_on_the_grid_of_the_source(dicomStudy: tuple[Any, Any, int]) -> None:
    volume, segmentation, _ = dicomStudy
    segments = segmentation.GetSegmentation()
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    for k in range(segments.GetNumberOfSegments()):
        # By this array the exporter tells an empty segment.
        voxels = segments.GetNthSegment(k).GetRepresentation(name).GetPointData().GetArray("ImageScalars")
        assert voxels.GetValueRange()[1] > 0
        merged, segmentIDs = slicer.vtkOrientedImageData(), vtk.vtkStringArray()
        segmentIDs.InsertNextValue(segments.GetNthSegmentID(k))
        segmentation.GenerateMergedLabelmapForAllSegments(merged, 0, None, segmentIDs)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        assert logic.CreateLabelmapVolumeFromOrientedImageData(merged, node)
        assert slicer.util.arrayFromVolume(node).shape == SHAPE
        np.testing.assert_allclose(
            slicer.util.arrayFromVTKMatrix(ijkToRAS(node)), slicer.util.arrayFromVTKMatrix(ijkToRAS(volume))
        )
        assert np.argwhere(slicer.util.arrayFromVolume(node))[0].tolist() == [4, 10 + 3 * k, 5]
