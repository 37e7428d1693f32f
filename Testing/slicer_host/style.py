"""Slicer's look: its light and dark colours, its tighter layouts, and a font where the machine has none."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PySide6 import QtGui, QtWidgets

LIGHT, DARK = "light", "dark"
Metric = QtWidgets.QStyle.PixelMetric
METRICS = {
    Metric.PM_LayoutLeftMargin: 6,
    Metric.PM_LayoutTopMargin: 6,
    Metric.PM_LayoutRightMargin: 6,
    Metric.PM_LayoutBottomMargin: 6,
    Metric.PM_LayoutHorizontalSpacing: 3,
    Metric.PM_LayoutVerticalSpacing: 3,
    Metric.PM_SliderLength: 12,
    Metric.PM_ButtonIconSize: 24,
}
# Role of a palette: its colour in light and in dark style.
COLOURS = {
    "Window": ("#ffffff", "#323232"),
    "WindowText": ("#000000", "#ffffff"),
    "Base": ("#ffffff", "#1e1e1e"),
    "AlternateBase": ("#e4e4fe", "#323232"),
    "ToolTipBase": ("#ffffdc", "#ffffff"),
    "ToolTipText": ("#000000", "#323232"),
    "Text": ("#000000", "#ffffff"),
    "PlaceholderText": ("#808080", "#c0c0c0"),
    "Button": ("#fcfcfc", "#323232"),
    "ButtonText": ("#000000", "#ffffff"),
    "BrightText": ("#ff0000", "#ff4444"),
    "Light": ("#c8c8c8", "#828284"),
    "Midlight": ("#e6e6e6", "#5a5a5b"),
    "Dark": ("#aaaaaa", "#232323"),
    "Mid": ("#c8c8c8", "#2b2b2b"),
    "Shadow": ("#5a5a5a", "#141414"),
    "Highlight": ("#308cc6", "#3ca4ff"),
    "HighlightedText": ("#ffffff", "#ffffff"),
    "Link": ("#0000ff", "#3ca4ff"),
}
OFF = {
    "WindowText": ("#bebebe", "#6d6d6d"),
    "Text": ("#bebebe", "#6d6d6d"),
    "ButtonText": ("#bebebe", "#b4b4b4"),
    "Highlight": ("#919191", "#505050"),
    "HighlightedText": ("#ffffff", "#6d6d6d"),
}

# What Qt names though there is nothing behind it.
ALIASES = {"Monospace", "Sans Serif", "Serif"}


class SlicerStyle(QtWidgets.QProxyStyle):
    """Fusion with Slicer's distances."""

    def __init__(self) -> None:
        super().__init__("fusion")

    def pixelMetric(self, metric: Any, option: Any = None, widget: Any = None) -> int:
        return METRICS[metric] if metric in METRICS else super().pixelMetric(metric, option, widget)


def palette(name: str) -> QtGui.QPalette:
    """The colours of "light" or "dark"."""
    place = (LIGHT, DARK).index(name)
    made = QtGui.QPalette()
    for role, colours in COLOURS.items():
        made.setColor(QtGui.QPalette.ColorRole[role], QtGui.QColor(colours[place]))
    for role, colours in OFF.items():
        made.setColor(QtGui.QPalette.ColorGroup.Disabled, QtGui.QPalette.ColorRole[role], QtGui.QColor(colours[place]))
    return made


def give_font(application: QtWidgets.QApplication) -> None:
    """A machine without fonts gets the one of matplotlib, if that is installed; without any, texts are empty boxes."""
    if set(QtGui.QFontDatabase.families()) <= ALIASES:
        found = find_spec("matplotlib")
        folders = found.submodule_search_locations if found else None
        for folder in folders or ():
            for name in ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique"):
                QtGui.QFontDatabase.addApplicationFont(str(Path(folder) / f"mpl-data/fonts/ttf/{name}.ttf"))
        application.setFont(QtGui.QFont("DejaVu Sans", 9))
