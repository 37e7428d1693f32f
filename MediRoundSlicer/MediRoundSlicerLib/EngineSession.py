"""What the engine process remembers of each dialogue, and so what it has to be told for the next round. No Qt."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MediRoundLib.protocol import Message
from MediRoundSlicerLib.Dialogues import Told
from MediRoundSlicerLib.EngineMessages import Answer, AskRequest


@dataclass(frozen=True)
class _Held:
    """A dialogue in the engine: its image, the rounds that are certainly there, and the last `ask` about it."""

    imageKey: str
    rounds: tuple[str, ...]
    lastID: int


@dataclass(frozen=True)
class _Sent:
    """An `ask` under way: the rounds in front of it, and the round that it adds."""

    dialogueID: str
    history: tuple[str, ...]
    asked: tuple[str, NDArray[np.bool_] | None]


class EngineSession:
    """Follows one engine process; a new process begins a new session.

    ```
    session = EngineSession()
    for message in session.messages(ids, request): child.send(message)      # the last one is the `ask`
    session.replied(reply)                                                  # each closing reply
    session.forget(dialogueID)                                              # the engine does not know it any more
    ```

    A request that was cancelled or failed needs nothing here: only what is certain counts as held, and the next
    request says how many rounds to keep, so that both sides agree whatever became of the last one.
    """

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._sent: dict[int, _Sent] = {}
        self._digests: dict[str, str] = {}

    def messages(self, ids: Iterator[int], request: AskRequest) -> list[Message]:
        """What to send, in order, for `request`; each message takes its id from `ids`."""
        history = tuple(self._digestOf(told) for told in request.history)
        held = self._held.get(request.dialogueID)
        messages = []
        if held is None or held.imageKey != request.imageKey:
            fields = {"id": next(ids), "dialogue": request.dialogueID}
            messages.append(Message("open", fields, {"image": request.image}))
            keep = 0
        else:
            keep = _common(held.rounds, history)
        asking = _ask(next(ids), request, keep)
        number = asking.fields["id"]
        self._held[request.dialogueID] = _Held(request.imageKey, history[:keep], number)
        self._sent[number] = _Sent(request.dialogueID, history, (request.query, request.reference))
        return [*messages, asking]

    def replied(self, reply: Message) -> None:
        """Take in a closing reply, also one to a request that nobody waits for any more."""
        sent = self._sent.pop(reply.id, None) if reply.id is not None else None
        held = None if sent is None else self._held.get(sent.dialogueID)
        if sent is None or held is None or held.lastID != reply.id:
            return
        count = reply.fields.get("rounds")
        if reply.kind == "answered":
            query, reference = sent.asked
            rounds = (*sent.history, _digest(query, reply.fields["answer"], reference))
        elif count is not None:
            rounds = sent.history[:count]
        else:
            self.forget(sent.dialogueID)
            return
        self._held[sent.dialogueID] = _Held(held.imageKey, rounds, held.lastID)

    def holds(self, dialogueID: str, imageKey: str) -> bool:
        """Whether the engine holds that dialogue, about that image."""
        held = self._held.get(dialogueID)
        return held is not None and held.imageKey == imageKey

    def forget(self, dialogueID: str) -> None:
        """The engine does not hold that dialogue."""
        self._held.pop(dialogueID, None)

    def _digestOf(self, told: Told) -> str:
        # Equal keys have equal content, and a mask of a large image takes a moment to digest.
        if told.key not in self._digests:
            self._digests[told.key] = _digest(told.query, told.answer, told.reference)
        return self._digests[told.key]


def answerOf(reply: Message) -> Answer:
    """What an `answered` reply says."""
    fields = reply.fields
    return Answer(
        answer=fields["answer"],
        mask=reply.arrays["mask"],
        quality=fields["quality"],
        qualityCorrected=fields["quality_corrected"],
        corrected=fields["corrected"],
        wholeImage=fields["whole_image"],
        seconds=fields["seconds"],
        model=fields["model"],
        threshold=fields["threshold"],
    )


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many rounds are the same from the beginning."""
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count


def _ask(number: int, request: AskRequest, keep: int) -> Message:
    told = request.history[keep:]
    arrays: dict[str, NDArray[Any]] = {
        f"told{k}": done.reference for k, done in enumerate(told) if done.reference is not None
    }
    if request.reference is not None:
        arrays["reference"] = request.reference
    fields = {
        "id": number,
        "dialogue": request.dialogueID,
        "keep": keep,
        "told": [{"query": done.query, "answer": done.answer} for done in told],
        "query": request.query,
    }
    return Message("ask", fields, arrays)


def _digest(query: str, answer: str, reference: NDArray[np.bool_] | None) -> str:
    """Equal for rounds that are the same to the engine, whoever remembers them."""
    words = hashlib.blake2b(repr((query, answer)).encode("utf-8", "backslashreplace"), digest_size=16)
    if reference is not None:
        words.update(repr(reference.shape).encode())
        words.update(np.packbits(reference).tobytes())
    return words.hexdigest()
