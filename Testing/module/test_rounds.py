"""Rounds in the chat panel, done and running: shown, clicked, renamed, asked again."""

from time import process_time
from typing import Any

import pytest
from fake_conversation import aRound, fourRounds
from MediRoundSlicerLib.Dialogues import Reference
from opened_panel import Opened

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
    opened.conversation.run("the other kidney")
    opened.conversation.giveUp("No.")
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
    opened.conversation.giveUp("Cancelled.")
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
