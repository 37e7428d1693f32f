"""`slicer.parameterNodeWrapper`: a class whose typed members live in a parameter node, and its binding to widgets."""

import enum
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
import slicer
import vtk

SlicerParameterNamePropertyName = "SlicerParameterName"


@dataclass(frozen=True)
class Default:
    """Annotated with it, a member has this value at first."""

    value: Any = None


@dataclass(frozen=True)
class Minimum:
    """The least value."""

    minimum: Any

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, got {value}")


@dataclass(frozen=True)
class Maximum:
    """The greatest value."""

    maximum: Any

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, got {value}")


@dataclass(frozen=True)
class WithinRange:
    """The least and the greatest value."""

    minimum: Any
    maximum: Any

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within [{self.minimum}, {self.maximum}], is {value}")


@dataclass(frozen=True)
class Choice:
    """The values that there are."""

    choices: Any

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}, got {value}")


class Parameter:
    """One typed member: how it is kept in the node, as text or as a reference to another node."""

    def __init__(self, name: str, annotation: Any, owner: type) -> None:
        self.name = name
        hints = typing.get_args(annotation) if typing.get_origin(annotation) is typing.Annotated else (annotation,)
        self.annotations = hints[1:]
        kinds = [one for one in typing.get_args(hints[0]) or hints[:1] if one is not type(None)]
        self.isUnion = typing.get_origin(hints[0]) in (typing.Union, types.UnionType)
        self.kind = kinds[0]
        self.isNode = all(isinstance(one, type) and issubclass(one, slicer.vtkMRMLNode) for one in kinds)
        if not self.isNode and (self.isUnion or (self.kind not in (str, int, float, bool) and not self._isEnum())):
            raise TypeError(f"Unable to create serializer for {owner} member {name}")
        self.kinds = tuple(kinds)
        given = next((one for one in self.annotations if isinstance(one, Default)), None)
        fallback = next(iter(self.kind)) if self._isEnum() else None if self.isNode else self.kind()
        self.default = getattr(owner, name, given.value if given else fallback)

    def _isEnum(self) -> bool:
        return isinstance(self.kind, type) and issubclass(self.kind, enum.Enum)

    def find(self, kind: type) -> Any:
        return next((one for one in self.annotations if isinstance(one, kind)), None)

    def isIn(self, node: Any) -> bool:
        return bool(node.HasParameter(self.name))

    def read(self, node: Any) -> Any:
        if not self.isIn(node):
            self.write(node, self.default)
        if self.isNode:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.kind is bool:
            return text == "True"
        return self.kind[text] if self._isEnum() else self.kind(text)

    def write(self, node: Any, value: Any) -> None:
        if value is None and not self.isNode:
            raise ValueError(f"Value of {self.name} must not be None")
        accepted = (int, float) if self.kind is float else self.kinds
        if value is not None and not isinstance(value, accepted):
            raise TypeError(f"Value of {self.name} must be of type {self.kind.__name__}, is {value!r}")
        for one in self.annotations:
            if hasattr(one, "validate"):
                one.validate(value)
        modified = node.StartModify()
        if self.isNode:
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, None if value is None else value.GetID())
        else:
            node.SetParameter(self.name, str(value) if not isinstance(value, enum.Enum) else value.name)
        node.EndModify(modified)


class Binding:
    """A widget that shows one parameter, by its signal, its getter and its setter."""

    def __init__(self, widget: Any, parameter: Parameter) -> None:
        self.widget, self.parameter = widget, parameter
        name = widget.className()
        if (name, parameter.isNode) == ("qMRMLNodeComboBox", True):
            widget.nodeTypes = [kind.__name__ for kind in parameter.kinds]
            self._signal, self.read, self._show = "currentNodeChanged", widget.currentNode, widget.setCurrentNode
        elif name == "QComboBox" and parameter.find(Choice) is not None:
            self._choices = list(parameter.find(Choice).choices)
            widget.clear()
            widget.addItems([str(one) for one in self._choices])
            self._signal, self.read = "currentIndexChanged", lambda: self._choices[widget.currentIndex]
            self._show = lambda value: widget.setCurrentIndex(self._choices.index(value))
        elif (name, parameter.kind) in VALUES:
            self._signal, member = VALUES[name, parameter.kind]
            self._limit()
            self.read = lambda: parameter.kind(getattr(widget, member))
            self._show = lambda value: setattr(widget, member, value)
        else:
            raise RuntimeError(f"Unable to create GUI connector from '{parameter.kind}' to widget type '{name}'.")

    def _limit(self) -> None:
        for member, setter in (("minimum", "setMinimum"), ("maximum", "setMaximum")):
            for one in self.parameter.annotations:
                if hasattr(one, member) and hasattr(self.widget, setter):
                    getattr(self.widget, setter)(getattr(one, member))

    def write(self, value: Any) -> None:
        if self.read() != value:
            self._show(value)

    def connect(self, slot: Callable[[], None]) -> None:
        self._slot = slot
        getattr(self.widget, self._signal).connect(slot)

    def disconnect(self) -> None:
        getattr(self.widget, self._signal).disconnect(self._slot)


# Signal and property of a widget that shows a value of a type.
VALUES: dict[tuple[str, type], tuple[str, str]] = {
    ("QCheckBox", bool): ("stateChanged", "checked"),
    ("QPushButton", bool): ("toggled", "checked"),
    ("QLineEdit", str): ("textChanged", "text"),
    ("QSlider", int): ("valueChanged", "value"),
    ("QSpinBox", int): ("valueChanged", "value"),
    ("QDoubleSpinBox", float): ("valueChanged", "value"),
}


class Wrapped:
    """What `parameterNodeWrapper` gives to a class."""

    allParameters: dict[str, Parameter]

    def __init__(self, parameterNode: Any) -> None:
        self.parameterNode = parameterNode
        self._guis: dict[int, tuple[int, dict[str, Binding]]] = {}
        self._showing = False
        for parameter in self.allParameters.values():
            parameter.read(parameterNode)

    def getValue(self, name: str) -> Any:
        return self._parameter(name).read(self.parameterNode)

    def setValue(self, name: str, value: Any) -> None:
        self._parameter(name).write(self.parameterNode, value)

    def default(self, name: str) -> Default:
        return Default(self._parameter(name).default)

    def _parameter(self, name: str) -> Parameter:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return self.allParameters[name]

    def connectGui(self, gui: Any) -> int:
        """Binds every widget that names a parameter, in a widget or the names of a .ui file; a tag comes back."""
        widgets = gui.findChildren(qt.QWidget) if hasattr(gui, "findChildren") else vars(gui).values()
        named = {one.property(SlicerParameterNamePropertyName): one for one in widgets}
        return self.connectParametersToGui({name: one for name, one in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        bindings = {name: Binding(widget, self._parameter(name)) for name, widget in mapping.items()}
        for name, binding in bindings.items():
            binding.write(self.getValue(name))
            binding.connect(self._onChanged(name, binding))
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_event: self._show())
        tag = max(self._guis, default=0) + 1
        self._guis[tag] = observer, bindings
        return tag

    def _onChanged(self, name: str, binding: Binding) -> Callable[[], None]:
        def changed() -> None:
            if not self._showing:
                self.setValue(name, binding.read())

        return changed

    def _show(self) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            for _observer, bindings in list(self._guis.values()):
                for name, binding in bindings.items():
                    binding.write(self.getValue(name))
        finally:
            self._showing = False

    def disconnectGui(self, tag: int) -> None:
        if tag in self._guis:
            observer, bindings = self._guis.pop(tag)
            self.RemoveObserver(observer)
            for binding in bindings.values():
                binding.disconnect()

    def StartModify(self) -> Any:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: Any) -> Any:
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> Any:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def parameterNodeWrapper(classtype: Any = None) -> Any:
    """Class decorator: every annotated member becomes a property whose value is in the parameter node."""
    if classtype is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(classtype, include_extras=True)
    parameters = {name: Parameter(name, hint, classtype) for name, hint in hints.items()}
    for name in parameters:
        setattr(classtype, name, _property(name))
    for name, member in vars(Wrapped).items():
        if name != "__init__" and not name.startswith("__"):
            if name in vars(classtype):
                raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
            setattr(classtype, name, member)
    classtype.__init__ = Wrapped.__init__
    classtype.allParameters = parameters
    return classtype


def _property(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def isParameterNodeWrapper(value: Any) -> bool:
    return hasattr(value, "allParameters")
