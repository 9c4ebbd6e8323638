"""What contributors and the hosted workflow run is what `dev` and pyproject.toml say."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.project import project
from tests.support.workers import ROOT

DEV = (ROOT / "dev").read_text()
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / ".github" / "pull_request_template.md"]
FILES = [*PAGES, ROOT / ".pre-commit-config.yaml", ROOT / ".github" / "workflows" / "ci.yml", *FORMS]


@cache
def load(path: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / path).read_text())


def jobs() -> dict[str, Any]:
    return load(".github/workflows/ci.yml")["jobs"]


def commands_of(job: str) -> list[str]:
    return [step["run"] for step in jobs()[job]["steps"] if "run" in step]


def supported() -> list[str]:
    """The Python versions that the classifiers name."""
    prefix = "Programming Language :: Python :: "
    return [name.removeprefix(prefix) for name in project()["classifiers"] if name.startswith(prefix)]


def steps_of_check() -> list[str]:
    body = re.search(r"^check\(\) \{\n(.*?)^\}", DEV, re.MULTILINE | re.DOTALL)
    assert body
    return re.findall(r"^    step (\w+)", body[1], re.MULTILINE)


def test_the_hook_of_a_commit_runs_each_step_of_check() -> None:
    hooks = [hook for repo in load(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert [hook["entry"] for hook in hooks] == ["./dev check"]
    assert hooks[0]["always_run"] is True and hooks[0]["pass_filenames"] is False  # else some steps see some files only
    assert re.findall(r"\w+", hooks[0]["name"].partition("(")[2]) == steps_of_check()


def test_the_workflow_runs_what_contributors_run() -> None:
    expected = {
        "check": ["./dev check"],
        "test": ["./dev test"],
        "lowest": ["./dev lowest"],
        "slow": ["./dev test --slow"],
        "cover": ["./dev cover"],
    }
    assert {job: commands_of(job) for job in jobs()} == expected


def test_the_workflow_tests_every_python_that_is_supported_and_no_other() -> None:
    matrix = jobs()["test"]["strategy"]["matrix"]["python"]
    assert matrix == supported()
    assert project()["requires-python"] == f">={supported()[0]}"


def test_the_tests_of_the_matrix_run_on_the_python_that_they_name() -> None:
    test = jobs()["test"]
    assert test["env"]["UV_PYTHON"] == "${{ matrix.python }}"
    assert [step["with"]["python-version"] for step in test["steps"] if "setup-python" in step.get("uses", "")] == [
        "${{ matrix.python }}"
    ]


@pytest.mark.parametrize(("job", "version"), [("check", 0), ("lowest", 0), ("slow", 0), ("cover", -1)])
def test_the_other_jobs_run_on_the_oldest_python_and_coverage_on_the_newest(job: str, version: int) -> None:
    steps = jobs()[job]["steps"]
    versions = [step["with"]["python-version"] for step in steps if "setup-python" in step.get("uses", "")]
    assert versions == [supported()[version]]
    assert jobs()["cover"]["env"]["UV_PYTHON"] == supported()[-1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_command_that_is_named_is_one_of_dev(path: Path) -> None:
    known = set(re.findall(r"^  (\w+) {2,}", DEV, re.MULTILINE)) | {"help"}
    assert set(re.findall(r"\./dev (\w+)", path.read_text())) <= known


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_for_issues_has_what_the_site_asks_for(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    if path.name == "config.yml":
        assert form["contact_links"]
        return
    assert form["name"] and form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids) > 0
    assert all(field["attributes"]["label"] for field in form["body"])
