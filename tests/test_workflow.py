"""Does the workflow on GitHub run what CI runs everywhere, on the versions that the project declares?"""

from __future__ import annotations

import re
import tomllib

import pytest
from conftest import ROOT

yaml = pytest.importorskip("yaml")

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
STEPS = {name: job["steps"] for name, job in WORKFLOW["jobs"].items()}


def commands(job: str) -> list[str]:
    return [step["run"] for step in STEPS[job] if "run" in step]


def test_it_runs_the_checks_of_the_project_and_builds_the_pages():
    assert commands("test") == ["bash .ci/run"]
    assert (ROOT / ".ci" / "run").is_file()
    assert commands("docs")[-1].startswith("python -m sphinx -W ")


def test_it_tests_every_python_that_the_project_declares():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"] == declared != []
    assert project["requires-python"] == f">={declared[0]}"


def test_no_job_runs_for_ever_or_beside_a_newer_one_or_with_rights_or_secrets():
    assert all(0 < job["timeout-minutes"] <= 90 for job in WORKFLOW["jobs"].values())
    assert WORKFLOW["concurrency"]["cancel-in-progress"] is True
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "secrets" not in (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")


def test_every_action_has_a_version_and_pip_a_cache():
    used = [step["uses"] for steps in STEPS.values() for step in steps if "uses" in step]
    assert [name for name in used if not re.fullmatch(r"[\w-]+/[\w-]+@v\d+(\.\d+)*", name)] == []
    pythons = [step for steps in STEPS.values() for step in steps if "setup-python" in step.get("uses", "")]
    assert [step["with"]["cache"] for step in pythons] == ["pip"] * len(STEPS)
