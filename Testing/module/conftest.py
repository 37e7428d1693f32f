"""Fixtures of the module's tests: Slicer's scene, and the host that the module runs in."""

import gc
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

# Why the tests of this folder cannot run, or "".
missing = ""
try:
    importlib.import_module("slicer_host.scene")  # brings slicer.i18n, which the module's files import
    importlib.import_module("slicer_host.qtmodule").install()  # before the tests' files import `qt`
except ImportError as _error:
    if os.environ.get("CI"):  # there they must run
        raise
    missing = f"slicer-core or PySide6 is not installed, or lacks a library of the system: {_error}"


class Absent(pytest.Module):
    """A file of tests that cannot be imported here."""

    def collect(self) -> Any:
        pytest.skip(missing, allow_module_level=True)


def pytest_configure(config: pytest.Config) -> None:
    # What Qt 6 would rather have otherwise is what works in Qt 5 too.
    config.addinivalue_line("filterwarnings", "ignore:Function. '.*' is marked as deprecated:DeprecationWarning")


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> Any:
    return Absent.from_parent(parent, path=module_path) if missing else None


@pytest.fixture
def scene() -> Iterator[Any]:
    """Slicer's scene with its slice views; no Qt."""
    from slicer_host.scene import Scene

    made = Scene()
    yield made
    made.closeViews()


@pytest.fixture
def host() -> Iterator[Any]:
    """The host, with a scene of its own; the test fails on errors in slots, which Slicer would only print."""
    from slicer_host import Host

    made = Host()
    yield made
    made.close()
    del made.mrmlScene
    gc.collect()
    made.checkNoneSwallowed()


@pytest.fixture
def talk(host: Any) -> Iterator[Any]:
    """A conversation about a small CT in the Red view."""
    from talk import Talk

    made = Talk(host)
    yield made
    made.conversation.close()


@pytest.fixture
def engine(host: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An EngineProcess whose processes are `fake_child.Child`; `told` is what it told that is no progress."""
    from fake_child import Child
    from MediRoundSlicerLib import EngineProcess as module

    monkeypatch.setattr(module, "EngineChild", Child)
    Child.made.clear()
    made: Any = module.EngineProcess()
    made.told = []
    for signal in (made.failed, made.noticed, made.packagesMissing, made.answered):
        signal.connect(lambda *what: made.told.append(what))
    return made


@pytest.fixture
def opened(host: Any) -> Iterator[Any]:
    """The chat panel alone, in a window."""
    from opened_panel import Opened

    made = Opened(host)
    yield made
    made.close()
