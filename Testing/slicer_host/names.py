"""Which names of PySide6 PythonQt lacks in Slicer's stable release, by class."""

from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("only_in_pyside.txt")


@cache
def _listed() -> dict[str, frozenset[str]]:
    entries: list[str] = []
    for line in FILE.read_text(encoding="ascii").splitlines():
        if line.startswith(" "):
            entries[-1] += line
        elif line and not line.startswith("#"):
            entries.append(line)
    return {head: frozenset(names.split()) for head, _colon, names in (entry.partition(":") for entry in entries)}


def isClass(name: str) -> bool:
    """Whether PythonQt has a class of that name, if PySide6 has one."""
    return name not in _listed()["classes"]


def isKnown(rawClass: Any, name: str) -> bool:
    """Whether PythonQt has that name in a class or in what it derives from, if PySide6 has it."""
    return _isKnown(rawClass, name)


@cache
def _isKnown(rawClass: Any, name: str) -> bool:
    for base in rawClass.__mro__:
        if name in _listed().get(base.__name__, ()):
            return False
        if name in vars(base):
            break
    return True
