"""A recipe: one TOML file in `configs/` that says everything about a training run."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from MediRoundLib.config import ClipImageConfig, JcmConfig, MediRoundConfig, SamConfig, TokenConfig
from MediRoundLib.errors import MediRoundError
from training.augment import AugmentConfig
from training.data.phrases import RELATIONS
from training.losses import LossWeights

CONFIGS = Path(__file__).parent / "configs"
PHASES = ("pretrain", "align", "stage1", "stage2")
_TABLES = {"model", "tokenizer", "mixture", "augment", "loss", "lora", *PHASES}
_KNOWN = {"name", "seed", "precision", "split", "layers", *_TABLES}


@dataclass(frozen=True)
class PhaseRecipe:
    """How one phase is trained: linear warm-up, then linear decay to 0, clipping at 1.0.

    `optimizer` is "adamw" (betas 0.9 and 0.95) or "muon" (see `loop.optimizers`); `precision` "float32" or "bf16", in
    which weights stay in float32 and products are made in bfloat16; it may stand above all tables, for every phase.
    `batch` counts images (pretrain) or dialogues; `chinese` and `absent` are shares of dialogues and of queries.
    `alignment` is a factor upon the losses of alignment and naming: kept at 1 in stage 1 it makes a structure's `SEG`
    feature the same in every image, and so its quality score blind to the image.

    A step learns from `accumulate` batches, one after the other, where memory does not hold one large one. Every
    `check` steps, and at the end, `check_batches` batches of held-out patients are measured; 0 for never.

    `frozen` names parts that rest, by the beginnings of their parameters' names. The others make dialogues harder than
    their true words and masks are: `loose` is the share of questions told freely (see
    `phrases.relation_query`), `garble` that of the words' tokens which become any other, `muddle` that of the questions
    about an earlier round of which about half do, so that its mask must tell what may be meant, `forget` that of the
    other questions of which as much does, so that a later one must lean on their masks, `blur` that of the references
    whose mask is distorted, as a mask of the model's own may be. `relations` says how often a relation is asked for,
    where that differs from `rounds.WEIGHTS`.
    """

    steps: int
    batch: int
    lr: float
    warmup: int
    weight_decay: float = 0.0
    max_rounds: int = 6
    chinese: float = 0.0
    absent: float = 0.0
    alignment: float = 1.0
    accumulate: int = 1
    check: int = 0
    check_batches: int = 8
    frozen: tuple[str, ...] = ()
    loose: float = 0.0
    garble: float = 0.0
    muddle: float = 0.0
    forget: float = 0.0
    blur: float = 0.0
    relations: Mapping[str, float] = field(default_factory=dict)
    optimizer: str = "adamw"
    precision: str = "float32"

    def __post_init__(self) -> None:
        """Raises TypeError for a choice that there is not."""
        for name, choices in (("optimizer", ("adamw", "muon")), ("precision", ("float32", "bf16"))):
            if getattr(self, name) not in choices:
                raise TypeError(f"{name} is {getattr(self, name)!r} and may be {' or '.join(choices)}")
        if not isinstance(self.relations, Mapping) or not all(
            name in RELATIONS and isinstance(weight, int | float) and weight >= 0
            for name, weight in self.relations.items()
        ):
            raise TypeError(f"relations is {self.relations} and may have numbers from 0 for {', '.join(RELATIONS)}")


def plain(phase: PhaseRecipe) -> PhaseRecipe:
    """The phase without what makes its dialogues harder or other than usual: for measuring."""
    return replace(phase, loose=0.0, garble=0.0, muddle=0.0, forget=0.0, blur=0.0, relations={})


@dataclass(frozen=True)
class LoraRecipe:
    """Low-rank adapters on the language model's q_proj and v_proj (Hu et al. 2021); the released recipe's values.

    `base` says how the language model's own weights are held while they rest: "full", "8bit" or "4bit" (QLoRA, Dettmers
    et al. 2023). `checkpointing` computes its activations anew in the backward pass and does not keep them.
    """

    r: int = 8
    alpha: int = 16
    dropout: float = 0.05
    base: Literal["full", "8bit", "4bit"] = "full"
    checkpointing: bool = False


@dataclass(frozen=True)
class Recipe:
    """A run's settings; see `configs/tiny.toml` for what each table means. `text` is the file that says them.

    Names in `mixture` that end in .json are MR-MedSeg files, whose dialogues are taught as they stand there.

    With `split` the processes of a run hold a part of the model each (see `shard`), for GPUs that do not hold it whole.
    `model` and `vocab_size` are for a model from scratch; with a pretrained base, `lora` says how it is adapted.
    `layers` is what the language model of a checkpoint that is trained on shall have, see `grow`; 0 for its own.
    """

    name: str
    seed: int
    model: dict[str, Any]
    vocab_size: int
    mixture: dict[str, float]
    augment: AugmentConfig
    loss: LossWeights
    lora: LoraRecipe
    phases: dict[str, PhaseRecipe]
    text: str
    split: bool = False
    layers: int = 0

    def __post_init__(self) -> None:
        """Raises TypeError for settings that exclude each other."""
        if self.split and self.lora.base != "full":
            raise TypeError('split needs base = "full": weights in 4 or 8 bits cannot be split')
        if "align" in self.phases and self.loss.alignment <= 0:
            raise TypeError("align needs alignment above 0 under [loss]")
        if not isinstance(self.layers, int) or self.layers < 0:
            raise TypeError(f"layers is {self.layers!r} and may be a whole number from 0")
        if self.split and any(phase.optimizer == "muon" for phase in self.phases.values()):
            raise TypeError('split needs optimizer = "adamw": Muon works on whole matrices')

    @property
    def close_up(self) -> bool:
        """Whether the model sees images as `imaging.View.close_up` shows them."""
        return bool(self.model.get("close_up", False))

    def sam(self) -> SamConfig:
        """Sizes of SAM for a model from scratch."""
        return SamConfig(**_tuples(self.model["sam"]))

    def config(self, pieces: int, license_text: str = "Apache-2.0") -> MediRoundConfig:
        """The model's config for a tokenizer of `pieces` pieces."""
        language = {**self.model["language"], "vocab_size": pieces + 3, "sliding_window": None}
        return MediRoundConfig(
            language=language,
            vision=dict(self.model["vision"]),
            sam=self.sam(),
            clip_image=ClipImageConfig(size=self.model["vision"]["image_size"]),
            close_up=self.close_up,
            jcm=JcmConfig(**self.model["jcm"]),
            tokens=TokenConfig(pieces, pieces + 1, pieces + 2),
            name=self.name,
            license=license_text,
        )


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    """A TOML table whose lists are tuples, as frozen dataclasses hold them."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe by the name of a file in `configs/` or by path.

    Raises:
        MediRoundError: there is no such recipe, it is no TOML, or it lacks a setting; the message says which.
    """
    path = CONFIGS / f"{name_or_path}.toml"
    if not path.is_file():
        path = Path(name_or_path)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
        raise MediRoundError(f"There is no recipe {name_or_path}; give a .toml file or one of {known}.")
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except ValueError as error:
        raise MediRoundError(f"The recipe {path} is no TOML: {error}.") from error
    # A phase with a slip in its name would be left out without a word.
    if unknown := sorted(set(content) - _KNOWN):
        raise MediRoundError(f"The recipe {path} has settings of unknown names: {', '.join(unknown)}.")
    try:
        return Recipe(
            name=content["name"],
            seed=content["seed"],
            model=content.get("model", {}),
            vocab_size=content["tokenizer"]["vocab_size"] if "model" in content else 0,
            mixture=content.get("mixture", {}),
            augment=AugmentConfig(**_tuples(content.get("augment", {}))),
            loss=LossWeights(**content.get("loss", {})),
            lora=LoraRecipe(**content.get("lora", {})),
            phases={
                name: PhaseRecipe(**{"precision": content.get("precision", "float32"), **_tuples(content[name])})
                for name in PHASES
                if name in content
            },
            text=text,
            split=content.get("split", False),
            layers=content.get("layers", 0),
        )
    except (KeyError, TypeError) as error:
        raise MediRoundError(f"The recipe {path} is not complete: {error}.") from error
