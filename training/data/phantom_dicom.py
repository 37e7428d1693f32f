"""Writes a phantom as a DICOM CT series. Nothing in it stems from a patient, and its tags say so."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from training.data.phantoms import phantom_volume


def write_dicom_study(
    folder: Path,
    kind: str = "abdomen",
    seed: int = 0,
    shape: tuple[int, int, int] = (40, 256, 256),
    spacing: tuple[float, float, float] = (5.0, 1.5, 1.5),
) -> list[Path]:
    """Draws a CT volume of a phantom and writes it, one file a slice.

    Args:
        folder: made if absent.
        kind: one of `training.data.anatomy.SCENES`.
        seed: equal seeds write equal files, UIDs included.
        shape, spacing: (z, y, x) voxels and mm.

    Returns:
        The files, from the feet to the head.
    """
    rng = np.random.default_rng(seed)
    volume, _ = phantom_volume(rng, kind, "ct_soft", shape, spacing)
    folder.mkdir(parents=True, exist_ok=True)
    entropy = f"mediround phantom {kind} {seed} {shape} {spacing}"
    study, series, frame = (generate_uid(entropy_srcs=[entropy, word]) for word in ("study", "series", "frame"))
    origin = [-0.5 * (n - 1) * step for n, step in zip(shape, spacing, strict=True)]
    files = []
    for k, pixels in enumerate(volume):
        uid = generate_uid(entropy_srcs=[entropy, f"slice {k}"])
        data = _header(kind, seed, uid)
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.InstanceNumber = k + 1
        height = origin[0] + k * spacing[0]
        data.ImagePositionPatient = [origin[2], origin[1], height]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.SliceLocation = height
        data.SliceThickness = data.SpacingBetweenSlices = spacing[0]
        data.PixelSpacing = [spacing[1], spacing[2]]
        data.Rows, data.Columns = pixels.shape
        data.PixelData = (pixels.astype(np.int32) + 1024).astype("<u2").tobytes()
        path = folder / f"slice_{k + 1:03d}.dcm"
        data.save_as(path, enforce_file_format=True)
        files.append(path)
    return files


def _header(kind: str, seed: int, uid: UID) -> Dataset:
    """The tags that do not depend on the slice, except its UID."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, uid
    data.StudyDate = data.SeriesDate = "20250101"
    data.StudyTime = data.SeriesTime = "120000"
    data.AccessionNumber = ""
    data.Modality = "CT"
    data.Manufacturer = "MediRoundSlicer (drawn, no scanner)"
    data.ReferringPhysicianName = ""
    data.StudyDescription = f"Phantom {kind}"
    data.SeriesDescription = f"Phantom {kind}, seed {seed}, not a patient"
    data.PatientName = "Phantom^MediRound"
    data.PatientID = f"PHANTOM-{kind.upper()}-{seed}"
    data.PatientBirthDate = data.PatientSex = ""
    data.PatientPosition = "HFS"
    data.StudyID, data.SeriesNumber = "1", 1
    data.PositionReferenceIndicator = ""
    data.KVP = "120"
    data.AcquisitionNumber = 1
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = -1024, 1, "HU"
    data.WindowCenter, data.WindowWidth = 40, 400
    return data
