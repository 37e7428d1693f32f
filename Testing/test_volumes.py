"""Reading files: geometry, values, colours, and one clear sentence for everything that is no image."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_writer import PATIENT_ID, PATIENT_NAME, functional_groups, write_image, write_series
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_rescale, pixel_array

from MediRoundLib.errors import ImageError
from MediRoundLib.volumes import read_volume, take_slice


def pydicom_file(name: str) -> Path:
    """One of the files that come with pydicom."""
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str)
    return Path(found)


def pydicom_study(name: str) -> Path:
    return pydicom_file("CT_small.dcm").parent / "dicomdirtests" / name


def values(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


# --- DICOM series


def test_a_series_is_ordered_by_position(tmp_path: Path) -> None:
    heights = [7.5, 0.0, 5.0, 12.5, 2.5, 10.0]
    write_series(tmp_path, heights, WindowCenter=[3, 40], WindowWidth=[10, 400], RescaleSlope=2, RescaleIntercept=-1000)
    volume = read_volume(tmp_path)
    assert values(volume.image)[:, 0, 0].tolist() == [2 * k - 1000 for k in np.argsort(heights)]
    assert volume.image.GetOrigin() == (-20, -30, 0)
    assert volume.image.GetSpacing() == (0.25, 0.5, 2.5)
    assert volume.image.GetDirection() == tuple(np.eye(3).ravel())
    assert (volume.modality, volume.window, volume.notes) == ("CT", (3, 10), ())


def test_a_series_may_run_head_first_and_be_tilted_in_space(tmp_path: Path) -> None:
    """The third axis is the normal of the slices, whatever the order of files and numbers."""
    right, down = np.array([0, 0.8, -0.6]), np.array([-1.0, 0, 0])
    normal = np.cross(right, down)
    origin = np.array([11.0, -7, 3])
    for k in (2, 0, 3, 1):
        write_image(
            tmp_path / f"{9 - k}.dcm",
            np.full((3, 4), k, np.uint16),
            SeriesInstanceUID="1.2.3",
            InstanceNumber=9 - k,
            ImagePositionPatient=(origin + 3 * k * normal).tolist(),
            ImageOrientationPatient=[*right, *down],
            PixelSpacing=[1, 1],
        )
    image = read_volume(tmp_path).image
    assert values(image)[:, 0, 0].tolist() == [0, 1, 2, 3]
    for k in range(4):
        expected = origin + 2 * right + down + 3 * k * normal
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((2, 1, k)), expected, atol=1e-6)


def test_the_folder_may_hold_other_things_too(tmp_path: Path) -> None:
    write_series(tmp_path / "deeper" / "still", [0, 1, 2])
    for name in ("rtplan.dcm", "reportsi.dcm", "README.txt", "liver_1frame.dcm"):
        shutil.copy(pydicom_file(name), tmp_path)
    shutil.copy(pydicom_study("DICOMDIR"), tmp_path)
    assert read_volume(tmp_path).image.GetSize() == (5, 6, 3)
    assert read_volume(tmp_path / "DICOMDIR").image.GetSize() == (5, 6, 3)


def test_copies_of_the_same_image_count_once(tmp_path: Path) -> None:
    write_series(tmp_path / "a", [0, 1, 2])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert read_volume(tmp_path).image.GetSize() == (5, 6, 3)


def test_several_series_are_listed_and_can_be_chosen(tmp_path: Path) -> None:
    first = write_series(tmp_path, [0, 1, 2], SeriesNumber=3, SeriesDescription="Thorax\nsoft", Modality="CT")
    second = write_series(tmp_path, [0, 1], SeriesNumber=2, Modality="MR")
    with pytest.raises(ImageError) as error:
        read_volume(tmp_path)
    lines = str(error.value).splitlines()
    assert "2 image series" in lines[0]
    assert lines[1:] == [
        f"  2: no description, MR, 2 slices: --series {second}",
        f"  3: Thorax soft, CT, 3 slices: --series {first}",
    ]
    assert PATIENT_NAME not in str(error.value)
    assert PATIENT_ID not in str(error.value)
    assert read_volume(tmp_path, second).image.GetSize() == (5, 6, 2)
    with pytest.raises(ImageError, match=r"no series 1\.2\.3"):
        read_volume(tmp_path, "1.2.3")


def test_time_points_and_directions_of_one_series_are_stacks_of_their_own(tmp_path: Path) -> None:
    uid = write_series(tmp_path, [0, 2, 4])
    write_series(tmp_path, [0, 2, 4], uid)  # a second time point
    write_image(
        tmp_path / "scout",
        np.zeros((6, 5), np.int16),
        SeriesInstanceUID=uid,
        ImagePositionPatient=[0, 0, 0],
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
        PixelSpacing=[0.5, 0.25],
    )
    with pytest.raises(ImageError, match="3 image series"):
        read_volume(tmp_path, uid)
    sizes = [read_volume(tmp_path, f"{uid}#{k}").image.GetSize() for k in (1, 2, 3)]
    assert sorted(sizes) == [(5, 6, 1), (5, 6, 3), (5, 6, 3)]


def test_a_missing_slice_is_left_blank_and_said(tmp_path: Path) -> None:
    write_series(tmp_path, [0, 2, 4, 8, 10, 12, 14, 16, 18, 20], RescaleIntercept=5, RescaleSlope=1)
    volume = read_volume(tmp_path)
    assert values(volume.image)[:, 0, 0].tolist() == [5, 6, 7, 5, 8, 9, 10, 11, 12, 13, 14]
    assert volume.image.GetSpacing()[2] == 2
    assert "1 slice is missing" in volume.notes[0]
    assert "--slice 3" in volume.notes[0]


def test_a_series_with_wide_gaps_falls_into_even_parts(tmp_path: Path) -> None:
    uid = write_series(tmp_path, [0, 1, 2, 3, 50, 52.5, 55])
    with pytest.raises(ImageError, match="2 image series"):
        read_volume(tmp_path)
    lower, upper = (read_volume(tmp_path, f"{uid}#{k}").image for k in (1, 2))
    assert (lower.GetSize()[2], lower.GetSpacing()[2], lower.GetOrigin()[2]) == (4, 1, 0)
    assert (upper.GetSize()[2], upper.GetSpacing()[2], upper.GetOrigin()[2]) == (3, 2.5, 50)


def test_rounded_positions_are_no_gap(tmp_path: Path) -> None:
    write_series(tmp_path, [round(0.625 * k, 1) for k in range(30)])
    volume = read_volume(tmp_path)
    assert volume.image.GetSize()[2] == 30
    assert volume.image.GetSpacing()[2] == pytest.approx(0.625, rel=0.01)


def test_a_tilted_gantry_is_said(tmp_path: Path) -> None:
    write_series(tmp_path, [0, 5, 10], shift=(0.0, 0.3))
    assert "tilted gantry" in read_volume(tmp_path).notes[0]


def test_the_real_series(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "dicom" / "ct_abdomen_20_slices"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}")
    volume = read_volume(folder)
    assert volume.image.GetSize() == (512, 512, 20)
    assert volume.image.GetSpacing() == (0.9765625, 0.9765625, 2)
    assert volume.image.GetOrigin() == (-249.51171875, -437.51171875, -804.5)
    by_height = sorted(
        folder.iterdir(), key=lambda path: dcmread(path, stop_before_pixels=True).ImagePositionPatient[2]
    )
    np.testing.assert_array_equal(values(volume.image)[3], values(sitk.ReadImage(str(by_height[3])))[0])
    assert volume.window == (40, 300)


# --- DICOM files


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "693_J2KI.dcm"])
def test_values_are_the_rescaled_ones(name: str) -> None:
    data = dcmread(pydicom_file(name))
    volume = read_volume(pydicom_file(name))
    np.testing.assert_array_equal(values(volume.image)[0], apply_rescale(data.pixel_array, data))
    assert volume.modality == data.Modality


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.uint8])
def test_monochrome1_keeps_its_values_and_is_shown_inverted(kind: type[np.integer], tmp_path: Path) -> None:
    pixels = np.arange(0, 60, 3).reshape(4, 5).astype(kind)
    path = write_image(
        tmp_path / "x", pixels, PhotometricInterpretation="MONOCHROME1", RescaleSlope=0.5, RescaleIntercept=7
    )
    volume = read_volume(path)
    np.testing.assert_allclose(values(volume.image)[0], pixels * 0.5 + 7)
    grey = take_slice(volume, window=30, level=22).pixels
    assert grey[0, 0] == 255
    assert np.all(np.diff(grey.ravel().astype(int)) <= 0)


def test_a_real_monochrome1() -> None:
    path = pydicom_study("77654033/CR1/6154")
    data = dcmread(path)
    volume = read_volume(path)
    np.testing.assert_allclose(values(volume.image)[0], apply_rescale(data.pixel_array, data), rtol=1e-6)
    assert volume.inverted
    assert not volume.oriented
    assert volume.window == (1600, 2800)


@pytest.mark.parametrize(
    "name",
    ["SC_rgb_small_odd.dcm", "SC_rgb_rle_2frame.dcm", "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_jpeg_dcmtk.dcm"],
)
def test_colours(name: str) -> None:
    volume = read_volume(pydicom_file(name))
    assert volume.is_colour
    expected = pixel_array(pydicom_file(name))  # converted to RGB by pydicom
    np.testing.assert_array_equal(values(volume.image).reshape(expected.shape), expected)
    np.testing.assert_array_equal(take_slice(volume, index=0).pixels, values(volume.image)[0])


def test_a_palette_becomes_colours() -> None:
    from pydicom.pixels import apply_color_lut

    data = dcmread(pydicom_file("examples_palette.dcm"))
    expected = apply_color_lut(data.pixel_array, data) // 257
    np.testing.assert_allclose(values(read_volume(pydicom_file("examples_palette.dcm")).image)[0], expected, atol=1)


def test_frames_of_a_cine_are_slices_without_orientation() -> None:
    volume = read_volume(pydicom_file("examples_ybr_color.dcm"))
    assert volume.image.GetSize() == (320, 240, 30)
    assert not volume.oriented
    assert "--slice 0 to 29" in volume.notes[0]
    assert take_slice(volume, index=29).pixels.shape == (240, 320, 3)


def test_frames_of_an_enhanced_image_are_placed_by_their_functional_groups(tmp_path: Path) -> None:
    pixels = np.stack([np.full((4, 6), k, np.uint16) for k in range(3)])
    groups = functional_groups([[1, 2, 30], [1, 2, 10], [1, 2, 20]], [1, 0, 0, 0, 1, 0])
    volume = read_volume(write_image(tmp_path / "x.dcm", pixels, Modality="MR", **groups))
    assert values(volume.image)[:, 0, 0].tolist() == [12, 14, 10]
    assert volume.image.GetOrigin() == (1, 2, 10)
    assert volume.image.GetSpacing() == (0.25, 0.5, 10)
    assert volume.window == (50.0, 80.0)
    assert volume.oriented


def test_pictures_of_one_series_without_positions_are_numbered(tmp_path: Path) -> None:
    for k in (2, 1, 3):
        write_image(tmp_path / str(k), np.full((4, 6, 3), k, np.uint8), SeriesInstanceUID="1.2", InstanceNumber=k)
    volume = read_volume(tmp_path)
    assert values(volume.image)[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert not volume.calibrated
    assert "3 pictures without a position" in volume.notes[0]


def test_grey_and_colour_pictures_of_one_series_are_kept_apart(tmp_path: Path) -> None:
    write_image(tmp_path / "a", np.zeros((4, 6), np.uint8), SeriesInstanceUID="1.2")
    write_image(tmp_path / "b", np.zeros((4, 6, 3), np.uint8), SeriesInstanceUID="1.2")
    assert sorted(read_volume(tmp_path, f"1.2#{k}").is_colour for k in (1, 2)) == [False, True]


# --- Other files


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ", "a.nrrd", "a.NRRD", "a.mha"])
def test_volumes_keep_their_geometry(name: str, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    image.SetSpacing((0.5, 0.75, 3))
    image.SetOrigin((-7, 8, 9))
    image.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, -1))
    sitk.WriteImage(image, str(tmp_path / name.lower()))
    path = (tmp_path / name.lower()).rename(tmp_path / name)
    read = read_volume(path)
    np.testing.assert_array_equal(values(read.image), values(image))
    for get in (sitk.Image.GetOrigin, sitk.Image.GetSpacing, sitk.Image.GetDirection):
        np.testing.assert_allclose(get(read.image), get(image), atol=1e-6)
    assert read.oriented


RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("grey.png", Image.fromarray(RANDOM.integers(0, 256, (5, 7), dtype=np.uint8))),
        ("COLOUR.PNG", Image.fromarray(RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8))),
        ("black_and_white.png", Image.fromarray(RANDOM.integers(0, 2, (5, 7), dtype=np.uint8) * 255).convert("1")),
        ("palette.png", Image.fromarray(RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)).quantize(9)),
        ("transparent.png", Image.fromarray(RANDOM.integers(0, 256, (5, 7, 4), dtype=np.uint8))),
        ("grey_transparent.png", Image.fromarray(RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)).convert("LA")),
        ("photo.JPG", Image.fromarray(RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8))),
        ("grey.jpeg", Image.fromarray(RANDOM.integers(0, 256, (5, 7), dtype=np.uint8))),
    ],
)
def test_pictures(name: str, picture: Image.Image, tmp_path: Path) -> None:
    picture.save(tmp_path / name)
    with Image.open(tmp_path / name) as stored:
        expected = np.asarray(stored.convert("L" if stored.mode in {"1", "L", "LA"} else "RGB"))
    shutil.copy(tmp_path / name, tmp_path / "no_ending")
    for path in (tmp_path / name, tmp_path / "no_ending"):
        volume = read_volume(path)
        np.testing.assert_array_equal(take_slice(volume).pixels, expected)
        assert not volume.oriented


def test_a_deep_grey_picture_is_windowed(tmp_path: Path) -> None:
    Image.fromarray(np.arange(0, 60000, 100, dtype=np.uint16).reshape(20, 30)).save(tmp_path / "x.png")
    volume = read_volume(tmp_path / "x.png")
    assert values(volume.image).max() == 59900
    assert take_slice(volume).pixels.max() == 255


def test_a_flat_volume_file_is_a_picture(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Image([6, 5], sitk.sitkUInt8), str(tmp_path / "x.mha"))
    volume = read_volume(tmp_path / "x.mha")
    assert volume.image.GetSize() == (6, 5, 1)
    assert not volume.oriented


# --- What is no image


def truncated(path: Path, source: Path, share: float) -> Path:
    content = source.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def test_what_is_no_image_is_explained(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "text.nii.gz").write_text("no image")
    Image.fromarray(RANDOM.integers(0, 256, (50, 70), dtype=np.uint8)).save(tmp_path / "x.png")
    sitk.WriteImage(sitk.Image([3, 4, 5, 2], sitk.sitkInt16), str(tmp_path / "4d.nii.gz"))
    sitk.WriteImage(sitk.Image([3, 4, 5], sitk.sitkVectorFloat32, 2), str(tmp_path / "field.nrrd"))
    no_pixels = dcmread(pydicom_file("CT_small.dcm"))
    del no_pixels.PixelData
    no_pixels.save_as(tmp_path / "no_pixels.dcm")
    cases = {
        tmp_path / "nothing here": "no file or folder",
        tmp_path / "empty": "no DICOM file in the folder",
        tmp_path / "empty.dcm": "empty file",
        tmp_path / "text.nii.gz": "cannot be read as an image",
        tmp_path / "4d.nii.gz": "4 dimensions",
        tmp_path / "field.nrrd": "neither a grey nor",
        tmp_path / "no_pixels.dcm": "missing, damaged",
        pydicom_file("MR_truncated.dcm"): "missing, damaged",
        pydicom_file("rtplan.dcm"): "holds no image",
        pydicom_file("reportsi.dcm"): "holds no image",
        pydicom_study("TINY_ALPHA"): "holds no image",
        truncated(tmp_path / "half.png", tmp_path / "x.png", 0.5): "damaged PNG",
        truncated(tmp_path / "half.dcm", pydicom_file("CT_small.dcm"), 0.5): "missing, damaged",
        truncated(tmp_path / "start.dcm", pydicom_file("CT_small.dcm"), 0.01): "holds no image",
    }
    for path, words in cases.items():
        with pytest.raises(ImageError, match=words) as error:
            read_volume(path)
        assert "\n" not in str(error.value)
        assert ";" in str(error.value)  # the way out


def test_a_series_is_only_chosen_from_dicom(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(ImageError, match="leave out --series"):
        read_volume(tmp_path / "x.png", "1.2.3")


@pytest.mark.parametrize("name", ["volume.nii", "volume.nii.gz"])
def test_nifti_that_ends_early(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(0).integers(0, 1000, (12, 20, 24)).astype(np.int16)
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_volume(path).image), values)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"copy it again|damaged"):
        read_volume(path)
