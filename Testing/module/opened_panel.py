"""The chat panel alone, in a window, on a Conversation that remembers what the panel asks for."""

from pathlib import Path
from typing import Any

from fake_conversation import FakeConversation

UI = Path(__file__).resolve().parents[2] / "MediRoundSlicer" / "Resources" / "UI" / "MediRoundSlicer.ui"


class Opened:
    """The panel in a window, and its conversation."""

    def __init__(self, host: Any, width: int = 400) -> None:
        import qt
        import slicer
        from MediRoundSlicerLib.ChatPanel import ChatPanel

        self.host = host
        self.conversation = FakeConversation()
        self.window = qt.QWidget()
        layout = qt.QVBoxLayout(self.window)
        widget = slicer.util.loadUI(str(UI))
        layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        self.panel = ChatPanel(widget, self.ui, self.conversation)
        self.window.resize(width, 640)
        self.window.show()
        host.turn()

    def close(self) -> None:
        self.panel.close()
        self.window.hide()
        self.window.deleteLater()
        self.host.turn()

    def type(self, text: str) -> None:
        self.host.typeText(self.ui.queryEdit, text)

    def key(self, name: str) -> None:
        self.host.key(self.ui.queryEdit, name)

    def rest(self) -> None:
        """Until what was typed is understood."""
        self.host.wait(lambda: not self.panel.input._rest.isActive(), 2, "the rest after typing")

    def round(self, number: int) -> Any:
        return self.panel.chat.rounds[f"r{number}"]

    def menuTexts(self, chip: Any) -> list[str]:
        menu = chip.widget.menu()
        menu.popup(self.window.pos)
        self.host.turn()
        texts = [action.text for action in menu.actions() if action.text]
        menu.hide()
        return texts
