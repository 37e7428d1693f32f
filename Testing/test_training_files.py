"""Training from MR-MedSeg files: their images where the masks have names, and in shares beside other sources."""

import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_training import FROM_SCRATCH, MIXTURE, write_recipe

from MediRoundLib.engine import Engine
from MediRoundLib.mr_medseg import read_conversations
from training.data.build import main as build_main
from training.data.dialogues import export
from training.data.entities import entity_ids
from training.data.file_images import FileImages
from training.data.mixture import PHANTOMS, Mixture
from training.data.phantoms import draw_phantom
from training.data.sources import FileDialogues, MixtureDialogues
from training.recipe import load_recipe
from training.train import main


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the dialogue builder's."""
    out = tmp_path_factory.mktemp("built")
    options = ["--source", "phantoms", "--count", "6", "--per-image", "2", "--absent-rate", "0.2"]
    assert build_main([*options, "--out", str(out)]) == 0
    return out / "dialogues.json"


@pytest.fixture(scope="module")
def unnamed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as MR-MedSeg has it: without a word on what the masks show."""
    path = tmp_path_factory.mktemp("unnamed") / "train.json"
    entries = json.loads(built.read_text(encoding="utf-8"))
    path.write_text(json.dumps([{key: entry[key] for key in entry if key != "about"} for entry in entries]))
    return path


def command(recipe: str, run: Path, *more: Any) -> list[str]:
    return ["--recipe", recipe, "--run", str(run), "--device", "cpu", "--workers", "0", *map(str, more)]


def test_images_hold_what_their_dialogues_show(tmp_path: Path) -> None:
    """The masks of all dialogues about one image together; what is asked for in vain is known to be absent."""
    samples = [draw_phantom(np.random.default_rng(k), 96) for k in range(4)]
    path = export(
        itertools.chain(*[[each] * 3 for each in samples]), tmp_path, np.random.default_rng(0), 12, None, 8, 0.2
    )
    # `export` writes a picture for each dialogue; let those about one image share it.
    entries = json.loads(path.read_text(encoding="utf-8"))
    pictures: dict[bytes, str] = {}
    for entry in entries:
        first = entry["conversations"][0]
        name = re.search(r"\[IMAGE256:([^\]]+)\]", first["value"])[1]  # type: ignore[index]
        shared = pictures.setdefault((tmp_path / name).read_bytes(), name)
        first["value"] = first["value"].replace(name, shared)
    path.write_text(json.dumps(entries), encoding="utf-8")
    images = FileImages(read_conversations(path, tmp_path))
    rng = np.random.default_rng(1)
    drawn = [images.draw(rng) for _ in range(60)]
    assert {name for each in drawn for name in each.masks} == set(images.structures)
    by_pixels = {each.image.tobytes(): each for each in samples}
    absent = 0
    for each in drawn:
        truth = by_pixels[each.image[:, :, 0].tobytes()]
        assert (each.modality, each.source, each.patient) == (truth.modality, truth.source, truth.patient)
        assert each.lateral is truth.lateral
        for name, mask in each.masks.items():
            assert not (mask & ~truth.masks[name]).any()
        missing = each.supervised - set(each.masks)
        assert not missing & set(truth.masks)
        absent += len(missing)
    assert absent


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_file_that_shows_nothing_is_refused(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: str
) -> None:
    """In one sentence, whichever process finds out."""
    data = tmp_path / "data"
    shutil.copytree(built.parent, data)
    for mask in data.glob("masks/**/*.png"):
        with Image.open(mask) as opened:
            pixels = np.asarray(opened)
        Image.fromarray(pixels // 255).save(mask)
    recipe = write_recipe(tmp_path, FROM_SCRATCH.replace(MIXTURE, ""))
    arguments = command(recipe, tmp_path / "run", "--dialogues", data / built.name)
    assert main([*arguments, "--workers", workers]) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("training: ")]
    assert "shows anything, which is 255; python -m training.data.validate" in said


def test_from_a_built_file_to_a_model(built: Path, tmp_path: Path) -> None:
    """From scratch, with every phase: a command builds the data set, another one trains from it alone."""
    recipe = write_recipe(tmp_path, FROM_SCRATCH.replace(MIXTURE, ""))
    assert main(command(recipe, tmp_path / "run", "--dialogues", built, "--held-out", built)) == 0
    for phase in ("pretrain", "align", "stage1", "stage2"):
        assert torch.load(tmp_path / "run" / f"{phase}.pt", weights_only=True)["step"] == 3
    engine = Engine.from_pretrained(tmp_path / "run" / "model", device="cpu")
    with Image.open(next((built.parent / "images").rglob("*.png"))) as image:
        assert engine.open(np.asarray(image)).ask("Segment the left lung.").quality is not None


def test_rounds_of_a_file_are_aligned_with_their_structures(built: Path) -> None:
    conversations = read_conversations(built, built.parent)
    named = {entity for each in conversations for entity in each.about["entities"]}
    source = FileDialogues(built, built.parent, seed=0)
    taught = [each for k in range(len(conversations)) for each in source(k)[1]]
    assert {each.entity for each in taught} == named <= set(entity_ids())


def test_masks_without_names_make_no_model_from_scratch(
    unnamed: Path, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path, FROM_SCRATCH)
    from_file = ["--dialogues", unnamed, "--root", built.parent]
    assert main(command(recipe, tmp_path / "run", *from_file)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "train.json does not name the structures of its masks" in said
    assert "use --data, --begin or --base" in said
    # A model that has eyes goes without.
    assert main(command(recipe, tmp_path / "begun", "--dialogues", built)) == 0
    capsys.readouterr()
    on = write_recipe(tmp_path / "on", FROM_SCRATCH)
    assert main(command(on, tmp_path / "on", *from_file, "--begin", tmp_path / "begun" / "model")) == 0
    assert "left out: pretrain and align" in capsys.readouterr().err
    assert {path.stem for path in (tmp_path / "on").glob("*.pt")} == {"stage1", "stage2"}


def test_a_file_in_shares_beside_phantoms(built: Path, tmp_path: Path) -> None:
    """Its dialogues come as they stand there, phantoms' are made up; both as often as they should."""
    mixture = Mixture(None, {PHANTOMS: 1.0}, "train", 0, {built: 3.0})
    recipe = load_recipe("tiny")
    own = FileDialogues(built, built.parent, seed=0)
    source = MixtureDialogues(mixture, recipe, recipe.phases["stage1"], 64, first=1000, files={built: own})
    taken = [source(k) for k in range(60)]
    whole = [image.shape[0] > 64 for image, _ in taken]
    assert 35 < sum(whole) < 55
    for k, is_whole in enumerate(whole):
        np.testing.assert_array_equal(source(k)[0], taken[k][0])
        if is_whole:
            assert [each.turn for each in taken[k][1]] == [each.turn for each in own(k)[1]]
    assert mixture.held_out is not None
    assert mixture.held_out.files == []
    # Without its dialogues, its images serve: pretraining draws them.
    drawn = {mixture.draw(k, mixture.rng(k)).image.ndim for k in range(20)}
    assert drawn == {2, 3}
    text = FROM_SCRATCH.replace(MIXTURE, f'\n[mixture]\nphantoms = 1.0\n"{built}" = 2.0\n')
    assert main(command(write_recipe(tmp_path, text), tmp_path / "run")) == 0
    assert (tmp_path / "run" / "model").is_dir()


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = FROM_SCRATCH.replace(MIXTURE, '\n[mixture]\n"nowhere.json" = 1.0\n')
    assert main(command(write_recipe(tmp_path, text), tmp_path / "run")) == 2
    assert "nowhere.json: the file of dialogues cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["full", "gpu24"])
def test_full_size_sees_what_the_paper_s_saw(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As many dialogues, in steps of 4 GPUs' 15; and none of them a phantom."""
    phases = load_recipe(name).phases
    steps = [phases[stage].batch * phases[stage].accumulate for stage in ("stage1", "stage2")]
    assert steps == [60, 60]
    assert [60 * phases[stage].steps for stage in ("stage1", "stage2")] == [450_000, 540_000]
    assert main(command(name, tmp_path / "run", "--base", tmp_path)) == 2
    assert "mixture is empty: give shares to phantoms or sets, or use --dialogues" in capsys.readouterr().err
