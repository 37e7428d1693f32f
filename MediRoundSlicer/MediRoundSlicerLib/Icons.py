"""The panel's icons: thin lines, drawn in the colour of the text so that they fit every style and any scale."""

from itertools import pairwise
from typing import Any

import qt

from MediRoundSlicerLib.Style import RGB

SIZE = 16
# Drawn larger for screens with small pixels.
SCALE = 3


def icon(name: str, colour: RGB) -> Any:
    """A `qt.QIcon` of 16 x 16: "add", "undo", "redo", "more", "export", "close", "reference", "warning" or "notice"."""
    pixmap = _empty()
    painter = _painter(pixmap, colour)
    _DRAWN[name](painter)
    painter.end()
    return qt.QIcon(pixmap)


def swatch(colour: RGB, line: RGB, size: int = 12) -> Any:
    """A `qt.QIcon` that shows a segment's colour: a square with a thin border, so that white is seen on white."""
    pixmap = _empty()
    painter = _painter(pixmap, line)
    painter.setBrush(qt.QBrush(qt.QColor(*colour)))
    start = (SIZE - size) / 2
    painter.drawRoundedRect(qt.QRectF(start, start, size, size), 3.0, 3.0)
    painter.end()
    return qt.QIcon(pixmap)


def dot(colour: RGB, filled: bool) -> Any:
    """A `qt.QPixmap` of a small disc, or a ring."""
    pixmap = _empty(10)
    painter = _painter(pixmap, colour)
    if filled:
        painter.setBrush(qt.QBrush(qt.QColor(*colour)))
    painter.drawEllipse(qt.QRectF(1.5, 1.5, 7, 7))
    painter.end()
    return pixmap


def dots(colour: RGB, pale: RGB, lit: int) -> Any:
    """A `qt.QPixmap` of three dots in a row, of which number `lit` (0..2) is in full colour."""
    pixmap = _empty(22, 10)
    painter = _painter(pixmap, colour)
    painter.setPen(qt.QPen(qt.Qt.NoPen))
    for number in range(3):
        painter.setBrush(qt.QBrush(qt.QColor(*(colour if number == lit else pale))))
        painter.drawEllipse(qt.QRectF(1 + 7 * number, 3, 5, 5))
    painter.end()
    return pixmap


def _empty(width: int = SIZE, height: int | None = None) -> Any:
    pixmap = qt.QPixmap(width * SCALE, (width if height is None else height) * SCALE)
    pixmap.setDevicePixelRatio(SCALE)
    pixmap.fill(qt.QColor(0, 0, 0, 0))
    return pixmap


def _painter(pixmap: Any, colour: RGB) -> Any:
    painter = qt.QPainter(pixmap)
    painter.setRenderHint(qt.QPainter.Antialiasing, True)
    pen = qt.QPen(qt.QColor(*colour))
    pen.setWidthF(1.4)
    pen.setCapStyle(qt.Qt.RoundCap)
    pen.setJoinStyle(qt.Qt.RoundJoin)
    painter.setPen(pen)
    return painter


def _lines(painter: Any, *points: tuple[float, float]) -> None:
    for start, end in pairwise(points):
        painter.drawLine(qt.QPointF(*start), qt.QPointF(*end))


def _add(painter: Any) -> None:
    _lines(painter, (8, 3), (8, 13))
    _lines(painter, (3, 8), (13, 8))


def _undo(painter: Any) -> None:
    painter.drawArc(qt.QRectF(3.5, 4.5, 9, 8), -100 * 16, 190 * 16)
    _lines(painter, (8, 4.5), (2.5, 4.5))
    _lines(painter, (5.2, 1.8), (2.5, 4.5), (5.2, 7.2))


def _redo(painter: Any) -> None:
    painter.translate(qt.QPointF(SIZE, 0))
    painter.scale(-1, 1)
    _undo(painter)


def _more(painter: Any) -> None:
    painter.setBrush(qt.QBrush(painter.pen().color()))
    for x in (3.5, 8, 12.5):
        painter.drawEllipse(qt.QPointF(x, 8), 0.7, 0.7)


def _export(painter: Any) -> None:
    _lines(painter, (8, 9.5), (8, 2))
    _lines(painter, (5, 4.8), (8, 2), (11, 4.8))
    _lines(painter, (2.5, 9.5), (2.5, 13.5), (13.5, 13.5), (13.5, 9.5))


def _close(painter: Any) -> None:
    _lines(painter, (4, 4), (12, 12))
    _lines(painter, (12, 4), (4, 12))


def _reference(painter: Any) -> None:
    _lines(painter, (4, 3), (4, 9.5), (12, 9.5))
    _lines(painter, (9.3, 6.8), (12, 9.5), (9.3, 12.2))


def _warning(painter: Any) -> None:
    painter.drawEllipse(qt.QRectF(2, 2, 12, 12))
    _lines(painter, (8, 5), (8, 8.6))
    painter.drawPoint(qt.QPointF(8, 11))


def _notice(painter: Any) -> None:
    painter.translate(qt.QPointF(SIZE / 2, SIZE / 2))
    painter.rotate(180)
    painter.translate(qt.QPointF(-SIZE / 2, -SIZE / 2))
    _warning(painter)


_DRAWN = {
    "add": _add,
    "undo": _undo,
    "redo": _redo,
    "more": _more,
    "export": _export,
    "close": _close,
    "reference": _reference,
    "warning": _warning,
    "notice": _notice,
}
