"""`mediround chat` and `mediround info` as a user runs them; the model is replaced by one that draws discs."""

import json
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from answered import Answered
from dicom_writer import PATIENT_ID, PATIENT_NAME, write_series
from numpy.typing import NDArray
from PIL import Image

from MediRoundLib.cli import main
from MediRoundLib.config import MediRoundConfig
from MediRoundLib.errors import CheckpointError, ReferenceNotFound


class DiscDialogue:
    """Every round is a disc; "instance 9" is unknown, "huge" fills the memory, "stop" is Ctrl-C."""

    def __init__(self, image: NDArray[np.uint8], asked: list[dict[str, Any]]) -> None:
        self.rounds: list[Answered] = []
        self._shape, self._asked = image.shape[:2], asked

    def ask(self, query: str, jcm: bool = True) -> Answered:
        self._asked.append({"query": query, "jcm": jcm})
        if "instance 9" in query:
            raise ReferenceNotFound("There is no round 9 in this dialogue; it has rounds 1 to 1.")
        if "huge" in query:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 TiB.")
        if "stop" in query:
            raise KeyboardInterrupt
        rows, columns = np.ogrid[: self._shape[0], : self._shape[1]]
        disc = (rows - self._shape[0] // 2) ** 2 + (columns - self._shape[1] // 2) ** 2 < 16
        corrected = "poor" in query
        done = Answered(
            number=len(self.rounds) + 1,
            query=query,
            mask=disc,
            name="left kidney",
            text="Sure, it is instance 1.",
            quality=0.3 if corrected else 0.9,
            quality_corrected=0.7 if corrected else None,
            corrected=corrected,
            reference=1 if "other" in query else None,
        )
        self.rounds.append(done)
        return done


class DiscEngine:
    """Stands in for `MediRoundLib.engine.Engine`; `made` are all that a test made."""

    made: ClassVar[list["DiscEngine"]] = []

    def __init__(self, dtype: str, compile: bool) -> None:
        self.dtype = dtype
        self.compile = compile
        self.config = types.SimpleNamespace(name="disc")
        self.threshold = 0.6
        self.asked: list[dict[str, Any]] = []
        self.images: list[NDArray[np.uint8]] = []
        DiscEngine.made.append(self)

    @classmethod
    def from_pretrained(
        cls, path_or_name: str, device: str = "auto", dtype: str = "auto", compile: bool = False
    ) -> "DiscEngine":
        if path_or_name == "nothing":
            raise CheckpointError("There is no checkpoint nothing; give a checkpoint's folder.")
        return cls(dtype, compile)

    def open(self, image: NDArray[np.uint8]) -> DiscDialogue:
        self.images.append(image)
        return DiscDialogue(image, self.asked)


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> type[DiscEngine]:
    module = types.ModuleType("MediRoundLib.engine")
    module.Engine = DiscEngine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "MediRoundLib.engine", module)
    DiscEngine.made = []
    return DiscEngine


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    write_series(folder, [0, 2, 4], shape=(20, 24))
    return folder


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Make a terminal of standard input, with these lines and then its end."""
    rest = iter(lines)

    def answer(prompt: str) -> str:
        for line in rest:
            return line
        raise EOFError

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)


def test_a_dialogue_is_printed_and_written(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: type[DiscEngine]
) -> None:
    out = tmp_path / "out"
    asks = ["--ask", "Segment the left kidney.", "--ask", "The other one, poor as it is."]
    assert main(["chat", str(study), *asks, "--out", str(out), "--slice", "2"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "DICOM series, 24 x 20 x 3, axial slice 2; model disc" in printed.out
    assert (
        "[1] Segment the left kidney.\n    Sure, it is instance 1.\n    no reference | quality 0.90 | " in printed.out
    )
    assert "refers to round 1 | quality 0.30, corrected to 0.70 | " in printed.out
    assert "mm2" in printed.out
    assert str(out) in printed.out.splitlines()[-1]
    for name in ("segmentation.seg.nrrd", "labelmaps/01_left_kidney.nii.gz", "overlay.png", "transcript.json"):
        assert (out / name).is_file()
    transcript = json.loads((out / "transcript.json").read_text(encoding="utf-8"))
    assert (transcript["slice"], transcript["model"], len(transcript["rounds"])) == (2, "disc", 2)
    labelmap = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "labelmaps" / "01_left_kidney.nii.gz")))
    assert labelmap[2].any()
    assert not labelmap[:2].any()
    for secret in (PATIENT_NAME, PATIENT_ID):
        assert secret not in printed.out


def test_options_reach_the_engine(study: Path, tmp_path: Path, engine: type[DiscEngine]) -> None:
    options = ["--no-jcm", "--threshold", "0.25", "--window", "2", "--level", "1", "--plane", "coronal", "--lang", "zh"]
    options += ["--dtype", "bfloat16", "--compile"]
    assert main(["chat", str(study), "--ask", "x", "--out", str(tmp_path / "out"), *options]) == 0
    [made] = engine.made
    assert (made.threshold, made.dtype, made.compile) == (0.25, "bfloat16", True)
    assert made.asked == [{"query": "x", "jcm": False}]
    shown = made.images[0]
    assert shown.shape == (24, 24)  # three slices 2 mm apart, made square to the 0.25 mm of the columns
    assert (shown[0, 0], shown[-1, 0]) == (255, 0)  # superior is up; slice k holds the value k


def test_chinese_words(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asks = ["--ask", "请分割左肾。", "--ask", "the other"]
    assert main(["chat", str(study), *asks, "--out", str(tmp_path / "out"), "--lang", "zh"]) == 0
    printed = capsys.readouterr().out
    assert "质量 0.90" in printed
    assert "参考第1轮" in printed


def test_earlier_rounds_are_written_when_a_later_one_fails(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asks = ["--ask", "Segment the left kidney.", "--ask", "with reference to instance 9", "--ask", "never asked"]
    assert main(["chat", str(study), *asks, "--out", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.err == "mediround: There is no round 9 in this dialogue; it has rounds 1 to 1.\n"
    assert "never asked" not in printed.out
    assert len(json.loads((tmp_path / "transcript.json").read_text(encoding="utf-8"))["rounds"]) == 1


def test_memory_and_interruption(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = ["chat", str(study), "--out", str(tmp_path), "--ask", "a"]
    assert main([*first, "--ask", "huge"]) == 2
    assert capsys.readouterr().err.startswith("mediround: The computer ran out of memory; ")
    assert main([*first, "--ask", "stop"]) == 130
    assert capsys.readouterr().err == ""
    assert (tmp_path / "transcript.json").is_file()


def test_a_conversation_goes_on_after_an_error(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, "", "Segment the left kidney.", "instance 9", "the other", "Quit", "never asked")
    assert main(["chat", str(study), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "quit" in printed.out
    assert printed.err.count("mediround: ") == 1
    assert len(json.loads((tmp_path / "transcript.json").read_text(encoding="utf-8"))["rounds"]) == 2


def test_a_conversation_ends_with_its_input(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch)
    assert main(["chat", str(study), "--out", str(tmp_path / "out")]) == 0
    assert not list((tmp_path / "out").iterdir())


def test_notes_go_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path / "study", [0, 2, 6, 8], shape=(8, 8))
    assert main(["chat", str(tmp_path / "study"), "--ask", "x", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == "mediround: note: 1 slice is missing and left blank (--slice 2).\n"


def test_a_picture_has_no_area_in_mm2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "x.png")
    assert main(["chat", str(tmp_path / "x.png"), "--ask", "x", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "PNG picture" in printed
    assert "mm2" not in printed


BAD = {
    "nothing there": (["{study}/none", "--ask", "x"], "no file or folder"),
    "no query": (["{study}"], "no query"),
    "an empty query": (["{study}", "--ask", " "], "empty"),
    "no such slice": (["{study}", "--ask", "x", "--slice", "3"], "slices 0 to 2"),
    "half a window": (["{study}", "--ask", "x", "--window", "3"], "--level"),
    "no such series": (["{study}", "--ask", "x", "--series", "1.2.3"], "no series 1.2.3"),
    "no such model": (["{study}", "--ask", "x", "--model", "nothing"], "no checkpoint nothing"),
    "a file for a folder": (["{study}", "--ask", "x", "--out", "{file}"], "--out"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=list(BAD))
def test_bad_input_gets_one_sentence(
    arguments: list[str], words: str, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    filled = [text.format(study=study, file=tmp_path / "file") for text in arguments]
    if "--out" not in filled:
        filled += ["--out", str(tmp_path / "out")]
    assert main(["chat", *filled]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" or words == "no checkpoint nothing"
    assert words in printed.err
    assert len(printed.err.splitlines()) == (2 if words.startswith("no series") else 1)  # a list of the series there
    assert printed.err.startswith("mediround: ")


@pytest.mark.parametrize("arguments", [[], ["chat"], ["chat", "x", "--threshold", "2"], ["nothing"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_help_needs_no_torch() -> None:
    """The command line starts in no time, also where torch is broken."""
    import subprocess

    code = "import sys; sys.argv = ['mediround', '--help']\nfrom MediRoundLib.cli import main\ntry: main()\n"
    code += "finally: print(sorted({'torch', 'SimpleITK', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "chat" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_info_tells_of_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = MediRoundConfig(
        language={"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 32003},
        vision={"image_size": 336, "patch_size": 14, "hidden_size": 32, "num_hidden_layers": 3},
        name="small",
        license="CC BY 4.0",
    )
    config.save(tmp_path / "config.json")
    assert main(["info", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for words in ("small", "CC BY 4.0", "[SEG] 32000", "2 (with judgment", "576 image tokens", "hidden size 64"):
        assert words in printed


def test_info_tells_of_an_image(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(study)]) == 0
    printed = capsys.readouterr().out
    assert "24 x 20 x 3" in printed
    assert "0.25 x 0.5 x 2 mm" in printed
    assert PATIENT_NAME not in printed
    assert main(["info", "neither"]) == 2
    assert "no checkpoint and no image neither" in capsys.readouterr().err
