"""Structures that a model never learned: which they are, how they are asked for, and what the report makes of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import small_checkpoint
from PIL import Image

from MediRoundLib.checkpoints import save_native
from MediRoundLib.metrics import Overlap
from MediRoundLib.mr_medseg import check_masks, read_conversations
from MediRoundLib.scoring import Scored
from MediRoundLib.words import language_of
from training.data.anatomy import SCENES
from training.data.entities import entities
from training.data.phantoms import draw_phantom
from training.data.real import set_folders
from training.data.sets import facts_of
from training.measure import auroc_error
from training.never_learned import RELATION, never_learned
from training.report import main
from training.unknown import unknown_tables


def kin(names: set[str]) -> set[str]:
    """The structures of these names and all that are of their kind: the other side, other links of a chain."""
    nouns = {noun for name in names for noun in entities()[name].nouns["en"]}
    return {key for key, entity in entities().items() if nouns & set(entity.nouns["en"])}


def test_no_phantom_holds_one() -> None:
    names = never_learned(None)
    assert len(set(names)) == len(names) > 50
    assert set(names) <= set(entities())
    held: set[str] = set()
    for kind in SCENES:
        for k in range(12):
            sample = draw_phantom(np.random.default_rng([k]), 64, kind=kind)
            held |= set(sample.masks) | sample.supervised
    assert not kin(held) & set(names)


def test_no_set_of_the_shipped_recipes_holds_one(shared_dir: Path) -> None:
    held = {name for folder in set_folders(shared_dir / "data" / "real") for name in facts_of(folder).names.values()}
    assert not kin(held) & set(never_learned(None))


def test_what_a_set_of_one_s_own_labels_is_no_stranger(tmp_path: Path) -> None:
    folder = tmp_path / "slices" / "neck"
    folder.mkdir(parents=True)
    (folder / "classes.json").write_text('{"1": "thyroid gland"}')
    assert set(never_learned(None)) - set(never_learned(tmp_path)) == {"thyroid gland"}


def test_the_error_of_an_auroc_by_hand() -> None:
    # Wins of 0.9 and 0.3 against 0.1, 0.3, 0.4: 1 1 1 and 1 .5 0.
    rows, columns = [1, 0.5], [1, 0.75, 0.5]
    expected = (np.var(rows, ddof=1) / 2 + np.var(columns, ddof=1) / 3) ** 0.5
    assert auroc_error([0.9, 0.3], [0.1, 0.3, 0.4]) == pytest.approx(expected)
    assert auroc_error([0.9], [0.1, 0.3]) is None


def asked(quality: float, iou: float = 0.0, drawn: int = 10, entity: str = "liver") -> Scored:
    """A structure that is in the image where there is an IoU, else one that was never learned."""
    both = round(100 * iou)
    overlap = Overlap(both, both, 100) if iou else Overlap(0, drawn, 0)
    return Scored(1, overlap, quality, labels={"entity": entity})


def test_tables_by_hand() -> None:
    known = [asked(0.9, 0.9), asked(0.8, 0.6), asked(0.3, 0.2), asked(0.1)]  # the last one is absent and known to be
    strange = [asked(0.35, entity="pons"), asked(0.15, drawn=0, entity="pons"), asked(0.05, entity="macula")]
    runs = {"English": known, "English, never learned": strange, "Chinese": known[:2], "Chinese, never learned": []}
    whole, bins, structures = unknown_tables(runs)
    first, second = whole.content()["rows"]
    assert (first["asked in"], first["present"], first["never learned"]) == ("English", 3, 3)
    assert first["AUROC"] == pytest.approx(8 / 9)
    assert first["left empty"] == pytest.approx(1 / 3)
    assert first["mean quality, never learned"] == pytest.approx(0.55 / 3)
    # Bins: 0.05 (0), 0.15 (0), 0.3 and 0.35 (0.2 and 0), 0.8 (0.6), 0.9 (0.9).
    assert first["calibration error"] == pytest.approx((0.05 + 0.15 + 2 * 0.225 + 0.2) / 6)
    assert (second["never learned"], second["AUROC"], second["left empty"]) == (0, None, None)
    assert [row[:2] for row in bins.rows] == [
        ("0.0-0.1", 1),
        ("0.1-0.2", 1),
        ("0.3-0.4", 2),
        ("0.8-0.9", 2),
        ("0.9-1.0", 2),
    ]
    assert [row[:2] for row in structures.rows] == [("pons", 2), ("macula", 1)]
    assert "| English | 3 | 3 | 0.67 | 0.18 | 33.3 | 0.89 |" in whole.markdown()


def test_one_command_asks_in_both_languages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = small_checkpoint()
    save_native(tmp_path / "model", made.model, made.tokenizer)
    out = tmp_path / "out"
    arguments = ["--model", str(tmp_path / "model"), "--out", str(out), "--per-set", "2", "--device", "cpu"]
    assert main([*arguments, "--what", "unknown"]) == 0
    assert (out / "unknown.md").read_text(encoding="utf-8") in capsys.readouterr().out
    rows = json.loads((out / "unknown.json").read_text(encoding="utf-8"))["tables"][0]["rows"]
    assert [row["asked in"] for row in rows] == ["English", "Chinese"]
    assert all(0 <= row["AUROC"] <= 1 for row in rows)
    with Image.open(out / "unknown.png") as picture:
        assert picture.width > 500
    folder = out / "dialogues" / "phantoms"
    plain, *told = (
        read_conversations(folder / f"{name}.json", folder) for name in ("templates_en", "unknown_en", "unknown_zh")
    )
    check_masks(plain)
    for usual, english, chinese in zip(plain, *told, strict=True):
        assert usual.image == english.image == chinese.image
        assert len(usual.turns) == len(english.turns) == len(chinese.turns)
        assert english.about["entities"] == chinese.about["entities"]
        assert set(english.about["entities"]) <= set(never_learned(None))
        assert set(english.about["relations"]) == {RELATION}
        for turns, language in ((english.turns, "en"), (chinese.turns, "zh")):
            assert {language_of(turn.query.removeprefix("<image>\n")) for turn in turns} == {language}
            assert all(turn.reference is None for turn in turns)
        for turn in (*english.turns, *chinese.turns):
            with Image.open(turn.target) as mask:
                assert mask.getbbox() is None
        with Image.open(usual.turns[0].target) as mask:
            assert mask.getbbox() is not None or usual.about["relations"][0] == "absent"
