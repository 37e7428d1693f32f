"""The bottom of the panel: the state of the engine, and a button to start or stop it."""

from typing import Any

from slicer.i18n import tr as _

from MediRoundSlicerLib.Look import Look
from MediRoundSlicerLib.Style import breakable, setKind


class StatusLine:
    """Follows an engine: a dot, its state in words, Start or Stop, and a bar while it loads.

    ```
    status = StatusLine(look, ui, engine)
    status.close()
    ```

    Args:
        ui: the widgets statusDot, statusLabel, engineButton and loadingBar.
        engine: an EngineProcess.
    """

    def __init__(self, look: Look, ui: Any, engine: Any) -> None:
        self._look = look
        self._ui = ui
        self._engine = engine
        setKind(ui.statusLabel, "quiet")
        setKind(ui.engineButton, "link")
        setKind(ui.loadingBar, "loading")
        ui.loadingBar.hide()
        ui.engineButton.connect("clicked()", self._onButton)
        engine.stateChanged.connect(self._onStateChanged)
        engine.progressed.connect(self._onProgressed)
        look.changed.connect(self._draw)
        self._draw()

    def close(self) -> None:
        self._engine.stateChanged.disconnect(self._onStateChanged)
        self._engine.progressed.disconnect(self._onProgressed)

    def _onStateChanged(self, *arguments: Any) -> None:
        self._draw()

    def _onProgressed(self, requestID: int | None, stage: str, fraction: float | None) -> None:
        if self._engine.state in ("starting", "loading"):
            self._ui.loadingBar.setRange(0, 0 if fraction is None else 100)
            if fraction is not None:
                self._ui.loadingBar.setValue(round(100 * fraction))

    def _draw(self) -> None:
        state, colours = self._engine.state, self._look.colours
        words, dot = {
            "stopped": (_("Engine off; it starts with the first query"), (colours.off, False)),
            "starting": (_("Engine starts…"), (colours.busy, False)),
            "loading": (_("Loading the model…"), (colours.busy, False)),
            "ready": (_("Ready"), (colours.good, True)),
            "busy": (_("Working"), (colours.busy, True)),
            "failed": (_("Engine stopped by an error; Start tries again"), (colours.off, False)),
        }[state]
        if state in ("ready", "busy") and self._engine.description:
            words = f"{words} · {self._engine.description}"
        self._ui.statusDot.setPixmap(self._look.dot(*dot))
        self._ui.statusLabel.setText(breakable(words))
        loading = state in ("starting", "loading")
        if not loading:
            self._ui.loadingBar.setRange(0, 0)
        self._ui.loadingBar.setVisible(loading)
        stopped = state in ("stopped", "failed")
        self._ui.engineButton.setText(_("Start") if stopped else _("Stop"))
        self._ui.engineButton.setToolTip(
            _("Load the model now") if stopped else _("End the engine's process and free its memory")
        )

    def _onButton(self) -> None:
        if self._engine.state in ("stopped", "failed"):
            self._engine.start()
        else:
            self._engine.stop()
