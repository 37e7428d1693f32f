"""Files that are either whole or not there."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from MediRoundLib.errors import MediRoundError, is_out_of_memory


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write what shall be at `path`: beside it, and renamed in the end; a kill leaves what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    yield beside
    beside.replace(path)


@contextmanager
def refusing_foreign(path: Path) -> Iterator[None]:
    """Say in one sentence that what a run keeps in `path` is of something else, or is nothing."""
    try:
        yield
    except (LookupError, RuntimeError, ValueError, TypeError, EOFError, pickle.UnpicklingError) as error:
        if is_out_of_memory(error):
            raise
        raise MediRoundError(f"{path} holds no state of this model and recipe; choose another --run folder.") from error
