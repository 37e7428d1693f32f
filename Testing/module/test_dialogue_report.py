"""The report: every word and every pixel of it, and nothing of a patient."""

import base64
import dataclasses
import io
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import slicer
from drawn_dialogue import GEOMETRIES, SHAPE, DrawnDialogue
from MediRoundSlicerLib import Report, SegmentStore, SliceCapture
from MediRoundSlicerLib.Dialogues import DialogueError, Reference, Round, packMask
from MediRoundSlicerLib.Pictures import Layer, picture, png, rim
from PIL import Image


@pytest.fixture
def study(scene: Any) -> DrawnDialogue:
    """Two rounds, of which the second leans on the first."""
    drawn = DrawnDialogue()
    first = drawn.round("Left kidney (round 1)", drawn.box(4, 8, 5))
    drawn.round(
        "Right kidney (round 2)",
        drawn.box(4, 12, 9),
        query="Now the other kidney.",
        reference=drawn.leaning(first, "the other kidney"),
        referenceMask=packMask(drawn.box(4, 8, 5)[4]),
        quality=0.41,
        qualityCorrected=0.78,
        corrected=True,
        seconds=1.25,
    )
    return drawn


def report(drawn: DrawnDialogue, path: Path, **options: Any) -> str:
    written = Report.writeReport([drawn.dialogue], drawn.segmentation, drawn.volume, path, **options)
    return written.read_text(encoding="utf-8")


def shown(text: str) -> str:
    """What a reader of the page sees."""
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def picturesIn(text: str) -> list[np.ndarray]:
    return [decoded(base64.b64decode(data)) for data in re.findall(r'src="data:image/png;base64,([^"]*)"', text)]


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


# ---- pictures ----


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3), (1, 1), (40, 7, 3)])
def test_a_png_holds_the_pixels_as_they_are(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    np.testing.assert_array_equal(decoded(png(pixels)), pixels)


def test_a_mask_is_tinted_inside_and_outlined_within_its_edge() -> None:
    image = np.full((600, 520), 100, np.uint8)
    mask = np.zeros((600, 520), bool)
    mask[100:200, 50:90] = True
    drawn = picture(image, [Layer(mask, (255, 0, 50))])
    assert drawn.shape == (600, 520, 3)
    assert (drawn[~mask] == 100).all()
    edge = rim(mask, 2)
    assert (drawn[edge] == (255, 0, 50)).all()
    assert (drawn[mask & ~edge] == (146, 70, 85)).all()
    inner = np.zeros_like(mask)
    inner[102:198, 52:88] = True
    np.testing.assert_array_equal(edge, mask & ~inner)
    assert (image == 100).all()


@pytest.mark.parametrize(("side", "factor"), [(256, 2), (100, 5), (512, 1), (340, 2)])
def test_small_images_are_enlarged_and_masks_keep_their_pixels(side: int, factor: int) -> None:
    rng = np.random.default_rng(1)
    mask = rng.random((side, side)) < 0.3
    drawn = picture(np.zeros((side, side), np.uint8), [Layer(mask, (255, 255, 255))])
    assert drawn.shape == (side * factor, side * factor, 3)
    np.testing.assert_array_equal(drawn[..., 0] > 0, mask.repeat(factor, 0).repeat(factor, 1))
    image = rng.integers(0, 256, (side, side)).astype(np.uint8)
    enlarged = picture(image)
    assert enlarged.shape == (side * factor, side * factor)
    # Halfway between pixels lies their mean; the corners are the image's own.
    assert enlarged[0, 0] == image[0, 0]
    assert enlarged[-1, -1] == image[-1, -1]
    assert abs(float(enlarged.mean()) - float(image.mean())) < 1


def test_large_images_are_reduced_with_their_masks() -> None:
    image = np.zeros((2001, 3000, 3), np.uint8)
    image[:, 1500:] = 90
    mask = np.zeros((2001, 3000), bool)
    mask[600:1200, 300:900] = True
    drawn = picture(image, [Layer(mask, (0, 200, 0))])
    assert drawn.shape == (667, 1000, 3)
    assert (drawn[:, 500:] == 90).all()
    assert (drawn[210:390, 110:290] == (0, 60, 0)).all()
    assert (drawn[201:204, 101:299] == (0, 200, 0)).all()
    assert not drawn[:200, :500].any()


def test_a_reference_is_a_thin_outline_below_the_mask() -> None:
    mask = np.zeros((512, 512), bool)
    mask[10:40, 10:40] = True
    drawn = picture(np.zeros((512, 512), np.uint8), [Layer(mask, (9, 9, 9), filled=False)])
    np.testing.assert_array_equal(drawn[..., 0] == 9, rim(mask, 1))
    over = picture(np.zeros((512, 512), np.uint8), [Layer(mask, (9, 9, 9), filled=False), Layer(mask, (200, 0, 0))])
    assert (over[rim(mask, 2)] == (200, 0, 0)).all()


# ---- the page ----


def test_the_page_shows_slice_and_masks_as_they_are(study: DrawnDialogue, tmp_path: Path) -> None:
    plane, image = study.dialogue.plane, SliceCapture.capturePlane(study.volume, study.dialogue.plane).image
    assert image.shape == plane.shape
    masks = [study.box(4, 8, 5)[4], study.box(4, 12, 9)[4]]
    one, two = Layer(masks[0], (255, 60, 0)), Layer(masks[1], (255, 120, 0))
    leaned = Layer(masks[0], (255, 60, 0), filled=False)
    expected = [picture(image), picture(image, [one, two]), picture(image, [one]), picture(image, [leaned, two])]
    found = picturesIn(report(study, tmp_path / "report.html"))
    assert len(found) == len(expected)
    for made, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(made, wanted)


def test_the_page_shows_what_the_user_edited(study: DrawnDialogue, tmp_path: Path) -> None:
    done, plane = study.dialogue.rounds[0], study.dialogue.plane
    edited = np.zeros(plane.shape, bool)
    edited[20:30, 20:44] = True
    SegmentStore.writePlane(study.segmentation, done.segmentID, study.volume, plane, edited)
    image = SliceCapture.capturePlane(study.volume, plane).image
    found = picturesIn(report(study, tmp_path / "report.html"))
    np.testing.assert_array_equal(found[2], picture(image, [Layer(edited, (255, 60, 0))]))


def test_the_page_tells_every_round(study: DrawnDialogue, tmp_path: Path) -> None:
    words = shown(report(study, tmp_path / "report.html", threshold=0.5))
    for part in (
        "MediRound dialogue Image · Axial 5 2 rounds · model mediround-tiny · corrected at a quality of 0.50 or below",
        "For education and research, not for diagnosis.",
        "1 Left kidney (round 1) Segment the Left kidney (round 1). Left kidney (round 1): instance 1.",
        "Reference none Quality 0.80 Time 0.5 s",
        "2 Right kidney (round 2) Now the other kidney.",
        "Reference Left kidney (round 1), from “the other kidney” Quality 0.41, corrected to 0.78 Time 1.2 s",
    ):
        assert part in words, words
    assert "corrected at" not in shown(report(study, tmp_path / "other.html"))


def test_references_are_told_as_they_were_understood(study: DrawnDialogue, tmp_path: Path) -> None:
    drawn = study.segment("my lesion", study.box(4, 1, 1))
    gone = study.segment("gone", study.box(4, 1, 1))
    first = study.dialogue.rounds[0]
    box = study.box(4, 3, 3)
    study.round("Edema", box, reference=Reference(drawn, phrase="my lesion"))
    study.round("Capsule", box, reference=Reference(drawn, chosen=True), quality=None)
    study.round("Rim", box, reference=Reference(gone, phrase="gone"))
    study.round("Cyst", box, reference=study.leaning(first))
    study.segmentation.GetSegmentation().RemoveSegment(gone)
    SegmentStore.rename(study.segmentation, first.segmentID, "kidney of mine")
    words = shown(report(study, tmp_path / "report.html"))
    for part in (
        "Reference my lesion, from “my lesion” Quality",
        "Reference my lesion, chosen by hand Time",
        "Reference a deleted segment, from “gone”",
        "Reference round 1 · kidney of mine, chosen by hand",
    ):
        assert part in words, words


def test_nothing_of_the_patient_is_in_it(study: DrawnDialogue, tmp_path: Path) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "DOE^JANE")
    folder = hierarchy.CreateStudyItem(patient, "Study of 19991231")
    item = hierarchy.CreateItem(folder, study.volume)
    for key, value in {"Modality": "CT", "PatientName": "DOE^JANE", "StudyDate": "19991231"}.items():
        hierarchy.SetItemAttribute(item, f"DICOM.{key}", value)
    for name in ("report.html", "report.md"):
        text = report(study, tmp_path / name)
        assert "CT · Axial 5" in text
        for secret in ("doe", "jane", "1999", "1961"):
            assert secret not in re.sub(r"base64,[^\"]*", "", text).lower()
    for data in (tmp_path / "report_pictures").iterdir():
        assert set(Image.open(data).info) <= {"dpi"}


def test_the_volumes_name_is_told_only_where_the_user_wants_it(study: DrawnDialogue, tmp_path: Path) -> None:
    assert "DOE^JANE 1961 · Axial 5" in report(study, tmp_path / "report.html", includeVolumeName=True)


def test_the_page_stands_alone_and_users_words_are_no_marks(study: DrawnDialogue, tmp_path: Path) -> None:
    evil = '<script>alert("1")</script> & \'<img src=x onerror=y>\' "</title>" 分割'
    study.dialogue = dataclasses.replace(study.dialogue, title=evil)
    box = study.box(4, 3, 3)
    done = study.round(evil, box, query=evil, text=evil, model=evil)
    study.round("x", box, reference=Reference(done.segmentID, phrase=evil))
    study.volume.SetName(evil)
    text = report(study, tmp_path / "report.html", includeVolumeName=True)
    assert "<script" not in text
    assert "onerror=y&gt;" in text
    assert not re.search(r"<img(?! alt=\"[^\"<>]*\" src=\"data:)", text)
    assert not re.search(r"https?:|@import|url\(|<link|<iframe", text)
    assert "分割" in text
    assert text.count("<article>") == text.count("</article>") == 4


def test_markdown_has_its_pictures_beside_it(study: DrawnDialogue, tmp_path: Path) -> None:
    done = study.round("Cyst *2* [a](b) <b>", study.box(4, 3, 3), query="> Segment\n# the `cyst` | here")
    text = report(study, tmp_path / "my report.md")
    links = [unquote(link) for link in re.findall(r"!\[.*?\]\(([^)]*)\)$", text, flags=re.MULTILINE)]
    folder = tmp_path / "my report_pictures"
    assert sorted(tmp_path / link for link in links) == sorted(folder.iterdir())
    assert [Path(link).name for link in links] == [
        "axial_5_slice.png",
        "axial_5_all.png",
        "axial_5_round_01.png",
        "axial_5_round_02.png",
        "axial_5_round_03.png",
    ]
    image = SliceCapture.capturePlane(study.volume, study.dialogue.plane).image
    mask = SegmentStore.readPlane(study.segmentation, done.segmentID, study.volume, study.dialogue.plane)
    drawn = decoded((folder / "axial_5_round_03.png").read_bytes())
    np.testing.assert_array_equal(drawn, picture(image, [Layer(mask, (255, 180, 0))]))
    assert "### 3. Cyst \\*2\\* \\[a\\]\\(b\\) \\<b\\>" in text
    assert "\n> \\> Segment \\# the \\`cyst\\` \\| here\n" in text


def test_dialogues_about_two_slices_are_two_sections(study: DrawnDialogue, scene: Any, tmp_path: Path) -> None:
    """The other one is oblique, and without rounds on the page there is no section."""
    scene.show(study.volume)
    view = SliceCapture.sliceNode("Red")
    view.RotateToVolumePlane(study.volume)
    matrix = view.GetSliceToRAS()
    turned = slicer.util.arrayFromVTKMatrix(matrix)
    c, s = np.cos(0.5), np.sin(0.5)
    turned[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ turned[:3, :3]
    matrix.DeepCopy(slicer.util.vtkMatrixFromArray(turned))
    view.UpdateMatrices()
    # Through the middle of the first mask.
    view.JumpSlice(*(GEOMETRIES["flipped"] @ (9, 12, 4, 1))[:3])
    captured = SliceCapture.captureView("Red")
    assert captured.plane.axis is None
    first = study.dialogue
    rounds = first.rounds[:1]
    oblique = dataclasses.replace(first, id="2", title="Oblique at 3.0 mm", plane=captured.plane, rounds=rounds)
    empty = dataclasses.replace(first, id="3", title="Axial 7", rounds=())
    path = Report.writeReport([first, oblique, empty], study.segmentation, study.volume, tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert re.findall("<h2>(.*)</h2>", text) == ["Axial 5", "Oblique at 3.0 mm"]
    assert "3 rounds" in text
    pictures = picturesIn(text)
    assert len(pictures) == 6
    mask = SegmentStore.readPlane(study.segmentation, first.rounds[0].segmentID, study.volume, captured.plane)
    assert mask.any()
    np.testing.assert_array_equal(pictures[5], picture(captured.image, [Layer(mask, (255, 60, 0))]))


def test_colours_are_reported_in_colour(scene: Any, tmp_path: Path) -> None:
    drawn = DrawnDialogue()
    values = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    colours = slicer.util.addVolumeFromArray(values, nodeClassName="vtkMRMLVectorVolumeNode")
    colours.CopyOrientation(drawn.volume)
    colours.CreateDefaultDisplayNodes()
    drawn.round("Polyp (round 1)", drawn.box(4, 3, 3))
    path = Report.writeReport([drawn.dialogue], drawn.segmentation, colours, tmp_path / "report")
    assert path.name == "report.html"
    text = path.read_text(encoding="utf-8")
    image = SliceCapture.capturePlane(colours, drawn.dialogue.plane).image
    assert image.shape == (*SHAPE[1:], 3)
    np.testing.assert_array_equal(picturesIn(text)[0], picture(image))
    assert "window" not in shown(text)


# ---- what is missing ----


def test_a_deleted_segment_leaves_its_words(study: DrawnDialogue, tmp_path: Path) -> None:
    study.round("Spleen (round 3)", np.zeros(SHAPE, bool))
    study.segmentation.GetSegmentation().RemoveSegment(study.dialogue.rounds[0].segmentID)
    text = report(study, tmp_path / "report.html")
    words = shown(text)
    assert "1 Left kidney (round 1) Segment the Left kidney (round 1)." in words
    assert "Its segment was deleted." in words
    assert "Its mask is empty." in words
    assert "Reference round 1 · a deleted segment, from “the other kidney”" in words
    # The slice, all rounds, and the two rounds that are there.
    assert len(picturesIn(text)) == 4


@pytest.mark.parametrize("gone", ["volume", "segmentation", "slice"])
def test_without_volume_or_segments_the_words_remain(study: DrawnDialogue, tmp_path: Path, gone: str) -> None:
    if gone == "slice":
        slicer.util.updateVolumeFromArray(study.volume, np.zeros((2, 40, 50), np.int16))
    else:
        slicer.mrmlScene.RemoveNode(getattr(study, gone))
    text = report(study, tmp_path / "report.html")
    assert "Now the other kidney." in text
    assert "doe" not in re.sub(r"base64,[^\"]*", "", text).lower()
    assert len(picturesIn(text)) == (1 if gone == "segmentation" else 0)
    if gone != "segmentation":
        assert "so there are no pictures." in text


def test_what_goes_wrong_is_a_sentence_and_leaves_nothing(study: DrawnDialogue, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DialogueError, match="choose another folder"):
        report(study, tmp_path / "file" / "report.html")
    study.dialogue = dataclasses.replace(study.dialogue, rounds=())
    with pytest.raises(DialogueError, match="no rounds to report yet"):
        report(study, tmp_path / "new" / "report.md")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_report_is_replaced(study: DrawnDialogue, tmp_path: Path) -> None:
    report(study, tmp_path / "report.md")
    kept: tuple[Round, ...] = study.dialogue.rounds[:1]
    study.dialogue = dataclasses.replace(study.dialogue, rounds=kept)
    assert "Right kidney" not in report(study, tmp_path / "report.md")
