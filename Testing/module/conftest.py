"""Fixtures of the module's tests: Slicer's scene, and the host that the module runs in."""

import gc
import importlib
import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

pytest.importorskip("slicer", reason="slicer-core is not installed: there are no wheels for this Python")

importlib.import_module("slicer_host.scene")  # brings slicer.i18n, which the module's files import
try:
    from slicer_host import qtmodule
except ImportError as _error:  # PySide6, or a library of the system that it needs
    if find_spec("PySide6") is not None:
        raise
    collect_ignore_glob = ["test_*.py"]
else:
    qtmodule.install()  # before the tests' files import `qt`


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
