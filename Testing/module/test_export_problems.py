"""Exports that fail: one clear sentence, and no file that is half written."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from drawn_dialogue import SHAPE, DrawnDialogue, filesIn
from MediRoundSlicerLib import Export, StagedFolder
from MediRoundSlicerLib.Dialogues import DialogueError


@pytest.fixture
def study(scene: Any) -> DrawnDialogue:
    return DrawnDialogue()


def test_rounds_whose_segments_were_deleted_are_left_out_and_named(study: DrawnDialogue, tmp_path: Path) -> None:
    study.twoRounds()
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
    study.twoRounds()
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
    for empty in (None, study.segmentation):
        with pytest.raises(DialogueError, match="no segments"):
            Export.exportSegmentation(empty, tmp_path / "all")
    slicer.mrmlScene.RemoveNode(study.segmentation)
    with pytest.raises(DialogueError, match="was deleted"):
        Export.exportSegmentation(study.segmentation, tmp_path / "all")
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
    study.twoRounds()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DialogueError, match="choose another folder"):
        write(study, tmp_path / "file", kind)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may write anywhere")
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_read_only_is_said(study: DrawnDialogue, tmp_path: Path, kind: str) -> None:
    study.twoRounds()
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
