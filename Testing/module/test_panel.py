"""The chat panel around the chat: header, engine, export, first use, and how it looks."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_conversation import PLANE, aRound, fourRounds
from MediRoundSlicerLib.Dialogues import Dialogue, DialogueError, Reference
from opened_panel import Opened


def test_an_empty_chat_welcomes_with_examples(opened: Opened) -> None:
    welcome = opened.panel.chat.welcome
    assert welcome.widget.visible
    opened.host.click(welcome.buttons[0])
    assert opened.ui.queryEdit.text == welcome.buttons[0].text
    assert opened.ui.queryEdit.hasFocus()
    assert opened.conversation.called == []


def test_the_header_shows_the_place_and_chooses_the_view(opened: Opened) -> None:
    assert opened.ui.placeLabel.text == "CT chest · Axial 34"
    opened.host.select(opened.ui.viewSelector, "Yellow")
    assert opened.conversation.called == [("setView", "Yellow")]
    opened.conversation.viewName = "Green"
    opened.conversation.placeChanged.emit()
    assert opened.ui.viewSelector.currentText == "Green"


def test_the_list_of_dialogues(opened: Opened) -> None:
    selector = opened.ui.dialogueSelector
    assert [selector.itemText(k) for k in range(selector.count)] == ["New dialogue"]
    assert not opened.ui.newDialogueButton.enabled
    opened.conversation.hold([aRound(1)])
    plane = opened.conversation.current.plane if opened.conversation.current else None
    assert plane is not None
    opened.conversation.others = [Dialogue("d0", "Axial 12", plane, "Red", (aRound(1), aRound(2)), 0)]
    opened.conversation.dialogueChanged.emit()
    assert [selector.itemText(k) for k in range(selector.count)] == ["Axial 12 · 2 rounds", "Axial 34 · 1 round"]
    assert selector.currentText == "Axial 34 · 1 round"
    opened.host.select(selector, "Axial 12 · 2 rounds")
    opened.host.click(opened.ui.newDialogueButton)
    assert opened.conversation.called == [("select", "d0"), ("newDialogue",)]


def test_undo_and_redo_say_what(opened: Opened) -> None:
    assert not opened.ui.undoButton.enabled
    opened.conversation.undoText, opened.conversation.redoText = "left lung (round 1)", "right lung (round 2)"
    opened.conversation.dialogueChanged.emit()
    assert opened.ui.undoButton.toolTip == "Undo left lung (round 1)"
    assert opened.ui.redoButton.toolTip == "Redo right lung (round 2)"
    opened.host.click(opened.ui.undoButton)
    opened.host.click(opened.ui.redoButton)
    assert opened.conversation.called == [("undo",), ("redo",)]


@pytest.mark.parametrize(
    ("state", "text", "button", "loading"),
    [
        ("stopped", "Engine off; it starts with the first query", "Start", False),
        ("starting", "Engine starts…", "Stop", True),
        ("loading", "Loading the model…", "Stop", True),
        ("ready", "Ready · a test's own engine", "Stop", False),
        ("busy", "Working · a test's own engine", "Stop", False),
        ("failed", "Engine stopped by an error; Start tries again", "Start", False),
    ],
)
def test_the_state_of_the_engine(opened: Opened, state: str, text: str, button: str, loading: bool) -> None:
    engine = opened.conversation.engine
    engine.state = state
    engine.stateChanged.emit()
    engine.progressed.emit(None, "loading", 0.25)
    assert opened.ui.statusLabel.text == text
    assert opened.ui.engineButton.text == button
    assert opened.ui.loadingBar.visible is loading
    if loading:
        assert (opened.ui.loadingBar.value, opened.ui.loadingBar.maximum) == (25, 100)


def test_the_engine_is_started_and_stopped(opened: Opened) -> None:
    engine = opened.conversation.engine
    opened.host.click(opened.ui.engineButton)
    assert engine.stopped
    engine.state = "stopped"
    engine.stateChanged.emit()
    opened.host.click(opened.ui.engineButton)
    assert not engine.stopped


def test_the_installation_takes_the_place_of_the_chat(opened: Opened) -> None:
    opened.panel.showInstall(True)
    assert opened.ui.installArea.visible
    assert not opened.ui.chatArea.visible
    assert not opened.ui.inputArea.visible
    # Rounds of a scene that is opened now are in sight all the same.
    opened.conversation.hold(fourRounds())
    assert opened.ui.chatArea.visible
    opened.panel.showInstall(False)
    assert opened.ui.inputArea.visible


def test_a_closed_panel_is_forgotten(opened: Opened) -> None:
    conversation = opened.conversation
    opened.panel.close()
    signals = [one for one in vars(conversation).values() if type(one).__name__ == "Signal"]
    signals += [conversation.engine.stateChanged, conversation.engine.progressed]
    assert [signal._slots for signal in signals] == [[]] * len(signals)
    opened.panel.close()


# ---- how it looks ----


@pytest.mark.parametrize("style", ["light", "dark"])
def test_texts_can_be_read(host: Any, style: str) -> None:
    host.setStyle(style)
    made = Opened(host)
    from MediRoundSlicerLib.Style import READABLE, contrast

    c = made.panel.look.colours
    pairs = [(c.text, one) for one in (c.base, c.window, c.query, c.low, c.error, c.notice, c.hover)]
    pairs += [(c.muted, one) for one in (c.base, c.window, c.query, c.hover)]
    pairs += [(c.onAccent, c.accent)]
    assert all(contrast(*pair) >= READABLE for pair in pairs)
    made.panel.close()


def test_the_panel_follows_the_style_of_the_application(opened: Opened) -> None:
    opened.conversation.hold(fourRounds()[:2])
    light = opened.panel.look.colours
    opened.host.setStyle("dark")
    opened.host.wait(lambda: opened.panel.look.colours != light, 2, "the dark style")
    assert sum(opened.panel.look.colours.base) < sum(light.base)
    assert opened.round(2)._answer.text == "Sure, it is instance 2."


@pytest.mark.parametrize("width", [320, 400, 480])
def test_nothing_is_cut_off_in_a_narrow_panel(host: Any, width: int) -> None:
    made = Opened(host, width)
    long = "x" * 200 + " " + "很长的一句话" * 20
    made.conversation.hold([aRound(1, long, text=long, name="n" * 60, reference=Reference("s1", "r1"))])
    made.conversation.run(long)
    made.conversation.failed.emit(long)
    host.turn()
    assert made.window.width == width
    inner = made.ui.chatArea.viewport().width
    content = made.ui.chatContent
    assert content.width == inner
    for child in content.findChildren("QWidget"):
        if child.visible and child.window() == made.window:
            right = child.mapTo(content, child.rect.topRight()).x()
            assert right <= inner, child.objectName
    made.panel.close()


def test_every_button_has_a_name_and_a_tip(opened: Opened) -> None:
    opened.conversation.hold(fourRounds(), drawn=("my lesion outline",))
    opened.conversation.run("x")
    opened.type("the heart")
    opened.rest()
    for kind in ("QToolButton", "QPushButton"):
        for button in (one for one in opened.window.findChildren(kind) if one.visible):
            assert button.accessibleName or button.text, button.objectName
            assert button.toolTip or button.text, button.objectName
    for one in (opened.ui.viewSelector, opened.ui.dialogueSelector, opened.ui.queryEdit, opened.ui.chatArea):
        assert one.accessibleName


def test_long_words_may_be_broken() -> None:
    pytest.importorskip("PySide6.QtWidgets")
    from slicer_host import qtmodule

    qtmodule.install()
    from MediRoundSlicerLib.Style import breakable

    assert breakable("left lung") == "left lung"
    assert breakable("x" * 50).replace("\u200b", "") == "x" * 50
    assert max(map(len, breakable("x" * 50).split("\u200b"))) <= 24


# ---- export ----


def aStored(number: int, volume: str | None) -> Any:
    dialogue = Dialogue(f"d{number}", "Axial 34", PLANE, "Red", (aRound(1),), number)
    return SimpleNamespace(dialogue=dialogue, volume=volume, segmentation="segmentation")


# The dialogue in view is d1.
STORED = [aStored(1, "volume"), aStored(2, "another"), aStored(3, "volume"), aStored(4, None)]


@pytest.fixture
def exported(opened: Opened, monkeypatch: Any) -> list[tuple[Any, ...]]:
    """What the export functions were called with; two of four dialogues are about the volume in view."""
    from MediRoundSlicerLib import Export, Report

    conversation = opened.conversation
    conversation.hold(fourRounds())
    conversation.segmentationNode, conversation.volumeNode = "segmentation", "volume"
    monkeypatch.setattr(conversation, "stored", lambda: STORED)
    called: list[tuple[Any, ...]] = []
    for module, name in (
        (Export, "exportLabelmapNodes"),
        (Export, "exportFiles"),
        (Export, "exportSegmentation"),
        (Report, "writeReport"),
    ):

        def remember(*arguments: Any, function: str = name) -> list[Any]:
            called.append((function, *arguments))
            return [arguments[-1]]

        monkeypatch.setattr(module, name, remember)
    return called


def test_everything_about_the_volume_in_view_is_exported(opened: Opened, exported: Any, tmp_path: Path) -> None:
    subject = ([STORED[0].dialogue, STORED[2].dialogue], "segmentation", "volume")
    opened.host.choose(opened.ui.exportButton, "Labelmap nodes")
    assert opened.ui.messageLabel.text == "Labelmap nodes added to the scene: 1."
    opened.host.answers.append(str(tmp_path))
    opened.host.choose(opened.ui.exportButton, "Labelmap files (NIfTI)…")
    opened.host.answers.append(str(tmp_path))
    opened.host.choose(opened.ui.exportButton, "Labelmap files (NRRD)…")
    opened.host.answers.append(str(tmp_path / "all.seg.nrrd"))
    opened.host.choose(opened.ui.exportButton, "Segmentation (.seg.nrrd)…")
    opened.host.answers.append(str(tmp_path / "log.html"))
    opened.host.choose(opened.ui.exportButton, "Report (HTML)…")
    assert exported == [
        ("exportLabelmapNodes", *subject),
        ("exportFiles", *subject, tmp_path, ".nii.gz"),
        ("exportFiles", *subject, tmp_path, ".nrrd"),
        ("exportSegmentation", "segmentation", tmp_path / "all.seg.nrrd"),
        ("writeReport", *subject, tmp_path / "log.html"),
    ]
    assert "log.html" in opened.ui.messageLabel.text


def test_a_dialogue_whose_volume_is_gone_is_exported_by_itself(opened: Opened, exported: Any) -> None:
    opened.conversation.current = STORED[3].dialogue
    opened.host.choose(opened.ui.exportButton, "Labelmap nodes")
    assert exported == [("exportLabelmapNodes", [STORED[3].dialogue], "segmentation", None)]


def test_nothing_is_exported_before_the_first_round(opened: Opened) -> None:
    opened.conversation.noticed.emit("Cancelled.")
    opened.host.choose(opened.ui.exportButton, "Labelmap files (NIfTI)…")  # asks for no folder
    assert opened.ui.messageLabel.text == "There are no rounds to export yet; ask for a structure first."


def test_an_export_that_she_cancels_or_that_fails(opened: Opened, exported: Any, monkeypatch: Any) -> None:
    from MediRoundSlicerLib import Export

    opened.host.answers.append("")
    opened.host.choose(opened.ui.exportButton, "Segmentation (.seg.nrrd)…")
    assert exported == []
    assert not opened.ui.messageStrip.visible

    def full(*arguments: Any) -> None:
        raise DialogueError("There is no room left; choose another folder.")

    monkeypatch.setattr(Export, "exportLabelmapNodes", full)
    opened.host.choose(opened.ui.exportButton, "Labelmap nodes")
    assert opened.ui.messageLabel.text == "There is no room left; choose another folder."


def test_dialogues_about_several_volumes_are_told_apart(opened: Opened, monkeypatch: Any) -> None:
    opened.conversation.hold([aRound(1)])
    current = opened.conversation.current
    assert current is not None
    stored = [
        SimpleNamespace(dialogue=Dialogue("d0", "Axial 12", current.plane, "Red", (aRound(1),), 0), volume=None),
        SimpleNamespace(dialogue=current, volume=SimpleNamespace(GetName=lambda: "CT")),
    ]
    monkeypatch.setattr(opened.conversation, "stored", lambda: stored)
    opened.conversation.dialogueChanged.emit()
    selector = opened.ui.dialogueSelector
    texts = [selector.itemText(k) for k in range(selector.count)]
    assert texts == ["no volume · Axial 12 · 1 round", "CT · Axial 34 · 1 round"]


def test_what_the_user_wrote_is_no_html_in_a_tool_tip(opened: Opened) -> None:
    opened.conversation.undoText = "renaming <b>lesion</b>"
    opened.conversation.dialogueChanged.emit()
    assert opened.ui.undoButton.toolTip == "<qt>Undo renaming &lt;b&gt;lesion&lt;/b&gt;</qt>"
