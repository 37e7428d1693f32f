"""Values of Qt's enums as PythonQt gives them: ints."""

import enum
from typing import Any


class EnumValue(int):
    """A value of a Qt enum; or-ed with others it is a plain int, as all the rest of PythonQt's numbers.

    Attributes:
        raw: PySide6's own.
    """

    raw: Any

    def __new__(cls, raw: enum.Enum) -> "EnumValue":
        value = super().__new__(cls, raw.value)
        value.raw = raw
        return value


class EnumNames:
    """The class of an enum, such as `qt.QFrame.Shape`: its values by name."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> EnumValue:
        return EnumValue(getattr(self._raw, name))

    def __call__(self, value: int) -> EnumValue:
        return EnumValue(self._raw(int(value)))
