"""The checkpoints that can be chosen, found out without torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoint_folders import header, native, released

from MediRoundLib.shipped import DEFAULT, SHIPPED


def test_the_shipped_checkpoint_is_listed_with_licence_and_summary(host: Any) -> None:
    from MediRoundSlicerLib import Checkpoints

    first = Checkpoints.shipped()[0]
    assert (first.key, first.shipped, first.licence, first.judges) == (DEFAULT, True, "Apache-2.0", True)
    assert first.summary.startswith("A small MediRound")
    assert first.threshold == 0.6
    assert first.size == (SHIPPED / DEFAULT / "model.safetensors").stat().st_size
    assert Checkpoints.find(DEFAULT) == first


def test_a_native_folder_can_be_chosen(host: Any, tmp_path: Path) -> None:
    from MediRoundSlicerLib import Checkpoints

    folder = native(tmp_path / "mine")
    found = Checkpoints.find(str(folder))
    assert (found.key, found.name, found.shipped, found.threshold) == (str(folder), "mine", False, 0.6)
    stage1 = Checkpoints.inspect(native(tmp_path / "one", stage=1))
    assert (stage1.judges, stage1.threshold) == (False, None)


def test_a_folder_in_the_released_layout_can_be_chosen(host: Any, tmp_path: Path) -> None:
    from MediRoundSlicerLib import Checkpoints

    seg, jcm = "base_model.model.model.text_hidden_fcs.0.0.weight", "model.mask_quality_MLP.fc1.weight"
    found = Checkpoints.inspect(released(tmp_path / "seven", seg, jcm))
    assert (found.name, found.judges, found.threshold, found.licence) == ("seven", True, 0.5, "")
    assert Checkpoints.inspect(released(tmp_path / "stage1", seg)).judges is False
    pickled = released(tmp_path / "pickled")
    (pickled / "pytorch_model.bin").write_bytes(b"pickle")
    assert Checkpoints.inspect(pickled).judges is None


@pytest.mark.parametrize(
    "card",
    [
        "---\nlicense: cc-by-4.0\ntags: [a]\n---\n\n# Mine\n\nIt draws\nlivers.\n",
        "# Mine\n\nIt draws livers.\n\n- Licence: cc-by-4.0\n",
    ],
)
def test_licence_and_summary_come_from_the_model_card(host: Any, tmp_path: Path, card: str) -> None:
    from MediRoundSlicerLib import Checkpoints

    folder = released(tmp_path / "mine", "model.text_hidden_fcs.0.0.weight")
    (folder / "README.md").write_text(card, encoding="utf-8")
    found = Checkpoints.inspect(folder)
    assert (found.licence, found.summary) == ("cc-by-4.0", "It draws livers.")


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda folder: None, "no checkpoint"),
        (lambda folder: folder.mkdir(), "no config.json"),
        (lambda folder: native(folder, stage=0), "not trained"),
        (lambda folder: (native(folder) / "tokenizer.model").unlink(), "lacks tokenizer.model"),
        (lambda folder: header(native(folder) / "model.safetensors", "a", cut=1), "not copied whole"),
        (
            lambda folder: (native(folder) / "model.safetensors").write_text("version https://git-lfs"),
            "not copied whole",
        ),
        (lambda folder: (native(folder) / "config.json").write_text("[]"), "damaged"),
        (lambda folder: (native(folder) / "config.json").write_text('{"format": "mediround"}'), "format version"),
        (lambda folder: released(folder), "no weights"),
        (lambda folder: released(folder, "model.router_seg.0.weight"), "MediSee"),
        (lambda folder: released(folder, "model.embed_tokens.weight"), "plain LLaVA-Med"),
        (
            lambda folder: (released(folder, "a") / "m.index.json").write_text('{"weight_map": {"a": "b.bin"}}'),
            "lacks b",
        ),
        (lambda folder: (released(folder, "a") / "m.index.json").write_text("{}"), "damaged"),
        (lambda folder: ((folder / "g").mkdir(parents=True), (folder / "g/x_model_states.pt").touch()), "DeepSpeed"),
    ],
)
def test_what_cannot_load_is_refused_with_the_way_out(
    host: Any, tmp_path: Path, make: Callable[[Path], object], word: str
) -> None:
    from MediRoundSlicerLib import Checkpoints
    from MediRoundSlicerLib.Dialogues import DialogueError

    make(tmp_path / "folder")
    with pytest.raises(DialogueError, match=word) as caught:
        Checkpoints.inspect(tmp_path / "folder")
    assert "folder" in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
@pytest.mark.parametrize("files", [1, 3])
def test_what_the_engine_loads_can_be_chosen(host: Any, tmp_path: Path, suffix: str, files: int) -> None:
    from builders import Layout, small_checkpoint, write_released
    from MediRoundSlicerLib import Checkpoints

    from MediRoundLib.checkpoints import load_checkpoint

    write_released(tmp_path / "made", small_checkpoint(), Layout(files=files, suffix=suffix))
    found = Checkpoints.find(str(tmp_path / "made"))
    assert found.judges is (None if suffix == ".bin" and files == 1 else True)
    assert load_checkpoint(found.key).config.stage == 2
