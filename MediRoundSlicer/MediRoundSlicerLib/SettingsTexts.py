"""The plain words of the settings: what a checkpoint is, what the machine offers, what a choice means."""

from html import escape
from typing import Any

from slicer.i18n import tr as _

from MediRoundSlicerLib.Checkpoints import PARTS, Checkpoint
from MediRoundSlicerLib.SettingsStore import QUANTIZED
from MediRoundSlicerLib.Style import breakable

# The released threshold, where a checkpoint cannot be asked for its own before it is loaded.
USUAL_THRESHOLD = 0.6


def checkpoint(one: Checkpoint) -> str:
    """Its licence and size, and where it lies."""
    licence = _("Licence: {licence}").format(licence=one.licence) if one.licence else _("Licence not stated")
    text = _("{licence} · {size}").format(licence=licence, size=bytesText(one.size))
    if not one.shipped:
        text += "\n" + breakable(one.key)
    return text


def parts() -> str:
    """How to come to a full-size checkpoint, as rich text."""
    listed = "".join(
        '<li><a href="{address}">{name}</a>: {use}. {licence}</li>'.format(
            address=escape(part.address, quote=True),
            name=escape(part.name),
            use=escape(part.use),
            licence=escape(_("Licence: {licence}.").format(licence=part.licence)),
        )
        for part in PARTS
    )
    before = _(
        "MediRound's own full-size weights are not published. What they are made of is, and nothing is downloaded "
        "for you:"
    )
    after = _(
        "Join both with {convert}, train the result with {train}, and choose its folder here. It has 7.6 billion "
        "parameters: about 15 GB of memory in 16 bits."
    ).format(convert="<code>mediround convert</code>", train="<code>python&nbsp;-m&nbsp;training.train</code>")
    return f'<p>{escape(before)}</p><ul style="margin-left:-22px">{listed}</ul><p>{after}</p>'


def correction(can: bool, on: bool, threshold: float) -> str:
    if not can:
        return _("This checkpoint was trained without judging and correcting its answers.")
    if not on:
        return _("Answers are judged, and left as they are.")
    return _("Answers that score {threshold} or less are corrected.").format(threshold=f"{threshold:.2f}")


def device(chosen: str, devices: list[dict[str, Any]] | None, cores: int | None) -> str:
    """What the chosen device is; `devices` as the engine lists them, None before it did."""
    if devices is None:
        return cpu(cores) if chosen == "cpu" else _("Shown once the engine has looked at this machine.")
    cards = [one for one in devices if str(one["id"]).startswith("cuda")]
    if chosen == "cpu" or not cards:
        text = cpu(cores)
        return text if cards or chosen == "cpu" else _("No NVIDIA GPU can be used here. {cpu}").format(cpu=text)
    card = next((one for one in cards if one["id"] == chosen), cards[0])
    return gpu(card)


def gpu(card: dict[str, Any]) -> str:
    """A graphics card, such as "NVIDIA RTX A4000, 14.2 of 16.0 GB free"."""
    free, total = card.get("free"), card.get("total")
    if free is None or total is None:
        return str(card["name"])
    return _("{name}, {free} of {total} GB free").format(
        name=card["name"], free=f"{free / 2**30:.1f}", total=f"{total / 2**30:.1f}"
    )


def cpu(cores: int | None) -> str:
    if not cores:
        return _("CPU: a round takes longer than on a GPU.")
    return _("CPU, {cores} cores: a round takes longer than on a GPU.").format(cores=cores)


def precision(key: str) -> str:
    return {
        "auto": _("Automatic"),
        "8bit": _("8-bit language model"),
        "4bit": _("4-bit language model"),
    }.get(key, key)


def precisionHint(key: str, chosen: str, devices: list[dict[str, Any]] | None) -> str:
    """What a precision means on the chosen device, or ""."""
    if key in QUANTIZED:
        return _("Takes less memory, is a little less exact, and needs the package bitsandbytes.")
    if key == "auto":
        cards = [one for one in devices or () if str(one["id"]).startswith("cuda")]
        card = next((one for one in cards if one["id"] == chosen), cards[0] if cards else None)
        if card is not None and chosen != "cpu" and card.get("bf16") is False:
            return _("This card is slow in bfloat16, which is the usual choice on a GPU; float16 may be faster.")
        return _("bfloat16 on a GPU, float32 on the CPU.")
    return ""


def bytesText(size: int) -> str:
    """A file's size, such as "13 MB" or "15.1 GB"."""
    if size >= 1e9:
        return _("{size} GB").format(size=f"{size / 1e9:.1f}")
    return _("{size} MB").format(size=f"{size / 1e6:.0f}")
