"""How a report looks, as one HTML page and as Markdown; `Report.py` says what it holds."""

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from slicer.i18n import tr as _

from MediRoundSlicerLib.StagedFolder import plainName, uniqueName

RGB = tuple[int, int, int]
_STYLE = Path(__file__).resolve().parent.parent / "Resources" / "Report.css"


@dataclass(frozen=True)
class Told:
    """One round on the page.

    Attributes:
        number, name, colour: of the round and its segment.
        query, answer: in words.
        facts: labels and values.
        note: one sentence where something is missing, else "".
        picture: a PNG file, or None.
    """

    number: int
    name: str
    colour: RGB
    query: str
    answer: str
    facts: Sequence[tuple[str, str]] = ()
    note: str = ""
    picture: bytes | None = None


@dataclass(frozen=True)
class Section:
    """One dialogue on the page.

    Attributes:
        title: such as "Axial 34".
        caption: below the title, or "".
        plain, together: PNG files of the slice, alone and with all masks; or None.
    """

    title: str
    caption: str = ""
    plain: bytes | None = None
    together: bytes | None = None
    rounds: Sequence[Told] = ()


@dataclass(frozen=True)
class Page:
    """The whole report.

    Attributes:
        title, notice: at its head.
        subject: what was looked at, such as "CT".
        facts: of all rounds, in words.
    """

    title: str
    subject: str
    notice: str
    facts: Sequence[str] = ()
    sections: Sequence[Section] = field(default_factory=list)


# ---- HTML ----


def htmlPage(page: Page) -> str:
    """The page as one file: style and pictures are in it, and nothing is fetched from anywhere."""
    title = html.escape(f"{page.title}: {_subject(page)}")
    sections = "\n".join(_section(section) for section in page.sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{_STYLE.read_text(encoding="utf-8").strip()}
</style>
</head>
<body>
<header>
<h1>{html.escape(page.title)}</h1>
<p class="subject">{html.escape(_subject(page))}</p>
<p class="facts">{html.escape(" · ".join(page.facts))}</p>
<p class="notice">{html.escape(page.notice)}</p>
</header>
{sections}
<footer>{html.escape(page.notice)}</footer>
</body>
</html>
"""


def _subject(page: Page) -> str:
    titles = ", ".join(section.title for section in page.sections)
    return f"{page.subject} · {titles}"


def _section(section: Section) -> str:
    parts = [f"<section>\n<h2>{html.escape(section.title)}</h2>"]
    if section.caption:
        parts.append(f'<p class="facts">{html.escape(section.caption)}</p>')
    pictures = [(_("The slice"), section.plain), (_("All rounds"), section.together)]
    figures = [
        f"<figure>{_img(data, f'{section.title}: {words}')}<figcaption>{html.escape(words)}</figcaption></figure>"
        for words, data in pictures
        if data is not None
    ]
    if figures:
        parts.append(f'<div class="slice">{"".join(figures)}</div>')
    parts += [_round(section, told) for told in section.rounds]
    return "\n".join([*parts, "</section>"])


def _round(section: Section, told: Told) -> str:
    red, green, blue = told.colour
    # Dark figures on a bright chip, bright ones on a dark chip.
    ink = "#16181d" if 0.299 * red + 0.587 * green + 0.114 * blue > 130 else "#ffffff"
    words = [
        f'<h3><span class="chip" style="background: rgb({red}, {green}, {blue}); color: {ink}">{told.number}</span>'
        f'<span dir="auto">{html.escape(told.name)}</span></h3>',
        f'<p class="query" dir="auto">{html.escape(told.query)}</p>',
        f'<p class="answer" dir="auto">{html.escape(told.answer)}</p>',
    ]
    if told.note:
        words.append(f'<p class="note">{html.escape(told.note)}</p>')
    facts = "".join(
        f'<dt>{html.escape(label)}</dt><dd dir="auto">{html.escape(value)}</dd>' for label, value in told.facts
    )
    words.append(f"<dl>{facts}</dl>")
    shown = "" if told.picture is None else _img(told.picture, f"{section.title}: {told.name}")
    return f'<article>\n<div class="picture">{shown}</div>\n<div class="words">\n{"".join(words)}\n</div>\n</article>'


def _img(data: bytes, words: str) -> str:
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img alt="{html.escape(words)}" src="data:image/png;base64,{encoded}">'


# ---- Markdown ----


def markdownPage(page: Page, folder: str) -> tuple[str, dict[str, bytes]]:
    """The page, and its pictures by their paths from the page, which are in `folder`."""
    pictures: dict[str, bytes] = {}
    taken: set[str] = set()
    lines = [
        f"# {_plain(page.title)}",
        _plain(_subject(page)),
        _plain(" · ".join(page.facts)),
        f"*{_plain(page.notice)}*",
    ]
    for section in page.sections:
        lines.append(f"## {_plain(section.title)}")
        if section.caption:
            lines.append(_plain(section.caption))
        place = uniqueName(plainName(section.title, "slice"), taken)
        shown = [(_("The slice"), f"{place}_slice", section.plain), (_("All rounds"), f"{place}_all", section.together)]
        lines += [_shown(words, folder, name, data, pictures) for words, name, data in shown if data is not None]
        for told in section.rounds:
            lines.append(f"### {told.number}. {_plain(told.name)}")
            lines.append("> " + _plain(told.query))
            lines.append(_plain(told.answer))
            if told.picture is not None:
                name = f"{place}_round_{told.number:02d}"
                lines.append(_shown(told.name, folder, name, told.picture, pictures))
            if told.note:
                lines.append(f"*{_plain(told.note)}*")
            lines.append("\n".join(f"- {_plain(label)}: {_plain(value)}" for label, value in told.facts))
    return "\n\n".join(lines) + "\n", pictures


def _shown(words: str, folder: str, name: str, data: bytes, pictures: dict[str, bytes]) -> str:
    """A picture's line; it is put among the pictures."""
    path = f"{folder}/{name}.png"
    pictures[path] = data
    return f"![{_plain(words)}]({quote(path)})"


def _plain(text: str) -> str:
    """A text in one line in which Markdown sees no marks, nor HTML."""
    return re.sub(r"([\\`*_{}\[\]<>()#+\-!|~&])", r"\\\1", " ".join(text.split()))
