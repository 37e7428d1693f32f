"""The panel painted in every state, in both styles; `PICTURES=DIR` keeps the pictures to be looked at."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_conversation import fourRounds
from opened_panel import Opened
from PIL import Image

WIDTH = 420


@pytest.fixture(params=["light", "dark"])
def painted(request: Any, host: Any, tmp_path: Path) -> Iterator[Any]:
    """(panel, paint): paint(name) gives the picture as (height, width, 3)."""
    host.setStyle(request.param)
    opened = Opened(host, WIDTH)
    folder = Path(os.environ.get("PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)

    def paint(name: str) -> Any:
        host.turn()
        path = folder / f"panel_{name}_{request.param}.png"
        host.shot(opened.window, path)
        return np.asarray(Image.open(path).convert("RGB")).astype(int)

    yield opened, paint
    opened.close()


def test_every_state_has_a_picture_of_its_own(painted: Any) -> None:
    opened, paint = painted
    pictures = {"empty": paint("empty")}
    opened.conversation.hold(fourRounds(), drawn=("lesion outline",))
    opened.conversation.engine.state = "ready"
    opened.conversation.engine.stateChanged.emit()
    pictures["four_rounds"] = paint("four_rounds")
    opened.conversation.run("Segment the aorta.", stage="Drawing the mask", elapsed=2.0)
    pictures["running"] = paint("running")
    opened.conversation.end()
    opened.conversation.failed.emit("The GPU is out of memory; choose the CPU or 4-bit weights in Settings.")
    pictures["error"] = paint("error")
    opened.panel.strip.clear()
    opened.type("Segment the other lung.")
    opened.rest()
    pictures["typing"] = paint("typing")
    names = list(pictures)
    for name in names:
        assert pictures[name].shape[1] == WIDTH
        # Not blank: text and lines stand out from the ground.
        ground = np.median(pictures[name].reshape(-1, 3), axis=0)
        assert (np.abs(pictures[name] - ground).max(axis=2) > 60).mean() > 0.005
    for one, other in itertools.pairwise(names):
        assert (pictures[one] != pictures[other]).any(axis=2).mean() > 0.002, (one, other)


def test_first_use_has_a_picture(host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from MediRoundSlicerLib.Packages import Packages

    monkeypatch.setattr(Packages, "missing", lambda self: ["torch", "transformers"])
    widget = host.openModule("MediRoundSlicer")
    assert widget.ui.installArea.visible
    folder = Path(os.environ.get("PICTURES", tmp_path))
    host.shotPanel(folder / "panel_first_use.png")
    picture = np.asarray(Image.open(folder / "panel_first_use.png").convert("RGB"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
