"""What a dialogue writes: segments on layers, labelmaps, transcript and picture."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from answered import Answered
from dicom_writer import PATIENT_ID, PATIENT_NAME, write_series
from numpy.typing import NDArray
from PIL import Image

from MediRoundLib.outputs import overlay, write_results
from MediRoundLib.outputs.colours import PALETTE, colour_of
from MediRoundLib.outputs.segmentation import Segment, Segmentation
from MediRoundLib.outputs.terminology import terminology_entry
from MediRoundLib.volumes import Slice, Volume, read_volume, take_slice


def oblique_view() -> Slice:
    """A slice of a volume with uneven spacing, turned and flipped."""
    image = sitk.GetImageFromArray(np.random.default_rng(1).integers(0, 256, (4, 20, 24), dtype=np.uint8))
    image.SetSpacing((0.7, 0.9, 3.0))
    image.SetOrigin((4, -9, 31))
    image.SetDirection((-0.8, 0.6, 0, 0.6, 0.8, 0, 0, 0, -1))
    return take_slice(Volume(image, modality="MR", description="NIfTI file"), index=1)


def block(view: Slice, rows: slice, columns: slice) -> NDArray[np.bool_]:
    mask = np.zeros(view.pixels.shape[:2], bool)
    mask[rows, columns] = True
    return mask


def four_rounds(view: Slice) -> list[Answered]:
    left, right = block(view, slice(3, 9), slice(2, 8)), block(view, slice(3, 9), slice(12, 18))
    return [
        Answered(1, "Segment the left kidney.", left, "left kidney"),
        Answered(2, "请分割|第1轮\n旁边的肾脏。", right, "肾脏", "好的。", 0.41, 0.72, True, 1),
        Answered(3, "Segment the lesion in it.", block(view, slice(4, 6), slice(13, 20)), "lesion", reference="mask"),
        Answered(4, "Segment the spleen.", block(view, slice(0, 0), slice(0, 0)), "spleen", quality=None),
    ]


def header_of(path: Path) -> dict[str, str]:
    """The fields of a NRRD header: lines of `field: value` and `key:=value`, up to an empty one."""
    lines = path.read_bytes().partition(b"\n\n")[0].decode("utf-8").splitlines()[1:]
    pairs = [line.split(":=" if ":=" in line else ": ", 1) for line in lines if not line.startswith("#")]
    return {key: value for key, value in pairs}


def test_every_round_is_a_segment_and_overlaps_are_kept(tmp_path: Path) -> None:
    view = oblique_view()
    rounds = four_rounds(view)
    path = write_results(tmp_path, view, rounds, "tiny")["segmentation"]
    header = header_of(path)
    layers = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert (header["kinds"], header["sizes"]) == ("list domain domain domain", "2 24 20 4")
    assert header["Segmentation_MasterRepresentation"] == "Binary labelmap"
    for k, done in enumerate(rounds):
        layer, label = int(header[f"Segment{k}_Layer"]), int(header[f"Segment{k}_LabelValue"])
        expected = sitk.GetArrayFromImage(view.mask_to_volume(done.mask)) > 0
        np.testing.assert_array_equal(layers[..., layer] == label, expected)
        used = np.argwhere(layers[..., layer])[:, ::-1]
        extent = np.stack([used.min(0), used.max(0)], 1).ravel()
        assert header[f"Segment{k}_Extent"] == " ".join(map(str, extent))
    assert [header[f"Segment{k}_Layer"] for k in range(4)] == ["0", "0", "1", "0"]
    assert [header[f"Segment{k}_Name"] for k in range(4)] == ["left kidney", "肾脏", "lesion", "spleen"]
    assert len({header[f"Segment{k}_ID"] for k in range(4)}) == 4
    assert header["Segment0_Color"].split()[0] == f"{PALETTE[0][0] / 255:.6g}"
    assert "Segment4_ID" not in header


def test_segments_are_tagged(tmp_path: Path) -> None:
    view = oblique_view()
    header = header_of(write_results(tmp_path, view, four_rounds(view), "tiny")["segmentation"])
    tags = dict(tag.split(":", 1) for tag in header["Segment1_Tags"].split("|") if tag)
    assert tags.pop("TerminologyEntry").startswith("Segmentation category and type")
    assert tags == {
        "MediRound.Round": "2",
        "MediRound.Query": "请分割/第1轮 旁边的肾脏。",
        "MediRound.Reference": "1",
        "MediRound.Quality": "0.4100",
        "MediRound.QualityCorrected": "0.7200",
        "MediRound.Corrected": "1",
        "MediRound.Model": "tiny",
        "MediRound.Plane": "axial 1",
    }


@pytest.mark.parametrize("overlapping", [False, True])
def test_the_segmentation_has_the_geometry_of_the_source(overlapping: bool, tmp_path: Path) -> None:
    view = oblique_view()
    rounds = four_rounds(view)[: 3 if overlapping else 2]
    read = sitk.ReadImage(str(write_results(tmp_path, view, rounds, "m")["segmentation"]))
    assert read.GetNumberOfComponentsPerPixel() == 1 + overlapping
    for get in (sitk.Image.GetSize, sitk.Image.GetOrigin, sitk.Image.GetSpacing, sitk.Image.GetDirection):
        np.testing.assert_allclose(get(read), get(view.volume.image), atol=1e-9)


def test_slicer_loads_the_segmentation(tmp_path: Path) -> None:
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install -e '.[slicer]')")
    view = oblique_view()
    rounds = four_rounds(view)
    path = write_results(tmp_path, view, rounds, "tiny")["segmentation"]
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    segmentation = node.GetSegmentation()
    assert [segmentation.GetNthSegment(k).GetName() for k in range(4)] == ["left kidney", "肾脏", "lesion", "spleen"]
    assert segmentation.GetNumberOfLayers() == 2
    for k, done in enumerate(rounds):
        segment = segmentation.GetNthSegment(k)
        labelmap = segment.GetRepresentation("Binary labelmap")
        scalars = np.asarray(labelmap.GetPointData().GetScalars())
        assert np.count_nonzero(scalars == segment.GetLabelValue()) == view.count_voxels(done.mask)


def test_a_layer_takes_as_many_segments_as_a_byte_can_number() -> None:
    segmentation = Segmentation()
    for k in range(256):
        labelmap = sitk.Image([300, 1, 1], sitk.sitkUInt8)
        labelmap[k, 0, 0] = 1
        segmentation.add(Segment(f"s{k}", "s", (0, 0, 0)), labelmap)
    assert len(segmentation._layers) == 2


def test_a_segmentation_needs_a_segment(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without segments"):
        Segmentation().write(tmp_path / "x.seg.nrrd")
    with pytest.raises(ValueError, match="no rounds"):
        write_results(tmp_path, oblique_view(), [], "m")


def test_labelmaps_lie_on_the_source(tmp_path: Path) -> None:
    view = oblique_view()
    folder = write_results(tmp_path, view, four_rounds(view), "tiny")["labelmaps"]
    names = ["01_left_kidney.nii.gz", "02_segment.nii.gz", "03_lesion.nii.gz", "04_spleen.nii.gz"]
    assert sorted(path.name for path in folder.iterdir()) == names
    for done, name in zip(four_rounds(view), names, strict=True):
        read, expected = sitk.ReadImage(str(folder / name)), view.mask_to_volume(done.mask)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(expected))
        for get in (sitk.Image.GetOrigin, sitk.Image.GetSpacing, sitk.Image.GetDirection):
            np.testing.assert_allclose(get(read), get(expected), atol=1e-5)


def test_labelmaps_of_an_earlier_dialogue_are_removed_and_others_are_not(tmp_path: Path) -> None:
    view = oblique_view()
    folder = write_results(tmp_path, view, four_rounds(view), "tiny")["labelmaps"]
    (folder / "mine.nii.gz").touch()
    transcript = json.loads((tmp_path / "transcript.json").read_text(encoding="utf-8"))
    transcript["rounds"].append({"file": "labelmaps/mine.nii.gz"})
    (tmp_path / "transcript.json").write_text(json.dumps(transcript), encoding="utf-8")
    write_results(tmp_path, view, four_rounds(view)[:1], "tiny")
    assert sorted(path.name for path in folder.iterdir()) == ["01_left_kidney.nii.gz", "mine.nii.gz"]


def test_the_transcript_tells_the_rounds_and_nothing_of_a_patient(tmp_path: Path) -> None:
    write_series(tmp_path / PATIENT_ID, [0, 1, 2], shape=(20, 24), SeriesDescription="private words", Modality="MR")
    view = take_slice(read_volume(tmp_path / PATIENT_ID))
    paths = write_results(tmp_path / "out", view, four_rounds(view), "tiny")
    text = paths["transcript"].read_text(encoding="utf-8")
    for secret in (PATIENT_NAME, PATIENT_ID, "private", "Secret"):
        assert secret not in text
        assert secret.encode() not in paths["segmentation"].read_bytes()
    transcript = json.loads(text)
    assert (transcript["plane"], transcript["slice"], transcript["model"]) == ("axial", 1, "tiny")
    assert transcript["source"]["modality"] == "MR"
    assert transcript["source"]["spacing"] == [0.25, 0.5, 1.0]
    first, second = transcript["rounds"][:2]
    assert second["query"] == "请分割|第1轮\n旁边的肾脏。"
    assert (second["reference"], second["quality"], second["quality_corrected"]) == (1, 0.41, 0.72)
    labelmap = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / first["file"])))
    assert first["pixels"] == np.count_nonzero(labelmap) > 0
    assert first["area_mm2"] == pytest.approx(first["pixels"] * 0.25 * 0.5, abs=0.01)


def test_a_picture_has_no_area(tmp_path: Path) -> None:
    picture = sitk.Image([24, 20, 1], sitk.sitkVectorUInt8, 3)
    view = take_slice(Volume(picture, description="PNG picture", oriented=False, calibrated=False))
    paths = write_results(tmp_path, view, four_rounds(view), "tiny")
    transcript = json.loads(paths["transcript"].read_text(encoding="utf-8"))
    assert transcript["plane"] == "2d"
    assert transcript["window"] is None
    assert transcript["rounds"][0]["area_mm2"] is None


def test_the_picture_shows_each_mask_in_its_colour() -> None:
    pixels = np.full((60, 90), 100, np.uint8)
    left, right = np.zeros((2, 60, 90), bool)
    left[10:50, 10:40] = True
    right[10:50, 50:80] = True
    rounds = [Answered(1, "a", left), Answered(2, "b", right, reference=1)]
    drawn = np.asarray(overlay.draw_overlay(pixels, rounds))
    scale, gap = 360 / 90, 16
    for k, panel in enumerate((gap, gap + 360 + gap)):
        found = np.all(drawn[gap : gap + 240, panel : panel + 360] == colour_of(k + 1), axis=2)
        rows, columns = np.nonzero(found)
        x0, x1 = (10, 40) if k == 0 else (50, 80)
        assert (rows.min(), rows.max() + 1) == (10 * scale, 50 * scale)
        assert (columns.min(), columns.max() + 1) == (x0 * scale, x1 * scale)
    second = drawn[gap : gap + 240, 2 * gap + 360 : 2 * gap + 720]
    assert np.all(second == colour_of(1), axis=2).any()  # what it refers to
    assert tuple(second[5, 5]) == (100, 100, 100)


def test_tall_and_wide_images_keep_their_shape() -> None:
    for shape in ((400, 40), (30, 300), (512, 512)):
        picture = overlay.draw_overlay(np.full(shape, 200, np.uint8), [Answered(1, "q", np.zeros(shape, bool))])
        bright = np.all(np.asarray(picture) == 200, axis=2)
        rows, columns = np.nonzero(bright)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert height / width == pytest.approx(shape[0] / shape[1], rel=0.05)


def test_text_that_no_font_can_show_is_not_drawn_as_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "_FONTS", ())
    overlay._fonts.cache_clear()
    try:
        assert overlay._wrapped("请分割左肾。", 300, 14, 3) == []
        assert overlay._wrapped("Segment the left kidney.", 300, 14, 3) == ["Segment the left kidney."]
        blank = np.zeros((30, 30), np.uint8)
        rounds = [Answered(1, "请分割左肾。", np.zeros((30, 30), bool), "左肾")]
        assert isinstance(overlay.draw_overlay(blank, rounds, "zh"), Image.Image)
    finally:
        overlay._fonts.cache_clear()


def test_long_queries_are_cut() -> None:
    lines = overlay._wrapped("segment the " * 60, 300, 14, 3)
    assert len(lines) == 3
    assert lines[-1].endswith(" ...")
    [word] = overlay._wrapped("x" * 500, 300, 14, 1)
    assert word.endswith(" ...")
    assert len(word) < 60


def test_terminology() -> None:
    assert "SCT^64033007^Kidney~SCT^7771000^Left~" in terminology_entry("left kidney")
    assert "SCT^10200004^Liver~^^~" in terminology_entry("Liver")
    assert "SCT^85756007^Tissue~SCT^85756007^Tissue~^^~" in terminology_entry("肝脏")
    assert terminology_entry("").count("~") == 6
