"""One run of the engine process: its start, its messages, its log and its end. It never waits."""

import os
import shutil
import sys
from collections import deque
from pathlib import Path
from typing import Any

import qt
import slicer

import MediRoundLib
from MediRoundLib.protocol import Decoder, Message, ProtocolError, encode
from MediRoundSlicerLib.Signal import Signal

# A process that was told to end and does not is killed after so long.
_PATIENCE_MS = 2000
# The first message comes before anything heavy is imported: what takes longer is no engine.
_FIRST_MS = 60_000

# How a process ends: there is no such program; it wrote something else; it wrote nothing; it ended.
NOT_STARTED, GARBAGE, SILENT, EXITED = "not started", "garbage", "silent", "exited"


class EngineChild:
    """
    ```
    child = EngineChild(settings.python, log)
    child.received.connect(onMessage)       # (Message)
    child.ended.connect(onEnded)            # (child, NOT_STARTED | GARBAGE | SILENT | EXITED), after all messages
    child.start()
    child.send(Message("devices", {"id": 1}))
    child.end()
    ```

    Args:
        python: the interpreter, "" for Slicer's own.
        log: takes each line that the process writes to stderr.
    """

    def __init__(self, python: str, log: "deque[str]") -> None:
        self.received = Signal()
        self.ended = Signal()
        self._log = log
        self._decoder = Decoder()
        self._partialLine = ""
        self._way = EXITED
        self._isEnding = self._isOver = False
        self._process = qt.QProcess()
        self._process.setProgram(interpreter(python))
        self._process.setArguments(["-m", "MediRoundLib.worker"])
        self._process.setProcessEnvironment(environment(python))
        self._process.setProcessChannelMode(qt.QProcess.SeparateChannels)
        self._process.connect("readyReadStandardOutput()", self._onOutput)
        self._process.connect("readyReadStandardError()", self._onLog)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._onError)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        self._killer = qt.QTimer()
        self._killer.setSingleShot(True)
        self._killer.connect("timeout()", self._onTooLate)

    def start(self) -> None:
        """Begin; what follows is told by signals, also where there is no such program."""
        self._killer.start(_FIRST_MS)
        self._process.start()

    def send(self, message: Message) -> None:
        """Hand a message over; Qt writes it as fast as the process reads.

        Raises:
            ProtocolError: it is too large.
        """
        data = encode(message)
        if not self._isOver:
            self._process.write(data)

    def end(self) -> None:
        """Let the process end, at once and whatever it does; `ended` comes when it is gone."""
        if not self._isOver:
            self._process.closeWriteChannel()  # its worker ends with its stdin, also behind Slicer's launcher
            self._process.terminate()
            self._killer.start(_PATIENCE_MS)
            self._isEnding = True

    def _onTooLate(self) -> None:
        if not self._isEnding:
            self._way = SILENT
        self._process.kill()

    def _onOutput(self) -> None:
        data = self._process.readAllStandardOutput().data()
        if self._way == GARBAGE:
            return
        try:
            messages = self._decoder.feed(data)
        except ProtocolError:
            self._way = GARBAGE
            self._process.kill()
            return
        if messages and not self._isEnding:
            self._killer.stop()
        for message in messages:
            self.received.emit(message)

    def _onLog(self) -> None:
        text = self._partialLine + self._process.readAllStandardError().data().decode("utf-8", "replace")
        *lines, self._partialLine = text.split("\n")
        self._log.extend(lines)

    def _onError(self, error: Any) -> None:
        if error == qt.QProcess.FailedToStart:
            self._way = NOT_STARTED
            # It may come before start() has returned.
            qt.QTimer.singleShot(0, self._finish)

    def _onFinished(self, *_: Any) -> None:
        # A process that is ending may end with the application, when its object is there no more.
        if not self._isEnding:
            self._onOutput()
            self._onLog()
        # Not at once, since it lets go of the process that is calling.
        qt.QTimer.singleShot(0, self._finish)

    def _finish(self) -> None:
        if self._isOver:
            return
        self._isOver = True
        self._killer.stop()
        self._process = self._killer = None  # they hold this object as long as they live
        self.ended.emit(self, self._way)


def interpreter(python: str) -> str:
    """The program to start; "" means Slicer's own interpreter, its PythonSlicer."""
    return python or shutil.which("PythonSlicer") or sys.executable or "PythonSlicer"


def environment(python: str) -> Any:
    """The QProcessEnvironment: Slicer's own for its interpreter, and for another the one that Slicer was started in.

    MediRoundLib is found in both.
    """
    if python:
        made = qt.QProcessEnvironment()
        for name, value in slicer.util.startupEnvironment().items():
            made.insert(name, value)
        for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE"):
            made.remove(name)
    else:
        made = qt.QProcessEnvironment.systemEnvironment()
    paths = [str(Path(MediRoundLib.__file__).resolve().parent.parent), str(made.value("PYTHONPATH"))]
    made.insert("PYTHONPATH", os.pathsep.join(path for path in paths if path))
    made.insert("PYTHONSAFEPATH", "1")  # nothing is imported from the folder that Slicer happens to run in
    return made
