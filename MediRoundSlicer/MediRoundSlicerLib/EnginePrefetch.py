"""The image that may be asked about next, encoded while the user types. No Qt."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from MediRoundLib.protocol import Message


class EnginePrefetch:
    """Follows what one EngineProcess was given beforehand; nothing that becomes of it is told to anyone.

    ```
    prefetch = EnginePrefetch()
    prefetch.want(image, imageKey)
    messages = prefetch.messages(ids)       # once the engine can take them
    prefetch.isCurrent(reply.id)            # its closing reply came; there is nothing else to do
    prefetch.outdated(imageKey)             # before another image is asked about: the id to cancel, or None
    prefetch.forget()                       # the process is gone
    ```
    """

    def __init__(self) -> None:
        self._wanted: tuple[NDArray[np.uint8], str] | None = None
        # What was sent, and the message that is not answered yet.
        self._key = ""
        self._id: int | None = None

    @property
    def isWanted(self) -> bool:
        return self._wanted is not None

    def want(self, image: NDArray[np.uint8], imageKey: str) -> None:
        self._wanted = None if imageKey == self._key else (image, imageKey)

    def messages(self, ids: Any) -> list[Message]:
        """What to send, in order, for what is wanted; a new message takes its id from `ids`.

        The one under way is given up first: the engine takes requests in order, and would encode every slice that was
        scrolled past before the one in view.
        """
        if self._wanted is None:
            return []
        (image, self._key), self._wanted = self._wanted, None
        given = [] if self._id is None else [Message("cancel", {"id": self._id})]
        self._id = next(ids)
        return [*given, Message("prefetch", {"id": self._id}, {"image": image})]

    def isCurrent(self, messageID: int | None) -> bool:
        """Whether that was the message under way; it is so no longer."""
        if messageID is None or messageID != self._id:
            return False
        self._id = None
        return True

    def outdated(self, imageKey: str) -> int | None:
        """A query comes: what is wanted is wanted no longer, and what is under way is only good for its own image.

        Afterwards the same image may be sent again: the engine may have needed its room for that query's dialogue.
        """
        self._wanted = None
        other = self._key != imageKey
        self._key = ""
        return self._id if other else None

    def forget(self) -> None:
        self._wanted, self._key, self._id = None, "", None
