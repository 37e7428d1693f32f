"""Small DICOM files for tests, drawn here: no patient, no scanner."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

# Texts that must never be printed or written anywhere.
PATIENT_NAME, PATIENT_ID = "Secret^Susan", "ID-7134-secret"


def write_image(path: Path, pixels: NDArray[np.generic], **tags: Any) -> Path:
    """Write one DICOM image of (rows, columns), (rows, columns, 3) or, with NumberOfFrames, (frames, rows, columns)."""
    meta = FileMetaDataset()
    storage = EnhancedMRImageStorage if "PerFrameFunctionalGroupsSequence" in tags else CTImageStorage
    instance = generate_uid()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = storage, instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = storage, instance
    data.PatientName, data.PatientID = PATIENT_NAME, PATIENT_ID
    data.Modality = "CT"
    colour = pixels.ndim == 3 and "NumberOfFrames" not in tags
    data.SamplesPerPixel = 3 if colour else 1
    data.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        data.PlanarConfiguration = 0
    data.Rows, data.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path,
    heights: Sequence[float],
    uid: str | None = None,
    shape: tuple[int, int] = (6, 5),
    shift: tuple[float, float] = (0.0, 0.0),
    **tags: Any,
) -> str:
    """Write an axial series whose slice k is at `heights[k]` mm and holds the value k. Returns its UID.

    File names are in no useful order. `shift` moves each slice in its plane by so many mm per mm of height.
    """
    uid = uid or generate_uid()
    for k, height in enumerate(heights):
        write_image(
            folder / f"{generate_uid()[-12:]}",
            np.full(shape, k, np.int16),
            SeriesInstanceUID=uid,
            InstanceNumber=len(heights) - k,
            ImagePositionPatient=[-20 + shift[0] * height, -30 + shift[1] * height, height],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[0.5, 0.25],
            **tags,
        )
    return uid


def functional_groups(positions: Sequence[Sequence[float]], orientation: Sequence[float]) -> dict[str, Any]:
    """Tags of an enhanced multi-frame image: positions of its frames, and what the frames share."""
    shared, measures, orient, transform, window = (Dataset() for _ in range(5))
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.25], 2
    orient.ImageOrientationPatient = list(orientation)
    transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = 2, 10, "US"
    window.WindowCenter, window.WindowWidth = [50, 1], [80, 1]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orient]
    shared.PixelValueTransformationSequence, shared.FrameVOILUTSequence = [transform], [window]
    frames = []
    for position in positions:
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = list(position)
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    return {
        "NumberOfFrames": len(positions),
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": frames,
    }
