"""Files of weights: one dictionary of tensors from or to one or many `.bin` or `.safetensors` files."""

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from MediRoundLib.checkpoints.names import name_some
from MediRoundLib.errors import CheckpointError

# What training leaves beside the weights under the same suffix.
_NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        CheckpointError: the file is missing or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is missing or no JSON; copy the base model's file of that name.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no JSON object; copy the base model's file of that name there.")
    return content


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of one `.bin`, `.pt`, `.pth` or `.safetensors` file; pickles are read with `weights_only=True`.

    Raises:
        CheckpointError: the file is missing, damaged, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            # Mapped into memory, as safetensors are: only what is used is read. Files of before PyTorch 1.6 are no
            # archives, and cannot be mapped.
            state = torch.load(path, "cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist; check the path, or fetch the file again.") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged, or holds Python objects beside tensors, which are not loaded for safety; "
            "save its state dict alone."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, SafetensorError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise CheckpointError(f"{path} is damaged or no weights file ({reason}); fetch it again.") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path} holds no plain state dict; save the model's state dict alone.")
    return dict(state)


def write_tensors(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write a `.safetensors` or `.bin` file that those may read who may read its folder.

    It is written beside and renamed: a kill leaves no half file, and a model that still has the old one mapped into
    memory keeps it.
    """
    beside = path.with_name(path.name + ".part")
    if path.suffix == ".safetensors":
        save_file(dict(state), beside, metadata={"format": "pt"})
    else:
        torch.save(dict(state), beside)
    beside.chmod(path.parent.stat().st_mode & 0o666)  # safetensors makes files that only their owner may read
    beside.replace(path)


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a folder.

    Raises:
        CheckpointError: no weights, a DeepSpeed directory that was never converted, or a missing shard.
    """
    for index in sorted(folder.glob("*.index.json")):
        listed = set(read_json(index).get("weight_map", {}).values())
        if absent := sorted(name for name in listed if not (folder / name).exists()):
            raise CheckpointError(f"{folder} lacks {name_some(absent)}, which {index.name} lists; fetch every shard.")
    # Newer versions of zero_to_fp32.py make a folder of shards with the name that was meant for one file.
    places = [folder, *(path for path in folder.glob("*.bin") if path.is_dir())]
    found = (path for place in places for suffix in ("*.bin", "*.safetensors") for path in place.glob(suffix))
    files = sorted(path for path in found if path.is_file() and path.name not in _NO_WEIGHTS)
    if files:
        return files
    if any(folder.rglob("*_model_states.pt")) or any(folder.rglob("*_optim_states.pt")):
        raise CheckpointError(
            f"{folder} is a DeepSpeed directory that was not converted yet; run `python zero_to_fp32.py . "
            "pytorch_model.bin` where its zero_to_fp32.py lies, and put config.json and tokenizer.model beside it."
        )
    raise CheckpointError(f"{folder} holds no weights (.safetensors or .bin); choose the checkpoint's own folder.")


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder's weight files.

    Raises:
        CheckpointError: see `weight_files` and `read_tensors`; or two files disagree about a tensor.
    """
    state: dict[str, Tensor] = {}
    for path in weight_files(folder):
        for name, tensor in read_tensors(path).items():
            if name in state and not torch.equal(state[name], tensor):
                raise CheckpointError(f"{folder} holds {name} twice, not alike; keep the files of one model.")
            state[name] = tensor
    return state


def new_folder(folder: Path) -> Path:
    """`folder`, made if need be, never over someone's files.

    Raises:
        CheckpointError: it holds something, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from error
    if taken:
        raise CheckpointError(f"{folder} is not empty; choose a new folder, since nothing is overwritten.")
    return folder
