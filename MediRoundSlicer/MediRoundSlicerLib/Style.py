"""Colours and the style sheet of the panel, computed from the palette of the application.

Slicer has a light and a dark style, and users have their own; so no colour is fixed here. Every tint is a mixture of
palette colours, and every colour of a text is moved until it can be read on what lies behind it.
"""

import html
from dataclasses import dataclass
from typing import Any

import qt

RGB = tuple[int, int, int]

# The contrast that WCAG asks of a text (AA).
READABLE = 4.5
# Hues that are mixed into the background of a strip or a badge; never a text's own colour.
AMBER: RGB = (214, 158, 46)
ROSE: RGB = (200, 84, 84)
GREEN: RGB = (72, 160, 104)


def mix(one: RGB, other: RGB, share: float) -> RGB:
    """`one` with a share in [0, 1] of `other`."""
    return (_part(one[0], other[0], share), _part(one[1], other[1], share), _part(one[2], other[2], share))


def _part(one: int, other: int, share: float) -> int:
    return round(one + (other - one) * share)


def contrast(one: RGB, other: RGB) -> float:
    """Contrast of two colours as WCAG 2 defines it, in [1, 21]."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: RGB) -> float:
    parts = [value / 255 for value in colour]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def readable(colour: RGB, background: RGB, towards: RGB) -> RGB:
    """`colour`, moved towards another one as little as makes it readable on the background."""
    for step in range(21):
        moved = mix(colour, towards, step / 20)
        if contrast(moved, background) >= READABLE:
            return moved
    return towards


def css(colour: RGB) -> str:
    return f"rgb({colour[0]}, {colour[1]}, {colour[2]})"


@dataclass(frozen=True)
class Colours:
    """What the panel is painted with.

    Attributes:
        window, base, text: the palette's own: around the chat, behind it, and its text.
        muted: a quieter text.
        line: borders.
        hover: behind what the mouse is over.
        accent, onAccent: the button to press next, and its text.
        query: behind the user's words.
        low, error, notice: behind a badge or a strip that says so.
        good, busy, off: dots of the engine's state.
    """

    window: RGB
    base: RGB
    text: RGB
    muted: RGB
    line: RGB
    hover: RGB
    accent: RGB
    onAccent: RGB
    query: RGB
    low: RGB
    error: RGB
    notice: RGB
    good: RGB
    busy: RGB
    off: RGB

    @classmethod
    def of(cls, palette: Any) -> "Colours":
        """From a `qt.QPalette`."""

        def role(name: Any) -> RGB:
            colour = palette.color(qt.QPalette.Active, name)
            return colour.red(), colour.green(), colour.blue()

        window, base, text = role(qt.QPalette.Window), role(qt.QPalette.Base), role(qt.QPalette.Text)
        highlight = role(qt.QPalette.Highlight)
        query = mix(base, highlight, 0.16)
        # The more distant of the two texts that a palette has for a button; then the button moves away from it.
        onAccent = max((role(qt.QPalette.HighlightedText), base), key=lambda colour: contrast(colour, highlight))
        return cls(
            window=window,
            base=base,
            text=text,
            # Readable on the tint of a query is readable on what is paler too.
            muted=readable(readable(mix(text, base, 0.42), query, text), window, text),
            line=mix(window, text, 0.16),
            hover=mix(base, text, 0.05),
            accent=readable(highlight, onAccent, text if contrast(text, onAccent) > contrast(base, onAccent) else base),
            onAccent=onAccent,
            query=query,
            low=mix(base, AMBER, 0.22),
            error=mix(base, ROSE, 0.20),
            notice=mix(base, highlight, 0.12),
            good=mix(GREEN, text, 0.1),
            busy=highlight,
            off=mix(window, text, 0.35),
        )


def styleSheet(colours: Colours, points: float) -> str:
    """The style sheet of the whole panel: widgets say what they are by their dynamic property `mediround`.

    Args:
        points: size of the application's font; what is quieter is a little smaller.
    """
    c = {name: css(value) for name, value in vars(colours).items()}
    small = f"{max(points * 0.92, 7.5):.1f}pt"
    return f"""
QScrollArea[mediround="chat"] {{ background: {c["base"]}; border: 1px solid {c["line"]}; border-radius: 6px; }}
QWidget[mediround="rounds"] {{ background: {c["base"]}; }}
QFrame[mediround="round"], QFrame[mediround="running"] {{
  background: transparent; border: 1px solid transparent; border-radius: 8px;
}}
QFrame[mediround="round"]:hover {{ background: {c["hover"]}; }}
QLabel[mediround="query"] {{ background: {c["query"]}; color: {c["text"]}; border-radius: 8px; padding: 5px 9px; }}
QLabel[mediround="answer"] {{ color: {c["text"]}; padding: 0px 6px; }}
QLabel[mediround="number"] {{ color: {c["muted"]}; font-size: {small}; padding-top: 6px; }}
QLabel[mediround="title"] {{ color: {c["text"]}; font-weight: 600; }}
QLabel[mediround="quiet"] {{ color: {c["muted"]}; font-size: {small}; }}
QLabel[mediround="hint"] {{ color: {c["muted"]}; font-size: {small}; padding-left: 8px; }}
QLabel[mediround="problem"] {{ color: {c["text"]}; font-size: {small}; padding-left: 8px; }}
QLabel[mediround="badge"] {{
  color: {c["muted"]}; font-size: {small}; border: 1px solid {c["line"]}; border-radius: 9px; padding: 1px 7px;
}}
QLabel[mediround="lowBadge"] {{
  color: {c["text"]}; font-size: {small}; background: {c["low"]}; border: 1px solid transparent; border-radius: 9px;
  padding: 1px 7px;
}}
QToolButton[mediround="chip"], QToolButton[mediround="segment"], QToolButton[mediround="link"] {{
  background: transparent; border: 1px solid transparent; border-radius: 6px; padding: 2px 5px; text-align: left;
}}
QToolButton[mediround="chip"] {{ color: {c["muted"]}; font-size: {small}; }}
QToolButton[mediround="link"] {{ color: {c["muted"]}; font-size: {small}; border-color: {c["line"]}; }}
QToolButton[mediround="segment"] {{ color: {c["text"]}; }}
QToolButton[mediround="chip"]:hover, QToolButton[mediround="segment"]:hover, QToolButton[mediround="link"]:hover,
QToolButton[mediround="chip"]:focus, QToolButton[mediround="segment"]:focus, QToolButton[mediround="link"]:focus {{
  color: {c["text"]}; border-color: {c["off"]};
}}
QToolButton[mediround="chip"]:disabled, QToolButton[mediround="segment"]:disabled {{ color: {c["muted"]}; }}
QToolButton[mediround="chip"]::menu-indicator, QToolButton[mediround="more"]::menu-indicator {{ image: none; }}
QToolButton[mediround="more"] {{
  background: transparent; border: 1px solid transparent; border-radius: 6px; padding: 2px;
}}
QToolButton[mediround="more"]:hover, QToolButton[mediround="more"]:focus {{ border-color: {c["off"]}; }}
QPushButton[mediround="example"] {{
  background: transparent; color: {c["text"]}; border: 1px solid {c["line"]}; border-radius: 12px; padding: 4px 12px;
}}
QPushButton[mediround="example"]:hover, QPushButton[mediround="example"]:focus {{
  background: {c["query"]}; border-color: {c["busy"]};
}}
QPushButton[mediround="send"] {{
  background: {c["accent"]}; color: {c["onAccent"]}; border: 1px solid {c["accent"]}; border-radius: 6px;
  padding: 5px 12px; font-weight: 600;
}}
QPushButton[mediround="cancel"] {{
  background: transparent; color: {c["text"]}; border: 1px solid {c["off"]}; border-radius: 6px; padding: 5px 12px;
}}
QPushButton[mediround="cancel"]:hover, QPushButton[mediround="cancel"]:focus {{ border-color: {c["text"]}; }}
QPushButton[mediround="send"]:focus {{ border-color: {c["text"]}; }}
QPushButton[mediround="send"]:disabled {{
  background: transparent; color: {c["off"]}; border-color: {c["line"]}; font-weight: normal;
}}
QLineEdit[mediround="input"] {{
  background: {c["base"]}; border: 1px solid {c["off"]}; border-radius: 6px; padding: 5px 8px;
}}
QLineEdit[mediround="input"]:focus {{ border-color: {c["busy"]}; }}
QFrame[mediround="error"] {{ background: {c["error"]}; border-radius: 6px; }}
QFrame[mediround="notice"] {{ background: {c["notice"]}; border-radius: 6px; }}
"""


def setKind(widget: Any, kind: str) -> None:
    """Say what a widget is to the style sheet, also after it was shown."""
    if widget.property("mediround") != kind:
        widget.setProperty("mediround", kind)
        widget.style().unpolish(widget)
        widget.style().polish(widget)


def plain(text: str) -> str:
    """A text for a button or a menu: `&` is no shortcut there."""
    return text.replace("&", "&&")


def toolTip(text: str) -> str:
    """A text for a tool tip: what the user wrote in it is never taken for HTML."""
    return f"<qt>{html.escape(text)}</qt>" if "<" in text or "&lt;" in text else text


def breakable(text: str, longest: int = 24) -> str:
    """A text for a label that wraps: words too long for a narrow panel may be broken anywhere."""
    words = [
        word if len(word) <= longest else "\u200b".join(word[i : i + longest] for i in range(0, len(word), longest))
        for word in text.split(" ")
    ]
    return " ".join(words)
