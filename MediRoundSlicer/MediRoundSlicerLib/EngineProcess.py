"""The engine as the module sees it: a child process that is started, fed, restarted and ended, and never waited for."""

import itertools
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MediRoundLib.protocol import REPLIES, Message, ProtocolError, check
from MediRoundSlicerLib import EngineTexts
from MediRoundSlicerLib.EngineChild import GARBAGE, EngineChild
from MediRoundSlicerLib.EngineMessages import AskRequest
from MediRoundSlicerLib.EnginePrefetch import EnginePrefetch
from MediRoundSlicerLib.EngineQueue import Asked, EngineQueue
from MediRoundSlicerLib.EngineSession import EngineSession, answerOf
from MediRoundSlicerLib.EngineSettings import EngineSettings
from MediRoundSlicerLib.Signal import Signal

# So many crashes in so many seconds end the attempts.
_CRASHES, _CRASH_SECONDS = 3, 60.0
_LOG_LINES = 400


@dataclass
class _Run:
    """One process, and what it has been told."""

    child: EngineChild
    settings: EngineSettings
    session: EngineSession = field(default_factory=EngineSession)
    greeted: bool = False
    loadID: int | None = None
    devicesID: int | None = None
    sharesTold: tuple[float | None, bool] | None = None
    model: Mapping[str, Any] | None = None


class EngineProcess:
    """Answers queries in a child process, one after the other; every call returns at once.

    ```
    engine = EngineProcess(EngineSettings(device="cpu"))
    engine.answered.connect(onAnswered)         # (requestID, Answer)
    engine.failed.connect(onFailed)             # (requestID, code, sentence)
    requestID = engine.ask(request)             # starts the process where need be
    engine.cancel(requestID)                    # failed(requestID, "cancelled", ..) before it returns
    engine.startQuietly()                       # before anyone asks; what goes wrong is told to the first who does
    engine.prefetch(dialogueID, image, imageKey)    # what may be asked about next
    engine.stop()                               # ends the process and frees its memory
    ```

    A process that dies is started again for the request that it left, once; dialogues are told to it again. What
    cannot work (no such Python, packages missing, three crashes in a minute) leaves the state "failed" until `start`,
    `ask` or `configure` is called.

    Attributes:
        stateChanged: Signal (), after `state` or `description` changed.
        progressed: Signal (requestID or None, stage, fraction in [0, 1] or None). Stages: starting, loading, encoding,
            replaying, reading, judging, drawing.
        answered: Signal (requestID, Answer).
        failed: Signal (requestID, code, sentence): one of `protocol.CODES`, or "process" where the process cannot run.
        noticed: Signal (sentence): what no request can tell.
        packagesMissing: Signal (names for pip).
        devicesListed: Signal (list of dicts, see `devices` in protocol.REPLIES; empty where it cannot be found out).
        state: "stopped", "starting", "loading", "ready", "busy" or "failed".
        description: what runs where, once it is loaded; why it does not, once it failed.
        log: the last lines that the process wrote to stderr; they hold nothing of a patient.
    """

    def __init__(self, settings: EngineSettings | None = None) -> None:
        self.stateChanged, self.progressed, self.answered = Signal(), Signal(), Signal()
        self.failed, self.noticed, self.packagesMissing, self.devicesListed = Signal(), Signal(), Signal(), Signal()
        self.settings = settings or EngineSettings()
        self.state, self.description = "stopped", ""
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self._queue, self._prefetch = EngineQueue(), EnginePrefetch()
        self._messageIDs = itertools.count(1)
        self._wantsModel = self._wantsDevices = False
        # Nobody has asked for anything yet: where it cannot run, the first query will say so.
        self._isQuiet = False
        # The user stopped it: what she did not ask for does not start it again.
        self._isSwitchedOff = False
        self._crashes: list[float] = []
        self._run: _Run | None = None
        self._ending: EngineChild | None = None

    # ---- what the module asks for ----

    def start(self) -> None:
        """Start the process and load the checkpoint, if that is not done yet."""
        self._wantLoudly()

    def startQuietly(self) -> None:
        """`start` before anyone asks for it: where it fails that is not told, and after `stop` it does nothing."""
        if self.state == "stopped" and not self._isSwitchedOff:
            self._wantQuietly()

    def stop(self) -> None:
        """End the process, which frees its memory; requests fail with the code "cancelled"."""
        self._wantsModel, self._isSwitchedOff = False, True
        self._endRun()
        self._setState("stopped")
        self._failAll("cancelled", EngineTexts.stopped())

    def ask(self, request: AskRequest) -> int:
        """Have a query answered after those before it. Returns the request's id; it may have failed already."""
        asked = self._queue.add(request)
        if self.state in ("starting", "loading"):
            self._tell(self.state, None)
        self._wantLoudly()
        return asked.id

    def prefetch(self, dialogueID: str, image: NDArray[np.uint8], imageKey: str) -> None:
        """Have an image encoded that may be asked about next, while the process has nothing else to do.

        Starts the process where need be. Whatever becomes of it is not told; a query about another image ends it.

        Args:
            dialogueID: that the query would join, "" for a new one.
            image, imageKey: as in AskRequest.
        """
        held = self._run is not None and self._run.session.holds(dialogueID, imageKey)
        if self.state == "failed" or self._queue.first() is not None or held:
            return
        self._prefetch.want(image, imageKey)
        self._wantQuietly()

    def cancel(self, requestID: int) -> None:
        """Give a request up at once, whatever the process is doing; unknown ones are let pass."""
        asked = self._queue.get(requestID)
        if asked is not None:
            if self._run is not None:
                for number in asked.sent:
                    self._run.child.send(Message("cancel", {"id": number}))
            self._fail(asked, "cancelled", EngineTexts.cancelled())

    def listDevices(self) -> None:
        """Find out what this machine offers; `devicesListed` tells. Starts a process for it where none runs."""
        self._wantsDevices, self._isQuiet = True, False
        self._advance()

    def configure(self, settings: EngineSettings) -> None:
        """Use other settings, at once or after the running request; what needs a new process gets one."""
        if settings != self.settings:
            self.settings = settings
            self._crashes = []
            if self.state == "failed":
                self._setState("stopped")
            self._advance()

    # ---- one step after the other ----

    def _wantLoudly(self) -> None:
        self._wantsModel, self._isQuiet, self._isSwitchedOff = True, False, False
        self._advance()

    def _wantQuietly(self) -> None:
        self._isQuiet = self._isQuiet or not (self._wantsModel or self._wantsDevices)
        self._wantsModel = True
        self._advance()

    def _advance(self) -> None:
        """Take the next step towards what is wanted, where one can be taken now.

        Slots may call back: every step is taken before it is told.
        """
        if self._run is not None and self._queue.current is None and not self.settings.sameProcess(self._run.settings):
            self._endRun()
        run = self._run
        if run is None:
            if self._ending is None and (self._wantsModel or self._wantsDevices):
                self._launch()
            if self._wantsModel:
                self._setState("starting")
        elif run.greeted:
            if self._wantsDevices and run.devicesID is None:
                run.devicesID = self._post(run, "devices")
            if run.model is not None:
                self._serve(run, run.model)
            elif self._wantsModel:
                self._load(run)
            elif not self._wantsDevices:
                self._endRun()
        elif self._wantsModel:
            self._setState("starting")

    def _launch(self) -> None:
        child = EngineChild(self.settings.python, self.log)
        child.received.connect(self._onMessage)
        child.ended.connect(self._onEnded)
        self._run = _Run(child, self.settings)
        child.start()
        if self._wantsModel:
            self._tell("starting", None)

    def _load(self, run: _Run) -> None:
        settings = self.settings
        if run.loadID is None:
            run.sharesTold = (settings.threshold, settings.jcm)
            run.loadID = self._post(
                run,
                "load",
                checkpoint=settings.checkpoint,
                device=settings.device,
                dtype=settings.dtype,
                quantize=settings.quantize,
                threshold=settings.threshold,
                jcm=settings.jcm,
                held_bytes=settings.heldBytes,
            )
        self._setState("loading")

    def _serve(self, run: _Run, model: Mapping[str, Any]) -> None:
        shares = (self.settings.threshold, self.settings.jcm)
        if shares != run.sharesTold:
            run.sharesTold = shares
            self._post(run, "settings", threshold=shares[0], jcm=shares[1])
        asked = self._queue.next()
        if asked is not None:
            self._send(run, asked)
        elif self._queue.current is None:
            for message in self._prefetch.messages(self._messageIDs):
                run.child.send(message)
        self._setState("ready" if self._queue.current is None else "busy", EngineTexts.loaded(model))

    def _send(self, run: _Run, asked: Asked) -> None:
        if (other := self._prefetch.outdated(asked.request.imageKey)) is not None:
            run.child.send(Message("cancel", {"id": other}))
        try:
            messages = run.session.messages(self._messageIDs, asked.request)
            asked.sent = [message.fields["id"] for message in messages]
            for message in messages:
                run.child.send(message)
        except ProtocolError:
            run.session.forget(asked.request.dialogueID)
            self._fail(asked, "query", EngineTexts.tooLarge())

    def _post(self, run: _Run, kind: str, **fields: Any) -> int:
        """Send a request without arrays. Returns its id."""
        number = next(self._messageIDs)
        run.child.send(Message(kind, {"id": number, **fields}))
        return number

    # ---- what the process says ----

    def _onMessage(self, message: Message) -> None:
        run, asked = self._run, self._queue.current
        if run is None:
            return
        try:
            if message.kind != "hello":  # another version's may have another form
                check(message, REPLIES)
        except ProtocolError:
            self._giveUp("process", EngineTexts.noEngine(GARBAGE, run.settings.python))
            return
        isCurrent = asked is not None and message.id in asked.sent
        if message.kind == "hello":
            self._onHello(run, message.fields)
        elif message.kind == "progress":
            if isCurrent or message.id == run.loadID:
                self._tell(message.fields["stage"], message.fields["fraction"])
        elif self._prefetch.isCurrent(message.id):
            pass
        elif message.id == run.loadID:
            self._onLoaded(run, message)
        elif message.id == run.devicesID:
            run.devicesID, self._wantsDevices = None, False
            self._advance()
            self.devicesListed.emit(list(message.fields.get("devices", ())))
        else:
            run.session.replied(message)
            if asked is not None and isCurrent:
                self._onReply(run, asked, message)

    def _onHello(self, run: _Run, fields: Mapping[str, Any]) -> None:
        run.greeted = True
        unfit, missing = EngineTexts.unfit(fields), [str(name) for name in fields.get("missing", ())]
        if unfit:
            self._giveUp("process", unfit)
        elif missing:
            isQuiet = self._isQuiet
            self._giveUp("packages", EngineTexts.missing(missing))
            if not isQuiet:
                self.packagesMissing.emit(missing)
        else:
            self._advance()

    def _onLoaded(self, run: _Run, message: Message) -> None:
        if message.kind == "loaded":
            run.model, self._isQuiet = message.fields, False
            self._advance()
        else:
            code = message.fields["code"]
            self._giveUp(code, EngineTexts.failure(code, message.fields["message"]))

    def _onReply(self, run: _Run, asked: Asked, message: Message) -> None:
        if message.kind == "answered":
            self._queue.drop(asked)
            self._advance()
            self.answered.emit(asked.id, answerOf(message))
        elif message.kind == "failed":
            code = message.fields["code"]
            if code == "unknown-dialogue" and not asked.reopened:
                asked.reopened = True
                run.session.forget(asked.request.dialogueID)
                self._send(run, asked)
            else:
                self._fail(asked, code, EngineTexts.failure(code, message.fields["message"]))

    # ---- how it ends ----

    def _onEnded(self, child: EngineChild, way: str) -> None:
        if child is self._ending:
            self._ending = None
            self._advance()
        elif self._run is not None and child is self._run.child:
            run, self._run = self._run, None
            self._prefetch.forget()
            if run.greeted:
                self._onCrash()
            else:
                self._giveUp("process", EngineTexts.noEngine(way, run.settings.python))

    def _onCrash(self) -> None:
        """Start again for the request that was worked on, once a request."""
        now = time.monotonic()
        self._crashes = [*(then for then in self._crashes if now - then < _CRASH_SECONDS), now]
        asked = self._queue.again()
        if len(self._crashes) >= _CRASHES:
            self._giveUp("process", EngineTexts.endedOften())
        elif asked is None:
            isQuiet, self._wantsModel, self._isQuiet = self._isQuiet, False, False
            self._setState("stopped")
            self._failAll("process", EngineTexts.endedIdle())
            if not isQuiet:
                self.noticed.emit(EngineTexts.endedIdle())
        elif asked.restarted:
            self._wantsModel = len(self._queue.waiting) > 1
            if not self._wantsModel:
                self._setState("stopped")
            self._fail(asked, "process", EngineTexts.endedTwice())
        else:
            asked.restarted = True
            self._advance()
            self.noticed.emit(EngineTexts.restarted())

    def _giveUp(self, code: str, sentence: str) -> None:
        """End the process, since no other attempt would go better, and say why."""
        isQuiet, self._wantsModel, self._isQuiet = self._isQuiet, False, False
        self._endRun()
        self._setState("failed", sentence)
        if not self._failAll(code, sentence) and code != "packages" and not isQuiet:
            self.noticed.emit(sentence)

    def _endRun(self) -> None:
        run, self._run = self._run, None
        self._prefetch.forget()
        if run is not None:
            run.child.received.disconnect(self._onMessage)
            self._ending = run.child
            run.child.end()

    def _fail(self, asked: Asked, code: str, sentence: str) -> None:
        self._queue.drop(asked)
        self._advance()
        self.failed.emit(asked.id, code, sentence)

    def _failAll(self, code: str, sentence: str) -> bool:
        """Fail every request. Returns whether there was one."""
        failed = self._queue.clear()
        for asked in failed:
            self.failed.emit(asked.id, code, sentence)
        if self._wantsDevices:
            self._wantsDevices = False
            self.devicesListed.emit([])
        return bool(failed)

    def _tell(self, stage: str, fraction: float | None) -> None:
        first = self._queue.first()
        self.progressed.emit(None if first is None else first.id, stage, fraction)

    def _setState(self, state: str, description: str = "") -> None:
        if (state, description) != (self.state, self.description):
            self.state, self.description = state, description
            self.stateChanged.emit()
