"""The settings that stay from one run of Slicer to the next, and what the engine is told of them."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MediRoundLib.shipped import DEFAULT
from MediRoundSlicerLib import Checkpoints
from MediRoundSlicerLib.Dialogues import DialogueError
from MediRoundSlicerLib.EngineSettings import EngineSettings
from MediRoundSlicerLib.Signal import Signal

PRECISIONS = ("auto", "float32", "bfloat16", "float16", "8bit", "4bit")
QUANTIZED = ("8bit", "4bit")
_PREFIX = "MediRoundSlicer/"
_FOLDERS = "folders"
_MOST_FOLDERS = 8
# Where an environment keeps its interpreter, on each system.
_INTERPRETERS = ("bin/python3", "bin/python", "Scripts/python.exe", "python.exe")


@dataclass(frozen=True)
class Settings:
    """What the user chose.

    Attributes:
        python: interpreter of another environment for the engine, or "" for Slicer's own.
        checkpoint: a shipped name, or a folder.
        device: "auto", "cpu" or "cuda:N".
        precision: one of `PRECISIONS`.
        jcm: whether answers are judged and corrected.
        threshold: score in [0, 1] at or below which an answer is corrected; None for the checkpoint's own.
    """

    python: str = ""
    checkpoint: str = DEFAULT
    device: str = "auto"
    precision: str = "auto"
    jcm: bool = True
    threshold: float | None = None


class SettingsStore:
    """Keeps `values` in Slicer's settings file.

    What is stored and cannot be used, such as a folder that is gone, falls back to its default with a sentence in
    `notices`. It stays stored until the user chooses something else: the drive may be plugged in again.

    ```
    store = SettingsStore()
    store.set(device="cpu")
    engine.configure(store.engineSettings())
    ```
    """

    def __init__(self, settings: Any = None) -> None:
        """Read what is stored in `settings`, a `qt.QSettings`; Slicer's own unless another is given."""
        self.changed = Signal()
        self._settings = slicer.app.userSettings() if settings is None else settings
        self._notices: dict[str, str] = {}
        self.values = self._read()

    @property
    def notices(self) -> tuple[str, ...]:
        """What fell back, and why: one sentence each."""
        return tuple(self._notices.values())

    def set(self, **changes: Any) -> None:
        """Change fields of `values`, keep them, and emit `changed` if there is anything new."""
        values = replace(self.values, **changes)
        settled = False
        for key in changes:
            value = getattr(values, key)
            settled = self._notices.pop(key, None) is not None or settled
            if value == getattr(Settings, key):
                self._settings.remove(_PREFIX + key)
            else:
                self._settings.setValue(_PREFIX + key, _text(value))
        if values != self.values or settled:
            self.values = values
            self.changed.emit()

    def fallBack(self, key: str, notice: str) -> None:
        """Use a field's default for now; what is stored stays."""
        self._notices[key] = notice
        self.values = replace(self.values, **{key: getattr(Settings, key)})
        self.changed.emit()

    def engineSettings(self) -> EngineSettings:
        values = self.values
        quantized = values.precision in QUANTIZED
        return EngineSettings(
            python=values.python,
            checkpoint=values.checkpoint,
            device=values.device,
            dtype="auto" if quantized else values.precision,
            quantize=values.precision if quantized else None,
            threshold=values.threshold,
            jcm=values.jcm,
        )

    def folders(self) -> tuple[str, ...]:
        """Folders of checkpoints that the user chose before, the latest first."""
        try:
            stored = json.loads(str(self._settings.value(_PREFIX + _FOLDERS)))
            return tuple(str(folder) for folder in stored)[:_MOST_FOLDERS]
        except (ValueError, TypeError):
            return ()

    def addFolder(self, folder: str) -> None:
        """Remember a folder for the list."""
        others = [known for known in self.folders() if known != folder]
        self._settings.setValue(_PREFIX + _FOLDERS, json.dumps([folder, *others][:_MOST_FOLDERS]))

    def _read(self) -> Settings:
        readers: dict[str, Callable[[str], Any]] = {
            "python": _python,
            "checkpoint": _checkpoint,
            "device": _device,
            "precision": _precision,
            "jcm": _flag,
            "threshold": _share,
        }
        values: dict[str, Any] = {}
        for key, reader in readers.items():
            stored = self._settings.value(_PREFIX + key)
            if stored is None:
                continue
            # Settings come back as text, or as a list where the file was edited by hand.
            text = stored if isinstance(stored, str) else _text(stored)
            try:
                values[key] = reader(text)
            except DialogueError as error:
                self._notices[key] = str(error)
        return Settings(**values)


def interpreter(path: str) -> str:
    """The Python interpreter that a user meant by a file, or by the folder of an environment.

    Raises:
        DialogueError: there is none, or it is no program.
    """
    chosen = Path(path).expanduser()
    if chosen.is_dir():
        found = next((chosen / name for name in _INTERPRETERS if (chosen / name).is_file()), None)
        if found is None:
            raise DialogueError(
                _("There is no Python in {path}; choose the folder of an environment, or its python file.").format(
                    path=chosen
                )
            )
        # Not resolved: an environment's python is a link, and only its own name leads to its packages.
        chosen = found
    if not chosen.is_file() or not os.access(chosen, os.X_OK):
        raise DialogueError(
            _("{path} is not a Python interpreter; choose the python file of an environment.").format(path=chosen)
        )
    return str(chosen)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _python(text: str) -> str:
    try:
        return interpreter(text) if text else ""
    except DialogueError as error:
        raise DialogueError(
            _("The Python environment {path} cannot be used any more; the engine runs in Slicer's own Python.").format(
                path=text
            )
        ) from error


def _checkpoint(text: str) -> str:
    if text == DEFAULT:
        return text
    try:
        return Checkpoints.find(text).key
    except DialogueError as error:
        raise DialogueError(_("{reason} Until then {name} is used.").format(reason=error, name=DEFAULT)) from error


def _device(text: str) -> str:
    kind, _colon, number = text.partition(":")
    if text in ("auto", "cpu", "cuda") or (kind == "cuda" and number.isdecimal()):
        return text
    raise DialogueError(_damaged(_("device")))


def _precision(text: str) -> str:
    if text in PRECISIONS:
        return text
    raise DialogueError(_damaged(_("precision")))


def _flag(text: str) -> bool:
    if text.lower() in ("true", "1", "false", "0"):
        return text.lower() in ("true", "1")
    raise DialogueError(_damaged(_("correction")))


def _share(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:  # also what is not a number
        raise DialogueError(_damaged(_("threshold")))
    return value


def _damaged(name: str) -> str:
    return _("The stored {name} could not be read, so the usual one is used; choose it again if need be.").format(
        name=name
    )
