"""Where checkpoints are: the shipped ones by name, others by their folder. Imports no torch."""

from pathlib import Path

from MediRoundLib.errors import CheckpointError

SHIPPED = Path(__file__).resolve().parent / "weights"
DEFAULT = "mediround-tiny"


def checkpoint_folder(path_or_name: str | Path) -> Path:
    """The folder of a checkpoint: a shipped one's name, or a folder's path.

    Raises:
        CheckpointError: neither of the two; the message lists the shipped names.
    """
    shipped = SHIPPED / str(path_or_name)
    if (shipped / "config.json").exists():
        return shipped
    folder = Path(path_or_name).expanduser()
    if folder.is_file():
        raise CheckpointError(
            f"{folder} is a file; give the folder that holds it, with config.json and tokenizer.model."
        )
    if not folder.is_dir():
        names = ", ".join(sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))) or "none"
        raise CheckpointError(
            f"There is no checkpoint {path_or_name}; give a checkpoint's folder or a shipped name ({names})."
        )
    return folder
