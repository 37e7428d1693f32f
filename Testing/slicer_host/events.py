"""The event loop, and what a user does with mouse and keyboard."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtTest import QTest

from slicer_host.pythonqt import unwrap

# Milliseconds between two ticks of the timer that measures stalls.
TICK = 5


def turn() -> None:
    """One turn of the event loop, with what was asked to be deleted later."""
    QtWidgets.QApplication.processEvents()
    QtWidgets.QApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)


def wait(condition: Callable[[], Any], seconds: float = 10.0, what: str = "") -> None:
    """Runs the event loop until `condition` is true.

    Raises:
        AssertionError: It was not within `seconds`; the text names `what` was waited for.
    """
    loop, timer = QtCore.QEventLoop(), QtCore.QTimer()
    end = time.monotonic() + seconds
    error: list[Exception] = []

    def look() -> None:
        try:
            done = bool(condition())
        except Exception as failed:  # it must not be swallowed by Qt
            error.append(failed)
            done = True
        if done or time.monotonic() > end:
            loop.quit()

    timer.timeout.connect(look)
    timer.start(TICK)
    loop.exec()
    timer.stop()
    if error:
        raise error[0]
    turn()
    assert condition(), f"waited {seconds:g} s in vain{f' for {what}' if what else ''}"


def typeText(widget: Any, text: str) -> None:
    """Types a text into a widget that takes the focus, key by key; what is not ASCII comes as from an input method."""
    raw = _focus(widget)
    for sign in text:
        if sign.isascii():
            QTest.keyClick(raw, sign)
        else:
            composed = QtGui.QInputMethodEvent()
            composed.setCommitString(sign)
            QtWidgets.QApplication.sendEvent(raw, composed)
    turn()


def key(widget: Any, name: str) -> None:
    """Presses and releases a key by its name, such as "Enter", "Up", "Escape", "Ctrl+Z", "Shift+Enter"."""
    raw = _focus(widget)
    *modifiers, last = name.replace("Enter", "Return").split("+")
    named = getattr(QtCore.Qt.Key, f"Key_{last}")
    held = QtCore.Qt.KeyboardModifier.NoModifier
    for one in modifiers:
        held |= getattr(QtCore.Qt.KeyboardModifier, {"Ctrl": "ControlModifier"}.get(one, f"{one}Modifier"))
    QTest.keyClick(raw, named, held)
    turn()


def click(widget: Any, button: str = "Left") -> None:
    """Clicks a widget in its middle, or a check box on its box.

    Raises:
        AssertionError: A user could not: it is hidden or not enabled.
    """
    raw = _reached(widget)
    place = raw.rect().center()
    if isinstance(raw, QtWidgets.QCheckBox | QtWidgets.QRadioButton):
        place.setX(min(8, place.x()))
    QTest.mouseClick(raw, getattr(QtCore.Qt.MouseButton, f"{button}Button"), pos=place)
    turn()


def select(combo: Any, text: str) -> None:
    """Opens a combo box and clicks the entry of that text."""
    raw = _reached(combo)
    raw = raw if isinstance(raw, QtWidgets.QComboBox) else raw.findChild(QtWidgets.QComboBox)
    place = raw.findText(text)
    assert place >= 0, f"no {text!r} among {[raw.itemText(one) for one in range(raw.count())]}"
    raw.showPopup()
    turn()
    view = raw.view()
    cell = view.model().index(place, raw.modelColumn(), raw.rootModelIndex())
    view.scrollTo(cell)
    QTest.mouseMove(view.viewport(), view.visualRect(cell).center())
    turn()
    QTest.mouseClick(view.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=view.visualRect(cell).center())
    turn()


def choose(button: Any, *texts: str) -> None:
    """Opens the menu of a button and clicks the action of that text; one more text for each submenu.

    Raises:
        AssertionError: There is no such action, or it is not enabled.
    """
    raw = _reached(button)
    menu = raw if isinstance(raw, QtWidgets.QMenu) else raw.menu()
    for text in texts:
        menu.popup(raw.mapToGlobal(QtCore.QPoint(0, raw.height())))
        turn()
        action = next((one for one in menu.actions() if one.text().replace("&", "") == text and one.isVisible()), None)
        assert action is not None, f"no {text!r} among {[one.text() for one in menu.actions()]}"
        assert action.isEnabled(), f"{text!r} is not enabled"
        if action.menu() is not None:
            menu = action.menu()
            continue
        QTest.mouseClick(menu, QtCore.Qt.MouseButton.LeftButton, pos=menu.actionGeometry(action).center())
    for one in QtWidgets.QApplication.topLevelWidgets():
        if isinstance(one, QtWidgets.QMenu):
            one.hide()
    turn()


def _reached(widget: Any) -> Any:
    """PySide6's object, scrolled into sight. Raises AssertionError where a user could not use it."""
    raw = unwrap(widget)
    assert raw.isVisible(), f"{raw} is hidden"
    assert raw.isEnabled(), f"{raw} is not enabled"
    above = raw.parentWidget()
    while above is not None:
        if isinstance(above, QtWidgets.QScrollArea):
            above.ensureWidgetVisible(raw, 0, 0)
        above = above.parentWidget()
    turn()
    assert not raw.visibleRegion().isEmpty(), f"{raw} is out of sight"
    return raw


def _focus(widget: Any) -> Any:
    raw = _reached(widget)
    raw.window().activateWindow()
    raw.setFocus()
    return raw


def shot(widget: Any, path: str | Path) -> Path:
    """Paints a widget into a PNG file."""
    turn()
    raw = unwrap(widget)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    assert raw.grab().save(str(path)), f"cannot write {path}"
    return Path(path)


class StallWatch:
    """Measures the longest time that the event loop did not turn: the largest gap between a timer's ticks."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.monotonic()
        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK)

    def _tick(self) -> None:
        now = time.monotonic()
        self.longest = max(self.longest, now - self._last)
        self._last = now

    def stop(self) -> float:
        """Seconds of the longest gap, up to now."""
        self._tick()
        self._timer.stop()
        return self.longest
