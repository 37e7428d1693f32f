"""Programs in the place of the engine's Python, for tests: workers without torch that behave well or badly."""

import sys
from pathlib import Path

# A worker whose service answers at once; `crash(request)` and `reply(request)` are replaced by a test's own lines.
_WORKER = """
import os, sys, time, types
from pathlib import Path
import numpy as np
from MediRoundLib import worker
from MediRoundLib.errors import CheckpointError
from MediRoundLib.protocol import Message

HERE = Path(__file__).parent
CPU = {"id": "cpu", "name": "CPU", "free": None, "total": None, "bf16": False}

def times(name):
    "How often this was called with this name, over all processes."
    path = HERE / name
    path.write_text(path.read_text() + "x" if path.exists() else "x")
    return len(path.read_text())

class Service:
    def __init__(self, send, cancelled):
        self.send, self.cancelled, self.held, self.threshold = send, cancelled, {}, 0.6
    def rounds(self, name):
        return self.held.get(name)
    def handle(self, request):
        kind, fields = request.kind, request.fields
        before(self, request)
        if kind == "load":
            self.threshold = 0.6 if fields["threshold"] is None else fields["threshold"]
            return Message("loaded", {"id": request.id, "name": "fake", "stage": 2, "device": CPU, "dtype": "float32",
                                      "threshold": self.threshold})
        if kind == "settings":
            self.threshold = fields["threshold"]
            return Message("done", {"id": request.id})
        if kind == "devices":
            return Message("devices", {"id": request.id, "devices": [CPU]})
        if kind == "open":
            self.held[fields["dialogue"]] = 0
            return Message("opened", {"id": request.id, "dialogue": fields["dialogue"]})
        self.send(Message("progress", {"id": request.id, "stage": "reading", "fraction": None}))
        count = self.held[fields["dialogue"]] = fields["keep"] + len(fields["told"]) + 1
        return Message("answered", {"id": request.id, "answer": "It is [SEG].", "quality": 0.5,
            "quality_corrected": None, "corrected": False, "whole_image": False, "seconds": 0.1, "model": "fake",
            "threshold": self.threshold, "rounds": count}, {"mask": np.ones((4, 6), dtype=bool)})

def before(service, request):
    pass

sys.modules["MediRoundLib.service"] = types.SimpleNamespace(Service=Service)
worker.missing_packages = lambda: []
"""


def fakePython(folder: Path, code: str) -> str:
    """A program that runs `code` whatever it is asked to run. Returns its path."""
    script, program = folder / "script.py", folder / "python"
    script.write_text(code, encoding="utf-8")
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}"\n', encoding="utf-8")
    program.chmod(0o755)
    return str(program)


def fakeWorker(folder: Path, code: str = "") -> str:
    """A worker without torch; `code` may define `before(service, request)`, which may do anything."""
    return fakePython(folder, _WORKER + code + "\nsys.exit(worker.main())\n")
