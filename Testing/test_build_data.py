"""Building data sets: shares, a build that was killed, SA-Med2D-20M's layout, and that nothing heaps up in memory."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from MediRoundLib.mr_medseg import check_masks, read_conversations
from training.data import shards
from training.data.bench import as_markdown, measured, write_layout
from training.data.build import build, main
from training.data.sa_med2d import CLASSES, INDEX, Entry, iter_entries, read_entry
from training.data.shards import Plan, build_shard, read_part


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SA-Med2D-20M's layout with 24 images, 12 of them drawn."""
    root = tmp_path_factory.mktemp("sa")
    write_layout(root, 24, drawn=12, size=96)
    return root


def plan(layout: Path, out: Path, **options: Any) -> Plan:
    return Plan(**{"source": "sa-med2d", "root": str(layout), "out": str(out), **options})


def text_of(folder: Path) -> str:
    return (folder / "dialogues.json").read_text(encoding="utf-8")


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for part in ("images", "masks") for path in sorted((folder / part).rglob("*.png")))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_built_set_reads_back(layout: Path, tmp_path: Path) -> None:
    target = build(plan(layout, tmp_path, per_image=5))
    assert target == tmp_path / "dialogues.json"
    conversations = read_conversations(target, tmp_path)
    check_masks(conversations)
    assert len(conversations) > 24
    assert {"spatial", "inference", "organ-lesion"} <= {each.about["scenario"] for each in conversations}
    for each in conversations:
        assert any(turn.reference is not None for turn in each.turns)
        assert len(each.about["entities"]) == len(each.about["relations"]) == len(each.turns)
        assert (each.about["modality"], each.about["source"]) == ("CT", "Phantom")
    languages = [each.about["language"] for each in conversations]
    assert abs(languages.count("en") - languages.count("zh")) < 0.4 * len(languages)


def test_any_number_of_shares_gives_the_same_set(layout: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "five", "processes")]
    build(plan(layout, folders[0]))
    build(plan(layout, folders[1], shards=5))
    build(plan(layout, folders[2], shards=2), processes=2)
    assert text_of(folders[0]) == text_of(folders[1]) == text_of(folders[2])
    assert files_of(folders[0]) == files_of(folders[1]) == files_of(folders[2])


def test_shares_are_put_together_when_the_last_is_there(layout: Path, tmp_path: Path) -> None:
    three = plan(layout, tmp_path, shards=3)
    assert build(three, only=1) is None
    assert build(three, only=0) is None
    assert not (tmp_path / "dialogues.json").exists()
    assert build(three, only=2) is not None
    build(plan(layout, tmp_path / "whole"))
    assert text_of(tmp_path) == text_of(tmp_path / "whole")


def test_a_killed_build_goes_on_to_the_same_end(layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(plan(layout, tmp_path / "whole"))
    stopped, original = plan(layout, tmp_path / "stopped"), shards.build_image
    made: list[int] = []

    def killed(*given: Any) -> Iterator[dict[str, Any]]:
        if len(made) == 7:
            raise KeyboardInterrupt
        made.append(1)
        yield from original(*given)

    monkeypatch.setattr(shards, "build_image", killed)
    with pytest.raises(KeyboardInterrupt):
        build_shard(stopped, 0)
    unfinished = stopped.part(0).with_suffix(".part")
    with unfinished.open("a", encoding="utf-8") as file:
        file.write('{"image": 9, "dialog')  # killed in the middle of a line
    again: list[int] = []

    def counted(*given: Any) -> Iterator[dict[str, Any]]:
        again.append(1)
        yield from original(*given)

    monkeypatch.setattr(shards, "build_image", counted)
    build(stopped)
    assert 0 < len(again) < 24
    assert text_of(tmp_path / "stopped") == text_of(tmp_path / "whole")
    assert files_of(tmp_path / "stopped") == files_of(tmp_path / "whole")
    again.clear()
    build(stopped)
    assert not again, "a finished share is left alone"


def test_a_build_goes_on_with_any_number_of_processes(tmp_path: Path) -> None:
    """It keeps the shares that it was begun with, and what they hold."""
    arguments = ["--source", "phantoms", "--count", "6", "--scenarios", "mixed", "--out", str(tmp_path)]
    assert main([*arguments, "--processes", "3"]) == 0
    built, parts = text_of(tmp_path), sorted((tmp_path / "parts").iterdir())
    assert len(parts) == 3
    parts[1].unlink()
    (tmp_path / "dialogues.json").unlink()
    for processes in ("1", "2"):
        assert main([*arguments, "--processes", processes]) == 0
        assert text_of(tmp_path) == built
        assert sorted((tmp_path / "parts").iterdir()) == parts


def test_a_long_unfinished_share_is_cut_where_it_lies(tmp_path: Path) -> None:
    """What is complete stays in its place, byte for byte, and is read a line at a time."""
    part = tmp_path / "share.part"
    lines = [json.dumps({"image": k, "dialogues": [{}] * (k % 3)}) + "\n" for k in range(50)]
    for half in ("", '{"image": 50, "dia'):
        part.write_text("".join(lines) + half, encoding="utf-8")
        inode = part.stat().st_ino
        assert shards._resume(part) == (sum(k % 3 for k in range(50)), 49)
        assert part.read_text(encoding="utf-8") == "".join(lines)
        assert part.stat().st_ino == inode
    part.write_text('{"image": 0', encoding="utf-8")
    assert shards._resume(part) == (0, -1)
    assert shards._resume(tmp_path / "none") == (0, -1)


def test_a_folder_of_another_plan_is_left_alone(
    layout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--source", "sa-med2d", "--root", str(layout), "--out", str(tmp_path), "--count", "2"]
    assert main(arguments) == 0
    assert main([*arguments, "--seed", "1"]) == 2
    assert "begun with other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--source", "phantoms"], "needs --count"),
        (["--source", "real"], "needs --root"),
        (["--source", "phantoms", "--count", "1", "--shard", "3/2"], "I from 1 to N"),
        (["--source", "phantoms", "--count", "1", "--scenarios", "spatial,none"], "no scenario none"),
        (["--source", "phantoms", "--count", "1", "--rewrite-url", "http://localhost"], "--rewrite-model"),
        (["--source", "phantoms", "--count", "1", "--shards", "2000"], "1 to 1000"),
    ],
)
def test_arguments_that_do_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], words: str
) -> None:
    with pytest.raises(SystemExit):
        main([*given, "--out", str(tmp_path)])
    assert words in capsys.readouterr().err


def test_a_source_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source in ("sa-med2d", "real"):
        assert main(["--source", source, "--root", str(tmp_path / "none"), "--out", str(tmp_path / source)]) == 2
        assert "none" in capsys.readouterr().err


def test_counts_are_kept(tmp_path: Path) -> None:
    for shards_wanted in (1, 3):
        out = tmp_path / str(shards_wanted)
        options = ["--source", "phantoms", "--count", "5", "--shards", str(shards_wanted), "--scenarios", "mixed"]
        assert main([*options, "--max-rounds", "4", "--language", "zh", "--out", str(out)]) == 0
        found = read_conversations(out / "dialogues.json", out)
        assert len(found) == 5
        assert all(len(each.turns) <= 4 and each.about["scenario"] == "mixed" for each in found)
        assert {each.about["language"] for each in found} == {"zh"}


def test_ray_builds_the_same_set(layout: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[cluster]'")
    build(plan(layout, tmp_path / "one"))
    build(plan(layout, tmp_path / "ray", shards=2), engine="ray")
    assert text_of(tmp_path / "one") == text_of(tmp_path / "ray")


def test_without_ray_the_way_out_is_said(
    layout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = ["--source", "sa-med2d", "--root", str(layout), "--out", str(tmp_path), "--engine", "ray"]
    assert main(arguments) == 2
    assert "[cluster]" in capsys.readouterr().err


# Memory


def test_nothing_heaps_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the index is, one image is held at a time, and images are asked for one by one."""
    held: list[int] = []
    taken = {"most": 0, "read": 0}

    class Sample(shards.LabelledImage):
        def __del__(self) -> None:
            held.pop()

    def samples(plan_: Plan, item: int, rng: np.random.Generator) -> Iterator[Any]:
        taken["read"] += 1
        mask = np.ones((16, 16), bool)
        held.append(1)
        taken["most"] = max(taken["most"], len(held))
        names = ("left kidney", "right kidney")
        masks = {name: np.roll(mask, k) & (np.arange(16) // 8 == k) for k, name in enumerate(names)}
        yield Sample(np.zeros((16, 16), np.uint8), masks, "CT", "boxes", str(item), frozenset(masks))

    monkeypatch.setattr(shards, "samples_of", samples)
    most = []
    for number in (20, 200):
        taken.update(most=0, read=0)
        monkeypatch.setattr(shards, "items", lambda plan_, n=number: iter(range(n)))
        out = tmp_path / str(number)
        build(Plan(source="phantoms", out=str(out), scenarios=("inference",)))
        assert taken["read"] == number
        most.append(taken["most"])
    assert most[0] == most[1] <= 3


def test_an_index_of_any_length_takes_the_same_memory(tmp_path: Path) -> None:
    """Peak memory of a process that reads the index, 1x and 20x (20 MB): nothing of it is kept."""
    peaks = []
    for number in (1000, 20_000):
        root = tmp_path / str(number)
        write_layout(root, number, drawn=2, size=64)
        code = f"from training.data.sa_med2d import *; sum(1 for _ in iter_entries(Path({str(root)!r})))"
        peaks.append(measured(["-c", code])[1])
    assert peaks[1] - peaks[0] < 8


def test_the_benchmark_prints_a_table() -> None:
    rows = [
        {"what": "build", "images": 10, "dialogues": 8, "seconds": 2.0, "mb": 51.2},
        {"what": "read the index", "images": 1000, "seconds": 0.5, "mb": 50.0},
    ]
    lines = as_markdown(rows).splitlines()
    assert lines[2] == "| build | 10 | 8 | 2.0 | 4.0 | 5 | 51 |"
    assert lines[3] == "| read the index | 1000 |  | 0.5 |  | 2000 | 50 |"


# SA-Med2D-20M


def write_entry(root: Path, masks: dict[str, Any], size: tuple[int, int] = (20, 10)) -> Entry:
    for folder in ("images", "masks"):
        (root / folder).mkdir(exist_ok=True)
    stem = "mr_t1ce--BraTS2021--Case_7--z_0031"
    Image.new("RGB", size, (9, 9, 9)).save(root / f"images/{stem}.png")
    for name, mask in masks.items():
        Image.fromarray(np.asarray(mask, np.uint8)).save(root / f"masks/{stem}--{name}.png")
    return Entry(f"images/{stem}.png", tuple(f"masks/{stem}--{name}.png" for name in masks))


def half(value: int, rows: slice = slice(0, 5)) -> Any:
    mask = np.zeros((10, 20), np.uint8)
    mask[rows, :6] = value
    return mask


@pytest.mark.parametrize("turned", [False, True])
def test_masks_of_a_class_are_put_together(tmp_path: Path, turned: bool) -> None:
    classes = {"0001": "liver", "0002": "left_kidney", "0003": "flux capacitor", "0004": "spleen", "0005": "stomach"}
    content = {name: number for number, name in classes.items()} if turned else classes
    (tmp_path / CLASSES).write_text(json.dumps(content), encoding="utf-8")
    masks = {
        "0001_000": half(255),
        "0001_001": half(1, slice(7, 9)),  # some sets have 1 for 255
        "0002_000": half(255),
        "0003_000": half(255),
        "0004_000": np.full((10, 20), 255),
        "0005_000": np.full((10, 12), 255),
    }
    sample = read_entry(tmp_path, write_entry(tmp_path, masks))
    assert sample is not None
    assert set(sample.masks) == {"liver", "left kidney"}, "unknown, full and unfit masks are left out"
    np.testing.assert_array_equal(sample.masks["liver"], (half(1) | half(1, slice(7, 9))) > 0)
    assert (sample.modality, sample.source, sample.patient) == ("MR-T1C", "BraTS2021", "BraTS2021--Case_7")
    assert sample.lateral
    assert sample.image.shape == (10, 20, 3)


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    (tmp_path / CLASSES).write_text('{"liver": "0001"}', encoding="utf-8")
    entry = write_entry(tmp_path, {"0001_000": half(255)})
    outside = tmp_path.parent / "outside.png"
    Image.new("L", (20, 10), 255).save(outside)
    assert read_entry(tmp_path, Entry(entry.image, (*entry.masks, "masks/none--0001_001.png"))) is not None
    assert read_entry(tmp_path, Entry("images/none.png", entry.masks)) is None
    assert read_entry(tmp_path, Entry("../outside.png", entry.masks)) is None
    assert read_entry(tmp_path, Entry(entry.image, ("../outside.png",))) is None
    (tmp_path / entry.image).write_bytes(b"no picture")
    assert read_entry(tmp_path, entry) is None


@pytest.mark.parametrize(
    ("name", "modality", "lateral"),
    [
        ("ct_00--AbdomenCT1K--Case_00001--x_0018", "CT", False),
        ("mr_flair--BraTS--7--y_0018", "MR-FLAIR", True),
        ("x_ray--crass--1--2d_none", "X-ray", True),
        ("dermoscopy_00--isic2018--1--2d_none", "dermoscopy", False),
        ("fundus_photography--gamma--1--2d_none", "fundus photography", False),
        ("odd", "unknown", False),
    ],
)
def test_names_say_the_modality(name: str, modality: str, lateral: bool) -> None:
    entry = Entry(f"images/{name}.png", ())
    assert (entry.modality, entry.lateral) == (modality, lateral)


def test_patients_are_split_and_never_images(tmp_path: Path) -> None:
    index: dict[str, list[str]] = {f"images/ct_00--Set--Case_{k // 4}--z_{k}.png": [] for k in range(800)}
    (tmp_path / INDEX).write_text(json.dumps(index), encoding="utf-8")
    train, val = ({entry.patient for entry in iter_entries(tmp_path, split)} for split in ("train", "val"))
    assert not train & val
    assert len(train | val) == 200
    assert 2 <= len(val) <= 25
    assert sum(1 for _ in iter_entries(tmp_path)) == 800


def test_builders_import_no_torch() -> None:
    code = (
        "import sys, training.data.build, training.data.sa_med2d, training.data.validate; print('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    assert subprocess.check_output([sys.executable, "-c", code], text=True, env=environment).strip() == "False"


def test_a_part_is_read_line_by_line(layout: Path, tmp_path: Path) -> None:
    build(plan(layout, tmp_path, count=4))
    numbers = [number for number, _ in read_part(plan(layout, tmp_path, count=4).part(0))]
    assert numbers == sorted(set(numbers))
