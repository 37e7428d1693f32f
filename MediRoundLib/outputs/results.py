"""Writing all results of a dialogue into one folder.

`transcript.json` holds

- `source`: `kind` of file, `modality`, and the volume's `size`, `spacing`, `origin` and `direction` (LPS, mm, x first);
  `calibrated` is false where the file gives no true pixel size. No file name, and no tag of a patient, study or series;
- `plane`, `slice` (from 0) and `window` (`level` and `width`, or null for 8-bit and colour images as they are);
- `model`: name of the checkpoint;
- `rounds`, each with `round` (from 1), `query`, `name` (of the structure), `answer` (as shown), `reference` (a round,
  "mask" or null), `quality` and `quality_corrected` (0 to 1 or null), `corrected`, `pixels` (voxels set in the
  labelmap), `area_mm2` (null without a true pixel size), `seconds`, and `file` (the labelmap, relative to the folder).
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MediRoundLib.outputs.colours import colour_of
from MediRoundLib.outputs.overlay import draw_overlay
from MediRoundLib.outputs.rounds import AnsweredRound
from MediRoundLib.outputs.segmentation import Segment, Segmentation
from MediRoundLib.outputs.terminology import terminology_entry
from MediRoundLib.volumes import Slice
from MediRoundLib.volumes.itk import write_itk

SEGMENTATION, LABELMAPS, OVERLAY, TRANSCRIPT = "segmentation.seg.nrrd", "labelmaps", "overlay.png", "transcript.json"


def write_results(
    out: Path, view: Slice, rounds: Sequence[AnsweredRound], model: str, language: str = "en"
) -> dict[str, Path]:
    """Write the rounds of a dialogue about one slice; results of an earlier dialogue in the folder are replaced.

    Args:
        out: the folder, made if absent.
        view: the slice that the masks were drawn on.
        rounds: at least one; masks are (H, W) bool upon `view.pixels`.
        model: name of the checkpoint.
        language: of the words in the picture, "en" or "zh".

    Returns:
        Where they are, by "segmentation", "labelmaps" (a folder), "overlay" and "transcript". The segmentation has a
        segment a round, and so has the folder of labelmaps files `NN_name.nii.gz`; both in the source's geometry.

    Raises:
        ValueError: there are no rounds.
        OSError: the folder cannot be written to.
    """
    if not rounds:
        raise ValueError("there are no rounds to write")
    paths = {
        "segmentation": out / SEGMENTATION,
        "labelmaps": out / LABELMAPS,
        "overlay": out / OVERLAY,
        "transcript": out / TRANSCRIPT,
    }
    paths["labelmaps"].mkdir(parents=True, exist_ok=True)
    _remove_old_labelmaps(paths["labelmaps"], paths["transcript"])
    segmentation, records = Segmentation(), []
    for done in rounds:
        labelmap = view.mask_to_volume(done.mask)
        file = f"{done.number:02d}_{_file_name(done.name)}.nii.gz"
        write_itk(labelmap, paths["labelmaps"] / file)
        segmentation.add(_segment(done, view, model), labelmap)
        records.append(_record(done, view, f"{LABELMAPS}/{file}"))
    segmentation.write(paths["segmentation"])
    draw_overlay(view.pixels, rounds, language).save(paths["overlay"])
    transcript = {"source": _source(view), **_plane(view), "model": model, "rounds": records}
    paths["transcript"].write_text(
        json.dumps(transcript, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n"
    )
    return paths


def _segment(done: AnsweredRound, view: Slice, model: str) -> Segment:
    tags = {
        "TerminologyEntry": terminology_entry(done.name),
        "MediRound.Round": str(done.number),
        "MediRound.Query": done.query,
        "MediRound.Reference": "" if done.reference is None else str(done.reference),
        "MediRound.Quality": "" if done.quality is None else f"{done.quality:.4f}",
        "MediRound.QualityCorrected": "" if done.quality_corrected is None else f"{done.quality_corrected:.4f}",
        "MediRound.Corrected": str(int(done.corrected)),
        "MediRound.Model": model,
        "MediRound.Plane": f"{view.plane} {view.index}",
    }
    return Segment(f"MediRound_{done.number}", _shown_name(done), colour_of(done.number), tags)


def _shown_name(done: AnsweredRound) -> str:
    return done.name or f"round {done.number}"


def _source(view: Slice) -> dict[str, Any]:
    """The image in general terms: no file name, no tag of a patient, study or series."""
    image = view.volume.image
    return {
        "kind": view.volume.description,
        "modality": view.volume.modality,
        "size": list(image.GetSize()),
        "spacing": list(image.GetSpacing()),
        "origin": list(image.GetOrigin()),
        "direction": list(image.GetDirection()),
        "calibrated": view.volume.calibrated,
    }


def _plane(view: Slice) -> dict[str, Any]:
    return {
        "plane": view.plane,
        "slice": view.index,
        "window": None if view.window is None else {"level": view.window[0], "width": view.window[1]},
    }


def _record(done: AnsweredRound, view: Slice, file: str) -> dict[str, Any]:
    voxels = view.count_voxels(done.mask)
    return {
        "round": done.number,
        "query": done.query,
        "name": done.name,
        "answer": done.text,
        "reference": done.reference,
        "quality": _rounded(done.quality),
        "quality_corrected": _rounded(done.quality_corrected),
        "corrected": done.corrected,
        "pixels": voxels,
        "area_mm2": None if view.pixel_area is None else round(voxels * view.pixel_area, 2),
        "seconds": round(done.seconds, 3),
        "file": file,
    }


def _rounded(quality: float | None) -> float | None:
    return None if quality is None else round(quality, 4)


def _file_name(name: str) -> str:
    """Letters, digits and underscores: every system and every viewer opens such names."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60] or "segment"


def _remove_old_labelmaps(folder: Path, transcript: Path) -> None:
    """Remove the labelmaps that an earlier transcript lists, lest they pass for rounds of this dialogue."""
    try:
        files = [record["file"] for record in json.loads(transcript.read_text(encoding="utf-8"))["rounds"]]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for file in map(str, files):
        if re.fullmatch(LABELMAPS + r"/\d+_[a-z0-9_]+\.nii\.gz", file):
            (folder / Path(file).name).unlink(missing_ok=True)
