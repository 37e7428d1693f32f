"""`make demo`: real dialogues on real DICOM and on a drawn study, with the shipped checkpoint, on a CPU.

Each case runs the command line as a user would, and says so. The real images are pydicom's own test files; nothing is
downloaded. The checkpoint is small and was trained on little: where it does not know a structure, its quality score
says so, and the demo shows that as it is.
"""

import argparse
import contextlib
import io
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.data import get_testdata_file

from MediRoundLib.cli import main as mediround


@dataclass(frozen=True)
class Case:
    """One dialogue: `source` is a path, or the name of a file among pydicom's test files."""

    name: str
    title: str
    source: str
    queries: tuple[str, ...]
    options: tuple[str, ...] = ()


PHANTOM = "phantom"
STUDY = "phantom_study"
CASES = (
    Case(
        "abdomen_mr",
        "abdominal MR, a real patient (pydicom's examples_overlay.dcm)",
        "examples_overlay.dcm",
        (
            "Segment the left kidney.",
            "Please segment the other kidney with reference to instance 1.",
            "Segment the liver.",
            "Based on the output of round 1, segment the other kidney once more.",
            "Segment the aorta.",
        ),
    ),
    Case(
        "spine_ct",
        "spine CT, a real patient (pydicom's CT_small.dcm)",
        "CT_small.dcm",
        (
            "Segment the spinal cord.",
            "Segment the vertebra that surrounds instance 1.",
            "Segment the aorta.",
            "Segment the spinal cord with reference to the output of round 2.",
        ),
    ),
    Case(
        "head_ct",
        "head CT, a real patient (pydicom's J2K_pixelrep_mismatch.dcm)",
        "J2K_pixelrep_mismatch.dcm",
        (
            "Segment the brainstem.",
            "Segment the left parotid gland.",
            "Segment the other parotid gland.",
            "Segment the mandible with reference to instance 1.",
        ),
        ("--window", "400", "--level", "40"),
    ),
    Case(
        "phantom_ct",
        "abdominal CT, a phantom study that the demo draws and writes as DICOM",
        PHANTOM,
        (
            "Segment the right kidney.",
            "Now the other kidney.",
            "Please segment the liver.",
            "Segment the vertebra.",
            "Segment the other kidney with reference to the output of round 2.",
        ),
    ),
)


def run_case(case: Case, out: Path) -> int:
    """One case through the command line. Returns its exit code."""
    folder = out / case.name
    if case.source == PHANTOM:
        from training.data.phantoms import main as phantoms

        study = out / STUDY
        with contextlib.redirect_stdout(io.StringIO()):
            phantoms(["--dicom", str(study), "--kind", "abdomen", "--seed", "7"])
        source = str(study)
    else:
        found = get_testdata_file(case.source, download=False)
        if found is None:
            print(f"pydicom does not ship {case.source} here; this case is left out.", file=sys.stderr)
            return 0
        source = str(found)
    arguments = ["chat", source, *case.options]
    for query in case.queries:
        arguments += ["--ask", query]
    arguments += ["--out", str(folder), "--device", "cpu"]
    shown = ["chat", Path(source).name, *arguments[2:]]
    print(f"\n=== {case.title}\n$ mediround {shlex.join(shown)}\n", flush=True)
    return mediround(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="default: %(default)s")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in (STUDY, *(case.name for case in CASES)):
        shutil.rmtree(args.out / name, ignore_errors=True)
    started = time.monotonic()
    codes = [run_case(case, args.out) for case in CASES]
    print(f"\n{len(CASES)} dialogues in {time.monotonic() - started:.0f} s. Look at:")
    for case in CASES:
        print(f"  {args.out / case.name / 'overlay.png'}")
    print("In 3D Slicer: load segmentation.seg.nrrd (or labelmaps/) over the image. transcript.json holds the words.")
    print("For education and research, not for diagnosis.")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
