"""Reading and writing checkpoints: the native format, and the layouts in which the parts were released."""

import json
from pathlib import Path

import torch

from MediRoundLib.checkpoints.assemble import Checkpoint
from MediRoundLib.checkpoints.lora import LORA_ALPHA
from MediRoundLib.checkpoints.native import load_native, save_native
from MediRoundLib.checkpoints.pretrained import join_pretrained
from MediRoundLib.checkpoints.released import load_released, save_released
from MediRoundLib.config import FORMAT
from MediRoundLib.errors import CheckpointError
from MediRoundLib.shipped import DEFAULT, checkpoint_folder

__all__ = [
    "DEFAULT",
    "Checkpoint",
    "checkpoint_folder",
    "is_native",
    "join_pretrained",
    "load_checkpoint",
    "load_native",
    "load_released",
    "save_native",
    "save_released",
]


def is_native(folder: Path) -> bool:
    """Whether the folder's `config.json` says that it is a native checkpoint.

    Raises:
        CheckpointError: there is one that is no JSON object.
    """
    path = folder / "config.json"
    try:
        return path.exists() and json.loads(path.read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} is no JSON object; copy the checkpoint folder again.") from error


def load_checkpoint(
    path_or_name: str | Path, dtype: torch.dtype = torch.float32, lora_alpha: float = LORA_ALPHA
) -> Checkpoint:
    """Load a checkpoint of any known layout.

    Args:
        path_or_name: a checkpoint's folder, or a shipped one's name.
        dtype: type of the model in memory.
        lora_alpha: alpha of unmerged LoRA in a released layout.

    Raises:
        CheckpointError: the checkpoint is unknown, incomplete, damaged or of another layout.
    """
    folder = checkpoint_folder(path_or_name)
    return load_native(folder, dtype) if is_native(folder) else load_released(folder, lora_alpha, dtype)
