"""Colours of segments: the structure's own in Slicer's terminology, or one that is told from the others."""

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer

from MediRoundLib.outputs.colours import PALETTE
from MediRoundLib.outputs.terminology import terminology_entry

Colour = tuple[int, int, int]

# Colours at least so far from each other, in steps of red, green and blue, are told apart.
_APART = 60.0
# Further candidates, when the palette is used up.
_HUES, _SHADES = 36, ((0.85, 1.0), (0.5, 1.0), (0.9, 0.7))


def colourFor(structure: str, used: Sequence[Colour]) -> Colour:
    """A colour for a segment.

    Args:
        structure: the anatomical structure in English, or "".
        used: colours of the segments that are there.
    """
    own = _terminologyColour(structure)
    if own is not None and _distance(own, used) >= _APART:
        return own
    free = next((colour for colour in PALETTE if _distance(colour, used) >= _APART), None)
    return max([*PALETTE, *_wheel()], key=lambda colour: _distance(colour, used)) if free is None else free


def _terminologyColour(structure: str) -> Colour | None:
    """The colour that Slicer recommends for a known structure; None for others, or without Slicer's terminologies."""
    entry, module = terminology_entry(structure), getattr(slicer.modules, "terminologies", None)
    if module is None or entry == terminology_entry(""):
        return None
    made, logic = slicer.vtkSlicerTerminologyEntry(), module.logic()
    # The second fills in what the lists that Slicer has loaded say of the codes.
    if not logic.DeserializeTerminologyEntry(entry, made) or not logic.UpdateEntryFromLoadedTerminologies(made, [], []):
        return None
    for kind in (made.GetTypeModifierObject(), made.GetTypeObject()):
        colour = _recommended(kind)
        if colour is not None:
            return colour
    return None


def _recommended(kind: Any) -> Colour | None:
    if kind is None or not kind.GetCodeValue():
        return None
    red, green, blue = (int(value) for value in kind.GetRecommendedDisplayRGBValue())
    # What stands for none, in Slicer.
    return None if (red, green, blue) == (127, 127, 127) else (red, green, blue)


def _distance(colour: Colour, used: Sequence[Colour]) -> float:
    """From the nearest of the used ones."""
    if not used:
        return float("inf")
    return float(np.linalg.norm(np.array(used, dtype=float) - colour, axis=1).min())


def _wheel() -> list[Colour]:
    colours = []
    for saturation, value in _SHADES:
        for hue in range(_HUES):
            red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue / _HUES, saturation, value))
            colours.append((red, green, blue))
    return colours
