"""How the panel looks now: its colours, icons and style sheet, which follow the application's style."""

from collections.abc import Callable
from typing import Any

import qt
import slicer

from MediRoundSlicerLib import Icons
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Style import RGB, Colours, styleSheet


class Look:
    """Colours and icons of one panel.

    ```
    look = Look(panelWidget)            # gives it the style sheet
    button.setIcon(look.icon("undo"))
    look.changed.connect(redraw)        # the user chose another style
    look.close()
    ```
    """

    def __init__(self, widget: Any) -> None:
        self.changed = Signal()
        self._widget = widget
        self._icons: dict[Any, Any] = {}
        self.colours = Colours.of(qt.QApplication.palette())
        self._apply()
        # Widgets take over the application's palette one by one: look once, after the last.
        self._soon = qt.QTimer(widget)
        self._soon.setSingleShot(True)
        self._soon.connect("timeout()", self.refresh)
        slicer.app.connect("paletteChanged(QPalette)", self._onPaletteChanged)

    def close(self) -> None:
        """Let go of the application."""
        slicer.app.disconnect("paletteChanged(QPalette)", self._onPaletteChanged)
        self._soon.stop()

    def refresh(self) -> None:
        """Take over the application's palette as it is now."""
        # A widget with a style sheet keeps its old palette in Qt 5 until it is given the sheet again.
        colours = Colours.of(qt.QApplication.palette())
        if colours != self.colours:
            self.colours = colours
            self._icons = {}
            self._apply()
            self.changed.emit()

    def icon(self, name: str) -> Any:
        """A line icon in the colour of the text; see `Icons.icon`."""
        return self._cached(("icon", name), lambda: Icons.icon(name, self.colours.text))

    def quietIcon(self, name: str) -> Any:
        return self._cached(("quiet", name), lambda: Icons.icon(name, self.colours.muted))

    def swatch(self, colour: RGB) -> Any:
        """The icon of a segment's colour."""
        return self._cached(("swatch", colour), lambda: Icons.swatch(colour, self.colours.off))

    def dots(self, lit: int) -> Any:
        """A pixmap that says "working", one of three."""
        return self._cached(("dots", lit), lambda: Icons.dots(self.colours.busy, self.colours.line, lit))

    def dot(self, colour: RGB, filled: bool = True) -> Any:
        return self._cached(("dot", colour, filled), lambda: Icons.dot(colour, filled))

    def _onPaletteChanged(self, palette: Any) -> None:
        self._soon.start(0)

    def _cached(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._icons:
            self._icons[key] = make()
        return self._icons[key]

    def _apply(self) -> None:
        self._widget.setStyleSheet(styleSheet(self.colours, self._widget.font.pointSizeF()))
