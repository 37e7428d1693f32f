"""Asking in the chat panel: typed, sent, recalled, put back, and what is understood meanwhile."""

from typing import Any

from fake_conversation import aRound, fourRounds
from MediRoundSlicerLib.Dialogues import Reference
from MediRoundSlicerLib.Understanding import Understood
from opened_panel import Opened

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
    opened.conversation.run("And its tumour.")
    assert opened.ui.queryEdit.text == ""
    opened.conversation.giveUp("The engine ended twice; send the query again.")
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
    opened.host.choose(opened.round(1).moreButton, "Ask again")
    opened.conversation.giveUp("Cancelled.")
    assert opened.ui.queryEdit.text == ""


def test_what_was_refused_is_put_back(opened: Opened) -> None:
    opened.conversation.run("Segment the liver.")
    opened.conversation.refuses = "A round is still running."
    opened.type("Segment the spleen.")
    opened.key("Enter")
    assert opened.ui.messageLabel.text == "A round is still running."
    assert opened.ui.queryEdit.text == "Segment the spleen."


def test_the_running_query_is_not_put_back_for_something_else(opened: Opened) -> None:
    opened.type("Segment the liver.")
    opened.key("Enter")
    opened.conversation.run("Segment the liver.")
    opened.conversation.failed.emit("A round is still running.")
    assert opened.ui.queryEdit.text == ""


def test_what_she_types_meanwhile_is_not_overwritten(opened: Opened) -> None:
    opened.type("first")
    opened.key("Enter")
    opened.conversation.run("first")
    opened.type("second")
    opened.conversation.giveUp("No.")
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
    opened.conversation.answers[query] = Understood(Reference("s1", "r1", "instance 1"), "round 1 · left lung")
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


def test_the_engine_prepares_once_a_query_is_begun(opened: Opened) -> None:
    opened.type("S")
    opened.type("egment the liver.")
    assert opened.conversation.prepared == 1
    opened.key("Enter")
    opened.ui.queryEdit.setText("put there by a button")
    assert opened.conversation.prepared == 1
    opened.ui.queryEdit.setText("")
    opened.type("Segment")
    assert opened.conversation.prepared == 2
