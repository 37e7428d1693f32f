"""Fixtures that several tests share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of golden cases and labelled images: `../shared` beside the repository, or $MEDIROUND_SHARED.

    It is no part of the project: tests that use it are skipped where it is absent.
    """
    folder = Path(os.environ.get("MEDIROUND_SHARED") or REPOSITORY.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: set MEDIROUND_SHARED to the folder of golden cases and labelled images")
    return folder
