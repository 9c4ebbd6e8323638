"""A job family in a package of its own: it is installed, and the built-in application has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import httpx2
import pytest

from celeriac.cli import ExitCode
from tests.support.running import running
from tests.support.warm import run_celeriac
from tests.support.workers import ROOT

EXAMPLE = ROOT / "examples" / "greetings_family"
#: A build installs its backend first.
WITHIN = 300


def environment(**variables: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CELERIAC_")}
    return {**clean, **variables}


def celeriac(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    if "PYTHONPATH" not in variables:
        return run_celeriac(*arguments, cwd=cwd, environment=environment(**variables))
    command = [sys.executable, "-m", "celeriac", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment(**variables), capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder in which the example's package is installed."""
    folder = tmp_path_factory.mktemp("packages")
    venv.create(folder / "venv", with_pip=True)
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-deps", "--target", folder / "installed", EXAMPLE]
    done = subprocess.run(install, capture_output=True, text=True, timeout=WITHIN)
    assert done.returncode == 0, done.stderr
    return str(folder / "installed")


@pytest.mark.slow
async def test_an_installed_family_has_jobs_routes_commands_settings_and_checks(packages: str, tmp_path: Path) -> None:
    variables = {"PYTHONPATH": packages, "CELERIAC_GREETING": "Good day"}
    listed = celeriac("families", "--json", cwd=tmp_path, **variables)
    states = {family["family"]: family["state"] for family in json.loads(listed.stdout)}
    assert (states, listed.stderr) == (
        dict.fromkeys(("cleanup", "email", "media", "reports", "sync", "webhooks", "greetings"), "on"),
        "",
    )
    assert celeriac("greetings", "word", cwd=tmp_path, **variables).stdout == "Good day\n"
    assert "Greet people." in celeriac("--help", cwd=tmp_path, **variables).stdout
    up = ["-m", "celeriac", "up", "--port", "0", "--flower-port", "0", "--no-flower", "--no-beat"]
    async with running(up, environment=environment(**variables), cwd=tmp_path) as stack:
        await stack.printed(r"celeriac \| ready in", within=120)
        api = json.loads((tmp_path / ".celeriac" / "stack.json").read_text())["api"]
        async with httpx2.AsyncClient(base_url=api) as client:
            job = (await client.post("/greetings", params={"name": "Ann"})).json()["id"]
            assert "/greetings" in (await client.get("/openapi.json")).json()["paths"]
        result = celeriac("jobs", "result", job, "--timeout", "30", cwd=tmp_path, **variables)
        assert json.loads(result.stdout) == "Good day, Ann!"
        findings = json.loads(celeriac("doctor", "--json", cwd=tmp_path, **variables).stdout)["findings"]
        assert {"greetings", "families"} <= {finding["check"] for finding in findings}


def test_a_family_that_is_switched_off_has_no_commands_and_says_so(tmp_path: Path) -> None:
    done = celeriac("email", "--anything", cwd=tmp_path, CELERIAC_FAMILIES_OFF="email")
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert done.stderr == (
        "celeriac: error: the job family 'email' is switched off: take it out of CELERIAC_FAMILIES_OFF\n"
    )
    listed = json.loads(celeriac("families", "--json", cwd=tmp_path, CELERIAC_FAMILIES_OFF="email").stdout)
    assert ("email", "off") in [(family["family"], family["state"]) for family in listed]


def test_the_tables_of_families_are_made_beforehand(tmp_path: Path) -> None:
    before = json.loads(celeriac("db", "current", "--json", cwd=tmp_path).stdout)
    assert list(tmp_path.iterdir()) == [], "to look makes no file"
    after = json.loads(celeriac("db", "upgrade", "--json", cwd=tmp_path).stdout)
    families = ["email", "sync", "webhooks"]
    assert [(row["family"], row["revision"], row["state"]) for row in before] == [
        (family, None, "behind") for family in families
    ]
    assert [(row["family"], row["state"]) for row in after] == [(family, "up to date") for family in families]
    assert all(row["revision"] == row["newest"] for row in after)
    assert json.loads(celeriac("db", "current", "--json", cwd=tmp_path).stdout) == after
