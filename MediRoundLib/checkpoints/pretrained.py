"""Joining pretrained parts, LLaVA-Med and MedSAM, into a stage 0 model: where stage 1 training begins."""

from pathlib import Path

import torch
from torch import Tensor, nn

from MediRoundLib.checkpoints.assemble import Checkpoint, build_model
from MediRoundLib.checkpoints.files import read_json, read_tensors, read_weights
from MediRoundLib.checkpoints.lora import plain_names
from MediRoundLib.checkpoints.names import SAM_PREFIX
from MediRoundLib.checkpoints.sizes import language_sizes, sam_sizes
from MediRoundLib.checkpoints.vision import read_tower
from MediRoundLib.config import MediRoundConfig, TokenConfig
from MediRoundLib.errors import CheckpointError
from MediRoundLib.text import Tokenizer

_NEW_TOKENS = len(TokenConfig().strings())
# Where LLaVA-Med's config.json does not say otherwise: Mistral's own.
_INITIALIZER_RANGE = 0.02


def join_pretrained(
    llava_med: Path, medsam: Path, name: str = "mediround", seed: int = 0, dtype: torch.dtype = torch.float32
) -> Checkpoint:
    """A MediRound whose language model, CLIP tower and SAM are pretrained and whose heads are fresh.

    The vocabulary grows by MediRound's three tokens: their rows are normal with the language model's own spread, as the
    released code's `resize_token_embeddings` draws them.

    Args:
        llava_med: folder of LLaVA-Med's original files: `config.json`, `tokenizer.model`, one or many shards. CLIP's
            weights are in the shards, or in the folder that `mm_vision_tower` names.
        medsam: MedSAM's (or SAM's) file with segment_anything's names, such as `medsam_vit_b.pth`.
        name: of the new model.
        seed: of the fresh weights.
        dtype: type of the model in memory.

    Raises:
        CheckpointError: a part is missing, damaged or of another layout.
    """
    state = plain_names(read_weights(llava_med))
    config = read_json(llava_med / "config.json")
    sam = {SAM_PREFIX + key: tensor for key, tensor in read_tensors(medsam).items()}
    sam_config = sam_sizes({key.removeprefix(SAM_PREFIX): tensor for key, tensor in sam.items()})
    if taken := sorted(key for key in state if key.startswith(SAM_PREFIX)):
        raise CheckpointError(
            f"{llava_med} holds a SAM already ({taken[0]}): it is a MediRound, not a LLaVA-Med; load it as it is."
        )
    pieces = Tokenizer.from_file(llava_med / "tokenizer.model", TokenConfig()).pieces
    tokens = TokenConfig(pieces, pieces + 1, pieces + 2)
    generator = torch.Generator().manual_seed(seed)
    spread = float(config.get("initializer_range", _INITIALIZER_RANGE))
    for key in ("model.embed_tokens.weight", "lm_head.weight"):
        state[key] = _grown(state.get(key), key, pieces, spread, generator, llava_med)
    tower = read_tower(llava_med, config, state)
    state |= tower.tensors | sam
    width = state["model.embed_tokens.weight"].shape[1]
    state |= _fresh_heads(width, sam_config.prompt_dim, generator)
    full = MediRoundConfig(
        language=language_sizes(config, pieces + _NEW_TOKENS),
        vision=tower.fields,
        sam=sam_config,
        clip_image=tower.image,
        tokens=tokens,
        feature_layer=int(config.get("mm_vision_select_layer", -2)),
        stage=0,
        name=name,
    )
    tokenizer = Tokenizer.from_file(llava_med / "tokenizer.model", tokens)
    return Checkpoint(build_model(full, state, f"{llava_med} with {medsam}", dtype), tokenizer, full)


def _grown(
    rows: Tensor | None, key: str, pieces: int, spread: float, generator: torch.Generator, origin: Path
) -> Tensor:
    """The tokenizer's `pieces` rows of a vocabulary matrix and the new tokens'; rows that pad it fall away."""
    if rows is None or rows.shape[0] < pieces:
        has = "no" if rows is None else f"{rows.shape[0]} rows of"
        raise CheckpointError(
            f"{origin} has {has} {key}, its tokenizer.model {pieces} pieces; fetch every file of one LLaVA-Med."
        )
    new = torch.empty(_NEW_TOKENS, rows.shape[1]).normal_(0.0, spread, generator=generator)
    return torch.cat([rows[:pieces], new.to(rows.dtype)])


def _fresh_heads(width: int, prompt_dim: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Seeded weights of what neither part has: the `SEG` projection and the box encoder, as PyTorch begins a Linear."""
    seed = int(torch.randint(2**31, (1,), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = {
            "model.text_hidden_fcs.0.0": nn.Linear(width, width),
            "model.text_hidden_fcs.0.2": nn.Linear(width, prompt_dim),
            "model.bbox_encoder": nn.Linear(4, width),
        }
    return {f"{name}.{key}": tensor for name, head in heads.items() for key, tensor in head.state_dict().items()}
