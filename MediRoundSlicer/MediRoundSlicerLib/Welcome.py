"""What an empty chat says: what this is, three queries to begin with, and what it is not for."""

from functools import partial
from typing import Any

import qt
from slicer.i18n import tr as _

from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Style import plain, setKind


def examples() -> tuple[str, ...]:
    """Queries to begin with; the model understands both languages, so they are not translated."""
    return ("Segment the liver.", "Please segment the left kidney.", "请分割右肺。")


class Welcome:
    """
    ```
    welcome = Welcome(parent)
    welcome.chosen.connect(input.setText)       # (query)
    ```
    """

    def __init__(self, parent: Any) -> None:
        self.chosen = Signal()
        self.widget = qt.QWidget(parent)
        rows = qt.QVBoxLayout(self.widget)
        rows.setContentsMargins(14, 24, 14, 14)
        rows.setSpacing(8)
        rows.addWidget(self._label("title", _("Talk to this slice")))
        rows.addWidget(
            self._label(
                "answer",
                _(
                    "Ask for a structure, then go on from it: “the other kidney”, “the tumour in instance 1”. "
                    "Every answer becomes a segment."
                ),
            )
        )
        rows.addSpacing(6)
        self.buttons = [self._example(query) for query in examples()]
        for button in self.buttons:
            rows.addWidget(button, 0, qt.Qt.AlignHCenter)
        rows.addStretch(1)
        rows.addWidget(self._label("quiet", _("For education and research, not for diagnosis.")))

    def _label(self, kind: str, text: str) -> Any:
        label = qt.QLabel(text, self.widget)
        setKind(label, kind)
        label.setWordWrap(True)
        label.setAlignment(qt.Qt.AlignHCenter)
        return label

    def _example(self, query: str) -> Any:
        button = qt.QPushButton(plain(query), self.widget)
        setKind(button, "example")
        button.setToolTip(_("Put this query into the input"))
        button.setFocusPolicy(qt.Qt.TabFocus)
        button.connect("clicked()", partial(self.chosen.emit, query))
        return button
