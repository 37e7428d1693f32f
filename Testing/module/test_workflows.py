"""The workflows can be read, and name what is there. Whether they pass, only their own runs tell."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / ".github" / "workflows"
yaml: Any = pytest.importorskip("yaml", reason="no PyYAML: workflows are read where it is installed")


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yml")), ids=lambda path: path.name)
def test_a_workflow_can_be_read(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert {"push", "pull_request"} <= set(workflow[True])  # YAML 1.1 reads `on` as true
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())
    for step in steps(workflow):
        assert ("uses" in step) != ("run" in step), f"a step has either `uses` or `run`: {step}"
        compile(step.get("env", {}).get("CODE", ""), f"{path.name}: {step.get('name')}", "exec")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yml")), ids=lambda path: path.name)
def test_the_scripts_of_a_workflow_can_be_parsed(path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash on this machine: scripts of workflows are parsed where there is one")
    for step in steps(yaml.safe_load(path.read_text())):
        script = re.sub(r"\$\{\{.*?\}\}", "filled", step.get("run", ""))
        parsed = subprocess.run([bash, "-n"], input=script, capture_output=True, text=True)
        assert parsed.returncode == 0, f"{path.name}, {step.get('name')}: {parsed.stderr}"


def test_the_self_test_runs_in_the_stable_and_the_preview_release() -> None:
    job = yaml.safe_load((FOLDER / "slicer.yml").read_text())["jobs"]["self-test"]
    releases = {entry["release"]: entry["stability"] for entry in job["strategy"]["matrix"]["include"]}
    assert releases == {"stable": "release", "preview": "nightly"}
    in_slicer = [step for step in job["steps"] if "CODE" in step.get("env", {})]
    assert any("selfTests" in step["env"]["CODE"] for step in in_slicer)
    for step in in_slicer:
        assert "--testing" in step["run"], "without --testing, Slicer stays open after the code and hides its errors"


def test_the_slicer_workflow_names_what_is_there() -> None:
    text = (FOLDER / "slicer.yml").read_text()
    named = re.findall(r"(?:\$GITHUB_WORKSPACE/|--requirement )([\w./]+)", text)
    assert len(named) >= 3
    for path in named:
        assert (REPOSITORY / path).exists(), f"slicer.yml names {path}, which the repository does not hold"
