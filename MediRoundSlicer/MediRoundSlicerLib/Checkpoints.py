"""What the engine can load, found out without torch: the shipped checkpoints, and a folder that the user chooses.

Nothing is downloaded. What is published elsewhere is told with its licence and the way into a folder (`PARTS`).
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MediRoundLib.config import FORMAT, MediRoundConfig
from MediRoundLib.errors import CheckpointError
from MediRoundLib.shipped import DEFAULT, SHIPPED
from MediRoundSlicerLib.Dialogues import DialogueError

_WEIGHTS = ("*.safetensors", "*.bin")
# What training leaves beside the weights under the same suffix.
_NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin")
# No header of names is near that long; what is claims so by accident.
_LONGEST_HEADER = 100_000_000
_MEDISEE = "router_seg."
_MEDIROUND = "text_hidden_fcs."
_JCM = "mask_quality_MLP."


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that can be chosen.

    Attributes:
        key: what the engine is told: a shipped name, or a folder.
        name: for the user.
        shipped: whether it comes with the extension.
        licence: as its config or model card has it, or "".
        summary: the first paragraph of its model card, or "".
        size: of the weights in bytes.
        judges: whether it has the Judgment & Correction Mechanism; None where only loading tells.
        threshold: its own threshold in [0, 1]; None where it has none or only loading tells.
    """

    key: str
    name: str
    shipped: bool
    licence: str
    summary: str
    size: int
    judges: bool | None
    threshold: float | None


@dataclass(frozen=True)
class Part:
    """Something published that a full-size checkpoint is made from.

    Attributes:
        name, address: what it is, and where it is published.
        licence: of the weights, and what its publishers intend it for.
        use: what it becomes.
    """

    name: str
    address: str
    licence: str
    use: str


# MediRound's own full-size weights are not published; MediSee's are, but are another model, which is not read.
PARTS = (
    Part(
        "LLaVA-Med v1.5 Mistral 7B",
        "https://huggingface.co/microsoft/llava-med-v1.5-mistral-7b",
        _("that of Mistral-7B-Instruct-v0.2 (Apache-2.0); for research only, not for clinical use"),
        _("language model and vision tower"),
    ),
    Part(
        "MedSAM ViT-B",
        "https://github.com/bowang-lab/MedSAM",
        "Apache-2.0",
        _("image encoder and mask decoder"),
    ),
)


def shipped() -> list[Checkpoint]:
    """The checkpoints that come with the extension, the default one first."""
    folders = sorted(path.parent for path in SHIPPED.glob("*/config.json"))
    found = []
    for folder in sorted(folders, key=lambda path: path.name != DEFAULT):
        try:
            found.append(_native(folder, folder.name, True))
        except DialogueError:
            continue  # A clone without its large files: the engine says so when it is chosen.
    return found


def find(key: str) -> Checkpoint:
    """The checkpoint of a shipped name or a folder.

    Raises:
        DialogueError: there is none, or it cannot be loaded; the sentence says why.
    """
    if not key:
        raise DialogueError(_("No checkpoint is named; choose one."))
    if Path(key).name == key and (SHIPPED / key / "config.json").is_file():
        return _native(SHIPPED / key, key, True)
    return inspect(Path(key))


def inspect(folder: Path) -> Checkpoint:
    """What is in a folder that the user chose: a native checkpoint, or one in the released layout.

    Raises:
        DialogueError: the folder holds nothing that the engine can load; the sentence says why and what to do.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise DialogueError(_("There is no checkpoint {folder}; choose its folder again.").format(folder=folder))
    path = folder / "config.json"
    if not path.is_file():
        _refuseUnconverted(folder)
        raise DialogueError(
            _("{folder} has no config.json; choose the folder of a checkpoint, with config.json in it.").format(
                folder=folder
            )
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        native = config.get("format") == FORMAT
    except (OSError, ValueError, AttributeError) as error:
        raise DialogueError(_("{path} is damaged; copy the checkpoint again.").format(path=path)) from error
    return _native(folder, str(folder), False) if native else _released(folder, config)


def _native(folder: Path, key: str, isShipped: bool) -> Checkpoint:
    try:
        config = MediRoundConfig.load(folder / "config.json")
    except CheckpointError as error:
        raise DialogueError(str(error)) from error
    _require(folder, "model.safetensors", "tokenizer.model")
    tensorNames(folder / "model.safetensors")
    if config.stage == 0:
        raise DialogueError(
            _(
                "{folder} is joined from pretrained parts and not trained yet, so its masks would mean nothing; "
                "train it first, or choose another checkpoint."
            ).format(folder=folder)
        )
    return Checkpoint(
        key=key,
        name=config.name,
        shipped=isShipped,
        licence=config.license or _licence(folder / "README.md"),
        summary=_summary(folder / "README.md"),
        size=(folder / "model.safetensors").stat().st_size,
        judges=config.stage > 1,
        threshold=config.jcm.threshold if config.stage > 1 else None,
    )


def _released(folder: Path, config: dict[str, Any]) -> Checkpoint:
    _require(folder, "tokenizer.model")
    files = sorted(
        path for kind in _WEIGHTS for path in folder.glob(kind) if path.is_file() and path.name not in _NO_WEIGHTS
    )
    if not files and not any(path.is_dir() for path in folder.glob("*.bin")):
        _refuseUnconverted(folder)
        raise DialogueError(
            _("{folder} holds no weights (.safetensors or .bin); copy the whole checkpoint there.").format(
                folder=folder
            )
        )
    names = _names(folder, files)
    if any(_MEDISEE in name for name in names):
        raise DialogueError(
            _("{folder} is a MediSee checkpoint, which is another model; choose a MediRound one.").format(folder=folder)
        )
    if names and not any(_MEDIROUND in name for name in names):
        raise DialogueError(
            _(
                "{folder} is no MediRound: it has no part that draws masks. A plain LLaVA-Med must be joined with a "
                "MedSAM and trained first; see the full-size checkpoints in the settings."
            ).format(folder=folder)
        )
    judges = any(_JCM in name for name in names) if names else None
    extra = config.get("mediround", {})
    extra = extra if isinstance(extra, dict) else {}
    try:
        threshold = float(config.get("jcm_threshold", 0.6)) if judges else None
    except (TypeError, ValueError):
        threshold = None
    return Checkpoint(
        key=str(folder),
        name=str(extra.get("name") or folder.resolve().name),
        shipped=False,
        licence=str(extra.get("license") or "") or _licence(folder / "README.md"),
        summary=_summary(folder / "README.md"),
        size=sum(path.stat().st_size for path in files),
        judges=judges,
        threshold=threshold,
    )


def _require(folder: Path, *names: str) -> None:
    for name in names:
        if not (folder / name).is_file():
            raise DialogueError(
                _("{folder} lacks {name}; copy every file of the checkpoint there.").format(folder=folder, name=name)
            )


def _refuseUnconverted(folder: Path) -> None:
    if any(folder.glob("**/*_model_states.pt")) or any(folder.glob("**/*_optim_states.pt")):
        raise DialogueError(
            _(
                "{folder} is what DeepSpeed's training leaves and not a checkpoint yet; run the zero_to_fp32.py in it, "
                "and put config.json and tokenizer.model beside the result."
            ).format(folder=folder)
        )


def _names(folder: Path, files: list[Path]) -> set[str]:
    """Names of the tensors, as far as they can be told without torch; empty where they cannot."""
    indices = sorted(folder.glob("*.index.json"))
    if not indices:
        names = [tensorNames(path) for path in files if path.suffix == ".safetensors"]
        # Pickles tell nothing without torch, and a part of the names would mislead.
        return set().union(*names) if len(names) == len(files) else set()
    found: set[str] = set()
    for path in indices:
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
            found |= set(listed)
            absent = sorted({shard for shard in listed.values() if not (folder / shard).is_file()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DialogueError(_("{path} is damaged; copy the checkpoint again.").format(path=path)) from error
        if absent:
            raise DialogueError(
                _("{folder} lacks {name}; copy every file of the checkpoint there.").format(
                    folder=folder, name=absent[0]
                )
            )
    return found


def tensorNames(path: Path) -> set[str]:
    """The names in a `.safetensors` file, from its header alone.

    Raises:
        DialogueError: it is damaged or cut short, or stands for a file that was not fetched.
    """
    header: dict[str, Any] = {}
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _LONGEST_HEADER:
                raise ValueError(length)
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        whole = path.stat().st_size >= 8 + length + end
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise DialogueError(
            _("{path} is damaged or was not copied whole; copy the checkpoint again.").format(path=path)
        )
    return set(header)


def _card(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _licence(path: Path) -> str:
    """What a model card says in a line of its own, as the hub's cards and those of `mediround convert` do, or ""."""
    found = re.search(r"^(?:- )?licen[cs]e: *(\S.*)$", _card(path), re.IGNORECASE | re.MULTILINE)
    return found.group(1).strip() if found else ""


def _summary(path: Path) -> str:
    """The first paragraph of a model card below its title, in one line."""
    text = _card(path)
    if text.startswith("---\n"):  # the hub's own header
        text = text.partition("\n---\n")[2]
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    return next((part for part in paragraphs if part and not part.startswith(("#", "!", "|", "<"))), "")
