"""Real labelled images: patients are split and never slices, what is broken is left out, left and right are honest."""

import json
import shutil
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from PIL import Image

from MediRoundLib.errors import MediRoundError
from training.data.entities import entities
from training.data.mixture import PHANTOMS, Mixture
from training.data.real import LONGEST, RealSlice, iter_samples, read_set, set_folders
from training.data.samples import LabelledImage
from training.data.sets import SHIPPED

SLICES, KIDNEYS = "totalsegmentator_ct", {"1": "kidney right", "2": "kidney left", "3": "spleen", "4": "liver"}


def write_patient(folder: Path, labels: NDArray[np.uint8], direction: str = "LPS", split: str = "") -> None:
    """A CT of -100 HU and of 100 times its label where it has one; `labels` are (z, y, x) as an LPS volume has them."""
    folder.mkdir(parents=True)
    values = np.where(labels > 0, labels.astype(np.int16) * 100, np.int16(-100))
    for name, array in (("ct", values), ("labels", labels)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((2.0, 2.0, 5.0))
        sitk.WriteImage(sitk.DICOMOrient(image, direction), str(folder / f"{name}.nii.gz"))
    if split:
        (folder / "split.txt").write_text(f"{split}\n")


def kidneys() -> NDArray[np.uint8]:
    """(3, 20, 30): the right kidney at the left, the left one at the right and nearer to the back, a speck of spleen.

    The topmost slice is empty; only the lowest one has the spleen.
    """
    labels = np.zeros((3, 20, 30), dtype=np.uint8)
    labels[:2, 4:9, 3:9] = 1
    labels[:2, 10:15, 20:26] = 2
    labels[0, 18:20, 14:17] = 3
    return labels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One set of seven patients' volumes and one of seven patients' pictures, two of each."""
    volumes = tmp_path / "volumes" / SLICES
    for number in range(7):
        write_patient(volumes / f"p{number}", kidneys(), "LPS" if number % 2 else "RAS")
    (volumes / "classes.json").write_text(json.dumps(KIDNEYS))
    pictures = tmp_path / "slices" / "kidney_mr"
    for part in ("images", "labels"):
        (pictures / part).mkdir(parents=True)
    for number in range(14):
        name = f"{number // 2}_{number}.png"
        Image.fromarray(np.full((300, 640, 3), number, dtype=np.uint8)).save(pictures / "images" / name)
        labels = np.zeros((300, 640), dtype=np.uint8)
        labels[100:150, 100:200] = 1
        Image.fromarray(labels).save(pictures / "labels" / name)
    (pictures / "classes.json").write_text('{"1": "right kidney", "2": "left kidney", "3": "vertebrae above T12"}')
    return tmp_path


def test_a_cord_as_large_as_a_neck_is_none(tmp_path: Path) -> None:
    """The avoidance region behind the cord goes by its name in some plans; whoever has one has no label of the cord."""
    folder = tmp_path / "volumes" / SLICES
    for name, rows in (("cord", 6), ("region", 30)):
        labels = np.zeros((2, 40, 40), dtype=np.uint8)
        labels[:, 5:10, 30:36] = 2
        labels[0, 5:11, 10:20] = 1  # 60 pixels of 4 mm2
        labels[1, 5 : 5 + rows, 10:20] = 1
        write_patient(folder / name, labels, split="train")
    (folder / "classes.json").write_text('{"1": "spinal cord", "2": "mandible"}')
    found = {(stored.patient, stored.present) for stored in read_set(folder, "train")}
    assert found == {("cord", frozenset({"spinal cord", "mandible"})), ("region", frozenset({"mandible"}))}
    assert {stored.supervised for stored in read_set(folder, "train") if stored.patient == "region"} == {
        frozenset({"mandible"})
    }


def test_a_structure_cut_out_of_its_slice_is_no_image(tmp_path: Path) -> None:
    folder = tmp_path / "volumes" / SLICES
    labels = np.zeros((2, 40, 40), dtype=np.uint8)
    labels[:, 5:9, 10:14] = 1
    write_patient(folder / "p", labels, split="train")
    volume = sitk.ReadImage(str(folder / "p" / "ct.nii.gz"))
    values = sitk.GetArrayFromImage(volume)
    values[1][labels[1] == 0] = -1000
    cut = sitk.GetImageFromArray(values)
    cut.CopyInformation(volume)
    sitk.WriteImage(cut, str(folder / "p" / "ct.nii.gz"))
    (folder / "classes.json").write_text('{"1": "mandible"}')
    (stored,) = read_set(folder, "train")
    assert stored.pixels.min() > -1000


def patients(slices: Iterable[RealSlice | LabelledImage]) -> set[str]:
    return {each.patient for each in slices}


def test_every_sixth_patient_is_for_validation(root: Path) -> None:
    for folder, names in zip(set_folders(root), ([*"0123456"], [f"p{k}" for k in range(7)]), strict=True):
        train, val = (read_set(folder, split) for split in ("train", "val"))
        assert patients(val) == {names[3]}
        assert patients(train) == {*names} - patients(val)
        assert len(train) == 6 * len(val) == 12


def test_a_split_that_a_set_states_is_kept(root: Path) -> None:
    folder = root / "volumes" / SLICES
    for number in range(7):
        (folder / f"p{number}" / "split.txt").write_text("val\n" if number in (0, 5) else "train\n")
    assert patients(read_set(folder, "val")) == {"p0", "p5"}
    assert patients(read_set(folder, "train")) == {"p1", "p2", "p3", "p4", "p6"}


def test_any_orientation_is_shown_as_a_radiologist_sees_it(root: Path) -> None:
    truth = kidneys()
    for stored in read_set(root / "volumes" / SLICES, "train"):
        lowest = 3 in stored.labels
        np.testing.assert_array_equal(stored.labels, truth[0 if lowest else 1])
        np.testing.assert_array_equal(stored.pixels == 200, stored.labels == 2)


def test_a_slice_as_shown(root: Path) -> None:
    """Specks are no targets and no known absences; a structure that the patient's labels lack is unknown."""
    lower, upper = (each.shown() for each in read_set(root / "volumes" / SLICES, "val"))
    assert set(lower.masks) == set(upper.masks) == {"right kidney", "left kidney"}
    assert lower.supervised == {"right kidney", "left kidney"}
    assert upper.supervised == {"right kidney", "left kidney", "spleen"}
    assert (lower.modality, lower.lateral, lower.source) == ("CT", True, SLICES)
    # -160 to 240 HU.
    assert lower.image.dtype == np.uint8
    assert {*np.unique(lower.image)} == {round(255 * (hu + 160) / 400) for hu in (-100, 100, 200)} | {255}
    shown = [read_set(root / "volumes" / SLICES, "val")[0].shown(np.random.default_rng(k)).image for k in (1, 1, 2)]
    np.testing.assert_array_equal(shown[0], shown[1])
    assert not np.array_equal(shown[0], shown[2])


def test_pictures_are_shrunk_once_and_labels_with_them(root: Path) -> None:
    sample = read_set(root / "slices" / "kidney_mr", "val")[0].shown()
    assert sample.image.shape == (150, LONGEST, 3)
    assert set(sample.masks) == {"right kidney"}
    assert sample.masks["right kidney"].sum() == 25 * 50
    assert sample.masks["right kidney"][50:75, 50:100].all()
    assert sample.supervised == {"right kidney", "left kidney"}, "labels that name no one structure are left out"


@pytest.mark.parametrize("damaged", ["ct.nii.gz", "labels.nii.gz"])
def test_an_unreadable_volume_is_left_out(root: Path, damaged: str) -> None:
    folder = root / "volumes" / SLICES
    (folder / "p1" / damaged).write_bytes(b"")
    with pytest.warns(UserWarning, match=f"{SLICES}/p1 cannot be read and is left out"):
        train = read_set(folder, "train")
    assert patients(train) == {"p0", "p2", "p4", "p5", "p6"}
    assert patients(read_set(folder, "val")) == {"p3"}, "the others stay where they were"


def test_a_folder_without_sets_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no sets"):
        list(iter_samples(tmp_path, "val"))


def test_a_mixture_draws_the_same_again(root: Path) -> None:
    weights = {PHANTOMS: 1.0, SLICES: 2.0, "kidney_mr": 1.0}
    one, two = (Mixture(root, weights, "train", seed=4) for _ in range(2))
    for index in range(12):
        first, second = one.draw(index, one.rng(index)), two.draw(index, two.rng(index))
        assert (first.source, first.patient) == (second.source, second.patient)
        np.testing.assert_array_equal(first.image, second.image)
    # Whatever was drawn before.
    again = Mixture(root, weights, "train", seed=4)
    np.testing.assert_array_equal(again.draw(11, again.rng(11)).image, first.image)
    other = Mixture(root, weights, "train", seed=5)
    drawn = [[mixture.draw(k, mixture.rng(k)).patient for k in range(12)] for mixture in (one, other)]
    assert drawn[0] != drawn[1]


def test_a_mixture_draws_by_weight_and_evenly_over_structures(root: Path) -> None:
    folder = root / "volumes" / SLICES
    rare = kidneys()
    rare[0, 16:20, 10:20] = 4
    shutil.rmtree(folder / "p6")
    write_patient(folder / "p6", rare)
    mixture = Mixture(root, {SLICES: 3.0, "kidney_mr": 1.0, PHANTOMS: 0.0}, "train", seed=0)
    drawn = [mixture.draw(k, mixture.rng(k)) for k in range(300)]
    assert sum(each.source == SLICES for each in drawn) == pytest.approx(225, abs=30)
    volumes = [each for each in drawn if each.source == SLICES]
    # One slice of twelve has the liver, which is one structure of three.
    assert sum("liver" in each.masks for each in volumes) / len(volumes) > 0.3
    assert patients(each for each in drawn if each.source == "kidney_mr") == {*"012456"}


def test_phantoms_of_one_kind() -> None:
    mixture = Mixture(None, {"phantoms spine": 1.0, "phantoms brain": 1.0}, "train", seed=0)
    drawn = [mixture.draw(k, mixture.rng(k)).source for k in range(24)]
    assert set(drawn) == {"phantom-spine", "phantom-brain"}
    assert mixture.held_out is not None
    assert mixture.held_out.draw(0, mixture.held_out.rng(0)).source in set(drawn)
    with pytest.raises(MediRoundError, match="no phantoms tail; known kinds are chest"):
        Mixture(None, {"phantoms tail": 1.0}, "train", seed=0)


def test_a_mixture_of_nothing_is_refused(root: Path) -> None:
    for weights in ({}, {PHANTOMS: 0.0}):
        with pytest.raises(MediRoundError, match="mixture is empty"):
            Mixture(root, weights, "train", seed=0)
    with pytest.raises(MediRoundError, match="names the set kidney_mr; say with --data"):
        Mixture(None, {"kidney_mr": 1.0}, "train", seed=0)
    with pytest.raises(FileNotFoundError, match="no set liver_us below"):
        Mixture(root, {"liver_us": 1.0}, "train", seed=0)
    shutil.rmtree(root / "slices" / "kidney_mr" / "images")
    (root / "slices" / "kidney_mr" / "images").mkdir()
    with pytest.raises(MediRoundError, match="kidney_mr has no labelled slices to train"):
        Mixture(root, {"kidney_mr": 1.0}, "train", seed=0)


@pytest.fixture(scope="session")
def real_dir(shared_dir: Path) -> Path:
    folder = shared_dir / "data" / "real"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder} of labelled images")
    return folder


def test_shared_sets_are_split_by_patient(real_dir: Path) -> None:
    for folder in set_folders(real_dir):
        assert folder.name in SHIPPED
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            train, val = (read_set(folder, split) for split in ("train", "val"))
        assert train
        assert not patients(train) & patients(val)
        if said := list(folder.glob("*/split.txt")):
            for split, slices in (("train", train), ("val", val)):
                assert patients(slices) <= {path.parent.name for path in said if path.read_text().strip() == split}
        known = {name for stored in (*train[:5], *val[:5]) for name in stored.names.values()}
        assert known <= set(entities())
        assert all(len(set(stored.names.values())) == len(stored.names) for stored in train[:1])


def test_shared_empty_volume_is_left_out(real_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hippocampus_mr"
    for patient in ("hippocampus_010", "hippocampus_011"):
        shutil.copytree(real_dir / "volumes" / "hippocampus_mr" / patient, folder / patient)
    shutil.copy(real_dir / "volumes" / "hippocampus_mr" / "classes.json", folder)
    assert (folder / "hippocampus_010" / "mr.nii.gz").stat().st_size == 0
    with pytest.warns(UserWarning, match="hippocampus_010 cannot be read"):
        assert patients(read_set(folder, "train")) == {"hippocampus_011"}


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("volumes/openkbp_head_neck_ct", "parotid gland"),
        ("volumes/totalsegmentator_ct", "kidney"),
        ("slices/kidney_mr", "kidney"),
    ],
)
def test_shared_sets_show_the_patients_left_at_the_right(real_dir: Path, name: str, pair: str) -> None:
    found = 0
    for stored in read_set(real_dir / name, "train")[:300]:
        masks = stored.shown().masks
        if f"left {pair}" in masks and f"right {pair}" in masks:
            left, right = (np.nonzero(masks[f"{side} {pair}"])[1].mean() for side in ("left", "right"))
            assert right < left
            found += 1
        if "mandible" in masks and "spinal cord" in masks:
            front, back = (np.nonzero(masks[each])[0].mean() for each in ("mandible", "spinal cord"))
            assert front < back
    assert found > 5
