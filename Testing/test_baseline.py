"""The specialist U-Nets: what they are shown and how they are scored, with a small network in MONAI's place.

MONAI's own is tried where it is installed.
"""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from training import baseline, unet
from training.augment import AugmentConfig
from training.baseline import main
from training.recipe import load_recipe
from training.unet import Batches, SetSlices, build_unet, draw_masks, unet_losses

NO_CHANGE = AugmentConfig(flip=0, rotate=0, shift=0, zoom=(1, 1), stretch=0, gamma=0, contrast=0, noise=0, smallest=1)
HAS_MONAI = importlib.util.find_spec("monai") is not None


def write_set(root: Path, patients: int = 12) -> Path:
    """Pictures of 40 x 30 pixels: the right kidney bright at the left, the left one grey at the right."""
    folder = root / "slices" / "kidney_mr"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    (folder / "classes.json").write_text(json.dumps({"1": "right kidney", "2": "left kidney"}))
    for k in range(patients):
        image, labels = np.full((30, 40), 20, np.uint8), np.zeros((30, 40), np.uint8)
        right, left = np.s_[5 + k % 4 : 17 + k % 4, 4:14], np.s_[7 : 19 + k % 4, 26:36]
        image[right], image[left], labels[right], labels[left] = 230, 130, 1, 2
        Image.fromarray(image).save(folder / "images" / f"p{k:02d}_1.png")
        Image.fromarray(labels).save(folder / "labels" / f"p{k:02d}_1.png")
    return folder


class PlainNet(nn.Module):
    """Tells each pixel by its grey level and its column, and no more."""

    def __init__(self, structures: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(4, 32, 1), nn.LeakyReLU(), nn.Conv2d(32, structures, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        column = torch.linspace(-1, 1, pixels.shape[-1]).expand_as(pixels[:, :1])
        found: Tensor = self.layers(torch.cat([pixels, column], 1))
        return found


def test_what_a_unet_is_shown(tmp_path: Path) -> None:
    held = SetSlices.read(write_set(tmp_path), largest=288)
    assert held.structures == ["left kidney", "right kidney"]
    assert held.size == 48, "40 pixels, up to a multiple of 16"
    assert SetSlices.read(tmp_path / "slices" / "kidney_mr", largest=32).size == 32
    batches = Batches(held, NO_CHANGE, batch=3, seed=0)
    pixels, targets, known = batches(5)
    assert pixels.shape == (3, 3, 48, 48)
    assert targets.shape == (3, 2, 48, 48)
    assert known.all()
    # The image fills 48 x 36; below it nothing. Bright pixels are the right kidney's.
    assert pixels[..., 36:, :].abs().max() == 0
    bright = pixels[:, 0] > 0.5
    assert (bright == (targets[:, 1] > 0)).float().mean() > 0.97
    assert torch.equal(batches(5)[0], pixels)


def test_losses_leave_out_what_is_not_known() -> None:
    net = nn.Conv2d(3, 2, 1)
    pixels, targets = torch.rand(1, 3, 16, 16), torch.zeros(1, 2, 16, 16)
    targets[0, 0, :8] = 1
    known = torch.tensor([[True, False]])
    with torch.no_grad():
        before = float(unet_losses(net, (pixels, targets, known))["loss"])
        net.bias[1:] += 9  # type: ignore[index]
        assert float(unet_losses(net, (pixels, targets, known))["loss"]) == pytest.approx(before)
        assert float(unet_losses(net, (pixels, targets, torch.tensor([[True, True]])))["loss"]) > before + 1


def test_masks_at_the_image_s_own_size() -> None:
    net = nn.Conv2d(3, 1, 1)
    nn.init.constant_(net.weight, 1.0)
    nn.init.constant_(net.bias, 0.0)  # type: ignore[arg-type]
    image = np.zeros((30, 50), np.uint8)
    image[10:20, 20:40] = 255
    drawn = draw_masks(net, image, 96)
    assert drawn.shape == (1, 30, 50)
    assert (drawn[0] == (image > 127)).mean() > 0.97


def test_a_baseline_is_trained_goes_on_and_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = replace(load_recipe("tiny"), augment=NO_CHANGE)
    monkeypatch.setattr(baseline, "load_recipe", lambda name: recipe)
    monkeypatch.setattr(baseline, "build_unet", PlainNet)
    write_set(tmp_path)
    run = tmp_path / "run"
    arguments = ["--data", str(tmp_path), "--run", str(run), "--per-set", "4", "--lr", "0.02", "--device", "cpu"]
    assert main([*arguments, "--steps", "80"]) == 0
    content = json.loads((run / "specialist.json").read_text(encoding="utf-8"))
    (kidneys, whole) = content["tables"][0]["rows"]
    assert kidneys["Dice by set"] == "kidney_mr"
    assert kidneys["U-Net"] == whole["U-Net"] > 0.9, "grey level and side give each kidney away"
    printed = capsys.readouterr().out
    assert (run / "specialist.md").read_text(encoding="utf-8") in printed
    state = (run / "kidney_mr.pt").read_bytes()
    assert main([*arguments, "--steps", "80"]) == 0, "nothing is left to train"
    assert (run / "kidney_mr.pt").read_bytes() == state
    assert (run / "specialist.md").read_text(encoding="utf-8") in capsys.readouterr().out


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(tmp_path)
    arguments = ["--data", str(tmp_path), "--run", str(tmp_path / "run"), "--steps", "1"]
    assert main([*arguments, "--sets", "spleens"]) == 2
    assert "no set spleens" in capsys.readouterr().err
    with pytest.raises(unet.MediRoundError, match="no labelled slices"):
        SetSlices.read(write_set(tmp_path / "empty", patients=0), 288)
    if not HAS_MONAI:
        assert main(arguments) == 2
        assert "mediround[baseline]" in capsys.readouterr().err


@pytest.mark.skipif(not HAS_MONAI, reason="MONAI is not installed: pip install -e '.[baseline]'")
def test_monais_unet_learns(tmp_path: Path) -> None:
    held = SetSlices.read(write_set(tmp_path), largest=48)
    torch.manual_seed(0)
    net = build_unet(len(held.structures))
    batches = Batches(held, NO_CHANGE, batch=4, seed=0)
    optimizer = torch.optim.AdamW(net.parameters(), 2e-2)
    losses = []
    for step in range(40):
        found = unet_losses(net, batches(step))["loss"]
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
        losses.append(float(found.detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert draw_masks(net, held.slices[0].shown().image, held.size).shape == (2, 30, 40)
