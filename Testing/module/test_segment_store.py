"""Segmentations and segments: made, named, coloured, saved, brought back, and seen by the rest of Slicer."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from MediRoundSlicerLib import SegmentStore
from MediRoundSlicerLib.Dialogues import DialogueError
from planes import LIES, addVolume, voxels
from segment_checks import add, captured, distances, drawing, whole


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
    code = (
        "import sys; import MediRoundLib.outputs.terminology, MediRoundLib.outputs.colours; "
        "print([name for name in ('PIL', 'SimpleITK', 'torch', 'pydicom') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_what_is_saved_is_read_again(scene: Any, tmp_path: Path) -> None:
    volume = addVolume(voxels(), LIES["turned on its head"])
    node = SegmentStore.segmentationFor(volume)
    planes = [captured(scene, view, volume) for view in ("Red", "Red", "Yellow")]
    ids = [add(node, name) for name in ("One", "Two", "Three")]
    for number, (segmentID, plane) in enumerate(zip(ids, planes, strict=True)):
        SegmentStore.writePlane(node, segmentID, volume, plane, drawing(plane.shape, number))
        SegmentStore.setTags(node, segmentID, {"MediRound.Query": f"a|b: {number} 肺"})
    before = [whole(node, segmentID) for segmentID in ids]
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(tmp_path / "rounds.seg.nrrd"))
    assert node.GetStorageNode().WriteData(node)
    # Saving puts segments that do not overlap into one labelmap; they can be written to as before.
    for number, (segmentID, plane) in enumerate(zip(ids, planes, strict=True)):
        np.testing.assert_array_equal(whole(node, segmentID), before[number])
        SegmentStore.writePlane(node, segmentID, volume, plane, ~drawing(plane.shape, number))
        np.testing.assert_array_equal(
            SegmentStore.readPlane(node, segmentID, volume, plane), ~drawing(plane.shape, number)
        )
    read = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert node.GetStorageNode().ReadData(read)
    assert [info.id for info in SegmentStore.segments(read)] == ids
    for number, (segmentID, plane) in enumerate(zip(ids, planes, strict=True)):
        np.testing.assert_array_equal(
            SegmentStore.readPlane(read, segmentID, volume, plane), drawing(plane.shape, number)
        )
        value = vtk.reference("")
        assert read.GetSegmentation().GetSegment(segmentID).GetTag("MediRound.Query", value)
        assert str(value) == f"a/b: {number} 肺"
