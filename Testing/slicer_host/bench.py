"""python -m slicer_host.bench: what the Slicer side of a round costs, beside slicer.util's calls on whole volumes.

A slice of 512 x 512 is captured, sent through a pipe and back as a mask, and written into a segment, in a study of 600
slices and in one of 60; the whole-volume way reads and writes the segment's labelmap of the whole study.
"""

import argparse
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
SIDE = 512
STEPS = ("capture", "transfer", "write")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m slicer_host.bench", description=__doc__)
    parser.add_argument("--slices", type=int, nargs=2, default=(60, 600), metavar="N", help="default: 60 600")
    parser.add_argument("--side", type=int, default=SIDE, help="rows and columns of a slice; default: %(default)s")
    parser.add_argument("--repeats", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for all numbers")
    arguments = parser.parse_args()
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "MediRoundSlicer")]

    found = bench(tuple(arguments.slices), arguments.side, arguments.repeats)
    print(report(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def bench(slices: tuple[int, ...], side: int, repeats: int) -> dict[str, Any]:
    """Median seconds of each step and of the whole-volume way, for studies of so many slices.

    Raises:
        AssertionError: the two ways wrote different voxels.
    """
    from slicer_host.scene import Scene  # brings `slicer.i18n`

    studies = {}
    for count in slices:
        scene = Scene()
        try:
            studies[count] = _study(scene, count, side, repeats)
        finally:
            scene.closeViews()
            scene.closeScene()
    return {"hardware": _hardware(), "side": side, "repeats": repeats, "studies": studies}


def _study(scene: Any, count: int, side: int, repeats: int) -> dict[str, float]:
    import slicer
    from MediRoundSlicerLib import SegmentStore, SliceCapture

    rng = np.random.default_rng(0)
    values = np.broadcast_to(rng.integers(-900, 900, (side, side)).astype(np.int16), (count, side, side))
    lying = np.diag([-1.0, -1.0, 1.0, 1.0])  # as DICOM lies: rows and columns of a slice are those of its image
    kind = "vtkMRMLScalarVolumeNode"
    volume = slicer.util.addVolumeFromArray(values, ijkToRAS=lying, nodeClassName=kind, name="study")
    volume.CreateDefaultDisplayNodes()
    scene.show(volume)
    segmentation = SegmentStore.segmentationFor(volume)
    place = count // 2
    scene.sliceLogics["Red"].SetSliceOffset(float(place))
    rows, columns = np.mgrid[:side, :side]
    samples: dict[str, list[float]] = {step: [] for step in (*STEPS, "write over", "whole volume")}
    for k in range(repeats + 1):  # the first round makes what later ones find
        mask = (rows - side // 2) ** 2 + (columns - side // 2) ** 2 < (side // 4 + k) ** 2
        seconds: dict[str, float] = {}
        captured = _timed(seconds, "capture", SliceCapture.captureView, "Red")
        came = _timed(seconds, "transfer", _transfer, captured.image, mask)
        at = volume, captured.plane
        name = _timed(seconds, "write", _write, segmentation, f"Structure {k}", *at, came)
        _timed(seconds, "write over", SegmentStore.writePlane, segmentation, name, *at, mask)
        other = SegmentStore.addSegment(segmentation, f"Whole {k}", "liver", {})
        _timed(seconds, "whole volume", _whole, segmentation, other, volume, place, mask)
        one, two = (SegmentStore.readPlane(segmentation, each, *at) for each in (name, other))
        assert np.array_equal(one, mask), "the plane was written otherwise than asked"
        assert np.array_equal(two, mask), "the two ways wrote different voxels"
        for each in (name, other):
            SegmentStore.removeSegment(segmentation, each)
        for step, taken in seconds.items():
            samples[step].append(taken)
    return {step: median(taken[1:]) for step, taken in samples.items()}


def _write(segmentation: Any, name: str, volume: Any, plane: Any, mask: Any) -> str:
    """A plane of a new segment, as a round writes it."""
    from MediRoundSlicerLib import SegmentStore

    made = SegmentStore.addSegment(segmentation, name, "liver", {})
    SegmentStore.writePlane(segmentation, made, volume, plane, mask)
    return made


def _whole(segmentation: Any, name: str, volume: Any, place: int, mask: Any) -> None:
    """A plane by slicer.util's own calls."""
    import slicer

    shape = slicer.util.arrayFromVolume(volume).shape
    labels = np.zeros(shape, dtype=np.uint8)
    labels[place] = mask
    slicer.util.updateSegmentBinaryLabelmapFromArray(labels, segmentation, name, volume)


def _transfer(image: Any, mask: Any) -> Any:
    """A round's messages, through pipes: the image and a reference to the engine, its mask back."""
    from MediRoundSlicerLib.Asking import imageKey

    from MediRoundLib.protocol import Message

    imageKey(image)
    asking = {"id": 2, "dialogue": "d", "keep": 0, "told": [], "query": "Segment the liver."}
    _through(Message("open", {"id": 1, "dialogue": "d"}, {"image": image}))
    _through(Message("ask", asking, {"reference": mask}))
    return _through(Message("answered", {"id": 2}, {"mask": mask})).arrays["mask"]


def _through(message: Any) -> Any:
    from MediRoundLib.protocol import Decoder, encode

    data, (source, sink) = encode(message), os.pipe()

    def feed() -> None:
        with os.fdopen(sink, "wb") as pipe:
            pipe.write(data)

    writer = threading.Thread(target=feed)
    writer.start()
    decoder, came = Decoder(), list[Any]()
    while piece := os.read(source, 1 << 16):
        came += decoder.feed(piece)
    writer.join()
    os.close(source)
    return came[0]


def _timed(seconds: dict[str, float], step: str, work: Callable[..., Any], *given: Any) -> Any:
    started = time.perf_counter()
    result = work(*given)
    seconds[step] = time.perf_counter() - started
    return result


def _hardware() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def report(found: dict[str, Any]) -> str:
    """The numbers as Markdown, in milliseconds."""
    side, studies = found["side"], found["studies"]
    lines = [
        f"{found['hardware']}; medians of {found['repeats']}, in milliseconds\n",
        "| study | capture | transfer | write | together | write over | whole volume | ratio |",
        "| ----: | ------: | -------: | ----: | -------: | ---------: | -----------: | ----: |",
    ]
    together = {count: sum(own[step] for step in STEPS) for count, own in studies.items()}
    for count, own in studies.items():
        cells = [own[step] for step in STEPS] + [together[count], own["write over"], own["whole volume"]]
        ratio = own["whole volume"] / own["write"]
        shown = " | ".join(f"{cell * 1e3:.2f}" for cell in cells)
        lines.append(f"| {side} x {side} x {count} | {shown} | {ratio:.1f} |")
    few, many = min(studies), max(studies)
    lines.append(
        f"\nwrite: a new segment; ratio: whole volume / write; {many} slices / {few} slices, together: "
        f"{together[many] / together[few]:.2f}, whole volume: "
        f"{studies[many]['whole volume'] / studies[few]['whole volume']:.1f}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
