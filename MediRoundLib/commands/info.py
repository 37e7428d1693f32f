"""`mediround info`: what a checkpoint or an image is, without loading the model."""

import argparse
from pathlib import Path

from MediRoundLib.errors import MediRoundError
from MediRoundLib.shipped import DEFAULT, SHIPPED, checkpoint_folder

HELP = "tell what a checkpoint or an image is"

_STAGES = {
    0: "0 (joined from pretrained parts, not trained)",
    1: "1 (end-to-end, without judgment and correction)",
    2: "2 (with judgment and correction)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "thing",
        metavar="MODEL|SOURCE",
        nargs="?",
        default=DEFAULT,
        help="a checkpoint or an image (%(default)s)",
    )
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder that holds several")


def run(args: argparse.Namespace) -> int:
    """Print the facts.

    Raises:
        MediRoundError: neither a native checkpoint nor an image.
    """
    path = Path(args.thing).expanduser()
    if (SHIPPED / args.thing / "config.json").exists() or (path / "config.json").exists():
        facts = _checkpoint(checkpoint_folder(args.thing))
    elif path.exists():
        facts = _image(path, args.series)
    else:
        raise MediRoundError(
            f"There is no checkpoint and no image {args.thing}; give a checkpoint's folder or name, or an image."
        )
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
    return 0


def _checkpoint(folder: Path) -> dict[str, str]:
    from MediRoundLib.config import MediRoundConfig

    config = MediRoundConfig.load(folder / "config.json")
    language, vision, sam = config.language, config.vision, config.sam
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return {
        "name": config.name,
        "folder": str(folder),
        "stage": _STAGES.get(config.stage, str(config.stage)),
        "licence": config.license or "not stated",
        "weights": f"{weights / 1e6:.1f} MB",
        "language model": _sizes(language, "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"),
        "vision tower": _sizes(vision, "image_size", "patch_size", "hidden_size", "num_hidden_layers")
        + f", {config.image_tokens} image tokens",
        "mask model": f"image size {sam.image_size}, patch size {sam.patch_size}, width {sam.width}, depth {sam.depth}",
        "view": "the square around what shows in the image" if config.close_up else "the whole image",
        "judgment": f"corrects at quality {config.jcm.threshold:g} and below" if config.stage > 1 else "none",
        "tokens": ", ".join(f"{name} {number}" for name, number in config.tokens.strings().items()),
        "answers": "; ".join(f"{code}: {text}" for code, text in config.answers.items()) or "the model's own",
    }


def _sizes(part: dict[str, object], *names: str) -> str:
    return ", ".join(f"{name.removeprefix('num_').replace('_', ' ')} {part[name]}" for name in names if name in part)


def _image(path: Path, series: str | None) -> dict[str, str]:
    from MediRoundLib.volumes import read_volume

    volume = read_volume(path, series)
    image = volume.image
    unit = " mm" if volume.calibrated else ", not in mm"
    facts = {
        "kind": volume.description,
        "modality": volume.modality or "not stated",
        "voxels": " x ".join(map(str, image.GetSize())) + (" in colour" if volume.is_colour else ""),
        "spacing": " x ".join(f"{step:g}" for step in image.GetSpacing()) + unit,
        "origin": ", ".join(f"{part:g}" for part in image.GetOrigin()),
        "direction": ", ".join(f"{part:g}" for part in image.GetDirection()),
    }
    if volume.window is not None:
        facts["window"] = f"width {volume.window[1]:g} at level {volume.window[0]:g}"
    for k, note in enumerate(volume.notes, 1):
        facts[f"note {k}"] = note
    return facts
