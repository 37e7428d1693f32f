"""The requests that are not answered yet, in their order. No Qt."""

import itertools
from dataclasses import dataclass, field

from MediRoundSlicerLib.EngineMessages import AskRequest


@dataclass(eq=False)
class Asked:
    """A request that is not answered yet.

    Attributes:
        id: for the module.
        request: what is asked.
        sent: ids of the messages that were sent for it.
        restarted: whether the process died at it once already.
        reopened: whether the engine turned out not to hold its dialogue, and it was sent again.
    """

    id: int
    request: AskRequest
    sent: list[int] = field(default_factory=list)
    restarted: bool = False
    reopened: bool = False


class EngineQueue:
    """
    ```
    queue = EngineQueue()
    asked = queue.add(request)
    queue.next()                    # is the current one now
    queue.drop(asked)
    ```

    Attributes:
        current: the one that the engine works on, or None.
        waiting: the others, in order.
    """

    def __init__(self) -> None:
        self.current: Asked | None = None
        self.waiting: list[Asked] = []
        self._ids = itertools.count(1)

    def add(self, request: AskRequest) -> Asked:
        asked = Asked(next(self._ids), request)
        self.waiting.append(asked)
        return asked

    def next(self) -> Asked | None:
        """Make the first that waits the current one, if none is; returns it in that case."""
        if self.current is not None or not self.waiting:
            return None
        self.current = self.waiting.pop(0)
        return self.current

    def all(self) -> list[Asked]:
        """The current one first."""
        return [*([] if self.current is None else [self.current]), *self.waiting]

    def first(self) -> Asked | None:
        """The one that everything waits for."""
        return next(iter(self.all()), None)

    def get(self, requestID: int) -> Asked | None:
        return next((asked for asked in self.all() if asked.id == requestID), None)

    def drop(self, asked: Asked) -> None:
        if asked is self.current:
            self.current = None
        elif asked in self.waiting:
            self.waiting.remove(asked)

    def clear(self) -> list[Asked]:
        """Drop all of them, and return them."""
        every = self.all()
        self.current, self.waiting = None, []
        return every

    def again(self) -> Asked | None:
        """The first one shall be sent anew, before all others, as if it never was. Returns it, or None."""
        asked = self.first()
        if asked is not None:
            asked.sent, asked.reopened = [], False
            self.drop(asked)
            self.waiting.insert(0, asked)
        return asked
