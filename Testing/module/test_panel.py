"""The chat panel alone: driven as a user drives it, on a Conversation that remembers what the panel asks for."""

from collections.abc import Iterator
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from typing import Any

import pytest
from fake_conversation import FakeConversation, aRound, fourRounds
from MediRoundSlicerLib.Dialogues import Dialogue, DialogueError, Reference
from MediRoundSlicerLib.Understanding import Understood

UI = Path(__file__).resolve().parents[2] / "MediRoundSlicer" / "Resources" / "UI" / "MediRoundSlicer.ui"


class Opened:
    """The panel in a window, and its conversation."""

    def __init__(self, host: Any, width: int = 400) -> None:
        import qt
        import slicer
        from MediRoundSlicerLib.ChatPanel import ChatPanel

        self.host = host
        self.conversation = FakeConversation()
        self.window = qt.QWidget()
        layout = qt.QVBoxLayout(self.window)
        widget = slicer.util.loadUI(str(UI))
        layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        self.panel = ChatPanel(widget, self.ui, self.conversation)
        self.window.resize(width, 640)
        self.window.show()
        host.turn()

    def type(self, text: str) -> None:
        self.host.typeText(self.ui.queryEdit, text)

    def key(self, name: str) -> None:
        self.host.key(self.ui.queryEdit, name)

    def rest(self) -> None:
        """Until what was typed is understood."""
        self.host.wait(lambda: not self.panel.input._rest.isActive(), 2, "the rest after typing")

    def round(self, number: int) -> Any:
        return self.panel.chat.rounds[f"r{number}"]

    def menuTexts(self, chip: Any) -> list[str]:
        menu = chip.widget.menu()
        menu.popup(self.window.pos)
        self.host.turn()
        texts = [action.text for action in menu.actions() if action.text]
        menu.hide()
        return texts


@pytest.fixture
def opened(host: Any) -> Iterator[Opened]:
    made = Opened(host)
    yield made
    made.panel.close()
    made.window.hide()
    made.window.deleteLater()
    host.turn()


# ---- asking ----


def test_enter_sends_and_the_input_is_free_again(opened: Opened) -> None:
    opened.type("Segment the liver.")
    opened.key("Enter")
    assert opened.conversation.called == [("ask", "Segment the liver.", "auto")]
    assert opened.ui.queryEdit.text == ""
    assert opened.ui.queryEdit.hasFocus()


def test_the_button_sends_what_is_typed_and_nothing_else(opened: Opened) -> None:
    assert not opened.ui.sendButton.enabled
    opened.key("Enter")
    opened.type("   ")
    opened.rest()
    assert not opened.ui.sendButton.enabled
    opened.type("请分割右肺。")
    opened.rest()
    opened.host.click(opened.ui.sendButton)
    assert opened.conversation.called == [("ask", "请分割右肺。", "auto")]
    assert opened.ui.queryEdit.hasFocus()


def test_nothing_can_be_sent_where_nothing_is_shown(opened: Opened) -> None:
    opened.conversation.place, opened.conversation.hint = "", "Load a study."
    opened.conversation.placeChanged.emit()
    opened.type("Segment the liver.")
    opened.rest()
    assert opened.ui.contextLabel.text == "Load a study."
    assert not opened.ui.sendButton.enabled
    assert opened.ui.sendButton.toolTip == "Load a study."


def test_up_and_down_recall_earlier_queries_and_give_the_draft_back(opened: Opened) -> None:
    opened.conversation.hold(fourRounds()[:2])
    opened.type("draft")
    opened.key("Up")
    assert opened.ui.queryEdit.text == fourRounds()[1].query
    opened.key("Up")
    opened.key("Up")
    assert opened.ui.queryEdit.text == fourRounds()[0].query
    opened.key("Down")
    opened.key("Down")
    assert opened.ui.queryEdit.text == "draft"
    opened.key("Down")
    assert opened.ui.queryEdit.text == "draft"


def test_what_failed_is_put_back_with_its_reference(opened: Opened) -> None:
    opened.conversation.hold(fourRounds()[:1])
    opened.type("And its tumour.")
    opened.rest()
    opened.host.choose(opened.panel.input.chip.widget, "1 · left lung")
    opened.key("Enter")
    chosen = Reference("s1", "r1", chosen=True)
    assert opened.conversation.called == [("ask", "And its tumour.", chosen)]
    opened.conversation.failed.emit("The engine ended twice; send the query again.")
    assert opened.ui.messageLabel.text == "The engine ended twice; send the query again."
    assert opened.ui.messageStrip.visible
    assert opened.ui.queryEdit.text == "And its tumour."
    opened.key("Enter")
    assert opened.conversation.called[-1] == ("ask", "And its tumour.", chosen)
    assert not opened.ui.messageStrip.visible


def test_what_was_answered_is_not_put_back(opened: Opened) -> None:
    opened.type("Segment the liver.")
    opened.key("Enter")
    opened.conversation.run("Segment the liver.")
    opened.conversation.end()
    opened.conversation.hold([aRound(1, "Segment the liver.")])
    opened.conversation.failed.emit("Something else.")
    assert opened.ui.queryEdit.text == ""


def test_what_she_types_meanwhile_is_not_overwritten(opened: Opened) -> None:
    opened.type("first")
    opened.key("Enter")
    opened.type("second")
    opened.conversation.failed.emit("No.")
    assert opened.ui.queryEdit.text == "second"


def test_an_error_is_dismissed_with_a_click_or_escape(opened: Opened) -> None:
    opened.conversation.failed.emit("No.")
    opened.host.click(opened.ui.dismissButton)
    assert not opened.ui.messageStrip.visible
    assert opened.ui.queryEdit.hasFocus()
    opened.conversation.noticed.emit("The engine was restarted.")
    assert opened.ui.messageStrip.visible
    opened.key("Escape")
    assert not opened.ui.messageStrip.visible


def test_a_mistake_of_the_program_is_said_too(opened: Opened, monkeypatch: Any, caplog: Any) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(opened.conversation, "ask", broken, raising=False)
    opened.type("Segment the liver.")
    opened.key("Enter")
    assert "out of luck" in opened.ui.messageLabel.text
    assert opened.ui.queryEdit.text == "Segment the liver."
    assert "out of luck" in caplog.text


# ---- what is understood ----


def test_what_is_understood_is_shown_while_typing(opened: Opened) -> None:
    opened.conversation.hold(fourRounds()[:2])
    query = "the heart next to instance 1"
    opened.conversation.answers[query] = Understood(Reference("s1", "r1", "instance 1"), "")
    opened.type(query)
    assert not opened.panel.input.chip.widget.visible
    opened.rest()
    assert opened.panel.input.chip.widget.text == "round 1 · left lung ▾"
    assert opened.panel.input.chip.widget.visible
    opened.key("Enter")
    assert opened.conversation.called == [("ask", query, "auto")]
    assert not opened.panel.input.chip.widget.visible


def test_she_can_choose_another_reference_before_sending(opened: Opened) -> None:
    opened.conversation.hold(fourRounds()[:2], drawn=("my lesion",))
    opened.type("its border")
    opened.rest()
    chip = opened.panel.input.chip
    assert opened.menuTexts(chip) == [
        "As the words say",
        "1 · left lung",
        "2 · right lung",
        "my lesion",
        "No reference",
    ]
    opened.host.choose(chip.widget, "my lesion")
    assert chip.widget.text == "my lesion ▾"
    assert opened.ui.queryEdit.hasFocus()
    opened.host.choose(chip.widget, "As the words say")
    assert chip.widget.text == "no reference ▾"
    opened.host.choose(chip.widget, "No reference")
    opened.key("Enter")
    assert opened.conversation.called == [("ask", "its border", None)]
    # The next query goes by its words again.
    opened.type("and another")
    opened.key("Enter")
    assert opened.conversation.called[-1] == ("ask", "and another", "auto")


def test_a_reference_that_is_not_there_is_said_calmly(opened: Opened) -> None:
    query = "based on instance 7"
    opened.conversation.answers[query] = Understood(None, "", "There is no round 7: this dialogue has no rounds yet.")
    opened.type(query)
    opened.rest()
    assert opened.ui.contextError.text == "There is no round 7: this dialogue has no rounds yet."
    assert opened.ui.contextError.visible
    assert not opened.ui.messageStrip.visible
    opened.ui.queryEdit.clear()
    opened.rest()
    assert not opened.ui.contextError.visible


# ---- rounds ----


def test_a_round_shows_what_was_asked_and_what_came_of_it(opened: Opened) -> None:
    opened.conversation.hold(fourRounds(), drawn=("my lesion outline",))
    view = opened.round(2)
    assert view._query.text == "Please segment the other lung with reference to instance 1."
    assert view._answer.text == "Sure, it is instance 2."
    assert view.chip.widget.text == "round 1 · left lung ▾"
    assert view.name.button.text == "Right lung"
    assert view._badge.text == "corrected 0.55 → 0.66"
    assert view._time.text == "1.9 s"
    assert opened.round(1)._badge.text == "quality 0.82"
    assert opened.round(1).chip.widget.text == "no reference ▾"
    assert opened.round(3)._badge.text == "low quality 0.42"
    assert opened.round(4).chip.widget.text == "my lesion outline ▾"
    assert not opened.panel.chat.welcome.widget.visible


def test_quality_in_words() -> None:
    pytest.importorskip("PySide6.QtWidgets")
    from slicer_host import qtmodule

    qtmodule.install()
    from MediRoundSlicerLib.RoundView import qualityText

    assert qualityText(aRound(1, quality=None))[:2] == ("", False)
    assert qualityText(aRound(1, quality=0.6))[:2] == ("low quality 0.60", True)
    assert qualityText(aRound(1, quality=0.61))[:2] == ("quality 0.61", False)
    corrected = aRound(1, quality=0.3, qualityCorrected=0.5, corrected=True)
    assert qualityText(corrected)[:2] == ("corrected 0.30 → 0.50 · low", True)
    # Judged low, corrected, and kept as it was: no correction is claimed.
    assert qualityText(aRound(1, quality=0.5, qualityCorrected=0.5))[:2] == ("low quality 0.50", True)


def test_what_users_and_models_write_is_never_html(opened: Opened) -> None:
    opened.conversation.hold([aRound(1, "<b>bold</b> & co", text="<img src=x>", name="a & b")])
    view = opened.round(1)
    assert view._query.text == "<b>bold</b> & co"
    assert opened.host.raw(view._query).textFormat() == opened.host.raw(view._answer).textFormat()
    assert view._answer.text == "<img src=x>"
    assert view.name.button.text == "A && b"


def test_a_click_on_a_round_or_its_segment_goes_there(opened: Opened) -> None:
    opened.conversation.hold(fourRounds()[:2])
    opened.host.click(opened.round(1)._answer)
    opened.host.click(opened.round(2).name.button)
    assert opened.conversation.called == [("goTo", "r1"), ("goTo", "r2")]
    assert opened.ui.queryEdit.hasFocus()


def test_a_segment_is_renamed_in_place(opened: Opened) -> None:
    from PySide6 import QtCore, QtTest

    opened.conversation.hold(fourRounds()[:2])
    view = opened.round(1)
    QtTest.QTest.mouseDClick(opened.host.raw(view.name.button), QtCore.Qt.MouseButton.LeftButton)
    opened.host.turn()
    assert view.name.input.text == "Left lung (round 1)"
    opened.host.typeText(view.name.input, "my lung")
    opened.host.key(view.name.input, "Enter")
    assert ("rename", "r1", "my lung") in opened.conversation.called
    assert view.name.button.text == "my lung"
    assert opened.ui.queryEdit.hasFocus()
    # Where it is not renamed nothing is asked for.
    del opened.conversation.called[:]
    opened.host.choose(view.moreButton, "Rename segment…")
    opened.host.typeText(view.name.input, "other")
    opened.host.key(view.name.input, "Escape")
    opened.host.choose(view.moreButton, "Rename segment…")
    opened.host.key(view.name.input, "Enter")
    assert opened.conversation.called == []
    assert view.name.button.visible


def test_another_reference_of_a_round_asks_it_again(opened: Opened) -> None:
    opened.conversation.hold(fourRounds()[:3], drawn=("my lesion",))
    view = opened.round(2)
    # Only what was there before it.
    assert opened.menuTexts(view.chip) == ["1 · left lung", "my lesion", "No reference"]
    opened.host.choose(view.chip.widget, "my lesion")
    opened.host.choose(view.chip.widget, "No reference")
    assert opened.conversation.called == [
        ("askAgain", "r2", Reference("own0", chosen=True)),
        ("askAgain", "r2", None),
    ]


def test_the_menu_of_a_round(opened: Opened) -> None:
    opened.conversation.hold(fourRounds()[:2])
    opened.host.choose(opened.round(2).moreButton, "Ask again")
    opened.host.choose(opened.round(1).moreButton, "Delete round")
    assert opened.conversation.called == [("askAgain", "r2"), ("deleteRound", "r1")]


def test_an_edited_query_branches_there(opened: Opened) -> None:
    opened.conversation.hold(fourRounds()[:2])
    opened.host.choose(opened.round(2).moreButton, "Edit and branch…")
    assert opened.ui.queryEdit.text == fourRounds()[1].query
    assert opened.ui.contextLabel.text.startswith("Editing round 2")
    opened.key("Escape")
    assert opened.ui.queryEdit.text == ""
    opened.host.choose(opened.round(2).moreButton, "Edit and branch…")
    opened.type("the other kidney")
    opened.key("Enter")
    assert opened.conversation.called == [("branch", "r2", "the other kidney")]
    opened.conversation.failed.emit("No.")
    assert opened.ui.queryEdit.text == "the other kidney"
    opened.key("Enter")
    assert opened.conversation.called[1:] == [("branch", "r2", "the other kidney")]


def test_a_deleted_segment_is_said(opened: Opened) -> None:
    rounds = fourRounds()[:2]
    opened.conversation.hold(rounds)
    opened.conversation.choices = opened.conversation.choices[1:]
    opened.conversation.dialogueChanged.emit()
    assert opened.round(1).name.button.text == "segment deleted"
    assert not opened.round(1).name.button.enabled
    assert opened.round(2).chip.widget.text == "a deleted segment ▾"


def test_only_what_changed_is_drawn_anew(opened: Opened) -> None:
    opened.conversation.hold(fourRounds()[:3])
    views = dict(opened.panel.chat.rounds)
    opened.conversation.hold(fourRounds())
    assert all(opened.panel.chat.rounds[known] is view for known, view in views.items())
    opened.conversation.hold([fourRounds()[0], fourRounds()[2]])
    assert list(opened.panel.chat.rounds) == ["r1", "r3"]
    opened.host.turn()
    assert opened.round(3).widget.y > opened.round(1).widget.y


def test_a_round_that_comes_back_is_in_its_place(opened: Opened) -> None:
    first, second, third, fourth = fourRounds()
    opened.conversation.hold([first, third, fourth])
    opened.conversation.hold([first, second, third, fourth])
    opened.host.turn()
    places = [opened.round(number).widget.y for number in (1, 2, 3, 4)]
    assert places == sorted(places)


def test_one_more_round_costs_little_in_a_long_dialogue(opened: Opened) -> None:
    rounds = [aRound(k, f"Segment structure {k} next to instance {k - 1}.") for k in range(1, 51)]

    def cost(some: list[Any]) -> float:
        begun = process_time()
        opened.conversation.hold(some)
        opened.host.turn()
        return process_time() - begun

    forty_nine, one_more, none = cost(rounds[:49]), cost(rounds), cost(rounds)
    assert one_more < forty_nine / 4
    assert none < one_more


def test_the_newest_round_is_in_sight_unless_she_scrolled_away(opened: Opened) -> None:
    bar = opened.ui.chatArea.verticalScrollBar()
    rounds = [aRound(k) for k in range(1, 13)]
    opened.conversation.hold(rounds[:8])
    opened.host.turn()
    assert bar.maximum > 0
    assert bar.value == bar.maximum
    opened.conversation.hold(rounds[:9])
    opened.host.turn()
    assert bar.value == bar.maximum
    bar.setValue(0)
    opened.conversation.run("x", roundID="r9")
    opened.host.turn()
    assert bar.value == 0


# ---- the running round ----


def test_a_running_round_shows_its_state_and_can_be_cancelled(opened: Opened) -> None:
    opened.conversation.hold(fourRounds()[:2])
    opened.type("Segment the trachea.")
    opened.key("Enter")
    opened.conversation.run("Segment the trachea.", "Reading the query", elapsed=3.0)
    running = opened.panel.chat.running
    assert running.widget.visible
    assert running._query.text == "Segment the trachea."
    assert running._number.text == "3"
    assert running.row._label.text == "Reading the query · 3 s"
    opened.host.wait(lambda: "4 s" in running.row._label.text, 3, "the clock")
    assert opened.ui.sendButton.text == "Cancel"
    assert not opened.ui.undoButton.enabled
    opened.key("Escape")
    assert opened.conversation.called[-1] == ("cancel",)
    assert opened.ui.queryEdit.text == "Segment the trachea."
    opened.conversation.end()
    assert not running.widget.visible
    assert opened.ui.sendButton.text == "Send"


@pytest.mark.parametrize("button", ["send", "row"])
def test_every_cancel_button_cancels(opened: Opened, button: str) -> None:
    opened.conversation.run("Segment the trachea.")
    opened.host.turn()
    buttons = {"send": opened.ui.sendButton, "row": opened.panel.chat.running.row.cancelButton}
    opened.host.click(buttons[button])
    assert opened.conversation.called == [("cancel",)]
    assert opened.ui.queryEdit.hasFocus()


def test_a_round_asked_again_runs_in_its_own_place(opened: Opened) -> None:
    opened.conversation.hold(fourRounds()[:2])
    opened.conversation.run("x", "Looking at the slice", roundID="r1")
    opened.host.turn()
    assert opened.round(1).running.widget.visible
    assert not opened.round(2).running.widget.visible
    assert not opened.panel.chat.running.widget.visible
    opened.conversation.end()
    assert not opened.round(1).running.widget.visible


def test_a_round_of_another_dialogue_can_still_be_cancelled(opened: Opened) -> None:
    opened.conversation.hold(fourRounds()[:2])
    opened.conversation.run("Segment the trachea.")
    opened.conversation.hold([aRound(1)], identifier="d2")
    opened.conversation.pendingChanged.emit()
    row = opened.panel.chat.running.row
    assert row._label.text.startswith("In another dialogue: Reading the query")
    opened.host.turn()
    opened.host.click(row.cancelButton)
    assert opened.conversation.called == [("cancel",)]


# ---- around the chat ----


def test_an_empty_chat_welcomes_with_examples(opened: Opened) -> None:
    welcome = opened.panel.chat.welcome
    assert welcome.widget.visible
    opened.host.click(welcome.buttons[0])
    assert opened.ui.queryEdit.text == welcome.buttons[0].text
    assert opened.ui.queryEdit.hasFocus()
    assert opened.conversation.called == []


def test_the_header_shows_the_place_and_chooses_the_view(opened: Opened) -> None:
    assert opened.ui.placeLabel.text == "CT chest · Axial 34"
    chosen: list[str] = []
    opened.panel.viewChosen.connect(chosen.append)
    opened.host.select(opened.ui.viewSelector, "Yellow")
    assert opened.conversation.called == [("setView", "Yellow")]
    assert chosen == ["Yellow"]
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
    # Rounds of the scene are in sight all the same.
    opened.conversation.hold(fourRounds())
    opened.panel.showInstall(True)
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


@pytest.fixture
def exported(opened: Opened, monkeypatch: Any) -> list[tuple[Any, ...]]:
    """What the export functions were called with; two of three dialogues are about the volume in view."""
    from MediRoundSlicerLib import Export, Report

    conversation = opened.conversation
    conversation.hold(fourRounds())
    conversation.segmentationNode, conversation.volumeNode = "segmentation", "volume"
    stored = [
        ("one", "volume", "segmentation"),
        ("other", "another", "segmentation"),
        ("two", "volume", "segmentation"),
    ]
    dialogues = [
        SimpleNamespace(dialogue=name, volume=volume, segmentation=segmentation)
        for name, volume, segmentation in stored
    ]
    monkeypatch.setattr(conversation, "stored", lambda: dialogues, raising=False)
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
    subject = (["one", "two"], "segmentation", "volume")
    opened.host.choose(opened.ui.exportButton, "Labelmap nodes")
    assert opened.ui.messageLabel.text == "1 labelmap nodes were added to the scene."
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
