"""What Slicer's extension catalogue reads of this repository: names, descriptions, addresses, icon.

The rules are those of the catalogue's own checks (Slicer/ExtensionsIndex, scripts/check_description_files.py).
"""

import json
import re
from pathlib import Path
from typing import Any

import cmakelists
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
CMAKELISTS = REPOSITORY / "CMakeLists.txt"
ENTRY = REPOSITORY / "MediRoundSlicer.json"
S4EXT = REPOSITORY / "MediRoundSlicer.s4ext"

# What Slicer's slicer-extension-catalog-entry-schema-v1.0.1.json allows; nothing else may stand there.
SCHEMA = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}


def entry() -> dict[str, Any]:
    """The catalogue entry."""
    return dict(json.loads(ENTRY.read_text()))


def s4ext() -> dict[str, str]:
    """The older description: the first word of each line that is no comment, and the rest of the line."""
    lines = [line for line in S4EXT.read_text().splitlines() if line.strip() and not line.startswith("#")]
    pairs = [line.split(maxsplit=1) for line in lines]
    assert all(len(pair) == 2 for pair in pairs), f"a keyword without a value in {S4EXT.name}"
    assert len({pair[0] for pair in pairs}) == len(pairs), f"a keyword twice in {S4EXT.name}"
    return {keyword: value.strip() for keyword, value in pairs}


def test_the_name_is_one_that_the_catalogue_takes() -> None:
    project = re.search(r"^project\((\w+)\)", CMAKELISTS.read_text(), re.MULTILINE)
    assert project
    assert project[1] == ENTRY.stem == S4EXT.stem, "the descriptions must be named after the project in CMakeLists.txt"
    assert not project[1].lower().startswith("slicer"), "an extension's name may not begin with Slicer"
    assert (REPOSITORY / "LICENSE").is_file(), "the catalogue looks for a licence in the repository's root"


def test_the_entry_keeps_to_its_schema() -> None:
    values = entry()
    assert values["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.1.json#")
    for key in ("category", "scm_url"):
        assert key in values, f"{ENTRY.name} needs {key}"
    for key, value in values.items():
        assert key in SCHEMA, f"the schema does not know {key} of {ENTRY.name}"
        assert isinstance(value, SCHEMA[key]), f"{key} of {ENTRY.name} is of another kind than the schema wants"
    assert 1 <= values["tier"] <= 5
    assert values["category"] == "Segmentation"
    assert values["scm_url"].startswith("https://")


def test_the_descriptions_agree() -> None:
    extension, older, newer = cmakelists.extension(), s4ext(), entry()
    for name in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        assert older[name.lower()] == extension[name], f"{name.lower()}: {S4EXT.name} and CMakeLists.txt differ"
    for keyword, key in (("scmurl", "scm_url"), ("scmrevision", "scm_revision"), ("category", "category")):
        assert older[keyword] == newer[key], f"{keyword}: {S4EXT.name} and {ENTRY.name} differ"
    assert older["build_subdirectory"] == newer["build_subdirectory"]
    assert older["scm"] == "git"
    assert older["enabled"] == "1"
    assert newer["build_dependencies"] == extension["DEPENDS"].split(), f"{ENTRY.name} and EXTENSION_DEPENDS differ"
    assert newer["scm_url"].removesuffix(".git") == extension["HOMEPAGE"]


@pytest.mark.parametrize("name", ["ICONURL", "SCREENSHOTURLS"])
def test_links_to_pictures_lead_to_pictures(name: str) -> None:
    # The catalogue's checks read the line as text: they fill in no variables and join no lines.
    found = re.search(rf'^set\(EXTENSION_{name} "([^"\n]+)"\)$', CMAKELISTS.read_text(), re.MULTILINE)
    assert found, f"EXTENSION_{name} must be one quoted text in one line of CMakeLists.txt"
    homepage = cmakelists.extension()["HOMEPAGE"]
    files = homepage.replace("https://github.com/", "https://raw.githubusercontent.com/")
    base = f"{files}/{entry()['scm_revision']}/"
    for address in found[1].split():
        assert address.startswith(base), f"{address} should begin with {base}, where this repository's files are"
        picture = REPOSITORY / address.removeprefix(base)
        assert picture.is_file(), f"{address} leads nowhere: the repository has no {address.removeprefix(base)}"
        with Image.open(picture) as image:
            image.verify()


@pytest.mark.parametrize("path", [CMAKELISTS, ENTRY, S4EXT], ids=lambda path: path.name)
def test_lines_end_as_the_catalogue_wants(path: Path) -> None:
    content = path.read_bytes()
    assert b"\r" not in content, f"{path.name} has line endings other than LF"
    assert content.endswith(b"\n")


def test_the_icon_is_what_its_source_shows() -> None:
    pytest.importorskip("PySide6.QtSvg", reason="no PySide6: the icon is drawn again where it is installed")
    from Resources.icon import ICON, SIDE, draw

    with Image.open(ICON) as image:
        assert image.size == (SIDE, SIDE) == (128, 128)
        assert image.mode == "RGBA"
        committed = image.tobytes("raw", "BGRA")
    drawn = bytes(draw().constBits())
    off = sum(abs(one - other) for one, other in zip(committed, drawn, strict=True)) / len(drawn)
    assert off < 1, "the icon is not what Resources/icon.svg shows: run `python -m Resources.icon`"
