"""The host as the tests use it."""

import os
import time
from pathlib import Path
from typing import Any

import slicer

from slicer_host import application, dialogs, events, installing, modules, qtmodule, slots, style
from slicer_host.pythonqt import unwrap
from slicer_host.scene import Scene

REPOSITORY = Path(__file__).resolve().parents[2]
# Seconds that child processes have to end in.
PATIENCE = 5.0
# Pixels of the window with the panel.
WINDOW = (440, 860)


class Host(Scene):
    """Slicer's scene with an application around it, and the module in its window.

    Args:
        waits: whether a user is there to answer dialogs; else they are answered by `answers` at once.

    Attributes:
        application: PySide6's; the module sees it as `slicer.app`.
        window: the main window.
        messages: (icon, text) of every box that was shown, such as ("Critical", "No volume."), the oldest first.
        answers: for the next questions: a button's name ("Yes", "Cancel"), or a path for a file dialog.
        swallowed: errors in slots, overrides and event filters, which Slicer prints only.
        widget: the module's widget object while it is open.
    """

    wait = staticmethod(events.wait)
    turn = staticmethod(events.turn)
    typeText = staticmethod(events.typeText)
    key = staticmethod(events.key)
    click = staticmethod(events.click)
    select = staticmethod(events.select)
    choose = staticmethod(events.choose)
    shot = staticmethod(events.shot)

    def __init__(self, waits: bool = False) -> None:
        self.application = qtmodule.install()
        super().__init__()
        self._children = _children()
        self._module: Any = None
        self._watch: events.StallWatch | None = None
        self.widget: Any = None
        dialogs.install(waits)
        self.messages, self.answers = dialogs.dialogs.messages, dialogs.dialogs.answers
        self.swallowed = slots.swallowed
        self.swallowed.clear()
        installing.reset()
        self.application.clearSettings()
        self.application.setTestingEnabled(False)
        self.application.extensions.installed.clear()
        self.application.extensions.offered.clear()
        self.application.layoutManager().setSliceLogics(self.sliceLogics)
        self.application.setApplicationLogic(self.logic)
        self.window = application.qSlicerMainWindow()
        self.application.window = self.window
        self.window.resize(*WINDOW)
        self.setStyle(style.LIGHT)

    def openModule(self, name: str = "MediRoundSlicer", path: str | Path | None = None) -> Any:
        """Starts Slicer with the module and opens its panel; the widget object comes back.

        Args:
            path: the module's file; `<name>/<name>.py` in the repository unless another is given.
        """
        self._module = modules.load(Path(path) if path else REPOSITORY / name / f"{name}.py")
        self.application.startupCompleted.emit()
        return self.enterModule()

    def enterModule(self) -> Any:
        """Switches to the module's panel."""
        panel = self._module.widgetRepresentation()
        self.window.panel.setWidget(panel)
        panel.enter()
        self.window.show()
        panel.show()
        self.widget = panel.self()
        events.turn()
        return self.widget

    def leaveModule(self) -> None:
        """Switches to another module's panel; this one stays as it is, hidden."""
        panel = self._module.widgetRepresentation()
        panel.exit()
        panel.hide()
        self.window.panel.takeWidget()
        events.turn()

    def reload(self) -> Any:
        """The developer's Reload button; the new widget object comes back."""
        name = self._module.property("name")
        slicer.util.reloadScriptedModule(name)
        self.widget = self._module.widgetRepresentation().self()
        events.turn()
        return self.widget

    def closeModule(self) -> None:
        """Ends Slicer: the module is left and cleans up."""
        if self._module is None:
            return
        panel = self._module.widgetRepresentation()
        if panel.isEntered:
            self.leaveModule()
        modules.unload(self._module)
        self._module = self.widget = None
        events.turn()

    def setStyle(self, name: str) -> None:
        """Slicer's "light" or "dark" style."""
        self.application.setPalette(style.palette(name))
        events.turn()

    def startStallWatch(self) -> None:
        """Begins to measure how long the event loop stands still."""
        self._watch = events.StallWatch()

    def longestStall(self) -> float:
        """Seconds that the event loop stood still at the longest since `startStallWatch`."""
        assert self._watch is not None, "startStallWatch() begins it"
        return self._watch.stop()

    def shotPanel(self, path: str | Path) -> Path:
        """Paints the window with the panel into a PNG file."""
        return events.shot(self.window, path)

    def close(self) -> None:
        """Ends Slicer. Raises AssertionError where a process that the module began outlives it."""
        self.closeModule()
        self.application.window = None
        self.window.deleteLater()
        self.closeViews()
        self.closeScene()
        events.turn()
        self.checkNoChildren()

    def checkNoChildren(self) -> None:
        """Raises AssertionError where a process that the module began outlives it."""
        end = time.monotonic() + PATIENCE
        while (left := _children() - self._children) and time.monotonic() < end:
            time.sleep(0.02)
            events.turn()
        assert not left, f"child processes still run: {left}"

    def checkNoneSwallowed(self) -> None:
        """Raises AssertionError where Qt swallowed an error in a slot, an override or an event filter."""
        errors = [*self.swallowed]
        self.swallowed.clear()
        assert not errors, f"errors in slots, which Qt swallows: {errors!r}"

    def raw(self, wrapper: Any) -> Any:
        """PySide6's object behind one of the module's."""
        return unwrap(wrapper)


def _children() -> set[int]:
    """The processes that this one began and that still run; none is known on other systems than Linux."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return set()
    found: set[int] = set()
    for task in tasks.iterdir():
        try:
            found |= {int(one) for one in (task / "children").read_text(encoding="ascii").split()}
        except OSError:  # the thread ended meanwhile
            continue
    return {one for one in found if os.path.exists(f"/proc/{one}/exe")}
