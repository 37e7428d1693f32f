"""`mediround convert`: between the native format and the released layout, and from pretrained parts."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from MediRoundLib.config import MediRoundConfig
from MediRoundLib.errors import CheckpointError

HELP = "turn a checkpoint into another layout, or join LLaVA-Med and MedSAM"

_CARD = """\
# {name}

A MediRound checkpoint of stage {stage}{meaning}, made with `mediround convert` from `{source}`.

- Licence: {license}
- For education and research; not a medical device.
"""
_MEANING = {
    0: " (untrained: pretrained parts with fresh heads; train stage 1 from it)",
    1: " (end-to-end, without the Judgment & Correction Mechanism)",
    2: " (with the Judgment & Correction Mechanism)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Turn a checkpoint of any known layout into the native format or the released layout. "
        "With --llava-med and --medsam instead of SOURCE, join pretrained parts into a checkpoint to train from."
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="checkpoint folder, or the name of a shipped one")
    parser.add_argument("out", type=Path, metavar="OUT", help="new folder")
    parser.add_argument("--to", choices=("native", "released"), default="native", help="default: %(default)s")
    parser.add_argument("--llava-med", type=Path, metavar="DIR", help="folder of LLaVA-Med's original files")
    parser.add_argument("--medsam", type=Path, metavar="FILE", help="medsam_vit_b.pth, or another SAM's weights")
    parser.add_argument("--lora-alpha", type=float, default=16.0, help="alpha of unmerged LoRA (default: %(default)s)")
    parser.add_argument(
        "--dtype", choices=("float16", "float32"), default="float32", help="numbers in the file (default: %(default)s)"
    )
    parser.add_argument("--license", metavar="TEXT", help="licence of the weights, kept in config and model card")


def run(args: argparse.Namespace) -> int:
    import torch

    from MediRoundLib.checkpoints import join_pretrained, load_checkpoint, save_native, save_released
    from MediRoundLib.checkpoints.files import new_folder
    from MediRoundLib.shipped import checkpoint_folder

    out: Path = args.out
    dtype = torch.float16 if args.dtype == "float16" else torch.float32
    if args.llava_med or args.medsam:
        if args.source or not (args.llava_med and args.medsam):
            raise CheckpointError("Give --llava-med and --medsam together and no SOURCE, or SOURCE alone.")
        if args.to != "native":
            raise CheckpointError("Joined parts are untrained, which only the native format can say; leave --to out.")
        new_folder(out)
        checkpoint = join_pretrained(args.llava_med, args.medsam, name=out.resolve().name, dtype=dtype)
        parts = [args.llava_med, args.medsam]
    elif args.source:
        new_folder(out)
        checkpoint = load_checkpoint(args.source, dtype, args.lora_alpha)
        parts = [checkpoint_folder(args.source)]
    else:
        raise CheckpointError("There is nothing to convert; give SOURCE and OUT, or --llava-med, --medsam and OUT.")
    model = checkpoint.model
    if args.license is not None:
        model.config = replace(model.config, license=args.license)
    if args.to == "released":
        save_released(out, model, checkpoint.tokenizer, dtype)
    else:
        save_native(out, model, checkpoint.tokenizer, _card(model.config, parts), dtype)
    print(f"{out}: stage {model.config.stage}, {args.to} format, {args.dtype}.")
    return 0


def _card(config: MediRoundConfig, parts: Sequence[Path]) -> str:
    """The model card: what this is and what it was made of, and the cards of those parts that have one."""
    card = _CARD.format(
        name=config.name,
        stage=config.stage,
        meaning=_MEANING[config.stage],
        source=" and ".join(part.resolve().name for part in parts),
        license=config.license or "not stated; that of the source holds",
    )
    for part in parts:
        own = part / "README.md"
        if own.is_file():
            card += f"\n## Card of {part.resolve().name}\n\n{own.read_text(encoding='utf-8', errors='replace')}"
    return card
