"""What the engine is told for a round: nothing twice and nothing missing, whatever was cancelled or forgotten."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from MediRoundSlicerLib.Dialogues import Told
from MediRoundSlicerLib.EngineMessages import AskRequest
from MediRoundSlicerLib.EngineSession import EngineSession

from MediRoundLib.protocol import Message

IMAGE = np.zeros((4, 6), dtype=np.uint8)
LEFT, RIGHT = np.zeros((4, 6), dtype=bool), np.ones((4, 6), dtype=bool)


def told(name: str, reference: Any = None, key: str = "") -> Told:
    """A round; one of an equal name is equal, whatever its key."""
    return Told(key or f"{name}:{reference is not None and int(reference.sum())}", name, f"{name} [SEG]", reference)


def request(history: Sequence[Told], query: str = "new", reference: Any = None, **changed: Any) -> AskRequest:
    fields = {"dialogueID": "d", "image": IMAGE, "imageKey": "i", **changed}
    return AskRequest(history=tuple(history), query=query, reference=reference, **fields)


A, B, C = told("a"), told("b", LEFT), told("c")


class Talk:
    """A session, and what it makes of requests that are all answered."""

    def __init__(self) -> None:
        self.session = EngineSession()
        self.ids = itertools.count(1)

    def ask(self, asked: AskRequest) -> list[Message]:
        return self.session.messages(self.ids, asked)

    def answered(self, asked: AskRequest) -> None:
        messages = self.ask(asked)
        fields = {"id": messages[-1].id, "answer": f"{asked.query} [SEG]", "rounds": len(asked.history) + 1}
        self.session.replied(Message("answered", fields))

    def failed(self, asked: AskRequest, rounds: int | None) -> None:
        number = self.ask(asked)[-1].id
        self.session.replied(Message("failed", {"id": number, "code": "cancelled", "message": "No.", "rounds": rounds}))


# What was answered before, what is asked now, and what is sent: an image or not, rounds to keep, rounds told again.
CASES: dict[str, tuple[list[AskRequest], AskRequest, tuple[bool, int, list[str]]]] = {
    "first round": ([], request([]), (True, 0, [])),
    "first round of a dialogue from the scene": ([], request([A, B]), (True, 0, ["a", "b"])),
    "second round": ([request([], "a")], request([A]), (False, 1, [])),
    "third round": ([request([], "a"), request([A], "b", LEFT)], request([A, B]), (False, 2, [])),
    "asked again": ([request([], "a"), request([A], "b", LEFT)], request([A], "b"), (False, 1, [])),
    "undone to the beginning": ([request([], "a")], request([]), (False, 0, [])),
    "undone and redone": (
        [request([], "a"), request([A], "b", LEFT), request([A], "x")],
        request([A, B], "c"),
        (False, 1, ["b"]),
    ),
    "an earlier round was deleted": (
        [request([], "a"), request([A], "b", LEFT), request([A, B], "c")],
        request([B, C]),
        (False, 0, ["b", "c"]),
    ),
    "an earlier round leaned on another mask": (
        [request([], "a"), request([A], "b", LEFT)],
        request([A, told("b", RIGHT)]),
        (False, 1, ["b"]),
    ),
    "an earlier round leaned on nothing": (
        [request([], "a"), request([A], "b", LEFT)],
        request([A, told("b")]),
        (False, 1, ["b"]),
    ),
    "the same round under another key": ([request([], "a")], request([told("a", key="other")]), (False, 1, [])),
    "another window": ([request([], "a")], request([A], imageKey="j"), (True, 0, ["a"])),
    "another dialogue": ([request([], "a")], request([A], dialogueID="e"), (True, 0, ["a"])),
    "back to the first of two": (
        [request([], "a"), request([], "b", dialogueID="e")],
        request([A]),
        (False, 1, []),
    ),
}


def shown(messages: list[Message]) -> tuple[bool, int, list[str]]:
    fields = messages[-1].fields
    assert [message.kind for message in messages] in (["open", "ask"], ["ask"])
    return len(messages) == 2, fields["keep"], [one["query"] for one in fields["told"]]


@pytest.mark.parametrize(("before", "asked", "expected"), CASES.values(), ids=CASES.keys())
def test_what_is_sent(before: list[AskRequest], asked: AskRequest, expected: tuple[bool, int, list[str]]) -> None:
    talk = Talk()
    for earlier in before:
        talk.answered(earlier)
    assert shown(talk.ask(asked)) == expected


def test_messages_hold_what_the_engine_needs() -> None:
    opening, asking = Talk().ask(request([A, B, told("c", RIGHT)], "Segment.", LEFT))
    assert opening.fields == {"id": 1, "dialogue": "d"}
    assert opening.arrays["image"] is IMAGE
    assert (asking.id, asking.fields["query"]) == (2, "Segment.")
    assert asking.fields["told"][1] == {"query": "b", "answer": "b [SEG]"}
    assert asking.arrays["reference"] is LEFT
    assert {name: int(mask.sum()) for name, mask in asking.arrays.items()} == {"told1": 0, "told2": 24, "reference": 0}


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        (1, (False, 1, ["b", "c"])),  # given up before anything was told
        (2, (False, 2, ["c"])),  # given up between two rounds
        (3, (False, 3, [])),  # given up, or refused, when all was told
        (None, (True, 0, ["a", "b", "c"])),  # gone meanwhile
    ],
)
def test_after_a_failure(rounds: int | None, expected: tuple[bool, int, list[str]]) -> None:
    talk = Talk()
    talk.answered(request([], "a"))
    talk.failed(request([A, B, C]), rounds)
    assert shown(talk.ask(request([A, B, C]))) == expected


def test_a_reply_that_comes_late_counts_only_if_nothing_was_asked_since() -> None:
    talk = Talk()
    talk.answered(request([], "a"))
    cancelled = talk.ask(request([A], "b", LEFT))[-1].id
    late = Message("answered", {"id": cancelled, "answer": "b [SEG]", "rounds": 2})
    # The next request counts on what is certain only.
    assert shown(talk.ask(request([A, B]))) == (False, 1, ["b"])
    talk.session.replied(late)
    assert shown(talk.ask(request([A, B]))) == (False, 1, ["b"])


def test_a_late_answer_of_a_cancelled_round_is_rewound() -> None:
    talk = Talk()
    talk.answered(request([], "a"))
    talk.answered(request([A], "cancelled"))
    assert shown(talk.ask(request([A], "b"))) == (False, 1, [])


def test_replies_to_what_was_never_asked_change_nothing() -> None:
    talk = Talk()
    talk.answered(request([], "a"))
    for number in (99, None):
        talk.session.replied(Message("failed", {"id": number, "code": "internal", "message": "", "rounds": None}))
    assert shown(talk.ask(request([A]))) == (False, 1, [])


def test_forgotten() -> None:
    talk = Talk()
    talk.answered(request([], "a"))
    talk.session.forget("d")
    talk.session.forget("unknown")
    assert shown(talk.ask(request([A]))) == (True, 0, ["a"])


class Engine:
    """What the worker does with dialogues: the rounds that it would hold."""

    def __init__(self) -> None:
        self.held: dict[str, list[str]] = {}

    def handle(self, message: Message, stopAt: int | None = None) -> Message:
        """The closing reply; `stopAt`: cancelled after so many steps."""
        name, number = message.fields["dialogue"], message.id
        steps = itertools.count()

        def failed(code: str) -> Message:
            count = len(self.held[name]) if name in self.held else None
            return Message("failed", {"id": number, "code": code, "message": "", "rounds": count})

        if message.kind == "open":
            self.held.pop(name, None)
            if stopAt == next(steps):
                return failed("cancelled")
            self.held[name] = []
            return Message("opened", {"id": number, "dialogue": name})
        if message.fields["keep"] > len(self.held.get(name, [])) or name not in self.held:
            return failed("unknown-dialogue")
        del self.held[name][message.fields["keep"] :]
        for k, one in enumerate(message.fields["told"]):
            if stopAt == next(steps):
                return failed("cancelled")
            mask = message.arrays.get(f"told{k}")
            self.held[name].append(f"{one['query']}/{one['answer']}/{None if mask is None else mask.sum()}")
        if stopAt == next(steps):
            return failed("cancelled")
        query, mask = message.fields["query"], message.arrays.get("reference")
        self.held[name].append(f"{query}/{query} [SEG]/{None if mask is None else mask.sum()}")
        return Message("answered", {"id": number, "answer": f"{query} [SEG]", "rounds": len(self.held[name])})


@pytest.mark.parametrize("seed", range(20))
def test_both_sides_agree_whatever_happens(seed: int) -> None:
    """A long random conversation: after every answer the engine holds exactly the rounds that the module has."""
    chance = random.Random(seed)
    talk, engine = Talk(), Engine()
    dialogues: dict[str, list[Told]] = {"d": [], "e": []}
    late: list[Message] = []
    sent = answered = 0
    for step in range(300):
        name = chance.choice(list(dialogues))
        history = dialogues[name]
        if chance.random() < 0.15:
            del history[chance.randint(0, len(history)) :]
        if chance.random() < 0.1 and history:
            del history[chance.randrange(len(history))]
        if chance.random() < 0.05:
            engine.held.pop(name, None)
        reference = chance.choice([None, LEFT, RIGHT])
        asked = request(history, f"q{step}", reference, dialogueID=name, imageKey=chance.choice("iiii" + "j"))
        cancelled = chance.random() < 0.3
        for _ in range(2):
            messages = talk.ask(asked)
            sent += len(messages[-1].fields["told"])
            stopAt = chance.randint(0, 4) if cancelled else None
            replies = [engine.handle(message, stopAt) for message in messages]
            if cancelled and chance.random() < 0.5:
                late += replies  # they come when something else was asked already, or never
                break
            for reply in late + replies:
                talk.session.replied(reply)
            late.clear()
            if replies[-1].fields.get("code") != "unknown-dialogue":
                break
            talk.session.forget(name)
        if not cancelled:
            assert replies[-1].kind == "answered"
            history.append(told(f"q{step}", reference))
            answered += 1
            assert engine.held[name] == [
                f"{one.query}/{one.answer}/{None if one.reference is None else one.reference.sum()}" for one in history
            ]
    assert answered > 150
    assert sent < 15 * answered
