"""Both protocols of `mediround evaluate` on dialogues made here, and its metrics on masks counted by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import picture, small_engine
from numpy.typing import NDArray
from PIL import Image

from MediRoundLib.checkpoints import save_native
from MediRoundLib.cli import main
from MediRoundLib.engine import Engine
from MediRoundLib.errors import CheckpointError, DialogueFileError
from MediRoundLib.evaluate import Record, causal, official, plain_query
from MediRoundLib.imaging import released_reference_input
from MediRoundLib.metrics import correlation, overlap, scores, scores_by_round
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
            hidden = model.think(model.embed(ids, opened.patches[0], crops, boxes)[None])[0]
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


def test_query_without_tokens() -> None:
    assert plain_query("<image>\n Segment the liver.") == "Segment the liver."
    assert plain_query("[CROPPEDIMAGE][BBOXINPUT] Segment its tumor.") == "Segment its tumor."


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, engine = tmp_path_factory.mktemp("small"), small_engine()
    save_native(folder, engine.model, engine.tokenizer)
    return folder


@pytest.mark.parametrize("protocol", ["official", "causal"])
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
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["round", "n", "Dice", "gIoU", "cIoU"]
    assert lines[-1].split()[:2] == ["all", "8"]


def test_command_explains_itself(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_dialogues(tmp_path, picture())
    small = ["--dialogues", str(path), "--json", str(tmp_path / "out.json"), "--device", "cpu"]
    Image.fromarray(np.ones((3, 3), dtype=np.uint8)).save(tmp_path / "mask_2.png")
    wrong = [
        ["--model", "nowhere", *small],
        ["--model", str(checkpoint), *small],  # a mask of another size
        ["--model", str(checkpoint), *small, "--protocol", "official", "--no-reference"],
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


def test_metrics_by_hand() -> None:
    full, half, none = np.ones((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    half[:2] = True
    assert (overlap(half, full).iou, overlap(half, full).dice) == (pytest.approx(0.5), pytest.approx(2 / 3))
    assert (overlap(none, full).iou, overlap(none, full).dice) == (0, 0)
    assert (overlap(none, none).iou, overlap(none, none).dice) == (1, 1)
    whole, apart = scores_by_round([(1, overlap(half, full)), (1, overlap(full, full)), (2, overlap(none, none))])
    assert whole.n == 3
    assert whole.giou == pytest.approx(2.5 / 3, abs=1e-5)
    assert whole.dice == pytest.approx((2 / 3 + 2) / 3, abs=1e-5)
    assert whole.ciou == pytest.approx(24 / 32)
    assert apart[1].ciou == pytest.approx(24 / 32)
    assert (apart[2].giou, apart[2].ciou) == (pytest.approx(1, abs=2e-5), 0)
    assert scores([overlap(full, full)]).giou == pytest.approx(1 / (1 + 1e-5))  # as the released meter has it


def test_correlation() -> None:
    assert correlation([0.1, 0.5, 0.9], [0.2, 0.4, 0.6]) == pytest.approx(1)
    assert correlation([0.5], [0.5]) is None
    assert correlation([0.5, 0.5], [0.1, 0.9]) is None


def test_nothing_to_evaluate() -> None:
    empty: list[Record] = []
    with pytest.raises(DialogueFileError, match="no dialogue"):
        report(empty)
