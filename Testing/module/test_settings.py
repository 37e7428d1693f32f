"""The settings that stay, and the panel that shows them."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoint_folders import native

from MediRoundLib.shipped import DEFAULT

GB = 2**30
CARD = {"id": "cuda:0", "name": "NVIDIA RTX A4000", "free": int(14.2 * GB), "total": 16 * GB, "bf16": True}
CPU = {"id": "cpu", "name": "CPU", "free": 8 * GB, "total": 16 * GB, "bf16": False}


class SettingsEngine:
    """The part of EngineProcess that the settings see."""

    def __init__(self) -> None:
        from MediRoundSlicerLib.Signal import Signal

        self.devicesListed = Signal()
        self.configured: list[Any] = []
        self.looks = 0

    def configure(self, settings: Any) -> None:
        self.configured.append(settings)

    def listDevices(self) -> None:
        self.looks += 1


@dataclasses.dataclass
class Shown:
    """A settings panel that is shown, and what is behind it."""

    host: Any
    store: Any
    engine: SettingsEngine
    panel: Any

    @property
    def ui(self) -> Any:
        return self.panel.ui


@pytest.fixture
def stored(host: Any, tmp_path: Path) -> Callable[..., Any]:
    """A store on a settings file with given lines, as a later run of Slicer reads it."""

    def make(*lines: str) -> Any:
        import qt
        from MediRoundSlicerLib.SettingsStore import SettingsStore

        path = tmp_path / f"Slicer{len(list(tmp_path.iterdir()))}.ini"
        path.write_text("[MediRoundSlicer]\n" + "\n".join(lines) + "\n", encoding="utf-8")
        return SettingsStore(qt.QSettings(str(path), qt.QSettings.IniFormat))

    return make


@pytest.fixture
def shown(host: Any, stored: Callable[..., Any]) -> Shown:
    from MediRoundSlicerLib.SettingsPanel import SettingsPanel

    store, engine = stored(), SettingsEngine()
    panel = SettingsPanel(store, engine)
    panel.widget.show()
    return Shown(host, store, engine, panel)


def choose(selector: Any, key: str) -> None:
    keys = [selector.itemData(i) for i in range(selector.count)]
    selector.setCurrentIndex(keys.index(key))


# What is stored


def test_nothing_stored_gives_the_shipped_checkpoint_on_the_best_device(stored: Callable[..., Any]) -> None:
    store = stored()
    settings = store.engineSettings()
    assert (settings.checkpoint, settings.device, settings.dtype) == (DEFAULT, "auto", "auto")
    assert (settings.quantize, settings.threshold, settings.jcm, settings.python) == (None, None, True, "")
    assert store.notices == ()


def test_texts_of_a_settings_file_become_values(stored: Callable[..., Any]) -> None:
    store = stored("jcm=false", "threshold=0.45", "device=cuda:1", "precision=4bit", f"python={sys.executable}")
    settings = store.engineSettings()
    assert (settings.jcm, settings.threshold, settings.device) == (False, 0.45, "cuda:1")
    assert (settings.dtype, settings.quantize) == ("auto", "4bit")
    assert settings.python == sys.executable
    assert store.notices == ()


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("jcm=perhaps", "correction"),
        ("threshold=much", "threshold"),
        ("threshold=1.5", "threshold"),
        ("threshold=nan", "threshold"),
        ("device=gpu", "device"),
        ("device=cuda:x", "device"),
        ("precision=int3", "precision"),
        ("precision=float16, float32", "precision"),
        ("checkpoint=no-such-model", "no-such-model"),
        ("checkpoint=", "checkpoint"),
        ("python=/no/such/python", "/no/such/python"),
    ],
)
def test_what_cannot_be_used_falls_back_with_a_sentence(stored: Callable[..., Any], line: str, word: str) -> None:
    from MediRoundSlicerLib.SettingsStore import Settings

    store = stored(line)
    assert store.values == Settings()
    (notice,) = store.notices
    assert word in notice
    assert notice.endswith(".")


def test_a_choice_stays_and_a_default_is_not_stored(host: Any, tmp_path: Path) -> None:
    import qt
    from MediRoundSlicerLib.SettingsStore import SettingsStore

    path = tmp_path / "Slicer.ini"
    settings = qt.QSettings(str(path), qt.QSettings.IniFormat)
    store = SettingsStore(settings)
    store.set(device="cpu", threshold=0.3, jcm=False)
    settings.sync()
    assert sorted(path.read_text().split()) == ["[MediRoundSlicer]", "device=cpu", "jcm=false", "threshold=0.30"]
    store.set(device="auto", threshold=None, jcm=True)
    settings.sync()
    assert "device" not in path.read_text()


def test_changed_is_emitted_only_for_something_new(stored: Callable[..., Any]) -> None:
    store, calls = stored("device=gpu"), []
    store.changed.connect(lambda: calls.append(store.values))
    store.set(jcm=True)
    assert calls == []
    store.set(device="auto")  # the same value, but the notice about it goes away
    assert len(calls) == 1
    assert store.notices == ()


def test_falling_back_keeps_what_is_stored(host: Any, tmp_path: Path) -> None:
    import qt
    from MediRoundSlicerLib.SettingsStore import SettingsStore

    settings = qt.QSettings(str(tmp_path / "Slicer.ini"), qt.QSettings.IniFormat)
    store = SettingsStore(settings)
    store.set(device="cuda:3")
    store.fallBack("device", "It is not there.")
    assert store.values.device == "auto"
    assert store.notices == ("It is not there.",)
    assert SettingsStore(settings).values.device == "cuda:3"


def test_folders_are_remembered_the_latest_first(stored: Callable[..., Any]) -> None:
    store = stored('folders="not json"')
    assert store.folders() == ()
    for k in range(10):
        store.addFolder(f"/models/{k}")
    store.addFolder("/models/5")
    assert store.folders()[:2] == ("/models/5", "/models/9")
    assert len(store.folders()) == 8


def test_an_interpreter_is_found_in_an_environment_and_links_stay(host: Any, tmp_path: Path) -> None:
    from MediRoundSlicerLib.Dialogues import DialogueError
    from MediRoundSlicerLib.SettingsStore import interpreter

    link = tmp_path / "env" / "bin" / "python3"
    link.parent.mkdir(parents=True)
    link.symlink_to(sys.executable)
    assert interpreter(str(tmp_path / "env")) == str(link)
    assert interpreter(str(link)) == str(link)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DialogueError, match="no Python in"):
        interpreter(str(tmp_path / "empty"))
    note = tmp_path / "note.txt"
    note.write_text("no program")
    with pytest.raises(DialogueError, match="not a Python interpreter"):
        interpreter(str(note))


# The panel


def test_the_panel_says_licence_device_and_threshold(shown: Shown) -> None:
    shown.engine.devicesListed.emit([CARD, CPU])
    assert "Apache-2.0" in shown.ui.checkpointLabel.text
    assert shown.ui.deviceLabel.text == "NVIDIA RTX A4000, 14.2 of 16.0 GB free"
    assert [shown.ui.deviceSelector.itemText(i) for i in range(3)] == ["Automatic", "NVIDIA RTX A4000", "CPU"]
    assert shown.ui.thresholdSpinBox.value == pytest.approx(0.6)
    assert shown.ui.jcmCheckBox.checked
    assert not shown.ui.noticeFrame.visible
    assert shown.engine.configured == []


def test_without_a_gpu_the_cpu_is_said_plainly(shown: Shown) -> None:
    shown.engine.devicesListed.emit([CPU])
    assert "No NVIDIA GPU" in shown.ui.deviceLabel.text
    assert "takes longer" in shown.ui.deviceLabel.text


def test_devices_are_looked_for_once(shown: Shown) -> None:
    shown.panel.lookForDevices()
    shown.panel.lookForDevices()
    assert shown.engine.looks == 1
    assert not shown.ui.deviceRefreshButton.enabled
    shown.engine.devicesListed.emit([CPU])
    shown.host.click(shown.ui.deviceRefreshButton)
    assert shown.engine.looks == 2


def test_an_engine_that_cannot_look_changes_nothing(shown: Shown) -> None:
    shown.store.set(device="cuda:1")
    shown.panel.lookForDevices()
    shown.engine.devicesListed.emit([])
    assert shown.store.values.device == "cuda:1"
    assert shown.ui.deviceRefreshButton.enabled
    assert "once the engine has looked" in shown.ui.deviceLabel.text
    shown.panel.lookForDevices()
    assert shown.engine.looks == 2


def test_every_choice_reaches_the_engine_once(shown: Shown) -> None:
    shown.engine.devicesListed.emit([CARD, CPU])
    told: list[int] = []
    shown.panel.changed.connect(lambda: told.append(1))
    choose(shown.ui.deviceSelector, "cuda:0")
    choose(shown.ui.precisionSelector, "8bit")
    shown.host.key(shown.ui.jcmCheckBox, "Space")
    assert [(one.device, one.quantize, one.jcm) for one in shown.engine.configured] == [
        ("cuda:0", None, True),
        ("cuda:0", "8bit", True),
        ("cuda:0", "8bit", False),
    ]
    assert len(told) == 3
    assert not shown.ui.thresholdSlider.enabled
    assert "bitsandbytes" in shown.ui.precisionLabel.text


def test_the_threshold_follows_slider_and_number_and_can_be_reset(shown: Shown) -> None:
    assert not shown.ui.thresholdResetButton.visible
    shown.ui.thresholdSlider.setValue(45)
    assert shown.ui.thresholdSpinBox.value == pytest.approx(0.45)
    shown.ui.thresholdSpinBox.setValue(0.3)
    assert shown.ui.thresholdSlider.value == 30
    assert [one.threshold for one in shown.engine.configured] == [0.45, 0.3]
    assert "0.30" in shown.ui.thresholdLabel.text
    shown.host.click(shown.ui.thresholdResetButton)
    assert shown.engine.configured[-1].threshold is None
    assert shown.ui.thresholdSpinBox.value == pytest.approx(0.6)


def test_a_device_that_is_gone_falls_back_and_says_so(host: Any, stored: Callable[..., Any]) -> None:
    from MediRoundSlicerLib.SettingsPanel import SettingsPanel

    store, engine = stored("device=cuda:1"), SettingsEngine()
    panel = SettingsPanel(store, engine)
    assert panel.ui.deviceSelector.currentText == "cuda:1"
    engine.devicesListed.emit([CARD, CPU])
    assert engine.configured[-1].device == "auto"
    assert "cuda:1 is not on this machine" in panel.ui.noticeLabel.text
    choose(panel.ui.deviceSelector, "cpu")
    assert panel.ui.noticeLabel.text == ""


def test_a_folder_is_chosen_and_listed(shown: Shown, tmp_path: Path) -> None:
    folder = native(tmp_path / "mine", stage=1)
    shown.host.answers.append(str(folder))
    shown.host.click(shown.ui.checkpointFolderButton)
    assert shown.engine.configured[-1].checkpoint == str(folder)
    assert shown.ui.checkpointSelector.currentText == "mine"
    assert not shown.ui.jcmCheckBox.enabled
    assert "without judging" in shown.ui.thresholdLabel.text
    choose(shown.ui.checkpointSelector, DEFAULT)
    assert shown.engine.configured[-1].checkpoint == DEFAULT
    assert str(folder) in [shown.ui.checkpointSelector.itemData(i) for i in range(shown.ui.checkpointSelector.count)]


def test_a_wrong_folder_is_refused_and_nothing_changes(shown: Shown, tmp_path: Path) -> None:
    shown.host.answers.append(str(tmp_path))
    shown.host.click(shown.ui.checkpointFolderButton)
    assert "no config.json" in shown.ui.noticeLabel.text.replace("\u200b", "")
    assert shown.ui.checkpointSelector.currentText.startswith(DEFAULT)
    assert shown.engine.configured == []


def test_another_python_is_chosen_and_given_back(shown: Shown) -> None:
    shown.host.answers.append(sys.executable)
    shown.host.click(shown.ui.pythonButton)
    assert shown.engine.configured[-1].python == sys.executable
    assert shown.ui.pythonEdit.text == sys.executable
    shown.host.click(shown.ui.pythonResetButton)
    assert shown.engine.configured[-1].python == ""
    shown.host.answers.append("")  # cancelled
    shown.host.click(shown.ui.pythonButton)
    assert len(shown.engine.configured) == 2


def test_full_size_checkpoints_are_told_with_licences_and_not_offered(shown: Shown) -> None:
    assert not shown.ui.partsLabel.visible
    shown.host.click(shown.ui.partsButton)
    text = shown.ui.partsLabel.text
    assert shown.ui.partsLabel.visible
    for word in ("not published", "LLaVA-Med", "MedSAM", "Apache-2.0", "mediround convert"):
        assert word in text
    assert shown.ui.checkpointSelector.count == 1


def test_a_closed_panel_hears_no_more(shown: Shown) -> None:
    shown.panel.close()
    shown.store.set(device="cpu")
    shown.engine.devicesListed.emit([CARD, CPU])
    assert shown.engine.configured == []
    assert shown.ui.deviceSelector.count == 2
