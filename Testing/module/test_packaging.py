"""The extension's packaging: Slicer installs only files that a CMakeLists.txt lists, so that every file must be listed.

These tests need no Slicer. Where `cmake` is found, the extension is also configured and installed, with a stand-in for
Slicer's package (`slicer_package/`).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cmakelists
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "MediRoundSlicer"
ENGINE = REPOSITORY / "MediRoundLib"
STAND_IN = Path(__file__).resolve().parent / "slicer_package"
# Where the stand-in puts scripted modules, below the prefix.
INSTALLED = Path("lib/Slicer-5.12/qt-scripted-modules")


def files_of(folder: Path) -> set[str]:
    """Files under a folder that belong into an installed extension, as paths relative to it."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {
        path.as_posix()
        for path in paths
        if "__pycache__" not in path.parts and path.name != "CMakeLists.txt" and not path.name.startswith(".")
    }


def differences(path: Path, lists: dict[str, set[str]]) -> str:
    """What to change so that each named list of a CMakeLists.txt holds these files; empty where nothing."""
    text = path.read_text()
    where = f"{path.parent.name}/{path.name}"
    words = []
    for name, wanted in lists.items():
        listed = cmakelists.values(text, name)
        for change, lines in (
            ("add to", wanted - set(listed)),
            ("take out of", set(listed) - wanted),
            ("name only once in", {file for file in listed if listed.count(file) > 1}),
        ):
            if lines:
                words.append("\n".join([f"{where}: {change} {name}", *(f"  {line}" for line in sorted(lines))]))
    return "\n".join(words)


def scripts_and_resources(files: set[str]) -> tuple[set[str], set[str]]:
    scripts = {file for file in files if file.endswith(".py")}
    return scripts, files - scripts


def test_every_file_of_the_module_is_listed() -> None:
    scripts, resources = scripts_and_resources(files_of(MODULE))
    lists = {"MODULE_PYTHON_SCRIPTS": scripts, "MODULE_PYTHON_RESOURCES": resources}
    wrong = differences(MODULE / "CMakeLists.txt", lists)
    assert not wrong, f"the lists of the module's files are not what its folder holds\n{wrong}"


def test_every_file_of_the_engine_is_listed() -> None:
    scripts, resources = scripts_and_resources(files_of(ENGINE))
    lists = {"ENGINE_PYTHON_SCRIPTS": scripts, "ENGINE_PYTHON_RESOURCES": resources}
    wrong = differences(ENGINE / "CMakeLists.txt", lists)
    assert not wrong, f"the lists of the engine's files are not what its folder holds\n{wrong}"


def test_every_file_with_cases_of_its_own_is_registered() -> None:
    folder = MODULE / "Testing" / "Python"
    cases = {path.name for path in folder.glob("*.py") if "TestCase" in path.read_text()}
    wrong = differences(folder / "CMakeLists.txt", {"MODULE_PYTHON_TESTS": cases})
    assert not wrong, f"the list of self-tests is not what their folder holds\n{wrong}"


def test_the_line_to_add_and_the_line_to_take_out_are_told(tmp_path: Path) -> None:
    path = tmp_path / "CMakeLists.txt"
    path.write_text("set(FILES\n  a.py  # first\n  gone.py\n  )\nset(OTHERS\n  )\n")
    told = differences(path, {"FILES": {"a.py", "new/b.py"}, "OTHERS": set()})
    where = f"{tmp_path.name}/CMakeLists.txt"
    assert told == f"{where}: add to FILES\n  new/b.py\n{where}: take out of FILES\n  gone.py"


def test_no_file_can_be_taken_for_a_module_of_its_own() -> None:
    """Slicer takes every Python file beside MediRoundSlicer.py for a scripted module."""
    beside = {path.name for path in MODULE.glob("*.py")}
    assert beside <= {"MediRoundSlicer.py"}, f"move into MediRoundSlicerLib/: {sorted(beside - {'MediRoundSlicer.py'})}"


def run_cmake(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("no cmake on this machine: the extension is configured and installed where there is one")
    return subprocess.run([cmake, *arguments], capture_output=True, text=True)


def configure(source: Path, build: Path) -> subprocess.CompletedProcess[str]:
    # The extension compiles nothing: CMake is told so, and looks for no compiler.
    options = {"Slicer_DIR": STAND_IN, "BUILD_TESTING": "ON"}
    for language in ("C", "CXX"):
        options |= {f"CMAKE_{language}_COMPILER": sys.executable, f"CMAKE_{language}_COMPILER_FORCED": "ON"}
    return run_cmake("-S", source, "-B", build, *(f"-D{name}={value}" for name, value in options.items()))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension as CMake installs it: the folder of scripted modules."""
    build, prefix = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("prefix")
    configured = configure(REPOSITORY, build)
    assert configured.returncode == 0, f"cmake cannot configure the extension:\n{configured.stderr}"
    done = run_cmake("--install", build, "--prefix", prefix)
    assert done.returncode == 0, f"cmake cannot install the extension:\n{done.stderr}"
    return prefix / INSTALLED


def test_cmake_installs_the_module_with_the_engine_beside_it(installed: Path) -> None:
    expected = files_of(MODULE) | {f"MediRoundLib/{file}" for file in files_of(ENGINE)}
    assert files_of(installed) == expected
    for file in expected:
        source = (REPOSITORY if file.startswith("MediRoundLib/") else MODULE) / file
        assert (installed / file).read_bytes() == source.read_bytes(), f"{file} is another file once installed"


def test_the_installed_engine_finds_its_own_checkpoint(installed: Path) -> None:
    code = "from MediRoundLib.shipped import DEFAULT, checkpoint_folder; print(checkpoint_folder(DEFAULT))"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=installed)
    assert Path(told.stdout.strip()).is_relative_to(installed.resolve()), told.stdout + told.stderr


# Slicer's own Python knows of no mediround, nor of this repository.
OPEN = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "Editable" not in getattr(finder, "__name__", "")]
sys.path.append(sys.argv[2])
from slicer_host import Host
host = Host()
host.openModule(path=sys.argv[1])
import MediRoundLib, MediRoundSlicerLib
print(MediRoundLib.__file__, MediRoundSlicerLib.__file__, sep="\\n")
host.close()
"""


@pytest.mark.parametrize("layout", ["clone", "installed"])
def test_the_opened_module_finds_the_engine_beside_it(layout: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("PySide6.QtWidgets", reason="no PySide6: the module is opened where it is installed")
    module = MODULE if layout == "clone" else request.getfixturevalue("installed")
    library = ENGINE if layout == "clone" else module / "MediRoundLib"
    command = [sys.executable, "-P", "-c", OPEN, module / "MediRoundSlicer.py", REPOSITORY / "Testing"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    opened = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert opened.returncode == 0, opened.stderr
    found = [Path(line).parent for line in opened.stdout.split()[-2:]]
    assert found == [library, module / "MediRoundSlicerLib"], opened.stdout


def test_cmake_refuses_a_listed_file_that_is_missing(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for file in (
        "CMakeLists.txt",
        "LICENSE",
        "README.md",
        "MediRoundLib/CMakeLists.txt",
        "MediRoundSlicer/CMakeLists.txt",
    ):
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / file, source / file)
    shutil.copytree(MODULE / "Testing", source / "MediRoundSlicer" / "Testing")
    refused = configure(source, tmp_path / "build")
    assert refused.returncode != 0
    assert "lists MediRoundSlicer.py under SCRIPTS, and there is no such file" in " ".join(refused.stderr.split())
