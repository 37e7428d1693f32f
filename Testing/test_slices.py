"""Slices as displayed, and masks back on the voxels: every axis order, flips, oblique directions, uneven spacing."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from MediRoundLib.errors import ImageError
from MediRoundLib.volumes import Volume, take_slice
from MediRoundLib.volumes.slices import Slice

PLANES: list[Literal["axial", "coronal", "sagittal"]] = ["axial", "coronal", "sagittal"]
SIZE, SPACING, ORIGIN = (9, 11, 7), (0.8, 1.1, 2.5), (-13.0, 22.0, 5.5)


def turned(degrees: float, axis: int) -> NDArray[np.float64]:
    angle = np.deg2rad(degrees)
    matrix = np.eye(3)
    a, b = [k for k in range(3) if k != axis]
    matrix[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return matrix


DIRECTIONS = {
    "identity": np.eye(3),
    "flipped": np.diag([-1.0, 1.0, -1.0]),
    "all flipped": -np.eye(3),
    "sagittal": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "oblique": turned(20, 0) @ turned(-15, 1) @ turned(30, 2),
    "oblique and flipped": turned(17, 1) @ np.diag([-1.0, 1.0, 1.0]) @ turned(-24, 2),
}


def positions(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """(z, y, x, 3) centres of voxels in LPS mm, by the definition of an image's geometry."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SIZE), indexing="ij"), -1).transpose(2, 1, 0, 3)
    return np.array(ORIGIN) + (index * SPACING) @ direction.T


def volume_of(values: NDArray[np.generic], direction: NDArray[np.float64]) -> Volume:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(direction.ravel().tolist())
    return Volume(image)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=list(DIRECTIONS))
def test_slices_are_shown_as_a_radiologist_sees_them(
    direction: NDArray[np.float64], plane: Literal["axial", "coronal", "sagittal"]
) -> None:
    """Brightness that grows towards left, posterior or superior has to grow the right way in the picture."""
    grows = {"axial": (0, 1), "coronal": (0, -2), "sagittal": (1, -2)}[
        plane
    ]  # LPS component right and down; -2: inferior
    for component, axis in ((grows[0], 1), (grows[1], 0)):
        towards = positions(direction)[..., abs(component)] * (-1 if component < 0 else 1)
        pixels = take_slice(volume_of(towards, direction), plane).pixels.astype(float)
        steps = np.diff(pixels, axis=axis)
        assert steps.mean() > abs(np.diff(pixels, axis=1 - axis).mean())
        assert steps.min() >= 0


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=list(DIRECTIONS))
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_masks_sit_where_they_were_drawn(
    direction: NDArray[np.float64], plane: Literal["axial", "coronal", "sagittal"], ending: str, tmp_path: Path
) -> None:
    """Outline a ball on the displayed slice: after writing and reading, the mask is the ball's voxels of that slice."""
    where = positions(direction)
    ball = np.linalg.norm(where - where[3, 6, 5], axis=-1) < 4.2  # off centre in every direction
    view = take_slice(volume_of(np.where(ball, 255, 0).astype(np.uint8), direction), plane, 4)
    across = view.layout.across
    in_slice = np.zeros_like(ball)
    np.moveaxis(in_slice, 2 - across, 0)[4] = True

    path = tmp_path / f"mask{ending}"
    sitk.WriteImage(view.mask_to_volume(view.pixels > 127), str(path))
    read = sitk.ReadImage(str(path))

    found = np.argwhere(sitk.GetArrayFromImage(read))[:, ::-1]
    assert len(found) > 10
    assert view.count_voxels(view.pixels > 127) == len(found)
    drawn = np.array([read.TransformIndexToPhysicalPoint(voxel.tolist()) for voxel in found])
    np.testing.assert_allclose(drawn, where[ball & in_slice], atol=1e-4)


@pytest.mark.parametrize("plane", PLANES)
def test_pixels_are_made_square(plane: Literal["axial", "coronal", "sagittal"]) -> None:
    view = take_slice(volume_of(np.zeros(SIZE[::-1], np.uint8), np.eye(3)), plane)
    rows, columns = {"axial": (1, 0), "coronal": (2, 0), "sagittal": (2, 1)}[plane]
    assert view.spacing[0] == pytest.approx(view.spacing[1], rel=0.05)
    for extent, step, axis in zip(view.pixels.shape, view.spacing, (rows, columns), strict=True):
        assert extent * step == pytest.approx(SIZE[axis] * SPACING[axis])
    assert view.pixel_area == pytest.approx(SPACING[rows] * SPACING[columns])


def test_the_default_is_the_middle_of_the_plane_of_acquisition() -> None:
    for name, plane in (("identity", "axial"), ("sagittal", "sagittal"), ("coronal", "coronal"), ("oblique", "axial")):
        view = take_slice(volume_of(np.zeros(SIZE[::-1], np.uint8), DIRECTIONS[name]))
        assert (view.plane, view.index) == (plane, SIZE[2] // 2)


def test_a_picture_is_shown_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 6, 3), dtype=np.uint8)
    view = take_slice(Volume(sitk.GetImageFromArray(pixels, isVector=True), oriented=False, calibrated=False))
    np.testing.assert_array_equal(view.pixels, pixels[0])
    assert (view.plane, view.index, view.window, view.pixel_area) == ("2d", 0, None, None)


def shown(values: list[float] | NDArray[np.generic], volume: Volume | None = None, **window: float) -> Slice:
    image = sitk.GetImageFromArray(np.asarray(values).reshape(1, 1, -1))
    volume = volume or Volume(image)
    return take_slice(
        Volume(image, modality=volume.modality, window=volume.window, inverted=volume.inverted),
        **window,  # type: ignore[arg-type]
    )


def test_windows() -> None:
    values = np.array([-1000, 0, 60, 100, 3000], np.int16)
    assert shown(values, window=100.0, level=50.0).pixels[0].tolist() == [0, 0, 153, 255, 255]
    assert shown(values, Volume(sitk.Image(), window=(50.0, 100.0))).pixels[0].tolist() == [0, 0, 153, 255, 255]
    inverted = Volume(sitk.Image(), window=(50.0, 100.0), inverted=True)
    assert shown(values, inverted).pixels[0].tolist() == [255, 255, 102, 0, 0]
    assert shown(values, Volume(sitk.Image(), modality="CT")).window == (40.0, 400.0)
    assert shown(values).window == (40.0, 400.0)  # of unknown modality, but it reaches down to air
    as_they_are = shown(np.array([0, 7, 200], np.uint8))
    assert (as_they_are.pixels[0].tolist(), as_they_are.window) == ([0, 7, 200], None)


def test_the_default_window_leaves_out_padding_and_what_is_no_number() -> None:
    tissue = np.linspace(100, 300, 1001, dtype=np.float32)
    padded = np.concatenate([np.full(500, -50, np.float32), tissue, [np.nan, np.inf]]).astype(np.float32)
    centre, width = shown(padded, Volume(sitk.Image(), modality="MR")).window or (0, 0)
    assert (centre, width) == (pytest.approx(200, abs=1), pytest.approx(198, abs=1))
    constant = shown(np.full(9, 3.0, np.float32))
    assert len(np.unique(constant.pixels)) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"index": 7}, "slices 0 to 6"),
        ({"index": -1}, "slices 0 to 6"),
        ({"plane": "coronal", "index": 11}, "slices 0 to 10"),
        ({"window": 100.0}, "--level"),
        ({"level": 100.0}, "--window"),
        ({"window": 0.0, "level": 1.0}, "above 0"),
        ({"window": float("nan"), "level": 1.0}, "above 0"),
    ],
)
def test_wrong_wishes_are_explained(options: dict[str, float], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        take_slice(volume_of(np.zeros(SIZE[::-1], np.int16), np.eye(3)), **options)  # type: ignore[arg-type]


def test_pictures_and_single_slices_have_no_other_plane() -> None:
    picture = sitk.Image([5, 4, 1], sitk.sitkVectorUInt8, 3)
    with pytest.raises(ImageError, match="leave out --plane"):
        take_slice(Volume(picture, oriented=False), "axial")
    with pytest.raises(ImageError, match="leave out --window"):
        take_slice(Volume(picture, oriented=False), window=3, level=1)
    single = Volume(sitk.Image([5, 4, 1], sitk.sitkInt16))
    assert take_slice(single, "axial").pixels.shape == (4, 5)
    with pytest.raises(ImageError, match="single slice"):
        take_slice(single, "coronal")


def test_a_mask_of_another_shape_is_refused() -> None:
    view = take_slice(volume_of(np.zeros(SIZE[::-1], np.uint8), np.eye(3)))
    with pytest.raises(ImageError, match="has shape"):
        view.mask_to_volume(np.zeros((3, 3), bool))
