"""The native checkpoint: a folder with `config.json`, `model.safetensors`, `tokenizer.model` and a model card."""

from pathlib import Path

import torch
from torch import Tensor

from MediRoundLib.checkpoints.assemble import Checkpoint, build_model, check_tokens
from MediRoundLib.checkpoints.files import read_tensors, write_tensors
from MediRoundLib.checkpoints.names import JCM_PREFIXES, released_state
from MediRoundLib.config import MediRoundConfig
from MediRoundLib.modeling import MediRound
from MediRoundLib.text import Tokenizer

CONFIG, WEIGHTS, TOKENIZER, CARD = "config.json", "model.safetensors", "tokenizer.model", "README.md"


def load_native(folder: Path, dtype: torch.dtype = torch.float32) -> Checkpoint:
    """Read a native checkpoint of any stage; `dtype` is that of the model in memory.

    Raises:
        CheckpointError: a file is missing or damaged, or tensors do not fit the config.
    """
    config = MediRoundConfig.load(folder / CONFIG)
    tokenizer = Tokenizer.from_file(folder / TOKENIZER, config.tokens)
    check_tokens(config, tokenizer, str(folder))
    model = build_model(config, read_tensors(folder / WEIGHTS), str(folder), dtype)
    return Checkpoint(model, tokenizer, config)


def save_native(
    folder: Path, model: MediRound, tokenizer: Tokenizer, card: str | None = None, dtype: torch.dtype | None = None
) -> None:
    """Write a native checkpoint; before stage 2 the JCM, which is untrained then, is left out.

    Args:
        folder: made if need be; files of an earlier checkpoint in it are replaced.
        model: the model; its config says the stage.
        tokenizer: its tokenizer.
        card: the model card, Markdown; None to leave out or keep README.md.
        dtype: type of floating-point tensors in the file (float16 halves it); None for the model's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / WEIGHTS, stored_state(model, dtype))
    model.config.save(folder / CONFIG)
    (folder / TOKENIZER).write_bytes(tokenizer.model)
    if card is not None:
        (folder / CARD).write_text(card, encoding="utf-8", newline="\n")


def stored_state(model: MediRound, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """What a file holds of `model`: tensors on the CPU under released names; no untrained JCM."""
    state = {}
    for name, tensor in released_state(model).items():
        if model.config.stage < 2 and name.startswith(JCM_PREFIXES):
            continue
        cast = dtype is not None and tensor.is_floating_point()
        state[name] = (tensor.to(dtype) if cast else tensor).detach().cpu().contiguous()
    return state
