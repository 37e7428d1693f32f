"""The tables and plots of `training.report`: numbers by hand, and all of them on phantoms with a small random model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from builders import small_checkpoint
from PIL import Image

from MediRoundLib.checkpoints import save_native
from MediRoundLib.errors import MediRoundError
from MediRoundLib.metrics import Overlap
from MediRoundLib.scoring import Scored
from training.report import main, write_sheet
from training.sheets import SHEETS, SPECIALIST
from training.tables import Table, markdown_of


def rounds(*dice: float) -> list[Scored]:
    """Masks of 100 pixels of which a share is drawn, half of them hard; the last one is not in the image."""
    found = []
    for k, share in enumerate(dice):
        both = round(100 * share)
        labels = {
            "difficulty": ("regular", "hard")[k % 2],
            "relation": ("direct", "other")[k % 2],
            "source": "kidney_mr",
            "entity": "liver",
        }
        counted = Overlap(both, 100, 100)
        right = k == 1 if k % 2 else None  # the hard ones lean on another round; of the first that is found
        found.append(Scored(k % 2 + 1, counted, share, corrected=k == 0, found=right, labels=labels))
    return [*found, Scored(3, Overlap(0, 5, 0), quality=0.05, labels={"difficulty": "hard", "relation": "absent"})]


def test_table_as_markdown_and_json() -> None:
    table = Table(("set", "n", "Dice", "AUROC"), [("a", 3, 0.5, 0.75), ("b", 1, None, None)], "A note.", ("AUROC",))
    assert table.markdown().splitlines() == [
        "| set | n | Dice | AUROC |",
        "| --- | --- | --- | --- |",
        "| a | 3 | 50.0 | 0.75 |",
        "| b | 1 |  |  |",
        "",
        "A note.",
    ]
    assert markdown_of(json.loads(json.dumps(table.content()))) == table.markdown()
    assert table.content()["rows"][0] == {"set": "a", "n": 3, "Dice": 0.5, "AUROC": 0.75}


def lines(what: str, runs: dict[str, list[Scored]]) -> list[str]:
    return [line for table in SHEETS[what].tables(runs) for line in table.markdown().splitlines()]


def test_tables_by_hand() -> None:
    runs = {"with JCM": rounds(1.0, 0.5, 0.5, 0.5), "without JCM": rounds(0.5, 0.5, 0.5, 0.5)}
    overall = lines("overall", runs)
    columns = [f"{side} {score}" for side in ("hard", "regular", "all") for score in ("n", "Dice", "gIoU", "cIoU")]
    assert f"| asked | {' | '.join(columns)} |" in overall
    assert any(line.startswith("| with JCM | 2 | 50.0 | 33.3 | 33.3 | 2 | 75.0 | 66.7 | 60.0 | 4 ") for line in overall)
    assert any(line.endswith("| 4 | 50.0 | 33.3 | 33.3 |") for line in overall if line.startswith("| without"))
    by_round = lines("rounds", runs)
    assert "| Dice by round | 1 | 2 |" in by_round
    assert "| with JCM | 75.0 | 50.0 |" in by_round
    assert "| all | 2 | 2 |" in by_round
    assert "| with JCM | 75.0 |  |  |" in by_round, "there is no late round"
    late = {"with JCM": [*runs["with JCM"], replace(runs["with JCM"][1], round=4)]}
    assert "| with JCM | 75.0 | 50.0 | 0.67 |" in lines("rounds", late)
    beta = lines("beta", {"0.0": runs["without JCM"], "1.0": runs["with JCM"]})
    assert "| 1.0 | 4 | 62.5 | 50.0 | 45.5 | 20.0 |" in beta, "one of five rounds is corrected"
    compared = lines("language", {"English": runs["without JCM"], "Chinese": runs["with JCM"]})
    # Differences of 50, 0, 0, 0 points.
    assert "| Chinese | 4 | 62.5 | 50.0 | 45.5 | 50.0 | +12.5 ± 12.5 |" in compared
    assert "| Chinese | 75.0 | 50.0 | 62.5 |" in compared
    assert "| kidney_mr | 4 | 62.5 | 50.0 |" in SPECIALIST.tables(runs)[0].markdown()


def test_boxes_are_a_table_only_where_there_are_some() -> None:
    assert not any("boxes" in line for line in lines("overall", {"a": rounds(1.0)}))
    boxed = [replace(each, box_iou=0.75) for each in rounds(1.0)]
    assert "| a | 1 | 75.0 | 100.0 |" in lines("overall", {"a": boxed})


def test_differences_need_the_same_rounds() -> None:
    runs = {"English": rounds(1.0, 0.5), "Chinese": rounds(1.0)}
    assert any(line.startswith("| Chinese | 1 |") and line.endswith("|  |") for line in lines("language", runs))
    halves = {name: rounds(share) for name, share in (("t en", 1.0), ("p en", 0.5), ("t zh", 1.0), ("p zh", 0.5))}
    by_language = [table for table in SHEETS["paraphrases"].tables(halves) if "difference" in table.columns]
    assert [[row[0] for row in table.rows] for table in by_language] == [["t en", "p en"], ["t zh", "p zh"]]


@pytest.mark.parametrize("what", [*SHEETS, "specialist"])
def test_every_plot_is_drawn(tmp_path: Path, what: str) -> None:
    sheet = SHEETS.get(what, SPECIALIST)
    names = [setting.name for setting in sheet.settings] or ["with JCM", "U-Net"]
    write_sheet(what, sheet, {name: rounds(0.9, 0.4, 0.7) for name in names}, tmp_path, "a-model")
    content = json.loads((tmp_path / f"{what}.json").read_text(encoding="utf-8"))
    assert content["model"] == "a-model"
    assert content["tables"][0]["rows"]
    with Image.open(tmp_path / f"{what}.png") as picture:
        assert picture.width > 500
        assert len(picture.convert("L").getcolors() or []) > 10


def test_files_of_dialogues_stand_side_by_side() -> None:
    files = [replace(each, labels={**each.labels, "source": name}) for name in ("val", "test") for each in rounds(0.5)]
    head, _, row = lines("overall", {"a": files})[:3]
    assert head.startswith("| asked | test n | test Dice")
    assert "val cIoU" in head
    assert row.startswith("| a | 1 | 50.0 | 33.3 | 33.3 |")


def test_sheets_under_another_protocol() -> None:
    assert {each.protocol for each in SHEETS["overall"].under("official")} == {"official"}
    assert SHEETS["protocols"].under("causal") == SHEETS["protocols"].settings
    with pytest.raises(MediRoundError, match="leave --protocol out"):
        SHEETS["protocols"].under("official")


def test_a_report_on_phantoms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = small_checkpoint()
    save_native(tmp_path / "model", made.model, made.tokenizer)
    out = tmp_path / "out"
    arguments = ["--model", str(tmp_path / "model"), "--out", str(out), "--per-set", "1", "--device", "cpu"]
    assert main([*arguments, "--what", "overall", "reference", "protocols", "paraphrases"]) == 0
    assert {path.name for path in out.glob("*.md")} == {
        "overall.md",
        "reference.md",
        "protocols.md",
        "paraphrases.md",
    }
    rows = json.loads((out / "protocols.json").read_text(encoding="utf-8"))["tables"][0]["rows"]
    assert len({row["n"] for row in rows}) == 1, "the same targets in every protocol and language"
    assert (out / "overall.md").read_text(encoding="utf-8") in capsys.readouterr().out
    assert main([*arguments, "--protocol", "official", "--what", "protocols"]) == 2
    assert "leave --protocol out" in capsys.readouterr().err
    # From a file there are no other words: what needs them is left out of `all`, and refused by name.
    file = str(out / "dialogues" / "phantoms" / "templates_en.json")
    assert main([*arguments, "--dialogues", file, "--what", "language"]) == 2
    assert "other words" in capsys.readouterr().err
