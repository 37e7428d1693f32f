"""`slicer.app`: the application, its main window and its managers, as much of them as the module uses."""

import tempfile
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from slicer_host import iomanager, widgets

Property, Signal, kept = QtCore.Property, QtCore.Signal, widgets.kept
# What stands for the version of Slicer.
VERSION = (5, 12, 0)


class qSlicerModuleManager(QtCore.QObject):
    """Knows the modules that the host opened."""

    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)
    moduleUnloaded = Signal(str)

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self._modules: dict[str, QtCore.QObject] = {}

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def modulesNames(self) -> list[str]:
        return list(self._modules)


class qMRMLSliceWidget(QtWidgets.QWidget):
    """One slice view: its logic and its nodes. The pictures are `slicer_host.pictures`'."""

    def __init__(self, logic: Any) -> None:
        super().__init__()
        self._logic = logic

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class qSlicerLayoutManager(QtCore.QObject):
    """The slice views of the layout."""

    layoutChanged = Signal(int)

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self._widgets: dict[str, qMRMLSliceWidget] = {}

    def setSliceLogics(self, logics: dict[str, Any]) -> None:
        """The host's: the views of its scene."""
        self._widgets = {name: qMRMLSliceWidget(logic) for name, logic in logics.items()}

    def mrmlSliceLogics(self) -> Any:
        return QtWidgets.QApplication.instance().applicationLogic().GetSliceLogics()

    def sliceViewNames(self) -> list[str]:
        return list(self._widgets)

    def sliceWidget(self, name: str) -> Any:
        return self._widgets.get(name)


class qSlicerModuleSelector(QtCore.QObject):
    """The list of modules in the tool bar."""

    moduleSelected = Signal(str)

    def selectModule(self, name: str) -> None:
        self.moduleSelected.emit(name)


class qSlicerMainWindow(QtWidgets.QMainWindow):
    """Slicer's window: the panel of the module, in a scroll area as in Slicer."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = qSlicerModuleSelector(self)
        self.panel = QtWidgets.QScrollArea(self)
        self.panel.setWidgetResizable(True)
        self.panel.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.panel.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self.setCentralWidget(self.panel)

    def moduleSelector(self) -> Any:
        return self._selector


class qSlicerExtensionsManagerModel(QtCore.QObject):
    """The extensions that a test says are there, in `installed`, and whether others can be had, in `offered`."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self.installed: set[str] = set()
        self.offered: set[str] = set()

    def isExtensionInstalled(self, name: str) -> bool:
        return name in self.installed

    def installExtensionFromServer(self, name: str, restart: bool = True) -> bool:
        if name in self.offered:
            self.installed.add(name)
        return name in self.offered


class qSlicerApplication(QtWidgets.QApplication):
    """Slicer's application object."""

    startupCompleted = Signal()
    mrmlSceneChanged = Signal(object)
    signalNames = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged(PyObject)"}  # noqa: RUF012
    majorVersion = Property(int, lambda _self: VERSION[0])
    minorVersion = Property(int, lambda _self: VERSION[1])
    temporaryPath = Property(str, lambda self: self._folder.name)
    slicerHome = Property(str, lambda self: self._folder.name)
    revision = kept(str, "revision", "host")

    def __init__(self) -> None:
        super().__init__([])
        self.setApplicationName("Slicer")
        self.setOrganizationName("NA-MIC")
        self.setApplicationVersion(".".join(map(str, VERSION)))
        self._folder = tempfile.TemporaryDirectory(prefix="slicer_host_", ignore_cleanup_errors=True)
        # QSettings() too is then one of the host's own, never the user's.
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        for scope in (QtCore.QSettings.Scope.UserScope, QtCore.QSettings.Scope.SystemScope):
            QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, scope, self._folder.name)
        self._manager = qSlicerModuleManager(self)
        self._layout = qSlicerLayoutManager(self)
        self._files = iomanager.qSlicerCoreIOManager(self)
        self.extensions = qSlicerExtensionsManagerModel(self)
        self._logic: Any = None
        self._testing = False
        self.window: Any = None
        self.clearSettings()

    def clearSettings(self) -> None:
        """The host's: settings as on the first start."""
        self._settings = QtCore.QSettings(
            str(Path(self._folder.name) / "Slicer.ini"), QtCore.QSettings.Format.IniFormat
        )
        self._settings.clear()
        QtCore.QSettings().clear()

    def setApplicationLogic(self, logic: Any) -> None:
        """The host's: another scene."""
        self._logic = logic
        self.mrmlSceneChanged.emit(logic.GetMRMLScene())

    def setTestingEnabled(self, enabled: bool) -> None:
        """The host's: what `testingEnabled` says, False at first."""
        self._testing = enabled

    def applicationLogic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def moduleManager(self) -> Any:
        return self._manager

    def layoutManager(self) -> Any:
        return self._layout

    def coreIOManager(self) -> Any:
        return self._files

    def ioManager(self) -> Any:
        return self._files

    def extensionsManagerModel(self) -> Any:
        return self.extensions

    def startupEnvironment(self) -> Any:
        """The environment that Slicer was started in, without its launcher's changes."""
        return QtCore.QProcessEnvironment.systemEnvironment()

    def mainWindow(self) -> Any:
        return self.window

    def settings(self) -> Any:
        return self._settings

    def userSettings(self) -> Any:
        return self._settings

    def testingEnabled(self) -> bool:
        return self._testing

    def pauseRender(self) -> None:
        """The pictures of the slice views are drawn when they are asked for."""

    def resumeRender(self) -> None:
        """See `pauseRender`."""
