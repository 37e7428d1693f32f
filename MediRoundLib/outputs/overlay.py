"""The picture of a dialogue: a panel a round, with its mask on the slice and what was asked and answered below."""

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from MediRoundLib.outputs.colours import colour_of
from MediRoundLib.outputs.rounds import AnsweredRound

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_Colour = tuple[int, int, int]

_BACKGROUND, _BRIGHT, _DIM = (18, 20, 25), (236, 238, 242), (160, 166, 176)
_PANEL, _TALLEST, _GAP, _LINE = 360, 440, 16, 21
_NAME_SIZE, _TEXT_SIZE = 17, 14
_QUERY_LINES, _COLUMNS = 3, 4
_TINT = 0.3

# Where Pillow's own font lacks a letter: fonts with accents and Chinese, as Windows, macOS and Linux name their files.
_FONTS = (
    "DejaVuSans.ttf",
    "arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "NotoSansSC-Regular.ttf",
    "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "msyh.ttc",
    "simhei.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "STHeiti Light.ttc",
    "Arial Unicode.ttf",
)

_WORDS = {
    "en": {
        "quality": "quality {quality:.2f}",
        "corrected": "quality {before:.2f}, corrected to {quality:.2f}",
        "round": "refers to round {number}",
        "mask": "refers to a given mask",
        "empty": "empty mask",
        "notice": "MediRound, for education and research, not for diagnosis",
    },
    "zh": {
        "quality": "质量 {quality:.2f}",
        "corrected": "质量 {before:.2f}，校正后 {quality:.2f}",
        "round": "参考第{number}轮",
        "mask": "参考给定的分割",
        "empty": "分割为空",
        "notice": "MediRound，仅用于教学与研究，不用于诊断",
    },
}


def draw_overlay(pixels: NDArray[np.uint8], rounds: Sequence[AnsweredRound], language: str = "en") -> Image.Image:
    """Draw the picture.

    Args:
        pixels: (H, W) or (H, W, 3) uint8, square pixels.
        rounds: with (H, W) bool masks upon `pixels`; the outline of a round that is referred to is shown thinly.
        language: of the words, "en" or "zh"; English where no font on this computer has Chinese.
    """
    words = _WORDS[language if _font("".join(_WORDS[language].values()), _TEXT_SIZE) else "en"]
    height, width = pixels.shape[:2]
    scale = min(_PANEL / width, _TALLEST / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    lines = math.ceil(len(rounds) / _COLUMNS)
    columns = math.ceil(len(rounds) / lines)
    panel_height = size[1] + _GAP // 2 + _LINE * (_QUERY_LINES + 3)
    canvas = Image.new(
        "RGB",
        (columns * (_PANEL + _GAP) + _GAP, lines * (panel_height + _GAP) + _GAP + _LINE),
        _BACKGROUND,
    )
    picture = Image.fromarray(pixels).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    masks = {done.number: done.mask for done in rounds}
    for k, done in enumerate(rounds):
        left = _GAP + (k % columns) * (_PANEL + _GAP)
        top = _GAP + (k // columns) * (panel_height + _GAP)
        referred = masks.get(done.reference) if isinstance(done.reference, int) else None
        shown = np.asarray(picture).copy()
        if referred is not None and isinstance(done.reference, int):
            shown[_edge(_enlarged(referred, size), 1)] = colour_of(done.reference)
        _paint(shown, _enlarged(done.mask, size), colour_of(done.number))
        canvas.paste(Image.fromarray(shown), (left + (_PANEL - size[0]) // 2, top))
        _caption(ImageDraw.Draw(canvas), (left, top + size[1] + _GAP // 2), done, words)
    _write(ImageDraw.Draw(canvas), (_GAP, canvas.height - _LINE - _GAP // 2), words["notice"], _DIM, _TEXT_SIZE)
    return canvas


def _enlarged(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask at the panel's size (width, height), its pixels kept as they are."""
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)) > 0


def _edge(mask: NDArray[np.bool_], thickness: int) -> NDArray[np.bool_]:
    """The rim inside a mask."""
    inner = mask
    for _ in range(thickness):
        around = np.pad(inner, 1, constant_values=False)
        inner = inner & around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return mask & ~inner


def _paint(shown: NDArray[np.uint8], mask: NDArray[np.bool_], colour: _Colour) -> None:
    shown[mask] = (shown[mask] * (1 - _TINT) + np.array(colour) * _TINT).astype(np.uint8)
    shown[_edge(mask, 2)] = colour


def _caption(draw: ImageDraw.ImageDraw, corner: tuple[int, int], done: AnsweredRound, words: dict[str, str]) -> None:
    x, y = corner
    chip = str(done.number)
    width = 14 + 10 * len(chip)
    draw.rounded_rectangle((x, y, x + width, y + _LINE), radius=5, fill=colour_of(done.number))
    _write(draw, (x + 7, y + 1), chip, _BACKGROUND, _NAME_SIZE)
    for line in _wrapped(done.name, _PANEL - width - 8, _NAME_SIZE, lines=1):
        _write(draw, (x + width + 8, y + 1), line, _BRIGHT, _NAME_SIZE)
    y += _LINE + 5
    for line in _wrapped(done.query, _PANEL, _TEXT_SIZE, _QUERY_LINES) or ["(see transcript.json)"]:
        _write(draw, (x, y), line, _DIM, _TEXT_SIZE)
        y += _LINE
    facts = []
    if done.quality is not None and done.quality_corrected is not None:
        facts.append(words["corrected"].format(before=done.quality, quality=done.quality_corrected))
    elif done.quality is not None:
        facts.append(words["quality"].format(quality=done.quality))
    if done.reference is not None:
        facts.append(words["mask"] if done.reference == "mask" else words["round"].format(number=done.reference))
    if not done.mask.any():
        facts.append(words["empty"])
    _write(draw, (x, y), "  |  ".join(facts), _BRIGHT, _TEXT_SIZE)


def _write(draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, colour: _Colour, size: int) -> None:
    draw.text(corner, text, fill=colour, font=_font(text, size))


def _font(text: str, size: int) -> _Font | None:
    """The first font that has every letter of the text, or None."""
    letters = set(text) - set(" \n\t")
    for font in _fonts(size):
        missing = _drawn(font, "\uffff")  # no letter at all, so the font's box
        if all(_drawn(font, letter) != missing for letter in letters):
            return font
    return None


def _drawn(font: _Font, letter: str) -> tuple[float, bytes]:
    return font.getlength(letter), bytes(font.getmask(letter))


@cache
def _fonts(size: int) -> tuple[_Font, ...]:
    found: list[_Font] = [ImageFont.load_default(size)]
    for name in _FONTS:
        with suppress(OSError):
            found.append(ImageFont.truetype(name, size))
    return tuple(_plainly_set(font) for font in found)


def _plainly_set(font: _Font) -> _Font:
    """Letter by letter: Pillow's other way needs libraries of the system, and fails with some versions of them."""
    if isinstance(font, ImageFont.FreeTypeFont):
        return font.font_variant(layout_engine=ImageFont.Layout.BASIC)
    return font


def _wrapped(text: str, width: int, size: int, lines: int) -> list[str]:
    """The text in at most so many lines of `width` pixels, cut with dots; Chinese may break after every character.

    Nothing for an empty text, and for one that no font here can show: better than a row of boxes.
    """
    font = _font(text, size)
    if not text or font is None:
        return []
    done: list[str] = []
    line = ""
    for word in re.findall(r"\s*(?:[\u2e80-\uffef]|[^\s\u2e80-\uffef]+)", text):
        if line and font.getlength(line + word) > width:
            done.append(line)
            line = ""
        line += word if line else word.lstrip()
    done.append(line)
    cut = done[:lines]
    if len(done) > lines:
        cut[-1] += " ..."
    for k, line in enumerate(cut):
        while len(line) > 4 and font.getlength(line) > width:
            line = line.removesuffix(" ...")[:-1] + " ..."
        cut[k] = line
    return cut
