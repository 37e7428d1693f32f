"""Files for the user: whole or not at all, under names that every system takes."""

import contextlib
import errno
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from slicer.i18n import tr as _

from MediRoundSlicerLib.Dialogues import DialogueError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def stagedFolder(folder: Path) -> Iterator[Path]:
    """A folder for a moment, inside `folder`; the files in it and below it move there once all of them are written.

    ```
    with stagedFolder(Path("exports")) as staged:
        (staged / "labels.json").write_text(text, encoding="utf-8")
    ```

    Args:
        folder: made if absent. Files of equal names in it are replaced; nothing else is touched.

    Raises:
        DialogueError: the files cannot be written; nothing of them is left, nor a folder that was made for them.
    """
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Inside the folder, and so on its disk: to move a file there is to rename it.
        staged = Path(tempfile.mkdtemp(prefix=".mediround-", dir=folder))
    except OSError as error:
        _removeEmpty(made)
        raise _problem(error, folder) from error
    try:
        yield staged
        _move(staged, folder)
    except OSError as error:
        raise _problem(error, folder) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        _removeEmpty(made)


def _move(staged: Path, folder: Path) -> None:
    files = [path for path in sorted(staged.rglob("*")) if path.is_file()]
    for path in files:
        goal = folder / path.relative_to(staged)
        if goal.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(goal))
        goal.parent.mkdir(parents=True, exist_ok=True)
    for path in files:
        os.replace(path, folder / path.relative_to(staged))


def _removeEmpty(folders: list[Path]) -> None:
    """Remove folders that hold nothing, the innermost first."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _problem(error: OSError, folder: Path) -> DialogueError:
    if error.errno in _FULL:
        return DialogueError(
            _("The disk of {folder} is full; make room there, or choose another folder.").format(folder=folder)
        )
    if error.errno in _FORBIDDEN:
        return DialogueError(_("{folder} cannot be written to; choose another folder.").format(folder=folder))
    reason = os.strerror(error.errno) if error.errno else str(error)
    return DialogueError(
        _("The files could not be written to {folder} ({reason}); choose another folder.").format(
            folder=folder, reason=reason
        )
    )


def writeProblem(folder: Path) -> DialogueError:
    """For a writer that only says that it failed."""
    return DialogueError(
        _("The files could not be written to {folder}; make room there, or choose another folder.").format(
            folder=folder
        )
    )


def plainName(text: str, otherwise: str) -> str:
    """Small letters, digits and underscores, at most 60, of a text; `otherwise` where it has none of them.

    "Left parotid" -> "left_parotid"; "Läsion" -> "lasion".
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:60].strip("_") or otherwise


def uniqueName(name: str, taken: set[str]) -> str:
    """The name, or with "_2" and so on where it is taken; it is taken then."""
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    taken.add(unique)
    return unique
