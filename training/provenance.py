"""Which weights a number belongs to: what was measured carries their digest, and what ships is checked against it."""

import hashlib
from pathlib import Path

from MediRoundLib.shipped import checkpoint_folder


def weights_digest(model: str | Path) -> str:
    """SHA-256 of the files of weights of a checkpoint, named or by its folder, in the order of their names."""
    found = hashlib.sha256()
    folder = checkpoint_folder(model)
    for path in sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.bin")):
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                found.update(piece)
    return found.hexdigest()
