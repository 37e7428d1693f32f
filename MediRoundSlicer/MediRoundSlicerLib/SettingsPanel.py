"""The settings: checkpoint, device, precision, correction, and the Python that the engine runs in."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MediRoundSlicerLib import Checkpoints, SettingsTexts
from MediRoundSlicerLib.Dialogues import DialogueError
from MediRoundSlicerLib.SettingsStore import PRECISIONS, SettingsStore, interpreter
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Style import breakable, setKind, toolTip

_UI = Path(__file__).resolve().parent.parent / "Resources" / "UI" / "Settings.ui"


class SettingsPanel:
    """Shows what `settingsStore` holds, changes it, and tells the engine.

    ```
    panel = SettingsPanel(settingsStore, engine)
    layout.addWidget(panel.widget)
    panel.lookForDevices()                     # when it is opened
    ```

    Attributes:
        widget: the QWidget.
        changed: Signal (), after a setting changed and the engine was told.
    """

    def __init__(self, settingsStore: SettingsStore, engine: Any) -> None:
        """`engine` needs `configure(settings)`, `listDevices()` and the Signal `devicesListed`."""
        self.changed = Signal()
        self.widget = slicer.util.loadUI(str(_UI))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self._store = settingsStore
        self._engine = engine
        self._devices: list[dict[str, Any]] | None = None
        self._asked = False
        # Widgets that are being filled must not change the settings.
        self._filling = False
        self._connectWidgets()
        self.ui.partsLabel.setText(SettingsTexts.parts())
        self.ui.partsLabel.setVisible(False)
        settingsStore.changed.connect(self._onSettingsChanged)
        engine.devicesListed.connect(self._onDevicesListed)
        self.refresh()

    def close(self) -> None:
        """Stop listening to the settings and the engine."""
        self._store.changed.disconnect(self._onSettingsChanged)
        self._engine.devicesListed.disconnect(self._onDevicesListed)

    def lookForDevices(self) -> None:
        """Ask the engine once what this machine offers, and start it if need be. Meant for when the panel is opened."""
        if not self._asked:
            self._onLookAgain()

    def refresh(self) -> None:
        """Show the settings as they are."""
        self._filling = True
        try:
            self._showNotice("\n".join(self._store.notices))
            self._showCheckpoint()
            self._showDevice()
            self._showPrecision()
            self._showPython()
        finally:
            self._filling = False

    def _connectWidgets(self) -> None:
        ui = self.ui
        ui.checkpointSelector.connect("currentIndexChanged(int)", self._onCheckpointSelected)
        ui.checkpointFolderButton.connect("clicked()", self._onChooseFolder)
        ui.partsButton.connect("toggled(bool)", self._onPartsToggled)
        ui.deviceSelector.connect("currentIndexChanged(int)", self._onDeviceSelected)
        ui.deviceRefreshButton.connect("clicked()", self._onLookAgain)
        ui.precisionSelector.connect("currentIndexChanged(int)", self._onPrecisionSelected)
        ui.jcmCheckBox.connect("toggled(bool)", self._onCorrectionToggled)
        ui.thresholdSlider.connect("valueChanged(int)", self._onThresholdSlid)
        ui.thresholdSlider.connect("sliderMoved(int)", self._onThresholdSliding)
        ui.thresholdSpinBox.connect("valueChanged(double)", self._onThresholdTyped)
        ui.thresholdResetButton.connect("clicked()", self._onThresholdReset)
        ui.pythonButton.connect("clicked()", self._onChoosePython)
        ui.pythonResetButton.connect("clicked()", self._onPythonReset)

    # What is shown

    def _showNotice(self, text: str, kind: str = "notice") -> None:
        setKind(self.ui.noticeFrame, kind)
        self.ui.noticeLabel.setText(breakable(text))
        self.ui.noticeFrame.setVisible(bool(text))

    def _showCheckpoint(self) -> None:
        chosen = self._store.values.checkpoint
        items = [(_("{name} (included)").format(name=one.name), one.key) for one in Checkpoints.shipped()]
        items += [(Path(folder).name or folder, folder) for folder in self._store.folders() if Path(folder).is_dir()]
        if chosen not in [key for _text, key in items]:
            items.append((Path(chosen).name or chosen, chosen))
        _fill(self.ui.checkpointSelector, items, chosen)
        self.ui.checkpointSelector.setToolTip(toolTip(chosen))
        try:
            checkpoint = Checkpoints.find(chosen)
        except DialogueError as error:
            self.ui.checkpointLabel.setText(breakable(str(error)))
            self._showCorrection(None)
            return
        self.ui.checkpointLabel.setText(SettingsTexts.checkpoint(checkpoint))
        self.ui.checkpointLabel.setToolTip(toolTip(checkpoint.summary))
        self._showCorrection(checkpoint)

    def _showCorrection(self, checkpoint: Checkpoints.Checkpoint | None) -> None:
        values = self._store.values
        can = checkpoint is None or checkpoint.judges is not False
        own = checkpoint.threshold if checkpoint is not None else None
        threshold = SettingsTexts.USUAL_THRESHOLD if own is None else own
        if values.threshold is not None:
            threshold = values.threshold
        ui = self.ui
        ui.jcmCheckBox.setEnabled(can)
        ui.jcmCheckBox.setChecked(can and values.jcm)
        for one in (ui.thresholdSlider, ui.thresholdSpinBox, ui.thresholdResetButton):
            one.setEnabled(can and values.jcm)
        ui.thresholdResetButton.setVisible(values.threshold is not None)
        ui.thresholdSlider.setValue(round(threshold * 100))
        ui.thresholdSpinBox.setValue(threshold)
        ui.thresholdLabel.setText(SettingsTexts.correction(can, values.jcm, threshold))

    def _showDevice(self) -> None:
        chosen = self._store.values.device
        items = [(_("Automatic"), "auto"), *((str(one["name"]), str(one["id"])) for one in self._devices or ())]
        if "cpu" not in [key for _text, key in items]:
            items.append((_("CPU"), "cpu"))
        if chosen not in [key for _text, key in items]:
            items.append((chosen, chosen))
        _fill(self.ui.deviceSelector, items, chosen)
        self.ui.deviceLabel.setText(SettingsTexts.device(chosen, self._devices, os.cpu_count()))

    def _showPrecision(self) -> None:
        values = self._store.values
        items = [(SettingsTexts.precision(one), one) for one in PRECISIONS]
        _fill(self.ui.precisionSelector, items, values.precision)
        hint = SettingsTexts.precisionHint(values.precision, values.device, self._devices)
        self.ui.precisionLabel.setText(hint)
        self.ui.precisionLabel.setVisible(bool(hint))

    def _showPython(self) -> None:
        python = self._store.values.python
        self.ui.pythonEdit.setText(python)
        self.ui.pythonEdit.setToolTip(toolTip(python))
        self.ui.pythonResetButton.setVisible(bool(python))

    # What the user does

    def _onCheckpointSelected(self, index: int) -> None:
        if not self._filling and index >= 0:
            self._chooseCheckpoint(str(self.ui.checkpointSelector.itemData(index)))

    def _onChooseFolder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            self.widget, _("Folder of a checkpoint"), (self._store.folders() or ("",))[0]
        )
        if folder:
            self._chooseCheckpoint(str(folder))

    def _chooseCheckpoint(self, key: str) -> None:
        def choose() -> None:
            checkpoint = Checkpoints.find(key)
            if not checkpoint.shipped:
                self._store.addFolder(checkpoint.key)
            # Another checkpoint has another threshold of its own.
            self._store.set(checkpoint=checkpoint.key, threshold=None)

        self._try(choose)

    def _onPartsToggled(self, shown: bool) -> None:
        self.ui.partsLabel.setVisible(bool(shown))

    def _onDeviceSelected(self, index: int) -> None:
        if not self._filling and index >= 0:
            self._store.set(device=str(self.ui.deviceSelector.itemData(index)))

    def _onLookAgain(self) -> None:
        self._asked = True
        self.ui.deviceRefreshButton.setEnabled(False)
        self.ui.deviceLabel.setText(_("Looking what this machine offers…"))
        self._engine.listDevices()

    def _onPrecisionSelected(self, index: int) -> None:
        if not self._filling and index >= 0:
            self._store.set(precision=str(self.ui.precisionSelector.itemData(index)))

    def _onCorrectionToggled(self, on: bool) -> None:
        if not self._filling:
            self._store.set(jcm=bool(on))

    def _onThresholdSlid(self, hundredths: int) -> None:
        self._setThreshold(hundredths / 100)

    def _onThresholdSliding(self, hundredths: int) -> None:
        """Show the number while the slider is dragged; the engine is told when it is let go."""
        was = self.ui.thresholdSpinBox.blockSignals(True)
        self.ui.thresholdSpinBox.setValue(hundredths / 100)
        self.ui.thresholdSpinBox.blockSignals(was)

    def _onThresholdTyped(self, value: float) -> None:
        self._setThreshold(round(float(value), 2))

    def _setThreshold(self, value: float) -> None:
        if not self._filling:
            self._store.set(threshold=value)

    def _onThresholdReset(self) -> None:
        self._store.set(threshold=None)

    def _onChoosePython(self) -> None:
        choosePython(self.widget, self._store.values.python, self.setPython)

    def setPython(self, path: str) -> None:
        """Let the engine run in another environment, an interpreter or a folder, or in Slicer's own ("")."""
        self._try(lambda: self._store.set(python=interpreter(path) if path else ""))

    def _onPythonReset(self) -> None:
        self.setPython("")

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except DialogueError as error:
            self.refresh()
            self._showNotice(str(error), "error")

    # What comes from elsewhere

    def _onSettingsChanged(self) -> None:
        self.refresh()
        self._engine.configure(self._store.engineSettings())
        self.changed.emit()

    def _onDevicesListed(self, devices: list[dict[str, Any]]) -> None:
        self.ui.deviceRefreshButton.setEnabled(True)
        if not devices:  # the engine could not find out, and says why by itself
            self._asked = False
            self.refresh()
            return
        self._asked = True
        self._devices = list(devices)
        known = {str(one["id"]) for one in devices}
        chosen = self._store.values.device
        if chosen in ("auto", "cpu") or chosen in known or (chosen == "cuda" and "cuda:0" in known):
            self.refresh()
        else:
            self._store.fallBack(
                "device",
                _("{device} is not on this machine now; the device is chosen automatically.").format(device=chosen),
            )


def choosePython(parent: Any, current: str, chosen: Callable[[str], None]) -> None:
    """Let the user point at an interpreter, and pass it on unless the dialog is cancelled."""
    start = str(Path(current).parent) if current else str(Path.home())
    path = qt.QFileDialog.getOpenFileName(parent, _("Python of the environment (its python file)"), start)
    if path:
        chosen(str(path))


def _fill(selector: Any, items: list[tuple[str, str]], chosen: str) -> None:
    """Exchange the items of a combo box, unless it has them already, and select one by its key."""
    shown = [(selector.itemText(i), selector.itemData(i)) for i in range(selector.count)]
    if shown != items:
        selector.clear()
        for text, key in items:
            selector.addItem(text, key)
    keys = [key for _text, key in items]
    selector.setCurrentIndex(keys.index(chosen) if chosen in keys else -1)
