"""Reads what a CMakeLists.txt of this extension sets. It knows `set(NAME values ...)`, and no more of CMake."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def values(text: str, name: str) -> list[str]:
    """The values of `set(NAME ...)` in a CMakeLists.txt's text, in order, with ${MODULE_NAME} filled in.

    Raises:
        AssertionError: the text sets no such name.
    """
    begin = re.search(rf"^set\({name}\b", text, re.MULTILINE)
    assert begin, f"no set({name} ...) in CMakeLists.txt"
    found: list[str] = []
    for token in re.findall(r'"[^"]*"|#[^\n]*|\)|[^\s()"]+', text[begin.end() :]):
        if token == ")":
            return found
        if not token.startswith("#"):
            found.append(token.strip('"').replace("${MODULE_NAME}", "MediRoundSlicer"))
    raise AssertionError(f"set({name} ... is not closed in CMakeLists.txt")


def extension() -> dict[str, str]:
    """EXTENSION_... of the root CMakeLists.txt, by the part of the name after EXTENSION_."""
    text = (REPOSITORY / "CMakeLists.txt").read_text()
    names = re.findall(r"^set\(EXTENSION_(\w+)", text, re.MULTILINE)
    return {name: " ".join(values(text, f"EXTENSION_{name}")) for name in names}
