"""`slicer.packaging`: reads requirements and looks for packages as Slicer does; what it would install, it notes."""

import importlib.metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

# What a test says of the machine: name of a package to whether it is there. Others are looked for.
present: dict[str, bool] = {}
# The arguments of each call of pip_ensure and pip_install.
installed: list[tuple[Any, dict[str, Any]]] = []
# Raised by the next ones: RuntimeError where the user declines, CalledProcessError where pip fails.
failures: list[Exception] = []


def reset() -> None:
    present.clear()
    installed.clear()
    failures.clear()


def load_requirements(path: str | Path) -> list[Requirement]:
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def pip_check(req: Any) -> bool:
    """Whether all of the requirements are there, in an accepted version."""
    return all(_has(one) for one in _listed(req))


def pip_ensure(requirements: Any, **options: Any) -> None:
    """Notes what is missing as installed; the packages are there from then on."""
    known = {"constraints", "skip_packages", "prompt_install", "prompt_restart"}
    known |= {"requester", "skip_in_testing", "show_progress"}
    if not set(options) <= known:
        raise TypeError(f"pip_ensure() got an unexpected keyword argument among {sorted(options)}")
    missing = [one for one in _listed(requirements) if not _has(one)]
    if missing:
        _install(missing, options)


def pip_install(requirements: Any, **options: Any) -> None:
    _install(_listed(requirements), options)


def _install(requirements: list[Requirement], options: dict[str, Any]) -> None:
    installed.append(([str(one) for one in requirements], options))
    if failures:
        raise failures.pop(0)
    present.update({one.name: True for one in requirements})


def _listed(given: Any) -> list[Requirement]:
    if isinstance(given, str):
        given = [given] if ";" in given else given.split()
    return [Requirement(str(one)) for one in ([given] if isinstance(given, Requirement) else given)]


def _has(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    if requirement.name in present:
        return present[requirement.name]
    try:
        return importlib.metadata.version(requirement.name) in requirement.specifier
    except importlib.metadata.PackageNotFoundError:
        return False
