"""In the place of EngineChild: a process of the engine that says what the test lets it say."""

from typing import Any, ClassVar

import numpy as np
from MediRoundSlicerLib.Signal import Signal

from MediRoundLib.protocol import REQUESTS, VERSION, Message, check

CPU = {"id": "cpu", "name": "CPU", "free": None, "total": None, "bf16": False}


class Child:
    """
    ```
    monkeypatch.setattr(EngineProcess, "EngineChild", Child)    # the module
    engine.start()
    child = Child.loaded()              # engine.state is "ready"
    child.kinds                         # of what it was told beside `load`
    ```

    Attributes:
        made: all of them, for a test to clear.
    """

    made: ClassVar["list[Child]"] = []

    def __init__(self, python: str, log: Any) -> None:
        self.received, self.ended, self.sent = Signal(), Signal(), list[Message]()
        Child.made.append(self)

    def start(self) -> None:
        pass

    def send(self, message: Message) -> None:
        self.sent.append(check(message, REQUESTS))

    def end(self) -> None:
        self.ended.emit(self, "exited")

    def says(self, kind: str, **fields: Any) -> None:
        arrays = {"mask": np.ones((4, 6), dtype=bool)} if kind == "answered" else {}
        self.received.emit(Message(kind, fields, arrays))

    def begins(self, missing: tuple[str, ...] = ()) -> None:
        self.says("hello", protocol=VERSION, version="1", python="3.12.0", missing=list(missing))

    def loads(self) -> None:
        number = next(message.id for message in self.sent if message.kind == "load")
        self.says("loaded", id=number, name="fake", stage=2, device=CPU, dtype="float32", threshold=0.6)

    def answers(self) -> None:
        done = {"quality": None, "quality_corrected": None, "corrected": False, "whole_image": False, "seconds": 0.1}
        more = {"answer": "It is [SEG].", "model": "fake", "threshold": 0.6, "rounds": 1}
        self.says("answered", id=self.sent[-1].id, **done, **more)

    @staticmethod
    def loaded() -> "Child":
        """The latest one, once its checkpoint is loaded."""
        child = Child.made[-1]
        child.begins()
        child.loads()
        return child

    @property
    def kinds(self) -> list[str]:
        return [message.kind for message in self.sent if message.kind != "load"]
