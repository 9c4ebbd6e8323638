"""The fixtures of `celeriac.testing`, as the tests of a user's project have them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHOP = """
import os
from celeriac import Celeriac, JobContext, Retry

app = Celeriac("shop", broker="redis://127.0.0.1:1/0")

@app.job(retry=Retry(attempts=3, backoff=3600))
async def charge(job: JobContext, order: int) -> list[int]:
    if job.attempt == 1:
        raise ConnectionError("busy")
    return [order, os.getpid()]

@app.job
def pid() -> int:
    return os.getpid()

@app.task
def celerys(a):
    return a + 1
"""
CONFTEST = """
import pytest
pytest_plugins = ["celeriac.testing"]

@pytest.fixture(scope="session")
def celeriac_app():
    from shop import app
    return app
"""
TESTS = """
import os
import pytest
from shop import celerys, charge, pid

async def test_in_the_tests_own_loop(celeriac_jobs):
    handle = await charge.enqueue(order=7)
    assert await handle.result() == [7, os.getpid()]
    assert len(celeriac_jobs.of(handle.id).retry_delays) == 1
    assert celerys.delay(1).get() == 2
    assert pid.task.delay().get() == os.getpid()

@pytest.mark.parametrize("turn", range(2))
async def test_in_a_real_worker(celeriac_app, celeriac_worker, turn):
    handle = await pid.enqueue()
    assert await handle.result(timeout=60) != os.getpid()
    assert (await handle.status()).state == "succeeded"
    assert handle.id in celeriac_worker.log
    assert celerys.delay(1).get(timeout=60) == 2
    await celeriac_app.client.aclose()

async def test_in_the_tests_own_loop_again(celeriac_jobs):
    assert await (await pid.enqueue()).result() == os.getpid()
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CELERI", "PYTEST"))}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # this house's other plugins take longer than the tests
    command = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_asyncio.plugin", "-p", "no:cacheprovider"]
    command += ["-o", "asyncio_mode=auto"]
    command += ["-o", "asyncio_default_fixture_loop_scope=function", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in (
        ("shop.py", SHOP),
        ("conftest.py", CONFTEST),
        ("test_shop.py", TESTS),
        ("pytest.ini", "[pytest]"),
    ):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_jobs_run_in_the_tests_own_loop_and_in_a_real_worker_wherever_the_broker_is_said_to_be(project: Path) -> None:
    ran = run(project, "-W", "error")
    assert "4 passed" in ran.stdout, ran.stdout + ran.stderr


@pytest.mark.slow
def test_an_application_that_is_not_named_is_told_in_one_line(project: Path) -> None:
    (project / "conftest.py").write_text('pytest_plugins = ["celeriac.testing"]')
    ran = run(project, "-k", "again")
    assert "put a fixture `celeriac_app` with scope='session' into conftest.py" in ran.stdout, ran.stdout


def test_without_pytest_the_import_says_what_is_needed() -> None:
    program = "import sys; sys.modules['pytest'] = None; import celeriac.testing"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.stderr.strip().splitlines()[-1] == (
        "ModuleNotFoundError: celeriac.testing has fixtures for pytest: install pytest"
    )
