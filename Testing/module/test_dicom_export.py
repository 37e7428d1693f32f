"""What Slicer's exporter of DICOM segmentation objects needs: segmentations that the module makes have all of it."""

from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from drawn_dialogue import GEOMETRIES, SHAPE, DrawnDialogue, axialPlane, ijkToRAS
from MediRoundSlicerLib import SegmentStore


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
        np.testing.assert_allclose(ijkToRAS(node), ijkToRAS(volume))
        assert np.argwhere(slicer.util.arrayFromVolume(node))[0].tolist() == [4, 10 + 3 * k, 5]
