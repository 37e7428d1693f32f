"""What the user is told about the engine process: one sentence each, with the way out."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

from MediRoundLib.protocol import MIN_PYTHON, VERSION
from MediRoundSlicerLib.EngineChild import NOT_STARTED, SILENT


def loaded(fields: Mapping[str, Any]) -> str:
    """What runs where, from a `loaded` reply."""
    device, name = fields["device"], fields["name"]
    if device["id"] == "cpu":
        return _("{checkpoint} on the CPU").format(checkpoint=name)
    if device["free"] is None:
        return _("{checkpoint} on {device}").format(checkpoint=name, device=device["name"])
    return _("{checkpoint} on {device} ({free} GB free)").format(
        checkpoint=name, device=device["name"], free=f"{device['free'] / 1e9:.1f}"
    )


def noEngine(way: str, python: str) -> str:
    """Why a process that never said hello is none; `way` is EngineChild's."""
    if way == SILENT:
        return _("The engine's process does not answer; choose another Python in the settings, or start it again.")
    if way == NOT_STARTED:
        if python:
            return _("{python} cannot be started; choose another Python in the settings.").format(python=python)
        return _("Slicer's own Python cannot be started; choose another one in the settings.")
    if python:
        return _("{python} does not run MediRound's engine; choose another Python in the settings.").format(
            python=python
        )
    return _("Slicer's own Python does not run MediRound's engine; install the extension again.")


def unfit(hello: Mapping[str, Any]) -> str:
    """Why a process cannot work with this module, from its `hello`; "" where it can."""
    if hello.get("protocol") != VERSION:
        return _("The engine's Python has another version of MediRound; remove it there, or update the extension.")
    version = str(hello.get("python", ""))
    if [int(part) for part in re.findall(r"\d+", version)[:2]] < list(MIN_PYTHON):
        return _("The engine needs Python {needed} or newer and has {found}; choose another in the settings.").format(
            needed=".".join(map(str, MIN_PYTHON)), found=version
        )
    return ""


def missing(names: Sequence[str]) -> str:
    return _("The engine's Python lacks {names}; install what is missing first.").format(names=", ".join(names))


def failure(code: str, message: str) -> str:
    """Why a request failed, in the words of the panel where it has better ones than the engine."""
    if code == "memory":
        return _("Memory is full; choose a smaller checkpoint or the CPU in the settings, or close other programs.")
    if code == "settings":
        # The engine goes on with the command line's options.
        reason = message.partition(";")[0].rstrip(".")
        return _("{reason}; choose another device or precision in the settings.").format(reason=reason)
    return message


def restarted() -> str:
    return _("The engine ended unexpectedly; it was started again, and goes on with your query.")


def endedIdle() -> str:
    return _("The engine ended unexpectedly; it starts again with your next query.")


def endedTwice() -> str:
    return _("The engine ended twice at this query; choose a smaller checkpoint or the CPU in the settings.")


def endedOften() -> str:
    return _("The engine ended again and again; choose a smaller checkpoint or the CPU in the settings.")


def tooLarge() -> str:
    return _("This query is too large to send; shorten it, or ask on a smaller image.")


def cancelled() -> str:
    return _("The query was cancelled.")


def stopped() -> str:
    return _("The engine was stopped; ask again to start it.")
