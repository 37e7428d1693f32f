"""First use: the installation is shown as long as packages of the engine are missing."""

from typing import Any

from MediRoundSlicerLib.InstallPanel import InstallPanel
from MediRoundSlicerLib.Packages import Packages
from MediRoundSlicerLib.Signal import Signal


class FirstUse:
    """Decides between the chat and the installation.

    ```
    first = FirstUse(settingsStore, engine)
    layout.addWidget(first.widget)
    first.wanted.connect(panel.showInstall)     # (bool)
    first.look()                                # when the module is entered
    ```

    Args:
        settings: the SettingsStore.
        engine: the EngineProcess; its `packagesMissing` tells what its Python lacks.
    """

    def __init__(self, settings: Any, engine: Any) -> None:
        self.wanted = Signal()
        self._settings = settings
        self._engine = engine
        self._python = settings.values.python
        self._packages = Packages(settings)
        self._panel = InstallPanel(self._packages)
        self.widget = self._panel.widget
        self._panel.installed.connect(self._onInstalled)
        self._panel.pythonChosen.connect(self._onPythonChosen)
        settings.changed.connect(self._onSettingsChanged)
        engine.packagesMissing.connect(self._onPackagesMissing)

    def close(self) -> None:
        self._panel.close()
        self._settings.changed.disconnect(self._onSettingsChanged)
        self._engine.packagesMissing.disconnect(self._onPackagesMissing)

    def look(self) -> bool:
        """See what Slicer's own Python lacks; another one is looked at by its own process, when that starts.

        Returns:
            Whether an engine can be started, as far as is known.
        """
        if self._packages.running:
            return False
        if self._settings.values.python:
            return True
        missing = bool(self._packages.missing())
        if missing:
            self._panel.showMissing()
        self.wanted.emit(missing)
        return not missing

    def _onPackagesMissing(self, names: Any) -> None:
        python = self._settings.values.python
        if python:
            self._panel.showEnvironment(python, list(names))
        else:
            self._panel.showMissing()
        self.wanted.emit(True)

    def _onInstalled(self) -> None:
        self.wanted.emit(False)
        self._engine.start()

    def _onPythonChosen(self, path: str) -> None:
        if path != self._settings.values.python:
            self._settings.set(python=path)
        elif path:
            # The user has installed what was missing there: the process looks again.
            self.wanted.emit(False)
            self._engine.start()

    def _onSettingsChanged(self) -> None:
        python, self._python = self._python, self._settings.values.python
        if not self._python:
            # Another precision may need another package, too.
            self.look()
        elif self._python != python:
            self.wanted.emit(False)
