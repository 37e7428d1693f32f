"""Tables of scores, as Markdown and JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from MediRoundLib.metrics import Scores

Cell = str | int | float | None
SCORES = ("n", "Dice", "gIoU", "cIoU")


@dataclass(frozen=True)
class Table:
    """One table; a float is a share, shown in percent, unless its column is one of `plain`.

    The first column's name says what the rows are.
    """

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    plain: tuple[str, ...] = ()

    def markdown(self) -> str:
        lines = [_line(self.columns), _line(["---"] * len(self.columns))]
        lines += [_line([self._shown(*each) for each in zip(self.columns, row, strict=True)]) for row in self.rows]
        return "\n".join([*lines, *(["", self.note] if self.note else [])]) + "\n"

    def _shown(self, column: str, cell: Cell) -> str:
        if cell is None:
            return ""
        if isinstance(cell, float):
            return f"{cell:.2f}" if column in self.plain else f"{100 * cell:.1f}"
        return str(cell)

    def content(self) -> dict[str, Any]:
        """For JSON: shares stay shares; `markdown_of` reads it."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"columns": list(self.columns), "rows": rows, "note": self.note, "plain": list(self.plain)}


def markdown_of(content: dict[str, Any]) -> str:
    """A table's Markdown from its `content`."""
    columns = tuple(content["columns"])
    rows = [tuple(row[column] for column in columns) for row in content["rows"]]
    return Table(columns, rows, content["note"], tuple(content["plain"])).markdown()


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def score_table(rows_are: str, groups: Mapping[str, Scores], note: str = "") -> Table:
    """A row for each group."""
    return Table((rows_are, *SCORES), [(name, *score_cells(own)) for name, own in groups.items()], note)


def score_cells(own: Scores) -> tuple[Cell, ...]:
    return own.n, own.dice, own.giou, own.ciou
