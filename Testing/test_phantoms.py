"""Phantoms: honest left and right, labels that fit, volumes and DICOM studies in the right place."""

import itertools
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813

from training.data.anatomy import SCENES
from training.data.phantom_dicom import write_dicom_study
from training.data.phantoms import LOOKS, SMALLEST, draw_phantom, phantom_volume
from training.data.samples import LabelledImage, flip, mirrored_name

SIZE = 128
EVERY_LOOK = [(kind, look) for kind in SCENES for look in dict.fromkeys(LOOKS[kind])]


def column(mask: np.ndarray) -> float:
    """The mean column of a mask."""
    return float(np.argwhere(mask)[:, 1].mean())


@pytest.mark.parametrize(("kind", "look"), EVERY_LOOK)
def test_every_kind_and_look_is_drawn(kind: str, look: str) -> None:
    for seed in range(3):
        sample = draw_phantom(np.random.default_rng(seed), SIZE, kind, look)
        assert sample.image.shape == (SIZE, SIZE)
        assert sample.image.dtype == np.uint8
        assert np.ptp(sample.image) > 100
        assert sample.masks, "a slice of a phantom holds something that has a name"
        for name, mask in sample.masks.items():
            assert mask.shape == (SIZE, SIZE)
            assert mask.dtype == np.bool_
            assert mask.sum() >= SMALLEST * SIZE * SIZE
            assert name in sample.supervised


def test_equal_seeds_draw_equal_phantoms() -> None:
    one, two = (draw_phantom(np.random.default_rng(5), SIZE) for _ in range(2))
    assert np.array_equal(one.image, two.image)
    assert one.masks.keys() == two.masks.keys()
    assert one.patient == two.patient


def test_the_size_of_the_picture_leaves_the_anatomy_alone() -> None:
    small, large = (draw_phantom(np.random.default_rng(3), size, "abdomen", "ct_soft") for size in (96, 192))
    for name in small.masks.keys() & large.masks.keys():
        assert column(large.masks[name]) / 2 == pytest.approx(column(small.masks[name]), abs=1.5)


@pytest.mark.parametrize("kind", [kind for kind in SCENES if kind != "spine"])
def test_left_is_at_the_viewers_right(kind: str) -> None:
    pairs = 0
    for seed in range(12):
        sample = draw_phantom(np.random.default_rng(seed), SIZE, kind, LOOKS[kind][0])
        assert sample.lateral
        for name, mask in sample.masks.items():
            other = sample.masks.get(mirrored_name(name))
            # Ventricles and atria of the heart are named for their role, not for their side.
            if name.startswith("left ") and other is not None and "atri" not in name and name != "left ventricle":
                assert column(mask) > column(other), (kind, seed, name)
                pairs += 1
    assert pairs > 3


def test_the_liver_is_right_and_the_spleen_left() -> None:
    seen = 0
    for seed in range(20):
        masks = draw_phantom(np.random.default_rng(seed), SIZE, "abdomen", "ct_soft").masks
        if "liver" in masks and "spleen" in masks:
            assert column(masks["liver"]) < column(masks["spleen"])
            seen += 1
    assert seen > 3


def test_vertebrae_follow_each_other_downwards() -> None:
    order, counts = ["T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5"], []
    for seed in range(8):
        sample = draw_phantom(np.random.default_rng(seed), SIZE, "spine", "mr_t2")
        # Spinous processes hang lower than their bodies; the median row is the body's.
        found = [sample.masks[f"vertebra {level}"] for level in order if f"vertebra {level}" in sample.masks]
        rows = [float(np.median(np.argwhere(mask)[:, 0])) for mask in found]
        counts.append(len(rows))
        assert rows == sorted(rows)
        for upper, lower in itertools.pairwise(order):
            names = (f"vertebra {upper}", f"{upper}-{lower} intervertebral disc", f"vertebra {lower}")
            if all(name in sample.masks for name in names):
                heights = [float(np.median(np.argwhere(sample.masks[name])[:, 0])) for name in names]
                assert heights == sorted(heights)
    assert np.median(counts) >= 6


def test_levels_of_a_spine_can_be_counted_from_its_sacrum() -> None:
    """What is above T10 is drawn too, without a name, so that the topmost vertebra of a picture tells nothing."""
    seen, above = 0, set()
    for seed in range(30):
        masks = draw_phantom(np.random.default_rng(seed), SIZE, "spine", "mr_t2").masks
        rows = {name: float(np.argwhere(mask)[:, 0].mean()) for name, mask in masks.items()}
        if "sacrum" in rows and "vertebra L5" in rows:
            assert all(rows["sacrum"] > row for name, row in rows.items() if name.startswith("vertebra"))
            levels = sorted((name for name in rows if name.startswith("vertebra")), key=lambda name: rows[name])
            above.add(levels[0])
            seen += 1
    assert seen > 24
    assert len(above) > 1


def test_lesions_lie_in_their_organs() -> None:
    homes = {"liver tumor": ("liver",), "lung infection": ("left lung", "right lung"), "lung nodule": ("left lung",)}
    homes["lung nodule"] = homes["lung infection"]
    homes["kidney tumor"] = homes["kidney cyst"] = ("left kidney", "right kidney")
    homes["brain tumor"] = ("left cerebral hemisphere", "right cerebral hemisphere")
    seen = set()
    for kind in ("abdomen", "chest", "brain"):
        for seed in range(25):
            masks = draw_phantom(np.random.default_rng(seed), SIZE, kind, LOOKS[kind][0]).masks
            for lesion in homes.keys() & masks.keys():
                nowhere = np.zeros((SIZE, SIZE), bool)
                organ = np.any([masks.get(name, nowhere) for name in homes[lesion]], axis=0)
                assert not (masks[lesion] & ~organ).any(), (kind, seed, lesion)
                seen.add(lesion)
    assert {"liver tumor", "lung infection", "brain tumor"} <= seen


def test_labels_fit_what_shows() -> None:
    for seed in range(10):
        sample = draw_phantom(np.random.default_rng(seed), SIZE, "chest", "ct_soft")
        for name in ("left lung", "right lung"):
            if name in sample.masks:
                air = sample.masks[name]
                assert np.median(sample.image[air]) < 10
        if "vertebra" in sample.masks:
            assert np.median(sample.image[sample.masks["vertebra"]]) > 150


def test_flip_mirrors_and_swaps_the_sides() -> None:
    sample = draw_phantom(np.random.default_rng(0), SIZE, "pelvis", "ct_soft")
    turned = flip(sample)
    assert np.array_equal(turned.image, sample.image[:, ::-1])
    assert set(turned.masks) == {mirrored_name(name) for name in sample.masks}
    for name in sample.masks:
        assert np.array_equal(turned.masks[mirrored_name(name)], sample.masks[name][:, ::-1])
    assert turned.supervised == {mirrored_name(name) for name in sample.supervised}
    back = flip(turned)
    assert np.array_equal(back.image, sample.image)
    assert back.masks.keys() == sample.masks.keys()


def test_flip_leaves_names_that_mean_no_side() -> None:
    sagittal = draw_phantom(np.random.default_rng(2), SIZE, "chest", "ct_soft")
    sagittal = LabelledImage(**{**vars(sagittal), "lateral": False})
    assert flip(sagittal).masks.keys() == sagittal.masks.keys()
    heart = np.zeros((4, 6), bool)
    heart[1, 1] = True
    image = np.zeros((4, 6), np.uint8)
    names = frozenset(("left ventricle", "left lung"))
    sample = LabelledImage(image, {"left ventricle": heart, "left lung": heart}, "CT", "here", "none", names)
    assert set(flip(sample).masks) == {"left ventricle", "right lung"}
    assert flip(sample).supervised == {"left ventricle", "right lung"}


def test_volume_holds_hounsfield_units_and_its_labels() -> None:
    volume, masks = phantom_volume(np.random.default_rng(1), "abdomen", "ct_soft", (16, 96, 96), (10.0, 4.0, 4.0))
    assert volume.dtype == np.int16
    assert volume.shape == (16, 96, 96)
    assert np.median(volume[:, :4, :4]) < -900  # air around the patient
    assert 60 < np.median(volume[masks["liver"]]) < 150
    assert all(mask.shape == volume.shape for mask in masks.values())
    z, y, x = (np.argwhere(masks[name]).mean(axis=0) for name in ("liver", "left kidney", "right kidney"))
    assert y[2] > x[2], "x grows to the patient's left"
    assert np.argwhere(masks["vertebra"])[:, 1].mean() > z[1], "y grows to the back"
    assert z[0] > y[0], "z grows to the head"


def test_a_projection_has_no_volume() -> None:
    with pytest.raises(ValueError, match="xray"):
        phantom_volume(np.random.default_rng(0), "chest", "xray")


def test_dicom_study_reads_back_in_its_place(tmp_path: Path) -> None:
    shape, spacing = (12, 64, 72), (8.0, 5.0, 4.5)
    files = write_dicom_study(tmp_path / "study", "abdomen", 3, shape, spacing)
    volume, masks = phantom_volume(np.random.default_rng(3), "abdomen", "ct_soft", shape, spacing)
    reader = sitk.ImageSeriesReader()
    (series,) = reader.GetGDCMSeriesIDs(str(tmp_path / "study"))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "study"), series))
    image = reader.Execute()
    assert len(files) == 12
    assert np.array_equal(sitk.GetArrayFromImage(image), volume)
    assert image.GetSpacing() == pytest.approx((4.5, 5.0, 8.0))
    assert image.GetDirection() == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, 1))
    middle = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    assert middle == pytest.approx((0, 0, 0))
    spleen = np.argwhere(masks["spleen"]).mean(axis=0)[::-1]
    assert image.TransformContinuousIndexToPhysicalPoint(spleen.tolist())[0] > 0, "LPS: x grows to the left"


def test_dicom_study_says_that_it_is_no_patient(tmp_path: Path) -> None:
    first, *rest = (pydicom.dcmread(path) for path in write_dicom_study(tmp_path, "brain", 1, (3, 32, 32), (9, 8, 8)))
    assert str(first.PatientName) == "Phantom^MediRound"
    assert "not a patient" in first.SeriesDescription
    assert (first.WindowCenter, first.WindowWidth, first.RescaleIntercept) == (40, 400, -1024)
    uids = {first.SOPInstanceUID, *(other.SOPInstanceUID for other in rest)}
    assert len(uids) == 3
    assert all(uid.is_valid for uid in uids)
    assert all(other.SeriesInstanceUID == first.SeriesInstanceUID for other in rest)
