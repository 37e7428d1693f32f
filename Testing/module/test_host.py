"""The host's `qt` has PythonQt's manners: what is asserted here holds on a real PythonQt, and fails on PySide6."""

import functools
import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import qt
from slicer_host import slots


@pytest.fixture(autouse=True)
def none_swallowed() -> Iterator[None]:
    slots.swallowed.clear()
    yield
    assert slots.swallowed == []


def swallowed() -> list[str]:
    """The errors that Qt swallowed since, as texts."""
    texts = [str(error) for error in slots.swallowed]
    slots.swallowed.clear()
    return texts


def button() -> Any:
    return qt.QPushButton("Go")


def test_properties_are_values() -> None:
    label = qt.QLabel("liver")
    assert label.text == "liver"
    with pytest.raises(TypeError, match="not callable"):
        label.text()
    assert (label.wordWrap, label.visible, type(label.width)) == (False, False, int)
    assert label.size.width() == label.width
    assert label.sizeHint.height() > 0


def test_properties_are_set_by_name_and_by_setter() -> None:
    label = qt.QLabel()
    label.text = "liver"
    assert label.text == "liver"
    label.setText("spleen")
    assert label.text == "spleen"
    label.name = "organ"
    assert (label.objectName, label.name) == ("organ", "organ")


def test_functions_stay_functions() -> None:
    edit = qt.QPlainTextEdit()
    edit.setPlainText("text")
    assert edit.toPlainText() == "text"
    assert edit.isVisible() is False
    assert edit.parent() is None
    assert edit.layout() is None


def test_a_text_is_made_of_anything() -> None:
    label = qt.QLabel()
    label.text = None
    assert label.text == "None"
    label.setText(None)
    assert label.text == "None"
    label.setText(5)
    assert label.text == "5"


def test_numbers_are_cut() -> None:
    spin = qt.QSpinBox()
    spin.value = 3.7
    assert spin.value == 3
    box = qt.QCheckBox()
    box.checked = None
    assert box.checked is False


@pytest.mark.parametrize("name", ["stray", "txt", "settext"])
def test_no_stray_attributes(name: str) -> None:
    with pytest.raises(AttributeError, match="creating new attributes on C"):
        setattr(qt.QLabel(), name, 1)


def test_a_slot_or_a_fixed_property_is_not_overwritten() -> None:
    label = qt.QLabel()
    with pytest.raises(AttributeError, match="can not be overwritten"):
        label.layout = 5
    with pytest.raises(AttributeError, match="not writable"):
        label.sizeHint = qt.QSize(1, 1)
    with pytest.raises(AttributeError, match="does not accept"):
        label.minimumSize = (1, 2)


def test_dynamic_properties_are_read_as_attributes() -> None:
    label = qt.QLabel()
    label.setProperty("mediround", "chip")
    assert label.mediround == "chip"
    assert label.property("mediround") == "chip"
    assert label.property("none") is None


def test_no_keywords() -> None:
    with pytest.raises(ValueError, match="does not support kwargs"):
        qt.QLabel("x", wordWrap=True)
    with pytest.raises(ValueError, match="does not support kwargs"):
        qt.QVBoxLayout().addWidget(qt.QLabel("x"), stretch=1)


def test_lists_are_tuples() -> None:
    widget = qt.QWidget()
    qt.QLabel("a", widget)
    assert isinstance(widget.children(), tuple)
    settings = qt.QSettings()
    settings.setValue("list", ["a", "b"])
    assert settings.value("list") == ("a", "b")


def test_what_is_no_list_is_refused() -> None:
    with pytest.raises(ValueError, match="a list or a tuple"):
        qt.QComboBox().addItems({"a": 1}.keys())
    with pytest.raises(ValueError, match="matching overload"):
        qt.QWidget().resize((3, 4))


def test_flags_are_ints() -> None:
    both = qt.Qt.AlignLeft | qt.Qt.AlignTop
    assert (both, type(both)) == (33, int)
    label = qt.QLabel()
    label.setAlignment(both)
    assert label.alignment == 33
    label.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
    assert label.focusPolicy == qt.Qt.NoFocus == 0
    assert qt.QFrame.Shape.NoFrame == qt.QFrame.NoFrame
    assert not hasattr(qt.Qt, "CTRL")


def test_classes_know_of_no_inheritance() -> None:
    assert isinstance(button(), qt.QPushButton)
    assert not isinstance(button(), qt.QWidget)
    assert button().inherits("QWidget")
    assert button().className() == "QPushButton"


def test_truth() -> None:
    widget = qt.QWidget()
    layout = qt.QVBoxLayout(widget)
    assert not layout
    layout.addWidget(qt.QLabel())
    assert layout
    assert widget.layout() is layout
    assert not qt.QByteArray()
    assert not qt.QIcon()
    assert widget


def test_bytes() -> None:
    data = qt.QByteArray(b"a\0b\xff")
    assert data.data() == b"a\0b\xff"
    assert data.size() == 4
    with pytest.raises(TypeError):
        len(data)
    with pytest.raises(TypeError):
        bytes(data)


@pytest.mark.parametrize("data", [bytearray(b"a"), memoryview(b"a"), None, 5])
def test_bytes_are_bytes(data: Any) -> None:
    """PythonQt would send their printed text, and say nothing."""
    with pytest.raises((TypeError, ValueError)):
        qt.QProcess().write(data)


def test_pictures_come_from_files() -> None:
    with pytest.raises(ValueError, match="matching overload"):
        qt.QImage(bytes(12), 2, 2, 6, qt.QImage.Format_RGB888)
    image = qt.QImage(2, 2, qt.QImage.Format_RGB888)
    image.fill(qt.QColor("red"))
    data = qt.QByteArray()
    buffer = qt.QBuffer(data)
    buffer.open(qt.QIODevice.WriteOnly)
    image.save(buffer, "PNG")
    again = qt.QPixmap()
    assert again.loadFromData(data.data())
    assert again.width() == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: qt.QShortcut("N", qt.QWidget()),
        lambda: qt.QAction("a", None).setShortcut("Ctrl+Z"),
        lambda: qt.QAction("a", None).setShortcut(qt.QKeySequence.Undo),
        lambda: qt.QToolButton().setIcon(qt.QPixmap(2, 2)),
        lambda: qt.QPalette().setColor(qt.QPalette.Window, "#fff"),
        lambda: qt.QPainterPath().moveTo(qt.QPoint(1, 1)),
        lambda: qt.QSettings().value("a", 1, int),
        lambda: qt.QPixmap(qt.QImage()),
    ],
)
def test_no_conversions_of_pyside(call: Any) -> None:
    with pytest.raises(ValueError, match="matching overload"):
        call()


@pytest.mark.parametrize("name", ["QSvgWidget", "QTest", "Signal", "QStringConverter", "QKeyCombination", "SIGNAL"])
def test_no_other_classes(name: str) -> None:
    assert not hasattr(qt, name)


def test_no_names_of_qt_6_alone() -> None:
    assert not hasattr(qt.QWidget(), "accessibleIdentifier")
    assert not hasattr(qt.QColor(), "getRgb")
    assert not hasattr(qt.QByteArray(), "sliced")
    label = qt.QLabel()
    assert not hasattr(qt.QSignalBlocker(label), "__enter__")
    with pytest.raises(AttributeError, match="Qt 5"):
        _margins = qt.QVBoxLayout().contentsMargins


def test_connect_by_signature() -> None:
    got: list[Any] = []
    pushed = button()
    assert pushed.connect("clicked()", lambda: got.append("none")) is True
    assert pushed.connect("clicked(bool)", got.append) is True
    pushed.click()
    assert got == ["none", False]


@pytest.mark.parametrize("signature", ["clicked", "clickedd()", "clicked(int)", "textChanged()"])
def test_unknown_signatures_say_so(signature: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert button().connect(signature, lambda: None) is False
    assert f"signal '{signature}' does not exist on QPushButton" in capsys.readouterr().err


def test_disconnect() -> None:
    got: list[str] = []

    class Owner:
        def slot(self) -> None:
            got.append("slot")

    owner, pushed = Owner(), button()
    pushed.connect("clicked()", owner.slot)
    pushed.click()
    assert pushed.disconnect("clicked()", owner.slot) is True
    assert pushed.disconnect("clicked()", owner.slot) is False
    pushed.click()
    assert got == ["slot"]


def test_a_signal_gives_as_many_arguments_as_are_taken() -> None:
    got: list[Any] = []
    pushed = button()
    pushed.connect("clicked(bool)", lambda: got.append("none"))
    pushed.connect("clicked(bool)", lambda value=7: got.append(value))
    pushed.connect("clicked()", lambda value=7: got.append(value))
    pushed.connect("clicked()", functools.partial(got.append, "partial"))
    pushed.click()
    assert got == ["none", False, 7, "partial"]


def test_connect_with_a_dot() -> None:
    got: list[Any] = []
    pushed = button()
    assert pushed.clicked.connect(got.append) is True
    pushed.click()
    assert pushed.clicked.disconnect(got.append) is True
    assert got == [False]


def test_errors_in_slots_are_printed_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    pushed = button()
    pushed.connect("clicked()", lambda: [][0])
    pushed.click()
    assert "list index out of range" in capsys.readouterr().err
    assert swallowed() == ["list index out of range"]


def test_errors_in_timers_and_menus_are_kept(host: Any) -> None:
    menu = qt.QMenu()
    menu.addAction("fail", lambda: [][0]).trigger()
    qt.QTimer.singleShot(0, lambda: dict[str, int]()["timer"])
    host.wait(lambda: len(host.swallowed) == 2, 2)
    assert swallowed() == ["list index out of range", "'timer'"]


class Frame(qt.QFrame):
    def __init__(self, parent: Any = None, title: str = "") -> None:
        super().__init__(parent)
        self.title = title
        self.events: list[Any] = []

    def mousePressEvent(self, event: Any) -> None:
        qt.QFrame.mousePressEvent(self, event)
        self.events.append((event.button(), event.pos().x()))

    def keyPressEvent(self, event: Any) -> None:
        super().keyPressEvent(event)


class Filter(qt.QObject):
    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer
        self.seen: list[str] = []

    def eventFilter(self, watched: Any, event: Any) -> Any:
        if event.type() != qt.QEvent.KeyPress:
            return False
        self.seen.append(type(event).__name__)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def press(widget: Any, letter: str) -> None:
    event = qt.QKeyEvent(qt.QEvent.KeyPress, ord(letter.upper()), qt.Qt.NoModifier, letter)
    qt.QApplication.sendEvent(widget, event)


def test_subclasses() -> None:
    frame = Frame(title="mine")
    frame.anything = 3
    assert (frame.anything, frame.title) == (3, "mine")
    assert isinstance(frame, qt.QFrame)
    place = qt.QPointF(5, 6)
    event = qt.QMouseEvent(qt.QEvent.MouseButtonPress, place, qt.Qt.LeftButton, qt.Qt.LeftButton, qt.Qt.NoModifier)
    qt.QApplication.sendEvent(frame, event)
    assert frame.events == [(qt.Qt.LeftButton, 5)]


def test_super_has_only_its_constructor() -> None:
    press(Frame(), "a")
    assert swallowed() == ["'super' object has no attribute 'keyPressEvent'"]


@pytest.mark.parametrize(("selector", "applies"), [("QFrame", True), ("Frame", False)])
def test_to_style_sheets_a_subclass_is_of_its_base(selector: str, applies: bool) -> None:
    frame = Frame()
    frame.resize(10, 10)
    frame.setStyleSheet(selector + "{background-color: rgb(255, 0, 0);}")
    assert (frame.grab().toImage().pixelColor(5, 5).name() == "#ff0000") is applies
    assert frame.className() == "Frame"
    assert not frame.inherits("Frame")


def test_a_subclass_must_call_the_constructor() -> None:
    class Careless(qt.QWidget):
        def __init__(self) -> None:
            self.mine = "set before"

    made = Careless()
    assert made.mine == "set before"
    with pytest.raises(AttributeError, match="destroyed"):
        made.windowTitle = "x"
    with pytest.raises(ValueError, match="destroyed"):
        made.show()


def test_a_size_hint_is_not_overridden() -> None:
    with pytest.raises(TypeError, match="sizeHint"):
        type("Wide", (qt.QWidget,), {"sizeHint": lambda self: qt.QSize(1, 1)})


def test_a_child_keeps_its_python_side() -> None:
    parent = qt.QWidget()
    Frame(parent, "kept")
    gc.collect()
    assert [child.title for child in parent.children()] == ["kept"]
    assert parent.findChildren(qt.QFrame)[0].title == "kept"


@pytest.mark.parametrize(("answer", "text"), [(False, "a"), (None, "a"), (True, ""), (RuntimeError("filter"), "a")])
def test_event_filters(answer: Any, text: str) -> None:
    edit, made = qt.QLineEdit(), Filter(answer)
    edit.installEventFilter(made)
    press(edit, "a")
    assert edit.text == text
    assert made.seen == ["QKeyEvent"]
    assert swallowed() == (["filter"] if isinstance(answer, Exception) else [])


def test_a_destroyed_object() -> None:
    parent = qt.QWidget()
    label = qt.QLabel("gone", parent)
    label.deleteLater()
    qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete)
    assert not label
    assert label == None  # noqa: E711 - as in PythonQt
    with pytest.raises(ValueError, match="destroyed"):
        _text = label.text


def test_children_are_found_by_the_name_of_their_class() -> None:
    parent = qt.QWidget()
    qt.QLabel("a", parent).setObjectName("one")
    assert parent.findChild("QLabel", "one").text == "a"
    assert parent.findChild(qt.QLabel, "two") is None
    assert len(parent.findChildren("QWidget")) == 1


def test_a_process_speaks_bytes(host: Any) -> None:
    process, got = qt.QProcess(), []
    process.connect("readyReadStandardOutput()", lambda: got.append(process.readAllStandardOutput().data()))
    ended: list[Any] = []
    assert process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ended.append((code, status)))
    assert process.connect("errorOccurred(QProcess::ProcessError)", ended.append)
    echo = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    process.start(sys.executable, ["-c", echo])
    sent = bytes(range(256))
    assert process.write(sent) == 256
    process.closeWriteChannel()
    host.wait(lambda: ended, 20, "the process")
    assert b"".join(got) == sent
    assert ended == [(0, qt.QProcess.NormalExit)]
    assert process.state() == qt.QProcess.NotRunning


def test_thousands_of_calls() -> None:
    """PySide6 6.12 would end Python before 3.12 after some 20 000 results of None."""
    label = qt.QLabel()
    for _call in range(30_000):
        label.setText("x")
    assert label.text == "x"
