"""A trainee's whole path through the panel, on the real scene, with the real engine process."""

import sys
from pathlib import Path
from typing import Any

import pytest
import slicer
from slicer_host.hand import Hand

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "MediRoundSlicer" / "Testing" / "Python"))

# The first round starts the engine and loads its model, on a busy machine.
PATIENCE = 120.0


@pytest.fixture
def study(host: Any, tmp_path: Path) -> Any:
    """A drawn CT, written as DICOM and loaded as one series."""
    from MediRoundSlicerLib.SampleStudies import showInWindow
    from slicer_host.files import load_series

    from training.data.phantom_dicom import write_dicom_study

    write_dicom_study(tmp_path / "dicom", seed=3)
    volume = load_series(tmp_path / "dicom")
    volume.SetName("Drawn CT")
    showInWindow(volume)
    host.show(volume)
    return volume


def test_a_trainees_whole_path(host: Any, study: Any, tmp_path: Path) -> None:
    from MediRoundSlicerJourney import Journey

    widget = host.openModule("MediRoundSlicer")
    Journey(widget, study, tmp_path, Hand(host, PATIENCE)).walk()


def test_the_self_test_of_the_module(host: Any) -> None:
    host.openModule("MediRoundSlicer")
    slicer.selfTests["MediRoundSlicer"]()


def test_the_event_loop_runs_on_while_a_round_runs(host: Any, study: Any) -> None:
    """The longest stall of a round stays under 50 ms; the best of many, since others may take the processor."""
    widget = host.openModule("MediRoundSlicer")
    conversation, edit = widget.logic.conversation, widget.ui.queryEdit
    hand = Hand(host, PATIENCE)
    stalls = []
    for structure in ("liver", "left kidney", "right kidney", "spleen", "aorta", "stomach", "pancreas", "spine"):
        hand.type(edit, f"Segment the {structure}.")
        host.startStallWatch()
        hand.key(edit, "Enter")
        hand.wait(lambda: conversation.pending is None, "an answer")
        stalls.append(host.longestStall())
    assert len(conversation.current.rounds) == len(stalls)
    assert min(stalls[1:]) < 0.05, stalls
