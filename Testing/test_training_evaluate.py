"""The model card's measurements: numbers by hand, and a whole evaluation of a small random model on phantoms."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from builders import small_checkpoint
from PIL import Image

from MediRoundLib.checkpoints import save_native
from MediRoundLib.metrics import Overlap
from MediRoundLib.mr_medseg import check_masks, read_conversations
from MediRoundLib.scoring import Scored
from training import publish
from training.evaluate import as_markdown, main, settings
from training.measure import auroc, calibration, summarise
from training.provenance import weights_digest
from training.publish import quality_sentence
from training.tables import Table, markdown_of


def test_auroc_by_hand() -> None:
    assert auroc([0.9, 0.8], [0.1, 0.2, 0.3]) == 1.0
    assert auroc([0.1], [0.2]) == 0.0
    assert auroc([0.5, 0.5], [0.5]) == 0.5
    # Of six pairs four are in order, and one is a tie.
    assert auroc([0.9, 0.3], [0.1, 0.3, 0.4]) == pytest.approx(4.5 / 6)
    assert auroc([], [0.5]) is None
    assert auroc([0.5], []) is None


def asked() -> list[Scored]:
    a, b = ({"source": name, "scenario": "spatial"} for name in "ab")
    return [
        Scored(1, Overlap(both=50, drawn=100, truth=50), 0.4, labels=a),  # Dice 2/3, IoU 1/2
        Scored(2, Overlap(both=30, drawn=30, truth=30), 0.9, labels=a),  # 1, 1
        Scored(1, Overlap(both=0, drawn=10, truth=10), 0.2, lost=True, labels=b),  # 0, 0
        Scored(2, Overlap(both=0, drawn=0, truth=0), 0.3, labels=b),
        Scored(3, Overlap(both=0, drawn=7, truth=0), 0.1, labels=b),
    ]


def test_summary_by_hand() -> None:
    found = summarise(asked())
    assert found["all"] == pytest.approx({"n": 3, "dice": 5 / 9, "giou": 1 / 2, "ciou": 80 / 150}, rel=1e-4)
    assert found["rounds"][1] == pytest.approx({"n": 2, "dice": 1 / 3, "giou": 1 / 4, "ciou": 50 / 120}, rel=1e-4)
    assert list(found["rounds"]) == [1, 2]
    assert found["sets"]["a"] == pytest.approx({"n": 2, "dice": 5 / 6, "giou": 3 / 4, "ciou": 80 / 130}, rel=1e-4)
    assert list(found["sets"]) == ["a", "b"]
    assert found["by"] == {"scenario": {"spatial": pytest.approx(found["all"])}}
    assert found["lost_references"] == 1
    # Qualities 0.4, 0.9, 0.2 of IoUs 0.5, 1, 0.
    assert found["quality_correlation"] == pytest.approx(0.35 / (0.26 * 0.5) ** 0.5, rel=1e-4)
    # Present 0.4, 0.9, 0.2 against absent 0.3, 0.1: five of six pairs.
    assert found["absent"] == {"n": 2, "left_empty": 0.5, "auroc": pytest.approx(5 / 6)}


def test_summary_of_a_model_without_a_judge() -> None:
    found = summarise([replace(each, quality=None) for each in asked()])
    assert found["quality_correlation"] is None
    assert found["absent"]["auroc"] is None
    assert "absent" not in summarise(asked()[:3])


def test_calibration_by_hand() -> None:
    found = calibration([*asked(), Scored(1, Overlap(both=1, drawn=1, truth=1), 1.0)])
    assert [(each["low"], each["n"]) for each in found["bins"]] == [(0.2, 1), (0.4, 1), (0.9, 2)]
    assert found["bins"][2] == pytest.approx({"low": 0.9, "high": 1.0, "n": 2, "quality": 0.95, "iou": 1.0}, rel=1e-4)
    assert found["ece"] == pytest.approx((0.2 + 0.1 + 2 * 0.05) / 4, rel=1e-4)
    assert found["absent"] == 2
    assert calibration([])["ece"] is None


def test_the_model_card_s_sentence_comes_from_it() -> None:
    results = {name: summarise(asked()) for name in ("with JCM", "without JCM")}
    said = quality_sentence(results)
    assert "true IoU: 0.97" in said
    assert "2 structures not in the image, it left 50 %" in said
    assert "AUROC of 0.83" in said


def test_what_ships_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The card has the numbers of these weights; those of others, and a report that is missing, are refused."""
    made = small_checkpoint()
    save_native(tmp_path / "run" / "model", made.model, made.tokenizer)
    (tmp_path / "run" / "recipe.toml").write_text('name = "micro"\nseed = 0\n')
    monkeypatch.setattr(publish, "CARDS", tmp_path)
    (tmp_path / "micro.md").write_text("{digest}\n{tables}\n{quality}\n{report[language]}{report[language 1]}")
    digest = weights_digest(tmp_path / "run" / "model")
    evaluation, report = tmp_path / "evaluation", tmp_path / "report"
    results = {name: summarise(asked()) for name in ("with JCM", "without JCM")}
    tables = [Table(("asked", "Dice"), [(language, 0.5)]).content() for language in ("English", "Chinese")]

    def write(evaluated: str, reported: str, asked_as: str = "causal") -> None:
        for folder in (evaluation, report):
            folder.mkdir(exist_ok=True)
        (evaluation / "results.json").write_text(
            json.dumps({"weights": evaluated, "protocol": asked_as, "asked": results})
        )
        (report / "language.json").write_text(json.dumps({"weights": reported, "protocol": "causal", "tables": tables}))
        (evaluation / "rounds.png").write_bytes(b"")

    arguments = ["--run", str(tmp_path / "run"), "--evaluation", str(evaluation), "--out", str(tmp_path / "out")]
    assert publish.main(arguments) == 2
    assert "results.json is missing" in capsys.readouterr().err
    for evaluated, reported, more, said in (
        ("0", digest, ["--report", str(report)], "results.json was measured with other weights"),
        (digest, "0", ["--report", str(report)], "language.json was measured with other weights"),
        (digest, digest, [], "The card holds the report language; give its folder with --report"),
    ):
        write(evaluated, reported)
        assert publish.main([*arguments, *more]) == 2
        assert said in capsys.readouterr().err
    write(digest, digest, "official")
    assert publish.main([*arguments, "--report", str(report)]) == 2
    assert "results.json was not measured with the protocol causal" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    write(digest, digest)
    assert publish.main([*arguments, "--report", str(report)]) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    first, second = (markdown_of(table) for table in tables)
    assert card == f"{digest}\n{as_markdown(results)}\n{quality_sentence(results)}\n{first}\n{second}{first}"
    assert weights_digest(tmp_path / "out") == digest


def test_tables() -> None:
    results = {"one": summarise(asked()), "two": summarise(asked()[:1])}
    lines = as_markdown(results).splitlines()
    assert "| one | 3 | 55.6 | 50.0 | 53.3 |" in lines
    assert "| two | 1 | 66.7 | 50.0 | 50.0 |" in lines
    assert "| Dice / gIoU / cIoU by round | 1 | 2 |" in lines
    assert "| two | 66.7 / 50.0 / 50.0 |  |" in lines
    assert "| a | 2 | 83.3 | 75.0 | 61.5 |" in lines
    assert as_markdown(json.loads(json.dumps(results))).splitlines() == lines, "as read from results.json, too"


def test_an_evaluation_on_phantoms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = small_checkpoint()
    save_native(tmp_path / "model", made.model, made.tokenizer)
    out = tmp_path / "out"
    arguments = ["--model", str(tmp_path / "model"), "--out", str(out), "--per-set", "2", "--device", "cpu"]
    assert main(arguments) == 0
    content = json.loads((out / "results.json").read_text())
    assert content["weights"] == hashlib.sha256((tmp_path / "model" / "model.safetensors").read_bytes()).hexdigest()
    results = content["asked"]
    assert list(results) == [setting.name for setting in settings("causal")]
    conversations = read_conversations(
        out / "dialogues" / "phantoms" / "templates_en.json", out / "dialogues" / "phantoms"
    )
    check_masks(conversations)
    assert len(conversations) == 2
    rounds = sum(len(conversation.turns) for conversation in conversations)
    for found in results.values():
        assert found["all"]["n"] + found.get("absent", {"n": 0})["n"] == rounds
        assert sum(own["n"] for own in found["rounds"].values()) == found["all"]["n"]
        assert list(found["sets"]) == ["phantoms"]
        assert 0 <= found["all"]["dice"] <= 1
    assert (out / "results.md").read_text() == as_markdown(results)
    assert as_markdown(results) in capsys.readouterr().out
    with Image.open(out / "rounds.png") as picture:
        picture.load()
        assert picture.width > 300


def test_other_protocols_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = small_checkpoint()
    save_native(tmp_path / "model", made.model, made.tokenizer)
    out = tmp_path / "out"
    arguments = ["--model", str(tmp_path / "model"), "--out", str(out), "--per-set", "1", "--device", "cpu"]
    assert main([*arguments, "--protocol", "single-turn", "--language", "zh"]) == 0
    results = json.loads((out / "results.json").read_text())["asked"]
    assert list(results) == ["with JCM", "without JCM"]
    assert list(results["with JCM"]["by"]["language"]) == ["zh"]
    # The same dialogue from its file, with one beside it that is broken.
    path = out / "dialogues" / "phantoms" / "templates_zh.json"
    entry = json.loads(path.read_text(encoding="utf-8"))[0]
    broken = json.loads(json.dumps(entry).replace("00000_0.png", "nothing.png"))
    path.write_text(json.dumps([broken, entry]), encoding="utf-8")
    capsys.readouterr()
    assert main([*arguments, "--protocol", "official", "--dialogues", str(path)]) == 1
    assert "templates_zh.json, dialogue 1, turn 1: there is no file" in capsys.readouterr().err
    again = json.loads((out / "results.json").read_text())["asked"]["with JCM"]
    assert again["all"]["n"] == results["with JCM"]["all"]["n"]
    assert list(again["sets"]) == ["templates_zh"]
    assert main([*arguments, "--language", "zh", "--dialogues", str(path)]) == 2
    assert "other words" in capsys.readouterr().err


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model, data, word in (("nothing-here", None, "nothing-here"), (None, "nowhere", "holds no sets")):
        if model is None:
            made = small_checkpoint()
            save_native(tmp_path / "model", made.model, made.tokenizer)
        given = ["--data", str(tmp_path / data)] if data else []
        out = ["--out", str(tmp_path / "out"), "--device", "cpu"]
        assert main(["--model", model or str(tmp_path / "model"), *out, *given]) == 2
        said = capsys.readouterr().err
        assert said.startswith("training: ")
        assert word in said
        assert said.count("\n") == 1
