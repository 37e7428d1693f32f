"""Sets of a user's own: what they say of themselves, any number format, and mistakes in one sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from PIL import Image

from MediRoundLib.errors import MediRoundError
from training.data.build import main as build_main
from training.data.implicit import main as implicit_main
from training.data.real import RealSlice, read_set
from training.data.samples import flip
from training.train import main as train_main

KIDNEYS = {"1": "kidney right", "2": "kidney left"}
HU = np.linspace(-200, 300, 20 * 30).reshape(20, 30)


def kidneys() -> NDArray[np.uint8]:
    """(20, 30): the right kidney at the left of the image, the left one at its right."""
    labels = np.zeros((20, 30), dtype=np.uint8)
    labels[4:9, 3:9], labels[4:9, 20:26] = 1, 2
    return labels


def write_volume(
    root: Path, pixels: NDArray[Any], labels: NDArray[Any] | None = None, name: str = "ct.nii.gz", toml: str = ""
) -> Path:
    """A set of one patient with one axial slice; `pixels` and `labels` are (20, 30)."""
    folder = root / "volumes" / "mine"
    (folder / "p1").mkdir(parents=True)
    sitk.WriteImage(sitk.GetImageFromArray(pixels[None]), str(folder / "p1" / name))
    shown = kidneys() if labels is None else labels
    sitk.WriteImage(sitk.GetImageFromArray(shown[None]), str(folder / "p1" / "labels.nii.gz"))
    return finish(folder, toml)


def write_picture(root: Path, image: Image.Image, labels: Image.Image | None = None, toml: str = "") -> Path:
    """A set of one picture."""
    folder = root / "slices" / "mine"
    for part, each in (("images", image), ("labels", labels or Image.fromarray(kidneys()))):
        (folder / part).mkdir(parents=True)
        each.save(folder / part / "p1_1.png")
    return finish(folder, toml)


def finish(folder: Path, toml: str) -> Path:
    (folder / "classes.json").write_text(json.dumps(KIDNEYS))
    if toml:
        (folder / "set.toml").write_text(toml)
    return folder


def only_slice(folder: Path) -> RealSlice:
    (stored,) = read_set(folder, "train")
    return stored


def places(stored: RealSlice) -> dict[str, bool]:
    """After a mirror flip: whether each structure lies in the image's left half."""
    return {name: np.nonzero(mask)[1].mean() < 14.5 for name, mask in flip(stored.shown()).masks.items()}


AS_SEEN = {"right kidney": True, "left kidney": False}


def test_a_ct_is_shown_as_one_and_mirrored_honestly(tmp_path: Path) -> None:
    stored = only_slice(write_volume(tmp_path, HU.astype(np.int16)))
    shown = stored.shown()
    assert (shown.modality, shown.lateral) == ("CT", True)
    assert shown.image[HU < -161].max() == 0, "a soft-tissue window"
    assert shown.image[HU > 241].min() == 255
    assert places(stored) == AS_SEEN
    assert not np.array_equal(flip(shown).image, shown.image)


def test_an_mr_is_one_by_its_name(tmp_path: Path) -> None:
    stored = only_slice(write_volume(tmp_path, np.maximum(HU, 0).astype(np.int16), name="mr.nii.gz"))
    assert (stored.modality, stored.lateral) == ("MR", True)


def test_a_set_says_what_it_is(tmp_path: Path) -> None:
    stored = only_slice(
        write_volume(tmp_path, HU.astype(np.int16), toml='modality = "CT angiography"\nlateral = false\n')
    )
    assert (stored.modality, stored.lateral) == ("CT angiography", False)
    assert places(stored) == {"right kidney": False, "left kidney": True}, "mirrored, with the names kept"
    picture = Image.fromarray(np.full((20, 30), 90, dtype=np.uint8))
    stated = only_slice(write_picture(tmp_path, picture, toml='modality = "X-ray"\nlateral = true\n'))
    assert (stated.modality, stated.lateral) == ("X-ray", True)
    assert places(stated) == AS_SEEN


def test_pictures_of_which_nothing_is_known_keep_their_sides(tmp_path: Path) -> None:
    pixels = np.arange(600, dtype=np.uint32).reshape(20, 30).astype(np.uint8)
    folder = write_picture(tmp_path, Image.fromarray(pixels))
    stored = only_slice(folder)
    assert (stored.modality, stored.lateral) == ("unknown", None)
    assert places(stored) == AS_SEEN
    np.testing.assert_array_equal(flip(stored.shown()).image, pixels)
    other = write_picture(tmp_path / "other", Image.fromarray(pixels))
    (other / "classes.json").write_text('{"1": "liver", "2": "left ventricle"}')
    np.testing.assert_array_equal(flip(only_slice(other).shown()).image, pixels[:, ::-1])


@pytest.mark.parametrize("low", [0.0, -2.0])
@pytest.mark.parametrize("name", ["mr.nii.gz", "ct.nii.gz"])
def test_fractions_are_kept(tmp_path: Path, low: float, name: str) -> None:
    values = np.linspace(low, 1, 600).reshape(20, 30).astype(np.float32)
    values[0, 0] = np.nan
    image = only_slice(write_volume(tmp_path, values, name=name)).shown().image
    assert len(np.unique(image)) > 200
    assert (np.diff(image[1:].astype(int).ravel()) >= 0).all()


def test_values_beyond_16_bits_are_kept(tmp_path: Path) -> None:
    values = np.linspace(0, 1e6, 600).reshape(20, 30).astype(np.float32)
    assert len(np.unique(only_slice(write_volume(tmp_path, values, name="mr.nii.gz")).shown().image)) > 200
    metal = HU.astype(np.float32)
    metal[0, 0] = 1e5
    stored = only_slice(write_volume(tmp_path / "ct", metal))
    assert stored.pixels.dtype == np.int16, "HU, and shown as such"
    assert stored.shown().image[0, 1] == 0


def test_labels_over_255_are_labels(tmp_path: Path) -> None:
    labels = kidneys().astype(np.int16)
    labels[labels == 2] = 1002
    folder = write_volume(tmp_path, HU.astype(np.int16), labels)
    (folder / "classes.json").write_text('{"1": "kidney right", "1002": "kidney left", "234": "spleen"}')
    assert only_slice(folder).present == {"right kidney", "left kidney"}
    grey = Image.fromarray(np.zeros((20, 30), np.uint8))
    pictures = write_picture(tmp_path, grey, Image.fromarray(labels.astype(np.uint16)))
    (pictures / "classes.json").write_text('{"1002": "kidney left"}')
    np.testing.assert_array_equal(only_slice(pictures).shown().masks["left kidney"], labels == 1002)


def test_palettes_are_labels_in_labels_and_colours_in_images(tmp_path: Path) -> None:
    labels, image = (Image.fromarray(kidneys()).convert("P") for _ in range(2))
    labels.putdata(kidneys().ravel().tolist())
    labels.putpalette([0, 0, 0, 90, 90, 90, 0, 0, 255])
    image.putdata(kidneys().ravel().tolist())
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 200, 0])
    stored = only_slice(write_picture(tmp_path, image, labels))
    assert stored.present == {"right kidney", "left kidney"}
    assert stored.pixels[0, 0].tolist() == [10, 20, 30]
    assert stored.pixels[5, 5].tolist() == [200, 0, 0]


MISTAKES: dict[str, tuple[str, str, str]] = {
    "unknown label": ("classes.json", '{"1": "flux capacitor"}', r"flux capacitor.*add it.*entities\.toml"),
    "no names": ("classes.json", "[1, 2]", "no JSON object of labels"),
    "no numbers": ("classes.json", '{"liver": 1}', "no JSON object of labels"),
    "no TOML": ("set.toml", "modality: CT", "set.toml is no TOML"),
    "unknown statement": ("set.toml", 'plane = "axial"', "set.toml states plane; it may state modality"),
    "wrong kind": ("set.toml", 'lateral = "yes"', "set.toml states lateral; it may"),
}


@pytest.mark.parametrize(("file", "content", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_one_sentence(tmp_path: Path, file: str, content: str, words: str) -> None:
    folder = write_volume(tmp_path, HU.astype(np.int16))
    (folder / file).write_text(content)
    with pytest.raises(MediRoundError, match=words) as found:
        read_set(folder, "train")
    assert str(folder / file) in str(found.value)
    assert "\n" not in str(found.value)


def test_every_command_says_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_volume(tmp_path, HU.astype(np.int16))
    (folder / "classes.json").write_text('{"1": "flux capacitor"}')
    (tmp_path / "mine.toml").write_text(
        (Path(__file__).parents[1] / "training/configs/tiny.toml")
        .read_text(encoding="utf-8")
        .replace("openkbp_head_neck_ct", "mine")
        .replace("phantoms = 0.15", "phantoms = 1.0"),
        encoding="utf-8",
    )
    source = ["--source", "real", "--root", str(tmp_path), "--split", "train", "--out", str(tmp_path / "out")]
    assert build_main(source) == 2
    assert implicit_main([*source, "--count", "2"]) == 2
    run = ["--data", str(tmp_path), "--run", str(tmp_path / "run"), "--device", "cpu"]
    assert train_main(["--recipe", str(tmp_path / "mine.toml"), *run]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == ["build", "implicit", "training"]
    assert all("flux capacitor" in line and "classes.json" in line for line in said)


def test_what_is_no_label_and_no_pair_is_refused(tmp_path: Path) -> None:
    pixels, grey = HU.astype(np.int16), Image.fromarray(np.zeros((20, 30), np.uint8))
    for number, labels in enumerate((-kidneys().astype(np.int16), kidneys() + np.float32(0.5), kidneys() * 50_000.0)):
        with pytest.raises(MediRoundError, match="no labels; they are whole numbers from 0 to 65535"):
            read_set(write_volume(tmp_path / str(number), pixels, labels), "train")
    with pytest.raises(MediRoundError, match="is in colours"):
        read_set(write_picture(tmp_path, grey, Image.new("RGB", (30, 20))), "train")
    with pytest.raises(MediRoundError, match="different sizes"):
        read_set(write_volume(tmp_path / "size", pixels[:, :20]), "train")
    folder = write_volume(tmp_path / "two", pixels)
    (folder / "p1" / "ct.nii.gz").rename(folder / "p1" / "scan.nii.gz")
    assert only_slice(folder).modality == "unknown"
    (folder / "p1" / "mr.nii.gz").write_bytes(b"")
    with pytest.raises(MediRoundError, match="holds 2 volumes beside labels"):
        read_set(folder, "train")
