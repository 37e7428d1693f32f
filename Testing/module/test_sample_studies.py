"""The sample studies: registered as Slicer wants them, whole, loaded in the right place, and honest."""

import hashlib
import sys
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from MediRoundSlicerLib import SampleStudies
from MediRoundSlicerLib.SampleStudies import STUDIES

from Resources import samples
from training.data.phantoms import phantom_volume


class SampleDataLogic:
    """Slicer's, as far as a source that is one file goes: the file is fetched, checked and loaded."""

    registered: ClassVar[list[dict[str, Any]]] = []
    cache = Path()

    @classmethod
    def registerCustomSampleDataSource(cls, category: str = "Custom", **source: Any) -> None:
        if {"category": category, **source} not in cls.registered:
            cls.registered.append({"category": category, **source})

    def downloadFromSource(self, source: dict[str, Any]) -> list[Any]:
        path = self.cache / source["fileNames"]
        urllib.request.urlretrieve(source["uris"], path)
        algorithm, _, digest = source["checksums"].partition(":")
        if algorithm != "SHA256" or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return []
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(path))
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", source["nodeNames"])
        assert storage.ReadData(node)
        return [node]


@pytest.fixture
def sources(scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the module registers."""
    module = ModuleType("SampleData")
    monkeypatch.setattr(module, "SampleDataLogic", SampleDataLogic, raising=False)
    monkeypatch.setitem(sys.modules, "SampleData", module)
    monkeypatch.setattr(SampleDataLogic, "registered", [])
    monkeypatch.setattr(SampleDataLogic, "cache", tmp_path)
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", lambda **layers: scene.show(layers["background"]))
    SampleStudies.registerSampleData()
    SampleStudies.registerSampleData()
    return SampleDataLogic.registered


def test_they_are_registered_once_and_say_that_they_are_drawn(sources: list[dict[str, Any]]) -> None:
    assert [source["category"] for source in sources] == ["MediRound"] * len(STUDIES)
    for source in sources:
        assert "Drawn" in source["sampleName"]
        assert "not a patient" in source["sampleName"]
        assert "Drawn" in source["nodeNames"]
        assert source["uris"].startswith("file:///")
        assert sitk.ReadImage(source["thumbnailFileName"]).GetSize() == (260, 260)


@pytest.mark.parametrize("k", range(len(STUDIES)))
def test_they_load_in_a_window_of_soft_tissue(sources: list[dict[str, Any]], scene: Any, k: int) -> None:
    node = sources[k]["customDownloader"](sources[k])
    assert node.GetName() == STUDIES[k].nodeName
    voxels = slicer.util.arrayFromVolume(node)
    assert voxels.shape == samples.SHAPE
    assert voxels.min() >= -1024
    assert 200 < voxels.max() < 2000
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    node.GetIJKToRASMatrix(matrix)
    depth, height, width = samples.SPACING
    np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(matrix)[:3, :3], np.diag([-width, -height, depth]))
    display = node.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()) == (400, 40, 0)
    composite = scene.sliceLogics["Red"].GetSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == node.GetID()


def test_a_damaged_file_is_not_loaded(sources: list[dict[str, Any]]) -> None:
    assert sources[0]["customDownloader"]({**sources[0], "checksums": f"SHA256:{'0' * 64}"}) is None


@pytest.mark.parametrize("sample", samples.SAMPLES, ids=lambda sample: sample.name)
def test_the_shipped_files_are_what_the_script_draws(sample: samples.Sample, tmp_path: Path) -> None:
    study = next(one for one in STUDIES if one.file == sample.name)
    shipped = sitk.ReadImage(str(study.path))
    drawn = sitk.ReadImage(str(samples.write(sample, tmp_path)[0]))
    assert shipped.GetOrigin() == drawn.GetOrigin()
    assert shipped.GetDirection() == drawn.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    there, here = sitk.GetArrayFromImage(shipped), sitk.GetArrayFromImage(drawn)
    # Another processor may round another way here and there.
    assert np.abs(there - here).max() <= samples.STEP
    assert (there == here).mean() > 0.99


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.file)
def test_checksums_are_those_of_the_files_and_these_are_small(study: SampleStudies.SampleStudy) -> None:
    data = study.path.read_bytes()
    assert hashlib.sha256(data).hexdigest() == study.sha256
    assert len(data) < 1_200_000
    assert study.thumbnail.stat().st_size < 40_000
    # Nothing of a patient, a study or this machine stands in the header.
    header = data.partition(b"\n\n")[0].decode("ascii").splitlines()
    keys = {line.partition(":")[0] for line in header if not line.startswith(("NRRD", "#"))}
    assert keys == {
        "type",
        "dimension",
        "space",
        "sizes",
        "space directions",
        "kinds",
        "endian",
        "encoding",
        "space origin",
    }


@pytest.mark.parametrize("sample", samples.SAMPLES, ids=lambda sample: sample.name)
def test_their_left_is_the_patients_left(sample: samples.Sample) -> None:
    """In LPS, x grows to the left: the spleen lies at larger x than the liver, the left lung than the right one."""
    _, masks = phantom_volume(
        np.random.default_rng(sample.seed), sample.kind, "ct_soft", samples.SHAPE, samples.SPACING
    )
    left, right = {"abdomen": ("spleen", "liver"), "chest": ("left lung", "right lung")}[sample.kind]
    assert np.argwhere(masks[left])[:, 2].mean() > np.argwhere(masks[right])[:, 2].mean()
    assert all(masks[name][sample.shown].any() for name in (left, right))
