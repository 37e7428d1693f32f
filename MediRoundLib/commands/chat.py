"""`mediround chat`: a dialogue about one slice of an image."""

import argparse
import errno
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from MediRoundLib.errors import MediRoundError, QueryError
from MediRoundLib.shipped import DEFAULT

if TYPE_CHECKING:
    from MediRoundLib.outputs import AnsweredRound
    from MediRoundLib.volumes import Slice

HELP = "ask for structures in a medical image, round by round, and write the segments"

_QUIT = {"quit", "exit", "退出"}

_WORDS = {
    "en": {
        "shown": "{kind}, {size}, {plane} slice {index}; model {model}. For education and research, not for diagnosis.",
        "help": 'Type what to segment, for example "Segment the left kidney."; "quit" ends.',
        "reference": "refers to {reference}",
        "no_reference": "no reference",
        "round": "round {number}",
        "mask": "a given mask",
        "unjudged": "not judged",
        "quality": "quality {quality:.2f}",
        "corrected": "quality {before:.2f}, corrected to {quality:.2f}",
        "pixels": "{pixels} pixels",
        "files": "Written to {out}: {files}",
    },
    "zh": {
        "shown": "{kind}，{size}，{plane} 第 {index} 层；模型 {model}。仅用于教学与研究，不用于诊断。",
        "help": '请输入要分割的结构，例如“请分割左肾。”；输入"quit"结束。',
        "reference": "参考{reference}",
        "no_reference": "无参考",
        "round": "第{number}轮",
        "mask": "给定的分割",
        "unjudged": "未评分",
        "quality": "质量 {quality:.2f}",
        "corrected": "质量 {before:.2f}，校正后 {quality:.2f}",
        "pixels": "{pixels} 像素",
        "files": "已写入 {out}：{files}",
    },
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="DICOM folder or file, or NIfTI, NRRD, MHA, PNG or JPEG file")
    parser.add_argument(
        "--ask", metavar="TEXT", action="append", default=[], help="a query; once a round. Without it: a prompt"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("mediround-out"), help="default: %(default)s")
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder that holds several")
    parser.add_argument("--plane", choices=["axial", "coronal", "sagittal"], help="default: the plane of acquisition")
    parser.add_argument("--slice", metavar="N", type=int, help="from 0, along the volume's axis; default: the middle")
    parser.add_argument("--window", metavar="WIDTH", type=float, help="width of the grey window, with --level")
    parser.add_argument("--level", metavar="CENTRE", type=float, help="centre of the grey window, with --window")
    parser.add_argument("--model", metavar="M", default=DEFAULT, help="a checkpoint's folder or name (%(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; default: %(default)s")
    parser.add_argument(
        "--dtype",
        default="auto",
        help="auto (bfloat16 on a GPU, float32 on a CPU), float32, float16 or bfloat16, which on a CPU that has it "
        "makes models larger than the shipped one faster; default: %(default)s",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="let torch.compile make SAM faster, for long conversations: the first image and round take up to minutes",
    )
    parser.add_argument("--no-jcm", dest="jcm", action="store_false", help="judge answers, but correct none")
    parser.add_argument(
        "--threshold", metavar="BETA", type=_share, help="quality at or below which an answer is corrected, 0 to 1"
    )
    parser.add_argument("--lang", choices=["en", "zh"], default="en", help="language of the words shown")


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def run(args: argparse.Namespace) -> int:
    """Ask all queries, or hold a conversation at the terminal; the results are written even if it ends in an error.

    Raises:
        MediRoundError: bad input, or a query of `--ask` that cannot be answered.
    """
    if not args.ask and not sys.stdin.isatty():
        raise QueryError('There is no query; give one with --ask "Segment the left kidney.", as often as needed.')
    if any(not query.strip() for query in args.ask):
        raise QueryError('A query is empty; write what to segment after --ask, for example "Segment the left kidney."')

    from MediRoundLib.volumes import read_volume, take_slice

    volume = read_volume(args.source, args.series)
    for note in volume.notes:
        print(f"mediround: note: {note}", file=sys.stderr)
    view = take_slice(volume, args.plane, args.slice, args.window, args.level)
    _make_folder(args.out)

    from MediRoundLib.engine import Engine
    from MediRoundLib.outputs import write_results

    engine = Engine.from_pretrained(args.model, args.device, args.dtype, compile=args.compile)
    if args.threshold is not None:
        engine.threshold = args.threshold
    words = _WORDS[args.lang]
    size = " x ".join(map(str, volume.image.GetSize()))
    print(
        words["shown"].format(
            kind=volume.description, plane=view.plane, index=view.index, size=size, model=engine.config.name
        )
    )
    dialogue = engine.open(view.pixels)

    def ask(query: str) -> None:
        print(_told(dialogue.ask(query, jcm=args.jcm), view, words))

    try:
        if args.ask:
            for query in args.ask:
                ask(query)
        else:
            print(words["help"])
            _converse(ask)
    finally:
        if dialogue.rounds:
            paths = write_results(args.out, view, dialogue.rounds, engine.config.name, args.lang)
            files = ", ".join(path.name + "/" * path.is_dir() for path in paths.values())
            print(words["files"].format(out=args.out, files=files))
    return 0


def _make_folder(out: Path) -> None:
    """Make the folder of the results, and find out before anything is asked whether they can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        if (out / "labelmaps").is_file():
            raise FileExistsError(errno.EEXIST, "a file named labelmaps is in the way")
    except OSError as error:
        raise MediRoundError(
            f"The folder {out} cannot be written to ({error.strerror}); choose another with --out."
        ) from error


def _converse(ask: Callable[[str], None]) -> None:
    """A prompt until "quit" or the end of input; a query that cannot be answered is explained, and does not end it."""
    for query in _typed():
        try:
            ask(query)
        except MediRoundError as error:
            print(f"mediround: {error}", file=sys.stderr)


def _typed() -> Iterator[str]:
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            print()
            return
        if line.lower() in _QUIT:
            return
        if line:
            yield line


def _told(done: "AnsweredRound", view: "Slice", words: dict[str, str]) -> str:
    """A round in three lines: query, answer, and what is known of it."""
    if done.reference is None:
        reference = words["no_reference"]
    else:
        to = words["mask"] if done.reference == "mask" else words["round"].format(number=done.reference)
        reference = words["reference"].format(reference=to)
    if done.quality is None:
        quality = words["unjudged"]
    elif done.quality_corrected is None:
        quality = words["quality"].format(quality=done.quality)
    else:
        quality = words["corrected"].format(before=done.quality, quality=done.quality_corrected)
    voxels = view.count_voxels(done.mask)
    pixels = words["pixels"].format(pixels=voxels)
    if view.pixel_area is not None:
        pixels += f" ({voxels * view.pixel_area:.0f} mm2)"
    facts = " | ".join([reference, quality, pixels, f"{done.seconds:.2f} s"])
    return f"[{done.number}] {done.query}\n    {done.text}\n    {facts}"
