"""A machine whose Python, user and network do what a test says."""

import importlib.metadata
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from packaging.requirements import Requirement

# Versions that a package index would give.
INDEX = {
    "bitsandbytes": "0.49",
    "huggingface-hub": "1.31",
    "safetensors": "0.8.1",
    "segment-anything": "1.0",
    "sentencepiece": "0.2.1",
    "transformers": "5.1",
}


class Machine:
    """What Slicer's Python holds, and what user and network answer; it stands for slicer.app and PyTorchUtils.

    Attributes:
        present: distribution to its version; what is installed is added.
        asked: what was called, in order.
        constraints: the lines that pip was given.
        torch: what installTorch does: "installs", "declined", "fails", or "clashes", which installs and then raises.
        rest: what pip_ensure does: "installs", "declined", "fails", "breaks" or "nothing".
        extension: of PyTorch where it is not loaded: "offered", "declined", or "installed", which awaits the restart.
        testing: whether Slicer runs tests.
    """

    def __init__(self) -> None:
        self.present = {"numpy": "2.4.6", "pillow": "12.2.0", "SimpleITK": "2.5.5"}
        self.asked: list[Any] = []
        self.constraints: list[str] = []
        self.torch, self.rest, self.extension = "installs", "installs", "offered"
        self.testing = False

    def version(self, name: str) -> str:
        if name not in self.present:
            raise importlib.metadata.PackageNotFoundError(name)
        return self.present[name]

    def pip_check(self, given: Any) -> bool:
        wanted = [Requirement(str(one)) for one in (given if isinstance(given, list) else [given])]
        return all(one.name in self.present and self.present[one.name] in one.specifier for one in wanted)

    def pip_ensure(self, needed: list[str], constraints: str, requester: str) -> None:
        names = [Requirement(one).name for one in needed]
        self.asked.append(("pip", names, requester))
        self.constraints = Path(constraints).read_text().split()
        if self.rest == "declined":
            raise RuntimeError("User declined package installation")
        if self.rest == "fails":
            raise CalledProcessError(1, "pip install")
        if self.rest == "breaks":
            raise RuntimeError("PythonSlicer executable not found")
        if self.rest == "installs":
            self.present.update({name: INDEX[name] for name in names})

    def installTorch(
        self, askConfirmation: bool, torchVersionRequirement: str, torchvisionVersionRequirement: str
    ) -> object | None:
        assert askConfirmation
        self.asked.append(("torch", torchVersionRequirement, torchvisionVersionRequirement))
        if self.torch == "declined":
            return None
        if self.torch == "fails":
            raise CalledProcessError(1, "light_the_torch")
        self.present.update({"torch": "2.9.0+cu130", "torchvision": "0.24.0"})
        if self.torch == "clashes":
            raise ImportError("libomp is loaded twice")
        return object()

    def testingEnabled(self) -> bool:
        return self.testing

    def extensionsManagerModel(self) -> "Machine":
        return self

    def isExtensionInstalled(self, name: str) -> bool:
        assert name == "PyTorch"
        return self.extension == "installed"

    def installExtensionFromServer(self, name: str, restart: bool) -> bool:
        self.asked.append(("extension", name, restart))
        return self.extension == "offered"
