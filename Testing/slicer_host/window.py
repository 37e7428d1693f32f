"""The module in a window of its own: the panel at the left, Slicer's three slice views at the right."""

from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from slicer_host.host import Host

SIZE = (1360, 860)
PANEL = 440
BAR = 22
# Milliseconds between two pictures of a view.
PACE = 30


class SliceLabel(QtWidgets.QWidget):
    """A slice view: its coloured bar, and the picture; the mouse wheel scrolls, as in Slicer."""

    def __init__(self, host: Host, name: str) -> None:
        super().__init__()
        self._host, self._name = host, name
        self._logic = host.sliceLogics[name]
        self._picture: QtGui.QImage | None = None
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PACE)
        self._timer.timeout.connect(self._draw)
        self.setMinimumSize(200, 150)
        host.sliceView(name).onChange(self._wanted)

    def _wanted(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _draw(self) -> None:
        pixels = self._host.sliceImage(self._name)
        height, width, _colours = pixels.shape
        kind = QtGui.QImage.Format.Format_RGB888
        self._picture = QtGui.QImage(pixels.tobytes(), width, height, 3 * width, kind).copy()
        self.update()

    def resizeEvent(self, event: Any) -> None:
        self._logic.ResizeSliceNode(self.width(), max(1, self.height() - BAR))
        self._wanted()

    def wheelEvent(self, event: Any) -> None:
        # A slice of the volume a notch, whatever the orientation.
        step = self._logic.GetLowestVolumeSliceSpacing()[2] * (1 if event.angleDelta().y() > 0 else -1)
        lowest, highest = self._bounds()
        self._logic.SetSliceOffset(min(max(self._logic.GetSliceOffset() + step, lowest), highest))

    def _bounds(self) -> tuple[float, float]:
        bounds = [0.0] * 6
        self._logic.GetLowestVolumeSliceBounds(bounds)
        return bounds[4], bounds[5]

    def paintEvent(self, event: Any) -> None:
        painter = QtGui.QPainter(self)
        bar = QtCore.QRect(0, 0, self.width(), BAR)
        node = self._logic.GetSliceNode()
        painter.fillRect(bar, QtGui.QColor.fromRgbF(*node.GetLayoutColor()))
        label = f"{node.GetLayoutLabel()}   {node.GetOrientation()}   {self._logic.GetSliceOffset():.1f} mm"
        painter.setPen(QtGui.QColor("black"))
        painter.drawText(bar.adjusted(6, 0, -6, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, label)
        if self._picture is not None:
            painter.drawImage(0, BAR, self._picture)
        painter.end()


def open_window(host: Host, source: Path | None) -> None:
    """Opens the module beside the slice views.

    Args:
        source: a volume's file or a folder of DICOM files; None for the first sample study of the module.
    """
    host.openModule()
    views = QtWidgets.QSplitter(QtCore.Qt.Orientation.Vertical)
    below = QtWidgets.QSplitter()
    labels = {name: SliceLabel(host, name) for name in host.sliceLogics}
    views.addWidget(labels.pop("Red"))
    for label in labels.values():
        below.addWidget(label)
    views.addWidget(below)
    views.setSizes([SIZE[1] * 3 // 5, SIZE[1] * 2 // 5])
    both = QtWidgets.QSplitter()
    both.addWidget(host.window.takeCentralWidget())
    both.addWidget(views)
    both.setSizes([PANEL, SIZE[0] - PANEL])
    both.setStretchFactor(1, 1)
    host.window.setCentralWidget(both)
    host.window.setWindowTitle("MediRoundSlicer on the tests' host")
    host.window.resize(*SIZE)
    host.window.show()
    host.turn()
    load(host, source)


def load(host: Host, source: Path | None) -> None:
    """Loads a study and shows it in all views."""
    if source is None:
        sources = [one for group in slicer.modules.sampleDataSources.values() for one in group]
        volume = sources[0].customDownloader(sources[0])  # a click on it in the Sample Data module
    elif source.is_dir():
        volume = host.loadSeries(source)
    else:
        volume = slicer.util.loadVolume(str(source))
    host.show(volume)
