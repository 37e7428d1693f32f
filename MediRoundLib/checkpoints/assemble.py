"""From a config and named tensors to a model: nothing is left random, nothing is dropped in silence."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.initialization import no_init_weights

from MediRoundLib.checkpoints.names import JCM_PREFIXES, is_computed, module_state, name_some, released_state
from MediRoundLib.config import MediRoundConfig
from MediRoundLib.errors import CheckpointError
from MediRoundLib.modeling import MediRound
from MediRoundLib.text import Tokenizer


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds once it is loaded; the model is on the CPU, in evaluation mode."""

    model: MediRound
    tokenizer: Tokenizer
    config: MediRoundConfig


def build_model(
    config: MediRoundConfig, state: dict[str, Tensor], origin: str, dtype: torch.dtype = torch.float32
) -> MediRound:
    """Build the model and fill it with `state`.

    Before stage 2 a model needs no tensors of the JCM: they are fresh then, and only stage 2 training reads them.

    Args:
        config: sizes and stage.
        state: tensors under released names; emptied, so that a large model is in memory once.
        origin: where the tensors come from, for messages.
        dtype: of the model's parameters.

    Raises:
        CheckpointError: missing, unexpected or misshapen tensors, named.
    """
    try:
        # Parameters stay untouched memory until they are replaced: a large model is neither drawn nor held twice.
        with no_init_weights():
            model = MediRound(config)
    except (ValueError, TypeError, KeyError, AssertionError, RuntimeError, ArithmeticError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise CheckpointError(
            f"The sizes in the config of {origin} do not fit together ({type(error).__name__}: {reason}); "
            "copy the checkpoint's own config.json again."
        ) from error
    fitted, missing = module_state(model, state)
    if config.stage < 2 and not any(name.startswith(JCM_PREFIXES) for name in state):
        missing = [name for name in missing if not name.startswith(JCM_PREFIXES)]
        _freshen((model.judge, model.corrector))
    if missing:
        raise CheckpointError(
            f"{origin} lacks {len(missing)} of the model's tensors ({name_some(missing)}); "
            "it is incomplete or of another layout: fetch every file of it, or see `mediround convert --help`."
        )
    own = released_state(model)
    if unexpected := sorted(name for name in state if name not in own and not is_computed(name)):
        raise CheckpointError(
            f"{origin} holds {len(unexpected)} tensors that this model does not have ({name_some(unexpected)}); "
            "the config belongs to another model, or the checkpoint is not MediRound's."
        )
    if wrong := [
        f"{name} is {tuple(state[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]:
        raise CheckpointError(
            f"{origin} does not fit its config: {name_some(wrong)}; copy config.json and weights of the same model."
        )
    state.clear()
    # Buffers, SAM's position matrix among them, stay in float32: they are few, and rounding them moves every position.
    types = dict.fromkeys((name for name, _ in model.named_parameters()), dtype)
    loaded = {name: fitted.pop(name).to(types.get(name, torch.float32)) for name in list(fitted)}
    model.load_state_dict(loaded, strict=False, assign=True)
    for module in (model.judge, model.corrector):
        module.to(dtype)
    return model.eval()


def _freshen(modules: Sequence[nn.Module]) -> None:
    """PyTorch's own first weights, always the same ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for layer in (layer for module in modules for layer in module.modules() if isinstance(layer, nn.Linear)):
            layer.reset_parameters()


def check_tokens(config: MediRoundConfig, tokenizer: Tokenizer, origin: str) -> None:
    """Whether vocabulary, tokenizer and added tokens are of one model.

    Raises:
        CheckpointError: they are not.
    """
    vocab_size = config.language.get("vocab_size", 0)
    added = sorted(config.tokens.strings().values())
    if tokenizer.pieces > added[0] or added[-1] >= vocab_size or len(set(added)) < len(added):
        raise CheckpointError(
            f"{origin} has a tokenizer of {tokenizer.pieces} pieces, added tokens {added} and a vocabulary of "
            f"{vocab_size}, which do not fit together; copy tokenizer.model and config.json of the same model."
        )
