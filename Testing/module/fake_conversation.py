"""A Conversation without a scene or an engine: the panel's tests say what there is, and see what the panel asks for."""

import dataclasses
import time
from types import SimpleNamespace
from typing import Any

from fake_engine import FakeEngine
from MediRoundSlicerLib.Dialogues import Dialogue, PlaneGrid, Reference, Round
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Understanding import Choice, Understood, label

IDENTITY = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
PLANE = PlaneGrid(IDENTITY, IDENTITY, (256, 256), 2, 33, "axial", 12.0)
COLOURS = ((216, 101, 79), (128, 174, 128), (111, 184, 210), (241, 214, 145))


class FakeConversation:
    """The face of Conversation, as far as the panel sees it.

    ```
    conversation = FakeConversation()
    conversation.hold(rounds)               # the current dialogue, with a segment for each round
    conversation.run("Segment the liver.")  # a running round
    conversation.called                     # [("ask", query, reference), ..]: what the panel asked for
    ```
    """

    def __init__(self) -> None:
        self.dialogueChanged, self.placeChanged, self.pendingChanged = Signal(), Signal(), Signal()
        self.unanswered, self.failed, self.noticed = Signal(), Signal(), Signal()
        self.refuses = ""
        self.prepared = 0
        self.engine: Any = FakeEngine()
        self.viewName = "Red"
        self.place = "CT chest · Axial 34"
        self.hint = ""
        self.current: Dialogue | None = None
        self.pending: Any = None
        self.undoText = self.redoText = ""
        self.segmentationNode: Any = None
        self.volumeNode: Any = None
        self.called: list[tuple[Any, ...]] = []
        self.choices: list[Choice] = []
        self.others: list[Dialogue] = []
        self.answers: dict[str, Understood] = {}

    def hold(self, rounds: list[Round], drawn: tuple[str, ...] = (), identifier: str = "d1") -> None:
        """Make these the current dialogue's rounds; `drawn` are names of segments that no round made."""
        self.current = Dialogue(identifier, "Axial 34", PLANE, "Red", tuple(rounds), 1)
        made = [
            Choice(done.segmentID, done.autoName, done.name, COLOURS[k % len(COLOURS)], done.id, done.number)
            for k, done in enumerate(rounds)
        ]
        own = [Choice(f"own{k}", name, name, (230, 230, 230)) for k, name in enumerate(drawn)]
        self.choices = made + own
        self.undoText = f"{rounds[-1].name} (round {rounds[-1].number})" if rounds else ""
        self.dialogueChanged.emit()

    def run(
        self, query: str, stage: str = "Reading the query", roundID: str | None = None, elapsed: float = 0.0
    ) -> None:
        """Begin a round, or tell its next stage."""
        dialogue = self.current or Dialogue("new", "Axial 34", PLANE, "Red")
        self.pending = SimpleNamespace(
            query=query,
            stage=stage,
            roundID=roundID,
            dialogue=dialogue,
            dialogueID=dialogue.id,
            started=time.monotonic() - elapsed,
        )
        self.pendingChanged.emit()

    def end(self) -> None:
        """The running round is over, however it ended."""
        self.pending = None
        self.pendingChanged.emit()

    def viewNames(self) -> list[str]:
        return ["Red", "Green", "Yellow"]

    def dialogues(self) -> list[Dialogue]:
        return self.others + ([] if self.current is None else [self.current])

    def stored(self) -> list[Any]:
        return [SimpleNamespace(dialogue=one, volume=None) for one in self.dialogues()]

    def tellProblems(self) -> None:
        pass

    def prepare(self) -> None:
        self.prepared += 1

    def ask(self, query: str, reference: Any) -> bool:
        return self._sent("ask", query, reference)

    def branch(self, roundID: str, query: str) -> bool:
        return self._sent("branch", roundID, query)

    def _sent(self, *called: Any) -> bool:
        """Sent, unless `refuses` says why not."""
        self.called.append(called)
        if self.refuses:
            self.failed.emit(self.refuses)
        return not self.refuses

    def giveUp(self, sentence: str) -> None:
        """The running round ends without an answer."""
        self.end()
        self.unanswered.emit()
        self.failed.emit(sentence)

    def segments(self) -> list[Choice]:
        return self.choices

    def understood(self, query: str, reference: Any = "auto") -> Understood:
        if reference == "auto":
            return self.answers.get(query, Understood(None, "no reference"))
        return Understood(reference, label(reference, self.choices))

    def queries(self) -> list[str]:
        return [] if self.current is None else [done.query for done in self.current.rounds]

    def rename(self, roundID: str, name: str) -> None:
        self.called.append(("rename", roundID, name))
        self.choices = [
            dataclasses.replace(choice, name=name, spoken=name) if choice.roundID == roundID else choice
            for choice in self.choices
        ]
        self.dialogueChanged.emit()

    def __getattr__(self, name: str) -> Any:
        """Everything else is remembered: ask, cancel, select, goTo, askAgain, branch, undo .."""
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*arguments: Any) -> None:
            self.called.append((name, *arguments))

        return call


def aRound(number: int, query: str = "Segment the left lung.", **fields: Any) -> Round:
    """A round that was answered."""
    name = fields.pop("name", "left lung")
    values: dict[str, Any] = {
        "answer": "Sure, it is [SEG].",
        "text": f"Sure, it is instance {number}.",
        "name": name,
        "autoName": f"{name[0].upper()}{name[1:]} (round {number})",
        "segmentID": f"s{number}",
        "quality": 0.82,
        "seconds": 1.4,
        "model": "mediround-tiny",
    }
    return Round(id=f"r{number}", number=number, query=query, **{**values, **fields})


def fourRounds() -> list[Round]:
    """A dialogue as a trainee holds it: references, a corrected round, a low quality, Chinese."""
    return [
        aRound(1, "Segment the left lung."),
        aRound(
            2,
            "Please segment the other lung with reference to instance 1.",
            name="right lung",
            reference=Reference("s1", "r1", "instance 1"),
            quality=0.55,
            qualityCorrected=0.66,
            corrected=True,
            seconds=1.9,
        ),
        aRound(
            3,
            "请分割第2轮输出中的感染区域。",
            name="感染区域",
            autoName="感染区域 (round 3)",
            text="好的，它是实例3。质量较低（0.42），请先核对再采信。",
            reference=Reference("s2", "r2", "第2轮"),
            quality=0.42,
            seconds=2.2,
        ),
        aRound(
            4,
            "Now the heart, based on my lesion outline, as large as it appears on this window.",
            name="heart",
            reference=Reference("own0"),
            seconds=1.1,
        ),
    ]
