"""Makes the module's icon from `icon.svg`: `python -m Resources.icon`. It needs PySide6."""

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "Resources" / "icon.svg"
ICON = REPOSITORY / "MediRoundSlicer" / "Resources" / "Icons" / "MediRoundSlicer.png"
SIDE = 128  # pixels: what Slicer's extension catalogue shows


def draw(side: int = SIDE) -> Any:
    """The icon as a QImage of `side` x `side` pixels on a clear ground."""
    image = QImage(side, side, QImage.Format.Format_ARGB32)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    QSvgRenderer(str(SOURCE)).render(painter)
    painter.end()
    return image


if __name__ == "__main__":
    draw().save(str(ICON))
