"""The protocols of `mediround evaluate` on dialogues made here."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import picture, small_engine
from numpy.typing import NDArray
from PIL import Image

from MediRoundLib.alone import explicit_queries
from MediRoundLib.checkpoints import save_native
from MediRoundLib.cli import main
from MediRoundLib.engine import Engine
from MediRoundLib.errors import CheckpointError, DialogueFileError
from MediRoundLib.evaluate import Shown, causal, official, read_good, single_turn
from MediRoundLib.imaging import released_reference_input
from MediRoundLib.mr_medseg import read_conversations
from MediRoundLib.scoring import report
from MediRoundLib.text import encode_dialogue

# (words, answer, round referred to); the references are of MR-MedSeg's own phrases.
ROUNDS = [
    ("Segment the left lung in the medical image.", "Sure, [SEG].", None),
    ("Segment the other lung with reference to instance 1.", "It is [SEG].", 0),
    ("Segment the tumor based on the output of round 1.", "Sure, it is [SEG].", 0),
    ("Segment the kidney based on the output of round 3.", "Sure, it is [SEG].", 2),
]


def square(k: int) -> NDArray[np.bool_]:
    mask = np.zeros((70, 90), dtype=bool)
    mask[5 + 10 * k : 30 + 10 * k, 10 + 15 * k : 40 + 15 * k] = True
    return mask


def write_dialogues(root: Path, image: NDArray[np.uint8], count: int = 2) -> Path:
    """`count` times the same dialogue, in MR-MedSeg's form."""
    Image.fromarray(image).save(root / "image.png")
    for k in range(len(ROUNDS)):
        Image.fromarray(square(k).astype(np.uint8) * 255).save(root / f"mask_{k}.png")
    turns: list[dict[str, Any]] = []
    for k, (words, answer, reference) in enumerate(ROUNDS):
        human: dict[str, Any] = {"from": "human", "value": words}
        if k == 0:
            human["value"] = f"[IMAGE256:image.png] {words}"
        elif reference is not None:
            mask = f"mask_{reference}.png"
            human |= {"value": f"[MASK-ENCODE:{mask}][BOX-ENCODE:{mask}] {words}", "ind": reference}
        turns += [human, {"from": "gpt", "value": answer.replace("[SEG]", f"[MASK-DECODE:mask_{k}.png]")}]
    conversation = {"task": "segmentation", "base": "[null]", "conversations": turns}
    path = root / "dialogues.json"
    path.write_text(json.dumps([conversation] * count))
    return path


def official_from_scratch(engine: Engine, image: NDArray[np.uint8], stage: int) -> list[NDArray[np.float32]]:
    """The released loop: each round recomputes the whole dialogue, with the references as they are by then."""
    model, config = engine.model, engine.config
    turns = []
    for k, (words, answer, reference) in enumerate(ROUNDS):
        tokens = "" if reference is None else "[CROPPEDIMAGE][BBOXINPUT]"
        turns.append((("<image>\n" if k == 0 else tokens) + " " + words, answer))
    ids, _ = encode_dialogue(engine.tokenizer, turns)
    referenced = [reference for _, _, reference in ROUNDS]
    seen = {
        k: released_reference_input(image, square(reference))
        for k, reference in enumerate(referenced)
        if reference is not None
    }
    found: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        opened = engine.encode(image)
        for k in range(len(ROUNDS)):
            inputs = [each for each in seen.values() if each is not None]
            crops = model.encode_crops(torch.stack([engine.clip_pixels(each.crop) for each in inputs]))
            boxes = model.encode_boxes(torch.tensor([each.box for each in inputs]))
            hidden = model.think(model.embed(ids, opened.opening.patches[0], crops, boxes)[None])[0]
            places = [place for place, token in enumerate(ids) if token == config.tokens.seg]
            features = model.seg_features(hidden[[len(hidden) - len(ids) + place - 1 for place in places]])
            if stage == 2 and k in referenced and float(model.judge(features[k : k + 1])) <= engine.threshold:
                features[k : k + 1] = model.corrector(features[k : k + 1])
            low_res = model.decode(opened.embedding, features)
            found.append(model.upscale(low_res, opened.resized, opened.size)[k].numpy())
            for later, reference in enumerate(referenced):
                if reference == k:
                    seen[later] = released_reference_input(image, found[k] > 0)
    return found


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_official_is_the_released_loop(tmp_path: Path, stage: int, threshold: float) -> None:
    engine, image = small_engine("no global"), picture()
    engine.threshold = threshold
    conversations = read_conversations(write_dialogues(tmp_path, image), tmp_path)
    expected = official_from_scratch(engine, image, stage)
    for record in official(engine, conversations, stage):
        np.testing.assert_allclose(record.logits, expected[record.round], atol=1e-4, rtol=0)
        np.testing.assert_array_equal(record.target, square(record.round))
        judged = stage == 2 and record.round in (0, 2)
        assert (record.quality is not None) == judged
        assert record.corrected == (judged and threshold == 1.0)


def test_true_reference_stays_on_a_black_image(tmp_path: Path) -> None:
    engine, image = small_engine(), np.zeros((70, 90, 3), dtype=np.uint8)
    conversations = read_conversations(write_dialogues(tmp_path, image, 1), tmp_path)
    records = list(official(engine, conversations, 1))
    assert records[1].seen is not None
    assert records[1].seen.box == (10 / 90, 5 / 70, 39 / 90, 29 / 70)


def test_causal_is_what_a_user_gets(tmp_path: Path) -> None:
    engine, image = small_engine(), picture()
    path = write_dialogues(tmp_path, image)
    dialogue = engine.open(image)
    asked = [dialogue.ask(words) for words, _, _ in ROUNDS]
    records = list(causal(engine, read_conversations(path, tmp_path)))
    assert [(record.dialogue, record.round) for record in records] == [(d, r) for d in range(2) for r in range(4)]
    for record in records:
        made = asked[record.round]
        np.testing.assert_allclose(record.logits, made.logits, atol=1e-5)
        assert record.quality == pytest.approx(made.quality)
        assert record.reference == ROUNDS[record.round][2]
        assert not record.lost
    without = list(causal(engine, read_conversations(path, tmp_path), jcm=False, reference=False))
    assert {record.reference for record in without} == {None}
    assert not any(record.corrected for record in without)


def test_lost_reference_is_asked_without(tmp_path: Path) -> None:
    path = write_dialogues(tmp_path, picture(), 1)
    path.write_text(path.read_text().replace("the output of round 3", "the output of round 9"))
    records = list(causal(small_engine(), read_conversations(path, tmp_path)))
    assert [record.lost for record in records] == [False, False, False, True]
    assert report(records)["lost_references"] == 1


@pytest.mark.parametrize("shown", ["crop", "box", "nothing"])
def test_a_part_of_the_reference(tmp_path: Path, shown: Shown) -> None:
    engine = small_engine()
    conversations = read_conversations(write_dialogues(tmp_path, picture(), 1), tmp_path)
    whole, part = (list(official(engine, conversations, 1, each)) for each in ("crop and box", shown))
    np.testing.assert_array_equal(part[0].logits, whole[0].logits)
    assert np.abs(part[1].logits - whole[1].logits).max() > 0
    seen, other = whole[1].seen, part[1].seen
    assert seen is not None
    if shown == "nothing":
        assert other is None
        return
    assert other is not None
    assert (other.box == seen.box) == (shown == "box")
    assert np.array_equal(other.crop, seen.crop) == (shown == "crop")


def test_single_turn_asks_each_round_alone(tmp_path: Path) -> None:
    engine, image = small_engine(), picture()
    conversations = read_conversations(write_dialogues(tmp_path, image, 1), tmp_path)
    records = list(single_turn(engine, conversations))
    assert {record.reference for record in records} == {None}
    queries = explicit_queries(conversations[0])
    assert queries[1] == "Segment the right lung."
    for record, query in zip(records, queries, strict=True):
        np.testing.assert_allclose(record.logits, engine.open(image).ask(query, reference=False).logits, atol=1e-5)
    named = list(single_turn(engine, conversations, name_of=lambda conversation, k: "spleen"))
    alone = engine.open(image).ask("Segment the spleen.")
    np.testing.assert_allclose(named[3].logits, alone.logits, atol=1e-5)


def leave_out(tmp_path: Path) -> Path:
    """Of four dialogues the second names a file that is not there, the third a mask of another size."""
    path = write_dialogues(tmp_path, picture(), 4)
    Image.fromarray(np.ones((3, 3), dtype=np.uint8)).save(tmp_path / "small.png")
    entries = json.loads(path.read_text())
    for entry, turn, file in ((entries[1], 1, "gone.png"), (entries[2], 2, "small.png")):
        entry["conversations"][2 * turn + 1]["value"] = f"It is [MASK-DECODE:{file}]."
    path.write_text(json.dumps(entries))
    return path


def test_bad_dialogues_do_not_stop_the_rest(tmp_path: Path) -> None:
    conversations, problems = read_good(leave_out(tmp_path), tmp_path)
    assert [conversation is None for conversation in conversations] == [False, True, False, False]
    assert len(problems) == 1
    assert "dialogues.json, dialogue 2, turn 2" in problems[0]
    found: list[str] = []
    records = list(causal(small_engine(), conversations, problem=found.append))
    assert [record.dialogue for record in records] == [0] * 4 + [3] * 4
    assert [line.split(":")[0] for line in found] == ["dialogue 3, turn 3"]
    with pytest.raises(DialogueFileError, match="dialogue 3, turn 3: The mask"):
        list(causal(small_engine(), conversations))


def test_a_round_that_cannot_be_asked_ends_its_dialogue(tmp_path: Path) -> None:
    (first, *_) = read_conversations(write_dialogues(tmp_path, picture(), 1), tmp_path)
    turns = list(first.turns)
    turns[2] = replace(turns[2], query="[CROPPEDIMAGE][BBOXINPUT] Segment </s> the tumor.", answer="Nothing.")
    broken, engine = [replace(first, turns=tuple(turns)), first], small_engine()
    for protocol in (partial(official, stage=1), causal, single_turn):
        found: list[str] = []
        records = list(protocol(engine, broken, problem=found.append))
        assert [(record.dialogue, record.round) for record in records] == [(0, 0), (0, 1), *((1, k) for k in range(4))]
        assert [line.split(":")[0] for line in found] == ["dialogue 1, turn 3"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, engine = tmp_path_factory.mktemp("small"), small_engine()
    save_native(folder, engine.model, engine.tokenizer)
    return folder


@pytest.mark.parametrize("protocol", ["official", "causal", "single-turn"])
def test_command(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str], protocol: str) -> None:
    path = write_dialogues(tmp_path, picture())
    out, npz = tmp_path / "new" / "scores.json", tmp_path / "logits.npz"
    arguments = ["--model", checkpoint, "--dialogues", path, "--protocol", protocol, "--json", out, "--npz", npz]
    assert main(["evaluate", *map(str, arguments), "--device", "cpu"]) == 0
    found = json.loads(out.read_text())
    assert set(found["all"]) == {"dice", "giou", "ciou"}
    assert [(row["round"], row["n"]) for row in found["rounds"]] == [(1, 2), (2, 2), (3, 2), (4, 2)]
    assert found["judged"] == (4 if protocol == "official" else 8)
    logits = np.load(npz)
    assert sorted(logits) == [f"d{d}_r{r}" for d in range(2) for r in range(4)]
    assert logits["d1_r3"].shape == (70, 90)
    assert logits["d1_r3"].dtype == np.float32
    assert set(found["by"]) == {"difficulty", "language"}
    assert found["by"]["difficulty"]["hard"]["n"] == found["by"]["language"]["en"]["n"] == 8
    assert "boxes" not in found, "MediRound has none"
    assert "left_out" not in found
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["round", "n", "Dice", "gIoU", "cIoU"]
    assert lines[-1].split()[:2] == ["all", "8"]


def test_command_lists_what_it_leaves_out(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out, npz = leave_out(tmp_path), tmp_path / "scores.json", tmp_path / "logits.npz"
    arguments = ["--model", checkpoint, "--dialogues", path, "--json", out, "--npz", npz, "--device", "cpu"]
    assert main(["evaluate", *map(str, arguments)]) == 1
    found = json.loads(out.read_text())
    assert found["n"] == 8
    assert sorted(np.load(npz)) == [f"d{d}_r{r}" for d in (0, 3) for r in range(4)]
    said = capsys.readouterr().err
    assert len(found["left_out"]) == 2
    for line, place in zip(found["left_out"], ("dialogue 2, turn 2", "dialogue 3, turn 3"), strict=True):
        assert line.startswith(f"{path}, {place}: ")
        assert f"left out: {line}" in said


def test_command_explains_itself(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_dialogues(tmp_path, picture())
    small = ["--dialogues", str(path), "--json", str(tmp_path / "out.json"), "--device", "cpu"]
    Image.fromarray(np.ones((3, 3), dtype=np.uint8)).save(tmp_path / "mask_2.png")
    wrong = [
        ["--model", "nowhere", *small],
        ["--model", str(checkpoint), *small],  # a mask of another size
        ["--model", str(checkpoint), *small, "--protocol", "official", "--no-reference"],
        ["--model", str(checkpoint), *small, "--protocol", "single-turn", "--no-reference"],
        ["--model", str(checkpoint), *small, "--no-jcm", "--stage", "2"],
        ["--model", str(checkpoint), *small, "--dtype", "int3"],
        ["--model", str(checkpoint), *small, "--dialogues", str(tmp_path / "nothing.json")],
    ]
    for arguments in wrong:
        assert main(["evaluate", *arguments]) == 2
        assert "mediround: " in capsys.readouterr().err


def test_stage_2_needs_a_jcm(tmp_path: Path) -> None:
    conversations = read_conversations(write_dialogues(tmp_path, picture()), tmp_path)
    with pytest.raises(CheckpointError, match="--stage 1"):
        next(official(small_engine(stage=1), conversations, 2))
