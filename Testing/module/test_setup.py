"""First use: what is missing, the installation on request, and the panel that leads through it."""

import importlib.metadata
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_machine import INDEX, Machine
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
OTHERS = ["huggingface-hub", "safetensors", "segment-anything", "sentencepiece", "transformers"]


@pytest.fixture
def machine(host: Any, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One without any of the packages, where the PyTorch extension is loaded."""
    import slicer
    import slicer.packaging

    made = Machine()
    monkeypatch.setattr(slicer.packaging, "pip_check", made.pip_check)
    monkeypatch.setattr(slicer.packaging, "pip_ensure", made.pip_ensure)
    monkeypatch.setattr(slicer, "app", made)
    monkeypatch.setattr(importlib.metadata, "version", made.version)
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["numpy", "torch (==2.9.0)", "pillow!=8.3.*"])
    # With all of its modules: PySide imports the packages of binary modules that it finds, and torch only lets it once.
    for name in [known for known in sys.modules if known.partition(".")[0] in ("torch", "functorch", "torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", SimpleNamespace(PyTorchUtilsLogic=lambda: made))
    return made


@pytest.fixture
def packages(machine: Machine, tmp_path: Path) -> Any:
    import qt
    from MediRoundSlicerLib.Packages import Packages
    from MediRoundSlicerLib.SettingsStore import SettingsStore

    return Packages(SettingsStore(qt.QSettings(str(tmp_path / "Slicer.ini"), qt.QSettings.IniFormat)))


@pytest.fixture
def install(host: Any, packages: Any) -> Callable[[], Any]:
    """Installs, and gives the outcome."""

    def run() -> Any:
        outcomes: list[Any] = []
        packages.finished.connect(outcomes.append)
        packages.install()
        assert packages.running
        assert outcomes == []  # it returned before anything was done
        packages.install()  # an impatient second press
        host.wait(lambda: outcomes, 5, "the end of the installation")
        host.turn()
        packages.finished.disconnect(outcomes.append)
        assert not packages.running
        (outcome,) = outcomes
        assert outcome.message.endswith(".")
        return outcome

    return run


def withoutExtension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "PyTorchUtils")


# The list of packages


def test_the_list_is_that_of_the_project_and_of_the_worker(host: Any) -> None:
    from MediRoundSlicerLib import Packages

    from MediRoundLib.worker import NEEDED

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = {Requirement(one) for one in project["dependencies"]}
    lines = Packages.REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    listed = {Requirement(line) for line in lines if not line.startswith("#")}
    listed |= {Requirement(Packages.TORCH), Requirement(Packages.TORCHVISION)}
    assert listed <= known
    assert {name for name, _first in NEEDED.values()} <= {one.name for one in listed}
    assert {one.name for one in known - listed} == {"pydicom", "simpleitk", "tqdm"}  # those of the command line
    quantize = project["optional-dependencies"]["quantize"]
    assert [Requirement(one) for one in quantize] == [Requirement(Packages.BITSANDBYTES)]


def test_the_engine_process_needs_no_other_package() -> None:
    hidden = ["SimpleITK", "pydicom", "bitsandbytes", "peft", "matplotlib", "accelerate", "slicer", "vtk", "PySide6"]
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({hidden}))\n"
        "import MediRoundLib.worker, MediRoundLib.service\n"
        "from MediRoundLib import Engine; Engine.from_pretrained('mediround-tiny', 'cpu')"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=300)


def test_looking_imports_nothing_heavy() -> None:
    program = (
        "from slicer_host import Host\n"
        "host = Host()\n"
        "from MediRoundSlicerLib.InstallPanel import InstallPanel\n"
        "from MediRoundSlicerLib.Packages import Packages\n"
        "from MediRoundSlicerLib.SettingsStore import SettingsStore\n"
        "panel = InstallPanel(Packages(SettingsStore()))\n"
        "import sys\n"
        "heavy = {'torch', 'torchvision', 'transformers', 'PIL', 'SimpleITK'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    paths = [ROOT, ROOT / "MediRoundSlicer", ROOT / "Testing"]
    program = f"import sys; sys.path[:0] = {[str(path) for path in paths]}\n" + program
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=300)


def test_everything_is_missing_at_first(packages: Any) -> None:
    from MediRoundSlicerLib.Packages import named

    assert named(packages.missing()) == ", ".join(["PyTorch", "torchvision", *OTHERS])
    assert not packages.extensionMissing()
    assert packages.gigabytes() == pytest.approx(5.6)


def test_another_python_is_not_looked_into(packages: Any) -> None:
    packages._store.set(python=sys.executable)
    assert packages.missing() == ()


def test_bits_and_bytes_is_needed_for_a_quantized_model_only(packages: Any, machine: Machine) -> None:
    machine.present.update(INDEX, torch="2.9.0+cpu", torchvision="0.24.0+cpu")
    del machine.present["bitsandbytes"]
    assert packages.missing() == ()
    packages._store.set(precision="4bit")
    assert [Requirement(one).name for one in packages.missing()] == ["bitsandbytes"]
    assert packages.gigabytes() == pytest.approx(0.2)


@pytest.mark.parametrize(("version", "isMissing"), [("2.9.0+cu130", False), ("2.8.0", True), ("1.13.1", True)])
def test_versions_count(packages: Any, machine: Machine, version: str, isMissing: bool) -> None:
    machine.present.update(INDEX, torch=version, torchvision="0.24.0")
    assert bool(packages.missing()) is isMissing
    names = [Requirement(one).name for one in packages.missing()]
    assert ("torchvision" in names) is isMissing  # it was built for torch 2.9.0
    assert ("torch" in names) is (version == "1.13.1")


# Installing


def test_all_is_installed_in_two_steps(
    packages: Any, machine: Machine, install: Callable[[], Any], tmp_path: Path
) -> None:
    steps: list[str] = []
    packages.stepBegan.connect(steps.append)
    assert install().kind == "done"
    assert machine.asked == [("torch", ">=2.6,<3", ">=0.21"), ("pip", OTHERS, "MediRoundSlicer")]
    assert len(steps) == 2
    assert packages.missing() == ()


def test_slicers_own_packages_and_the_new_torch_are_held_fast(machine: Machine, install: Callable[[], Any]) -> None:
    install()
    assert machine.constraints == [
        "numpy==2.4.6",
        "SimpleITK==2.5.5",
        "pillow==12.2.0",
        "torch==2.9.0+cu130",
        "torchvision==0.24.0",
    ]


def test_only_a_fitting_torchvision_is_added_to_a_torch_that_others_use(
    machine: Machine, install: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    machine.present.update(INDEX, torch="2.9.0+cu130")
    assert install().kind == "done"
    assert machine.asked == [("torch", "==2.9.0+cu130", ">=0.21")]


def test_an_old_torch_in_use_waits_for_a_restart(
    machine: Machine, install: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    machine.present["torch"] = "1.13.1"
    outcome = install()
    assert outcome.kind == "failed"
    assert "restart Slicer" in outcome.message
    assert machine.asked == []


def test_a_user_may_decline_either_step(machine: Machine, install: Callable[[], Any]) -> None:
    machine.torch = "declined"
    assert install().kind == "cancelled"
    assert [one[0] for one in machine.asked] == ["torch"]
    machine.torch, machine.rest = "installs", "declined"
    assert install().kind == "cancelled"


def test_what_fails_is_told_with_the_ways_out(machine: Machine, install: Callable[[], Any]) -> None:
    machine.torch = "fails"
    outcome = install()
    assert outcome.kind == "failed"
    assert outcome.message.startswith("PyTorch could not be installed (pip stopped")
    machine.torch, machine.rest = "installs", "fails"
    outcome = install()
    assert outcome.kind == "failed"
    assert "transformers" in outcome.message
    machine.rest = "breaks"
    outcome = install()
    assert outcome.kind == "failed"
    assert "PythonSlicer" in outcome.message
    machine.rest = "nothing"
    outcome = install()
    assert outcome.kind == "failed"
    assert outcome.message.startswith("Still missing: huggingface-hub")
    assert "another Python environment" in outcome.message or "Install again" in outcome.message


def test_torch_that_clashes_inside_slicer_is_there_for_the_engine(machine: Machine, install: Callable[[], Any]) -> None:
    machine.torch = "clashes"
    assert install().kind == "done"


def test_the_extension_comes_first_and_wants_a_restart(
    machine: Machine, packages: Any, install: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    withoutExtension(monkeypatch)
    assert packages.extensionMissing()
    assert install().kind == "restart"
    assert machine.asked == [("extension", "PyTorch", False)]
    machine.extension = "installed"
    assert install().kind == "restart"
    assert len(machine.asked) == 1
    machine.extension = "declined"
    outcome = install()
    assert outcome.kind == "failed"
    assert "another Python environment" in outcome.message


def test_a_slicer_without_extensions_is_no_dead_end(
    install: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    withoutExtension(monkeypatch)
    monkeypatch.setattr(slicer, "app", SimpleNamespace(testingEnabled=lambda: False))
    outcome = install()
    assert outcome.kind == "failed"
    assert "another Python environment" in outcome.message


def test_nothing_is_installed_while_slicer_runs_tests(machine: Machine, install: Callable[[], Any]) -> None:
    machine.testing = True
    assert install().kind == "failed"
    assert machine.asked == []


# The panel


@pytest.fixture
def panel(packages: Any) -> Any:
    from MediRoundSlicerLib.InstallPanel import InstallPanel

    made = InstallPanel(packages)
    made.widget.show()
    return made


def text(label: Any) -> str:
    return str(label.text).replace("\u200b", "")


def test_the_panel_says_what_is_missing_and_installs_it(host: Any, panel: Any, machine: Machine) -> None:
    done: list[int] = []
    panel.installed.connect(lambda: done.append(1))
    assert "PyTorch" in text(panel.ui.textLabel)
    for word in ("sentencepiece", "5.6 GB", "asked before"):
        assert word in text(panel.ui.detailLabel)
    assert not panel.ui.progressBar.visible
    host.click(panel.ui.installButton)
    assert panel.ui.progressBar.visible
    assert not panel.ui.installButton.enabled
    host.wait(lambda: done, 5, "installed")
    assert not panel.ui.progressBar.visible
    assert done == [1]


def test_the_panel_tells_little_space(panel: Any, packages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "freeGigabytes", lambda: 3.2)
    panel.showMissing()
    assert "Only 3.2 GB are free" in text(panel.ui.detailLabel)


def test_after_no_or_a_failure_the_panel_can_be_used_again(host: Any, panel: Any, machine: Machine) -> None:
    machine.torch = "declined"
    host.click(panel.ui.installButton)
    host.wait(lambda: panel.ui.resultFrame.visible, 5, "the result")
    assert panel.ui.installButton.enabled
    assert panel.ui.resultFrame.property("mediround") == "notice"
    machine.torch = "fails"
    host.click(panel.ui.installButton)
    assert not panel.ui.resultFrame.visible
    host.wait(lambda: panel.ui.resultFrame.visible, 5, "the result")
    assert panel.ui.resultFrame.property("mediround") == "error"
    assert "could not be installed" in text(panel.ui.resultLabel)


def test_the_restart_asks_where_work_would_be_lost(
    host: Any, panel: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    restarts: list[int] = []
    said: list[str] = []
    monkeypatch.setattr(slicer.util, "restart", lambda: restarts.append(1))
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, title: said.append(text))  # Cancel
    monkeypatch.setattr(slicer, "mrmlScene", SimpleNamespace(GetModifiedSinceRead=lambda: True))
    withoutExtension(monkeypatch)
    host.click(panel.ui.installButton)
    host.wait(lambda: panel.ui.restartButton.visible, 5, "the hint")
    assert "Restart Slicer" in text(panel.ui.textLabel)
    host.click(panel.ui.restartButton)
    assert restarts == []
    assert len(said) == 1
    monkeypatch.setattr(slicer, "mrmlScene", SimpleNamespace(GetModifiedSinceRead=lambda: False))
    host.click(panel.ui.restartButton)
    assert restarts == [1]


def test_another_python_can_be_chosen_instead(host: Any, panel: Any, tmp_path: Path) -> None:
    chosen: list[str] = []
    panel.pythonChosen.connect(chosen.append)
    host.answers.extend(["", str(tmp_path), sys.executable])
    for _press in range(3):  # cancelled; no Python; the interpreter
        host.click(panel.ui.pythonButton)
    assert chosen == [sys.executable]


def test_what_another_environment_lacks_is_told_with_the_command(host: Any, panel: Any) -> None:
    import qt

    chosen: list[str] = []
    panel.pythonChosen.connect(chosen.append)
    panel.showEnvironment("/envs/mine/bin/python", ["torch", "segment-anything"])
    assert "/envs/mine/bin/python lacks: PyTorch, segment-anything" in text(panel.ui.textLabel)
    assert not panel.ui.installButton.visible
    host.click(panel.ui.copyButton)
    command = qt.QApplication.clipboard().text()
    assert command.startswith('"/envs/mine/bin/python" -m pip install "torch>=2.6,<3" "torchvision>=0.21" ')
    assert panel.ui.commandEdit.text == command
    host.click(panel.ui.againButton)
    host.click(panel.ui.ownButton)
    assert chosen == ["/envs/mine/bin/python", ""]


def test_a_closed_panel_hears_no_more(host: Any, panel: Any, packages: Any, machine: Machine) -> None:
    panel.close()
    packages.install()
    host.wait(lambda: not packages.running, 5, "the end of the installation")
    assert not panel.ui.resultFrame.visible
