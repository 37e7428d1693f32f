"""An engine that answers when the test says so, for tests of what the module makes of answers."""

import numpy as np
from MediRoundSlicerLib.EngineMessages import Answer, AskRequest
from MediRoundSlicerLib.Signal import Signal
from numpy.typing import NDArray


class FakeEngine:
    """The face of EngineProcess, as far as Conversation sees it.

    ```
    engine = FakeEngine()
    conversation = Conversation(engine)
    conversation.ask("Segment the liver.")
    engine.reply(mask)                      # the answer to engine.requests[-1]
    ```
    """

    def __init__(self) -> None:
        self.stateChanged, self.progressed, self.answered = Signal(), Signal(), Signal()
        self.failed, self.noticed, self.packagesMissing, self.devicesListed = Signal(), Signal(), Signal(), Signal()
        self.state, self.description = "ready", "a test's own engine"
        self.requests: list[AskRequest] = []
        self.prefetched: list[tuple[str, NDArray[np.uint8], str]] = []
        self.cancelled: list[int] = []
        self.stopped = False
        self.startedQuietly = 0

    def ask(self, request: AskRequest) -> int:
        self.requests.append(request)
        # The real one, too, may say what it does before this returns.
        self.progressed.emit(len(self.requests), "starting", None)
        return len(self.requests)

    def prefetch(self, dialogueID: str, image: NDArray[np.uint8], imageKey: str) -> None:
        self.prefetched.append((dialogueID, image, imageKey))

    def cancel(self, requestID: int) -> None:
        if requestID == len(self.requests):
            self.cancelled.append(requestID)
            self.failed.emit(requestID, "cancelled", "The round was cancelled.")

    def stop(self) -> None:
        self.stopped = True

    def start(self) -> None:
        self.stopped = False

    def startQuietly(self) -> None:
        self.startedQuietly += 1

    def listDevices(self) -> None:
        self.devicesListed.emit([])

    def reply(self, mask: NDArray[np.bool_] | None = None, quality: float | None = 0.8) -> None:
        """Answer the latest request; by default with a square in the middle."""
        request = self.requests[-1]
        if mask is None:
            mask = square(request.image.shape[:2])
        self.answered.emit(
            len(self.requests),
            Answer(
                answer="Sure, it is [SEG].",
                mask=mask,
                quality=quality,
                qualityCorrected=None,
                corrected=False,
                wholeImage=False,
                seconds=0.05,
                model="test",
                threshold=0.6,
            ),
        )


def square(shape: tuple[int, ...], k: int = 0) -> NDArray[np.bool_]:
    """(H, W) bool: a square near the middle, the k-th of several that overlap."""
    mask = np.zeros(shape[:2], bool)
    rows, columns = shape[0] // 4, shape[1] // 4
    mask[rows + k : 2 * rows + k, columns + k : 2 * columns + k] = True
    return mask
