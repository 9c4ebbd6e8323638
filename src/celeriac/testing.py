"""Fixtures for the tests of applications. Put `pytest_plugins = ["celeriac.testing"]` into the topmost `conftest.py`.

`celeriac_jobs` runs jobs in the test's own event loop, without a broker and without waiting. `celeriac_worker` runs
them in a real worker, with a Valkey that only the tests use. Define a fixture `celeriac_app` that returns your
application.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from celeriac.core.errors import ConfigurationError, StartFailed
from celeriac.engine.app import JobApp
from celeriac.engine.in_process import InProcessJobs, in_process
from celeriac.engine.isolation.address import address_of
from celeriac.engine.ran_job import RanJob
from celeriac.launch.broker.embedded import embedded_valkey
from celeriac.launch.supervision.child_process import ChildProcess, spawn

try:
    import pytest
except ModuleNotFoundError:
    raise ModuleNotFoundError("celeriac.testing has fixtures for pytest: install pytest", name="pytest") from None

__all__ = ["InProcessJobs", "RanJob", "RunningWorker", "in_process"]

#: Variables of the broker and result store, which win over the application's configuration.
_ADDRESSES = (
    *("CELERIAC_BROKER_URL", "CELERIAC_RESULT_URL", "CELERY_RESULT_BACKEND"),
    *("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"),
)
#: Longest time for a worker to start, and to stop.
_START_S, _STOP_S = 60.0, 15.0


@dataclass(frozen=True)
class RunningWorker:
    """The worker of `celeriac_worker`.

    Attributes:
        broker_url: the URL of the Valkey that the worker and the test use.
        log_file: the file with the worker's output.
    """

    broker_url: str
    log_file: Path

    @property
    def log(self) -> str:
        """The worker's output so far."""
        return self.log_file.read_text(errors="replace")


@pytest.fixture(scope="session")
def celeriac_app() -> JobApp:
    """Return the application under test. Define your own fixture of this name."""
    raise pytest.UsageError(
        "celeriac.testing does not know your application: put a fixture `celeriac_app` with scope='session' "
        "into conftest.py that returns it"
    )


@pytest.fixture
def celeriac_jobs(celeriac_app: JobApp) -> Generator[InProcessJobs]:
    """Run the application's jobs in the test's own event loop, and record their outcomes."""
    with in_process(celeriac_app) as jobs:
        yield jobs


@pytest.fixture(scope="session")
def celeriac_broker_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Start a Valkey for all tests of the run, and yield its URL."""
    server = embedded_valkey(tmp_path_factory.mktemp("celeriac-valkey"), append_only=False)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server) as url:
        yield url


@pytest.fixture(scope="session")
def celeriac_worker_process(
    celeriac_app: JobApp, celeriac_broker_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Generator[RunningWorker]:
    """Start a worker of the application for all tests of the run."""
    worker = RunningWorker(celeriac_broker_url, tmp_path_factory.mktemp("celeriac-worker") / "worker.log")
    running = _running(_address(celeriac_app), worker)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running):
        yield worker


@pytest.fixture
def celeriac_worker(
    celeriac_app: JobApp, celeriac_worker_process: RunningWorker, monkeypatch: pytest.MonkeyPatch
) -> Generator[RunningWorker]:
    """Run the application's jobs in a real worker, which starts once for all tests of the run."""
    for name in _ADDRESSES:
        monkeypatch.setenv(name, celeriac_worker_process.broker_url)
    celeriac_app.addresses_changed()
    yield celeriac_worker_process
    celeriac_app.addresses_changed()


def _address(app: JobApp) -> str:
    try:
        return address_of(app, beside=("conftest", "test_"))
    except ConfigurationError:
        raise pytest.UsageError(
            "celeriac_worker: no module that a worker can import has the application as a variable; "
            "assign it in a module outside of conftest.py and the tests"
        ) from None


@asynccontextmanager
async def _running(address: str, worker: RunningWorker) -> AsyncGenerator[None]:
    """Run a worker of the application at `address`. It ends when this process does."""
    command = (sys.executable, "-m", "celery", "-A", address, "worker", "--loglevel=info", "--hostname=tests@%h")
    environment = dict.fromkeys(_ADDRESSES, worker.broker_url)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with worker.log_file.open("wb") as output:
        process = await spawn(
            (*command, "--without-gossip", "--without-mingle"),
            environment=environment,
            output=output.fileno(),
            death_signal=signal.SIGTERM,
        )
    try:
        await _ready(process, worker)
        yield
    finally:
        await process.stop(_STOP_S)


async def _ready(process: ChildProcess, worker: RunningWorker) -> None:
    ended = asyncio.ensure_future(process.wait())
    try:
        async with asyncio.timeout(_START_S):
            while " ready." not in worker.log:
                await asyncio.wait({ended}, timeout=0.05)
                if ended.done():
                    raise StartFailed(f"the worker of celeriac_worker did not start:\n{worker.log}", ended.result())
    except TimeoutError:
        raise StartFailed(f"the worker of celeriac_worker was not ready in {_START_S:g} s:\n{worker.log}") from None
    finally:
        ended.cancel()
