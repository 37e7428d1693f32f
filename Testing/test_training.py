"""Training by recipe: a model from scratch, LoRA on a pretrained base, each stopped and taken up; errors in words."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import picture, small_checkpoint, write_parts
from torch import Tensor

import training.pretrain
import training.prompts
import training.stages
from MediRoundLib.checkpoints import join_pretrained, load_native, save_native
from MediRoundLib.engine import Engine
from training.augment import STILL
from training.data.dialogues import export
from training.data.entities import entities
from training.data.mixture import Mixture
from training.data.phantoms import draw_phantom
from training.data.sources import ExampleBatches, MixtureDialogues
from training.examples import ExampleMaker
from training.pretrain import PLACE_WEIGHT, BatchMaker, Pretrainer
from training.prompts import mean_features
from training.recipe import CONFIGS, load_recipe
from training.step import seg_features
from training.train import load_run, main

REPOSITORY = Path(__file__).resolve().parents[1]
MODEL = """
[model.language]
hidden_size = 24
intermediate_size = 24
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 1
max_position_embeddings = 600
rms_norm_eps = 1e-5
rope_theta = 10000.0

[model.vision]
hidden_size = 16
intermediate_size = 16
num_hidden_layers = 2
num_attention_heads = 2
image_size = 28
patch_size = 14

[model.sam]
image_size = 64
patch_size = 16
width = 16
depth = 1
heads = 2
window = 2
global_blocks = [0]
prompt_dim = 32
decoder_depth = 1
decoder_heads = 4
decoder_mlp = 16
iou_head_width = 8

[model.jcm]
width = 8

[tokenizer]
vocab_size = 1400
"""
MIXTURE = '\n[mixture]\n"phantoms" = 1.0\n'
PRETRAIN = "\n[pretrain]\nsteps = 3\nbatch = 2\nlr = 1e-2\nwarmup = 1\n"
ALIGN, STAGE1, STAGE2 = (
    f"\n[{name}]\nsteps = 3\nbatch = 2\nlr = 1e-2\nwarmup = 1\nmax_rounds = 3\nchinese = 0.3\nabsent = 0.1\n"
    for name in ("align", "stage1", "stage2")
)
NAME = 'name = "micro"\nseed = 3\n'
FROM_SCRATCH = NAME + MODEL + MIXTURE + "[loss]\nalignment = 1.0\n" + PRETRAIN + ALIGN + STAGE1 + STAGE2
LORA = NAME + MIXTURE + "[lora]\nr = 2\nalpha = 4\ndropout = 0.2\n" + STAGE1 + STAGE2


def write_recipe(folder: Path, text: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "micro.toml").write_text(text, encoding="utf-8")
    return str(folder / "micro.toml")


def interrupt_call(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int) -> None:
    """Send SIGINT inside the `call`th call of a function, from 1."""
    original, calls = getattr(owner, name), itertools.count(1)

    def interrupted(*args: object, **keywords: object) -> object:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*args, **keywords)

    monkeypatch.setattr(owner, name, interrupted)


def native_state(folder: Path) -> dict[str, Tensor]:
    """Tensors of a native checkpoint, as a float16 file keeps them."""
    return {name: tensor.half() for name, tensor in load_native(folder).model.state_dict().items()}


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a micro recipe from scratch; the recipe lies in it."""
    run = tmp_path_factory.mktemp("scratch")
    recipe = write_recipe(run, FROM_SCRATCH)
    assert main(["--recipe", recipe, "--run", str(run), "--device", "cpu", "--workers", "0"]) == 0
    return run


def test_from_scratch_to_a_model_that_answers(scratch: Path) -> None:
    engine = Engine.from_pretrained(scratch / "model", device="cpu")
    assert (engine.config.name, engine.config.stage) == ("micro", 2)
    dialogue = engine.open(picture())
    for query in ("Segment the left lung.", "Segment the other one.", "请分割肝脏。"):
        answered = dialogue.ask(query)
        assert answered.mask.shape == (70, 90)
        assert answered.quality is not None
        assert 0 <= answered.quality <= 1
    assert dialogue.rounds[1].reference == 1


def test_the_jcm_begins_without_effect(scratch: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From scratch and after stage 1 alone; one that has learned goes on from what it is."""
    begun: list[object] = []
    monkeypatch.setattr(training.stages, "begin_corrector", begun.append)
    shutil.copytree(scratch, tmp_path / "run", ignore=shutil.ignore_patterns("stage2.pt", "model"))
    recipe, common = str(scratch / "micro.toml"), ["--device", "cpu", "--workers", "0"]
    assert main(["--recipe", recipe, "--run", str(tmp_path / "run"), *common]) == 0
    assert len(begun) == 1
    again = write_recipe(tmp_path, NAME + MIXTURE + STAGE2)
    assert main(["--recipe", again, "--run", str(tmp_path / "on"), "--begin", str(scratch / "model"), *common]) == 0
    assert len(begun) == 1


def test_every_setting_that_a_phase_may_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SAM's encoder rests in stage 1, dialogues are made harder, phantoms that nobody trains on are looked at."""
    harder = "loose = 0.5\ngarble = 0.2\nmuddle = 0.5\nforget = 0.5\nblur = 1.0\nrelations = { spatial = 1 }\n"
    harder += "check = 2\ncheck_batches = 1\n"
    text = 'precision = "bf16"\n' + NAME + MODEL + MIXTURE + "[loss]\nalignment = 1.0\n"
    text += PRETRAIN + 'optimizer = "muon"\ncheck = 3\ncheck_batches = 1\n' + ALIGN + harder
    text += STAGE1 + harder + 'accumulate = 2\nalignment = 0.1\nfrozen = ["sam.image_encoder."]\n' + STAGE2 + harder
    recipe = write_recipe(tmp_path, text)
    assert main(["--recipe", recipe, "--run", str(tmp_path), "--device", "cpu", "--workers", "0"]) == 0
    made = native_state(tmp_path / "model")
    first = torch.load(tmp_path / "pretrain.pt", weights_only=True)["state"]
    encoder = [name for name in first if name.startswith("sam.image_encoder.")]
    assert encoder
    assert all(torch.equal(made[name], first[name].half()) for name in encoder)
    decoder = [name for name in first if name.startswith("sam.mask_decoder.output_hypernetworks_mlps.0")]
    assert not all(torch.equal(made[name], first[name].half()) for name in decoder)
    said = capsys.readouterr().err
    for phase, word in (("pretrain", "dice"), ("align", "named"), ("stage1", "dice"), ("stage2", "dice before")):
        assert re.search(rf"{phase}, held-out patients after 3 steps: .*{word} [01]\.", said), said
    assert (tmp_path / "recipe.toml").read_text() == text


def test_a_look_at_a_run_sees_its_latest_weights(scratch: Path) -> None:
    seen = load_run(scratch, load_recipe(str(scratch / "micro.toml"))).model
    assert_equal({name: tensor.half() for name, tensor in seen.state_dict().items()}, native_state(scratch / "model"))


def test_from_scratch_stopped_in_every_phase(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever prepares the batches, too, changes nothing."""
    command = ["--recipe", str(scratch / "micro.toml"), "--run", str(tmp_path), "--device", "cpu"]
    phases = (
        (Pretrainer, "losses"),
        (training.stages, "alignment_step"),
        (training.stages, "stage1_loss"),
        (training.stages, "stage2_loss"),
    )
    for workers, (owner, name) in enumerate(phases):
        with monkeypatch.context() as patch:
            interrupt_call(patch, owner, name, call=2)
            assert main([*command, "--workers", str(workers % 2)]) == 0
        assert "the same command goes on" in capsys.readouterr().err
        assert not (tmp_path / "model").exists()
    assert main([*command, "--workers", "0"]) == 0
    assert_equal(native_state(tmp_path / "model"), native_state(scratch / "model"))


def test_training_goes_on_from_a_checkpoint(scratch: Path, dialogues: Path, tmp_path: Path) -> None:
    """Its sizes, tokenizer and weights, with or without pretraining; what is frozen comes out as it was."""
    begin = ["--begin", str(scratch / "model"), "--device", "cpu", "--workers", "0"]
    before = native_state(scratch / "model")
    tune = write_recipe(tmp_path, NAME + STAGE1 + 'frozen = ["sam.image_encoder."]\n' + STAGE2)
    told = ["--dialogues", str(dialogues), "--held-out", str(dialogues), "--root", str(dialogues.parents[1])]
    assert main(["--recipe", tune, "--run", str(tmp_path / "tuned"), *begin, *told]) == 0
    after = native_state(tmp_path / "tuned" / "model")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[0] for name in moved} >= {"llava", "sam", "judge", "corrector"}
    assert not [name for name in moved if name.startswith("sam.image_encoder.")]
    far = max(float((before[name].float() - after[name].float()).abs().max()) for name in moved)
    assert far < 0.2, "three steps of 1e-2"
    tokenizers = [(folder / "model" / "tokenizer.model").read_bytes() for folder in (scratch, tmp_path / "tuned")]
    assert tokenizers[0] == tokenizers[1]
    again = write_recipe(tmp_path / "again", NAME + MIXTURE + PRETRAIN)
    assert main(["--recipe", again, "--run", str(tmp_path / "pretrained"), *begin]) == 0
    made = native_state(tmp_path / "pretrained" / "model")
    eyes = ("sam.", "llava.model.vision_tower.")
    resting = [name for name in before if name.startswith("llava.") and not name.startswith(eyes)]
    assert all(torch.equal(made[name], before[name]) for name in resting)
    for part in eyes:
        own = [name for name in before if name.startswith(part)]
        assert 0 < max(float((made[name].float() - before[name].float()).abs().max()) for name in own) < 0.2


def test_pretraining_begins_with_what_the_model_answers(scratch: Path, tmp_path: Path) -> None:
    """A prompt is the mean feature of its entity; one that nobody asks for is left out."""
    recipe = load_recipe(str(scratch / "micro.toml"))
    phase = replace(training.prompts.PHASE, batch=4)
    source = MixtureDialogues(Mixture(None, recipe.mixture, "train", 0), recipe, phase, 64)
    begun = load_native(scratch / "model")
    batches = [ExampleBatches(source, ExampleMaker(begun.config, begun.tokenizer), 0, phase)(k) for k in range(2)]
    numbers, features = mean_features(begun.model, batches)
    asked = torch.cat([example.entities for batch in batches for example in batch])
    assert numbers.tolist() == sorted({number for number in asked.tolist() if number >= 0})
    with torch.no_grad():
        own = torch.cat([each for batch in batches for each in seg_features(begun.model, batch)])
    for number, feature in zip(numbers, features, strict=True):
        torch.testing.assert_close(feature, own[asked == number].mean(0))


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    """What a model answers with, in place of gathering it: entities and their features."""
    answers = torch.tensor([2, 5]), torch.full((2, 32), 7.0)
    monkeypatch.setattr(training.prompts, "own_prompts", lambda *_: answers)
    return answers


def test_pretraining_takes_them_for_its_prompts(scratch: Path, tmp_path: Path, given: tuple[Tensor, Tensor]) -> None:
    """With a learning rate of 0 they are what comes out."""
    still = write_recipe(tmp_path, NAME + MIXTURE + PRETRAIN.replace("lr = 1e-2", "lr = 0.0"))
    begin = ["--begin", str(scratch / "model"), "--device", "cpu", "--workers", "0"]
    assert main(["--recipe", still, "--run", str(tmp_path / "run"), *begin]) == 0
    prompts = torch.load(tmp_path / "run" / "pretrain.pt", weights_only=True)["state"]["prompts.weight"]
    assert [k for k, prompt in enumerate(prompts) if torch.equal(prompt, given[1][0])] == [2, 5]


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The prompts that each step of alignment is given."""
    given: list[Tensor] = []
    step = training.stages.alignment_step

    def recorded(*args: Any) -> dict[str, Tensor]:
        given.append(args[-1])
        return step(*args)

    monkeypatch.setattr(training.stages, "alignment_step", recorded)
    return given


def test_prompts_and_vision_tower_may_rest(
    scratch: Path, tmp_path: Path, taught: list[Tensor], given: tuple[Tensor, Tensor]
) -> None:
    """SAM alone learns then, and what the language model answers stays what it was taught to answer."""
    resting = PRETRAIN + 'frozen = ["prompts.", "tower."]\n'
    recipe = write_recipe(tmp_path, NAME + MIXTURE + "[loss]\nalignment = 1.0\n" + resting + ALIGN)
    begin = ["--begin", str(scratch / "model"), "--device", "cpu", "--workers", "0"]
    assert main(["--recipe", recipe, "--run", str(tmp_path / "run"), *begin]) == 0
    assert [k for k, prompt in enumerate(taught[-1]) if torch.equal(prompt, given[1][0])] == [2, 5]
    assert taught[-1].isnan().any(dim=1).sum() == len(entities()) - 2, "nobody was asked for the others"
    before, after = native_state(scratch / "model"), native_state(tmp_path / "run" / "model")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("sam.") for name in moved)
    eyes = torch.load(tmp_path / "run" / "pretrain.pt", weights_only=True)["state"]
    tower = load_native(scratch / "model").model.llava.model.vision_tower.state_dict()
    assert all(torch.equal(eyes[f"tower.{key}"], each) for key, each in tower.items())


@pytest.mark.usefixtures("given")
def test_the_vision_tower_may_learn_alone(scratch: Path, tmp_path: Path) -> None:
    """SAM and the language model come out as they were; without stage 2 there is no JCM."""
    resting = PRETRAIN + 'frozen = ["prompts.", "sam.", "dense."]\n'
    recipe = write_recipe(tmp_path, NAME + MIXTURE + resting)
    begin = ["--begin", str(scratch / "model"), "--device", "cpu", "--workers", "0"]
    assert main(["--recipe", recipe, "--run", str(tmp_path / "run"), *begin]) == 0
    before, after = native_state(scratch / "model"), native_state(tmp_path / "run" / "model")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    tower = {name for name in before if name.startswith("llava.model.vision_tower.")}
    assert moved & tower
    assert {name.split(".")[0] for name in moved - tower} <= {"judge", "corrector"}


def test_alignment_without_pretraining_takes_them_too(
    scratch: Path,
    tmp_path: Path,
    taught: list[Tensor],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They are gathered once for a run; SAM rests, and the language model may grow."""
    gathered = []

    def given(*_: object) -> tuple[Tensor, Tensor]:
        gathered.append(1)
        return torch.arange(1, len(entities())), torch.randn(len(entities()) - 1, 32)

    monkeypatch.setattr(training.prompts, "own_prompts", given)
    recipe = write_recipe(tmp_path, NAME + "layers = 2\n" + MIXTURE + "[loss]\nalignment = 1.0\n" + ALIGN)
    command = ["--recipe", recipe, "--run", str(tmp_path / "run"), "--begin", str(scratch / "model")]
    assert main([*command, "--device", "cpu", "--workers", "0"]) == 0
    prompts = torch.load(tmp_path / "run" / "prompts.pt", weights_only=True)
    assert prompts.shape == (len(entities()), 32)
    assert prompts[0].isnan().all(), "nothing was asked about it"
    assert len(taught) == 3
    assert all(torch.equal(each[1:], prompts[1:]) for each in taught)
    before, after = native_state(scratch / "model"), native_state(tmp_path / "run" / "model")
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith("sam."))
    moved = [name for name in before if name.startswith("project_seg.") and not torch.equal(after[name], before[name])]
    assert moved
    old, new = (load_native(folder / "model").config.language for folder in (scratch, tmp_path / "run"))
    assert (old["num_hidden_layers"], new["num_hidden_layers"]) == (1, 2)
    assert main([*command, "--device", "cpu", "--workers", "0"]) == 0
    assert len(gathered) == 1
    torch.save(prompts[:, :5], tmp_path / "run" / "prompts.pt")
    assert main([*command, "--device", "cpu", "--workers", "0"]) == 2
    assert "prompts.pt holds no state of this model" in capsys.readouterr().err


def test_without_stage_2_the_jcm_is_left_out(scratch: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(scratch, run, ignore=shutil.ignore_patterns("stage2.pt", "model", "recipe.toml"))
    recipe = write_recipe(run, FROM_SCRATCH.replace(STAGE2, ""))
    assert main(["--recipe", recipe, "--run", str(run), "--device", "cpu", "--workers", "0"]) == 0
    engine = Engine.from_pretrained(run / "model", device="cpu")
    assert engine.config.stage == 1
    assert engine.open(picture()).ask("Segment the left lung.").quality is None


def test_a_run_of_another_recipe_is_refused(scratch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(scratch, run)
    recipe = write_recipe(tmp_path, FROM_SCRATCH.replace("prompt_dim = 32", "prompt_dim = 16"))
    assert main(["--recipe", recipe, "--run", str(run), "--device", "cpu", "--workers", "0"]) == 2
    assert "recipe.toml, which differs" in capsys.readouterr().err
    (run / "recipe.toml").unlink()
    assert main(["--recipe", recipe, "--run", str(run), "--device", "cpu", "--workers", "0"]) == 2
    assert "pretrain.pt holds no state of this model" in capsys.readouterr().err


def test_prompts_for_absent_structures_alone_give_a_loss(scratch: Path) -> None:
    recipe = load_recipe(str(scratch / "micro.toml"))
    batch = BatchMaker(Mixture(None, recipe.mixture, "train", recipe.seed), recipe)(0)
    batch.targets.zero_()
    losses = Pretrainer(recipe.sam(), recipe.model["vision"], len(entities())).losses(batch)
    assert all(bool(loss.isfinite()) for loss in losses.values())


def test_the_tower_learns_what_lies_where(scratch: Path) -> None:
    """CLIP's patches of 14 pixels get the shares that structures take of them; a crop is named by what it shows."""
    recipe = load_recipe(str(scratch / "micro.toml"))
    recipe = replace(recipe, augment=STILL)
    batch = BatchMaker(Mixture(None, recipe.mixture, "train", recipe.seed), recipe)(0)
    assert batch.patches.shape[1:] == (2, 2)
    # Of a square picture both see all, at their own resolutions.
    areas = torch.nn.functional.adaptive_avg_pool2d(batch.dense, 2)
    assert torch.allclose(areas, batch.patches, atol=0.02)
    assert batch.patches.amax() > 0.1
    for image, entity in enumerate(batch.cropped):
        known = (batch.known == torch.tensor([image, int(entity)])).all(1)
        assert batch.patches[known].amax() > 0
    torch.manual_seed(0)
    model = Pretrainer(recipe.sam(), recipe.model["vision"], len(entities()))
    first = model.losses(batch)
    first["loss"].backward()
    assert model.tower.embeddings.patch_embedding.weight.grad is not None
    optimizer = torch.optim.Adam([*model.tower.parameters(), *model.places.parameters()], lr=1e-3)
    for _ in range(40):
        model.zero_grad()
        model.losses(batch)["place"].backward()
        optimizer.step()
    # Corners of a grid of 2 x 2 lie at -1 and 1, so a tower that knows no place has PLACE_WEIGHT, and one that does 0.
    assert model.losses(batch)["place"] < 0.1 * PLACE_WEIGHT < 0.5 * first["place"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stage 0 checkpoint: LLaVA-Med and MedSAM joined."""
    return write_base(tmp_path_factory.mktemp("base"), "grouped")


def write_base(folder: Path, sizes: str) -> Path:
    joined = join_pretrained(*write_parts(folder, small_checkpoint(sizes)))
    save_native(folder / "native", joined.model, joined.tokenizer)
    return folder / "native"


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MR-MedSeg file of phantoms; the paths in it are relative to its folder's parent."""
    root = tmp_path_factory.mktemp("dialogues")
    rng = np.random.default_rng(5)
    written = export((draw_phantom(rng, 96) for _ in itertools.count()), root, rng, count=5, max_rounds=3)
    (root / "lists").mkdir()
    return written.replace(root / "lists" / "train.json")


def lora_command(base: Path, dialogues: Path, run: Path) -> list[str]:
    recipe = write_recipe(run, LORA)
    source = ["--base", str(base), "--dialogues", str(dialogues), "--root", str(dialogues.parents[1])]
    return ["--recipe", recipe, *source, "--run", str(run), "--device", "cpu", "--workers", "0"]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory, base: Path, dialogues: Path) -> Path:
    """A finished LoRA run."""
    run = tmp_path_factory.mktemp("adapted")
    assert main(lora_command(base, dialogues, run)) == 0
    return run


# Of the language model, q_proj and v_proj are left, which change by the merge alone.
TRAINED_BESIDES = (
    "llava.lm_head.",
    "llava.model.language_model.embed_tokens.",
    "sam.mask_decoder.",
    "project_seg.",
    "bbox_encoder.",
)
JCM = ("judge.", "corrector.")


def test_lora_changes_what_the_released_recipe_trains(adapted: Path, base: Path) -> None:
    before, after = native_state(base), native_state(adapted / "model")
    stage1 = torch.load(adapted / "stage1.pt", weights_only=True)["state"]
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    merged = {name for name in before if name.endswith(("q_proj.weight", "v_proj.weight")) and "language" in name}
    assert len(merged) == 4
    assert merged <= changed
    for name in changed - merged:
        assert name.startswith((*TRAINED_BESIDES, *JCM)), name
    for part in (*TRAINED_BESIDES, *JCM):
        assert any(name.startswith(part) for name in changed), part
    for name in merged:
        a, b = (stage1[name.replace(".weight", f".lora_{half}.default.weight")] for half in "AB")
        expected = load_native(base).model.state_dict()[name] + 4 / 2 * b @ a
        torch.testing.assert_close(after[name], expected.half(), atol=1e-4, rtol=1e-3)


def test_lora_stage_2_changes_the_jcm_alone(adapted: Path) -> None:
    after = native_state(adapted / "model")
    stage1, stage2 = (torch.load(adapted / f"{name}.pt", weights_only=True)["state"] for name in ("stage1", "stage2"))
    assert all(name.startswith(JCM) for name in stage2)
    assert len(stage2) == sum(name.startswith(JCM) for name in after)
    plain = {name: tensor for name, tensor in stage1.items() if "lora_" not in name}
    assert all(name.startswith(TRAINED_BESIDES) for name in plain)
    for name, tensor in (plain | stage2).items():
        assert torch.equal(after[name], tensor.half()), name


def test_lora_model_answers(adapted: Path) -> None:
    answered = Engine.from_pretrained(adapted / "model", device="cpu").open(picture()).ask("Segment the left lung.")
    assert answered.mask.shape == (70, 90)
    assert answered.quality is not None


@pytest.mark.parametrize("bits", ["full", "8bit", "4bit"])
def test_a_base_of_few_bits_gives_a_model_of_all(dialogues: Path, tmp_path: Path, bits: str) -> None:
    """What rests comes out as the base has it; what learns has moved."""
    base = write_base(tmp_path, "all global")
    lora = f'base = "{bits}"\ncheckpointing = true\n'
    recipe = write_recipe(tmp_path, 'precision = "bf16"\n' + LORA.replace("[lora]\n", "[lora]\n" + lora))
    assert main([*lora_command(base, dialogues, tmp_path / "run"), "--recipe", recipe]) == 0
    made, before = native_state(tmp_path / "run" / "model"), native_state(base)
    moved = {name for name in before if not torch.equal(made[name], before[name])}
    assert any("q_proj" in name for name in moved)
    assert "llava.lm_head.weight" in moved
    resting = ("gate_proj", "k_proj", "vision_tower", "image_encoder", "norm")
    assert not [name for name in moved if any(part in name for part in resting) and "mask_decoder" not in name]


def test_a_base_that_two_processes_split(base: Path, dialogues: Path, tmp_path: Path) -> None:
    """It learns what a base does that each of them holds whole."""
    found = []
    for name, split in (("whole", ""), ("split", "split = true\n")):
        text = split + 'precision = "bf16"\n' + LORA.replace("[lora]\n", "[lora]\ncheckpointing = true\n")
        recipe, run = write_recipe(tmp_path / name, text), tmp_path / name / "run"
        command = [*lora_command(base, dialogues, run), "--recipe", recipe]
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        done = subprocess.run(
            [*launcher, "-m", "--", "training.train", *command],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        found.append(native_state(run / "model"))
    whole, parted = found
    before = native_state(base)
    assert any(not torch.equal(whole[name], before[name]) for name in whole)
    for name, tensor in whole.items():
        torch.testing.assert_close(parted[name], tensor, atol=1e-3, rtol=1e-3, msg=name)


def test_lora_stopped_in_both_stages(
    adapted: Path, base: Path, dialogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = lora_command(base, dialogues, tmp_path)
    torch.manual_seed(99)  # what came before the run has no part in it
    for name in ("stage1_loss", "stage2_loss"):
        with monkeypatch.context() as patch:
            interrupt_call(patch, training.stages, name, call=2)
            assert main(command) == 0
        assert not (tmp_path / "model").exists()
    assert main(command) == 0
    assert_equal(native_state(tmp_path / "model"), native_state(adapted / "model"))


def test_a_run_from_scratch_is_no_lora_run(
    scratch: Path, base: Path, dialogues: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(scratch / "stage1.pt", tmp_path)
    assert main(lora_command(base, dialogues, tmp_path)) == 2
    assert "stage1.pt holds no state of this model" in capsys.readouterr().err


def with_sets(root: Path, *names: str) -> str:
    """A folder of real sets, without patients."""
    for name in names:
        (root / "slices" / name / "images").mkdir(parents=True)
        (root / "slices" / name / "classes.json").write_text('{"1": "liver"}')
    return str(root)


SET = FROM_SCRATCH.replace(MIXTURE, "\n[mixture]\nkidney_mr = 1.0\n")

# A recipe, arguments, and what the message has to name.
ERRORS: dict[str, tuple[str, list[str], str]] = {
    "unknown recipe": (
        FROM_SCRATCH,
        ["--recipe", "nothing-here"],
        "nothing-here; .* again, full, .*lean, place, .*tiny, tune",
    ),
    "folder for a recipe": (FROM_SCRATCH, ["--recipe", str(CONFIGS)], "no recipe"),
    "recipe no TOML": ("name = ", [], "no TOML"),
    "recipe without a name": (FROM_SCRATCH.replace('name = "micro"', ""), [], "not complete: 'name'"),
    "phase without a setting": (FROM_SCRATCH.replace("batch = 2\n", ""), [], "not complete: .*'batch'"),
    "slip in a phase's name": (FROM_SCRATCH.replace("[stage1]", "[stage_1]"), [], "unknown names: stage_1"),
    "model without a tokenizer": (FROM_SCRATCH.replace("[tokenizer]\nvocab_size = 1400", ""), [], "'tokenizer'"),
    "no set folder": (SET, ["--data", "TMP/nowhere"], "nowhere holds no sets"),
    "another set folder": (SET, ["--data", "SETS"], "no set kidney_mr below .*; known are liver_ct"),
    "set without patients": (SET.replace("kidney_mr", "liver_ct"), ["--data", "SETS"], "liver_ct has no labelled"),
    "no data for a set": (SET, [], "kidney_mr; say with --data"),
    "empty mixture": (FROM_SCRATCH.replace(MIXTURE, ""), [], "mixture is empty"),
    "no base": (LORA, ["--base", "TMP/nowhere"], "nowhere/config.json cannot be read"),
    "no model and no base": (LORA, [], "no .model. for training from scratch; give --begin"),
    "no dialogues": (FROM_SCRATCH, ["--dialogues", "TMP/nowhere.json"], "nowhere.json: the file of dialogues"),
    "unknown optimizer": (FROM_SCRATCH + 'optimizer = "sgd"', [], "optimizer is 'sgd' and may be adamw or muon"),
    "unknown relation": (FROM_SCRATCH + "relations = { beside = 1 }", [], "relations is .* for other, next"),
    "relation of no weight": (FROM_SCRATCH + 'relations = { other = "much" }', [], "may have numbers from 0"),
    "relations no table": (FROM_SCRATCH + "relations = 3", [], "relations is 3 and may have numbers"),
    "alignment without a weight": (FROM_SCRATCH.replace("alignment = 1.0", ""), [], "align needs alignment above 0"),
    "alignment to nothing": (FROM_SCRATCH.replace(PRETRAIN, ""), [], "needs .pretrain. before it, or .*--begin"),
    "nothing learns": (
        FROM_SCRATCH.replace(PRETRAIN, PRETRAIN + 'frozen = ["sam.", "tower."]\n'),
        [],
        "leaves nothing to learn; take sam. or tower. out",
    ),
    "layers of nothing": ("layers = 2\n" + FROM_SCRATCH, [], "deepens a checkpoint .* give --begin"),
    "layers no number": ('layers = "two"\n' + FROM_SCRATCH, [], "layers is 'two' and may be a whole number"),
    "layers too many": (
        "layers = 99\n" + NAME + MIXTURE + STAGE1,
        ["--begin", "mediround-tiny"],
        "asks for 99 layers, .* give `layers` from",
    ),
    "unknown precision": ('precision = "half"\n' + FROM_SCRATCH, [], "may be float32 or bf16"),
    "split base of few bits": ("split = true\n" + LORA.replace("r = 2", 'base = "4bit"'), [], "needs base = .full"),
    "split with Muon": ("split = true\n" + LORA + 'optimizer = "muon"', [], 'split needs optimizer = "adamw"'),
    "no device": (FROM_SCRATCH, ["--device", "abacus"], "no device abacus"),
}


@pytest.mark.parametrize(("recipe", "arguments", "words"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_are_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    recipe: str,
    arguments: Sequence[str],
    words: str,
) -> None:
    sets = with_sets(tmp_path / "sets", "liver_ct")
    given = [argument.replace("TMP", str(tmp_path)).replace("SETS", sets) for argument in arguments]
    defaults = ["--recipe", write_recipe(tmp_path, recipe), "--run", str(tmp_path / "run"), "--device", "cpu"]
    assert main([*defaults, "--workers", "0", *given]) == 2
    said = capsys.readouterr().err
    assert said.startswith("training: ")
    assert said.count("\n") == 1
    assert re.search(words, said), said
