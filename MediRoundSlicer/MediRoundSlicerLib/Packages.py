"""The Python packages that the engine needs in Slicer's own Python: which are missing, and installing them when asked.

Nothing is imported to find out, least of all torch, and nothing is installed unless the user pressed the button.
"""

import importlib
import importlib.metadata
import importlib.util
import logging
import re
import shutil
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any, Literal

import qt
import slicer
import slicer.packaging
from slicer.i18n import tr as _

from MediRoundSlicerLib.Dialogues import DialogueError
from MediRoundSlicerLib.SettingsStore import QUANTIZED, SettingsStore
from MediRoundSlicerLib.Signal import Signal

REQUIREMENTS = Path(__file__).resolve().parent.parent / "Resources" / "requirements.txt"
# The PyTorch extension installs these, matched to the machine's driver; the versions are pyproject.toml's.
TORCH = "torch>=2.6,<3"
TORCHVISION = "torchvision>=0.21"
# Only for a language model in 8 or 4 bits.
BITSANDBYTES = "bitsandbytes>=0.46"
EXTENSION = "PyTorch"
REQUESTER = "MediRoundSlicer"
# Disk space with what they pull in, measured on Linux: torch 2.15 for CUDA 13, of which other systems take less.
_TORCH_GIGABYTES = 5.4
_OTHER_GIGABYTES, _BITSANDBYTES_GIGABYTES = 0.2, 0.2
# What Slicer itself stands on, and the PyTorch just installed: pip must not exchange them for another version.
_KEPT = ("numpy", "scipy", "SimpleITK", "pydicom", "pillow", "requests", "torch", "torchvision")
# Time for the panel to be painted before the event loop is busy with pip.
_PAINT_MS = 50


@dataclass(frozen=True)
class Outcome:
    """How an installation ended.

    Attributes:
        kind: "done"; "cancelled" by the user; "failed"; "restart", which goes on after Slicer's restart.
        message: one sentence for the user.
    """

    kind: Literal["done", "cancelled", "failed", "restart"]
    message: str


class Packages:
    """What is missing, and its installation.

    ```
    packages = Packages(settingsStore)
    packages.finished.connect(onFinished)      # (Outcome)
    if packages.missing():
        packages.install()                     # returns at once; Slicer asks for consent and shows pip's progress
    ```

    Attributes:
        stepBegan: Signal (sentence), what is done now.
        finished: Signal (Outcome).
        running: whether an installation is under way.
    """

    def __init__(self, settingsStore: SettingsStore | None = None) -> None:
        """`settingsStore` tells whether another Python is chosen, and whether the language model is quantized."""
        self.stepBegan = Signal()
        self.finished = Signal()
        self.running = False
        self._store = settingsStore

    def missing(self) -> tuple[str, ...]:
        """What Slicer's own Python lacks, as pip writes it ("torch>=2.6,<3"); () where another Python is chosen."""
        if self._store is not None and self._store.values.python:
            return ()
        importlib.invalidate_caches()  # pip may have run in another process since
        return tuple(needed for needed in self._needed() if not self._has(needed))

    def extensionMissing(self) -> bool:
        """Whether PyTorch is missing, and the extension that installs it, too."""
        if not _torch(self.missing()):
            return False
        return "PyTorchUtils" not in sys.modules and importlib.util.find_spec("PyTorchUtils") is None

    def gigabytes(self) -> float:
        """Disk space that what is missing takes at most."""
        missing = self.missing()
        others = any(needed not in (TORCH, TORCHVISION, BITSANDBYTES) for needed in missing)
        return (
            _TORCH_GIGABYTES * (TORCH in missing)
            + _OTHER_GIGABYTES * others
            + _BITSANDBYTES_GIGABYTES * (BITSANDBYTES in missing)
        )

    def freeGigabytes(self) -> float | None:
        """Free space where Slicer keeps its packages, or None if that is unknown."""
        try:
            return shutil.disk_usage(sysconfig.get_paths()["purelib"]).free / 1e9
        except OSError:
            return None

    def command(self, python: str) -> str:
        """The command line that installs everything into another environment."""
        needed = " ".join(f'"{one}"' for one in self._needed())
        return f'"{python}" -m pip install {needed}'

    def install(self) -> None:
        """Install what is missing; `finished` tells how it ended. A second call meanwhile does nothing."""
        if self.running:
            return
        self.running = True
        qt.QTimer.singleShot(_PAINT_MS, self._run)

    def _needed(self) -> list[str]:
        rest = [str(one) for one in slicer.packaging.load_requirements(str(REQUIREMENTS))]
        if self._store is not None and self._store.values.precision in QUANTIZED:
            rest.append(BITSANDBYTES)
        return [TORCH, TORCHVISION, *rest]

    def _has(self, needed: str) -> bool:
        if not slicer.packaging.pip_check(needed):
            return False
        # A torchvision built for another torch crashes when it is imported.
        return needed != TORCHVISION or all(
            slicer.packaging.pip_check([one])
            for one in importlib.metadata.requires("torchvision") or []
            if distribution(one) == "torch"
        )

    def _run(self) -> None:
        try:
            outcome = self._install()
        except DialogueError as error:
            outcome = Outcome("failed", str(error))
        except Exception as error:  # whatever breaks in pip or in an extension must not leave the panel waiting
            logging.exception("MediRoundSlicer: installing packages")
            outcome = Outcome("failed", _failure(_("the packages"), error))
        self.running = False
        self.finished.emit(outcome)

    def _install(self) -> Outcome:
        missing = self.missing()
        if missing and slicer.app.testingEnabled():
            raise DialogueError(_("Nothing is installed while Slicer runs tests; start Slicer without them."))
        torch = _torch(missing)
        if torch:
            self.stepBegan.emit(_("Installing PyTorch. This can take many minutes; the Python console shows it."))
            ended = self._installTorch(torch)
            if ended is not None:
                return ended
        rest = [needed for needed in self.missing() if needed not in (TORCH, TORCHVISION)]
        if rest:
            self.stepBegan.emit(_("Installing the other packages."))
            ended = self._installRest(rest)
            if ended is not None:
                return ended
        left = self.missing()
        if left:
            raise DialogueError(
                _("Still missing: {names}. The Python console has pip's messages; then press Install again.").format(
                    names=named(left)
                )
            )
        return Outcome("done", _("Everything that the engine needs is installed."))

    def _installTorch(self, missing: tuple[str, ...]) -> Outcome | None:
        """None where it is there now."""
        try:
            import PyTorchUtils
        except ImportError:
            return self._installExtension()
        version = TORCH.removeprefix("torch")
        if TORCH not in missing:
            # Other extensions use this one: only a torchvision that fits it is added.
            version = "==" + importlib.metadata.version("torch")
        elif "torch" in sys.modules:
            raise DialogueError(
                _("Slicer uses an older PyTorch right now; restart Slicer and press Install before anything else.")
            )
        try:
            torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(
                askConfirmation=True,
                torchVersionRequirement=version,
                torchvisionVersionRequirement=TORCHVISION.removeprefix("torchvision"),
            )
        except Exception as error:
            # It also imports torch into Slicer, where it may clash with another library. The engine's process is not
            # Slicer: what counts is whether the packages are there.
            if _torch(self.missing()):
                logging.exception("MediRoundSlicer: installing PyTorch")
                return Outcome("failed", _failure("PyTorch", error))
            return None
        return _cancelled() if torch is None else None

    def _installExtension(self) -> Outcome:
        manager: Any = slicer.app.extensionsManagerModel() if hasattr(slicer.app, "extensionsManagerModel") else None
        if manager is None:
            raise DialogueError(
                _("This Slicer cannot install the PyTorch extension; use another Python environment instead.")
            )
        already = manager.isExtensionInstalled(EXTENSION)
        if not already:
            self.stepBegan.emit(_("Installing the PyTorch extension."))
        # Asks for consent by itself; the restart is the panel's, so that a scene can be saved first.
        if not already and not manager.installExtensionFromServer(EXTENSION, False):
            raise DialogueError(
                _(
                    "The PyTorch extension was not installed; press Install to try again, get it in the Extensions "
                    "Manager, or use another Python environment."
                )
            )
        return Outcome(
            "restart",
            _(
                "The PyTorch extension is installed. Restart Slicer and press Install once more. If it is still not "
                "found then, switch it on in the Extensions Manager."
            ),
        )

    def _installRest(self, needed: list[str]) -> Outcome | None:
        """None where they are there now."""
        with tempfile.TemporaryDirectory() as folder:
            constraints = Path(folder) / "constraints.txt"
            constraints.write_text("\n".join(_kept()) + "\n", encoding="utf-8")
            try:
                slicer.packaging.pip_ensure(needed, constraints=str(constraints), requester=REQUESTER)
            except CalledProcessError as error:
                return Outcome("failed", _failure(named(needed), error))
            except RuntimeError as error:
                if "declined" in str(error):  # how pip_ensure tells the user's no
                    return _cancelled()
                raise
        return None


def distribution(requirement: str) -> str:
    """The name in a requirement, such as "torch" of "torch>=2.6,<3"."""
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]


def named(requirements: tuple[str, ...] | list[str]) -> str:
    """Requirements as a user reads them."""
    return ", ".join({"torch": "PyTorch"}.get(name, name) for name in map(distribution, requirements))


def _torch(missing: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(needed for needed in missing if needed in (TORCH, TORCHVISION))


def _kept() -> list[str]:
    found = []
    for name in _KEPT:
        try:
            found.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cancelled() -> Outcome:
    return Outcome("cancelled", _("Nothing more was installed. Press Install whenever you want to go on."))


def _failure(what: str, error: Exception) -> str:
    reason = _("pip stopped") if isinstance(error, CalledProcessError) else str(error).partition("\n")[0].rstrip(".")
    return _(
        "{what} could not be installed ({reason}; the Python console has the details). Check the network and the free "
        "disk space and press Install again, or use another Python environment."
    ).format(what=what, reason=reason or type(error).__name__)
