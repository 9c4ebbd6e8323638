"""What the recovery tests share: a broker of one's own that can be killed and frozen."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis
from celery import Celery
from pydantic import SecretStr

from celeriac import Settings
from celeriac.launch.broker.embedded import EmbeddedValkey
from celeriac.launch.supervision.child_process import ChildProcess
from celeriac.launch.supervision.probes import wait_until_ready
from tests.support import contract_jobs
from tests.support.contract_jobs import ContractJobs, trace_directory
from tests.support.fixtures import LEASE


class Broker:
    """A Valkey with its append-only file, on a port that it keeps."""

    def __init__(self, directory: Path) -> None:
        self._valkey = EmbeddedValkey(directory)
        self._process: ChildProcess | None = None

    @property
    def url(self) -> str:
        return self._valkey.endpoint.url

    async def start(self) -> None:
        if self._process is None:
            await self._valkey.prepare()
        self._process = await self._valkey.spawn()
        async with asyncio.timeout(20):
            await wait_until_ready(self._valkey.probe())

    async def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.signal(signal.SIGKILL)
        await self._process.wait()

    def freeze(self) -> None:
        """It keeps its connections, and answers nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    async def stop(self) -> None:
        assert self._process is not None
        self._process.signal(signal.SIGCONT)
        await self._process.stop(10)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)


@pytest_asyncio.fixture
async def own_broker(tmp_path: Path) -> AsyncGenerator[Broker]:
    broker = Broker(tmp_path / "broker")
    await broker.start()
    yield broker
    await broker.stop()
    shutil.rmtree(trace_directory(broker.url), ignore_errors=True)


@pytest.fixture(scope="session")
def enqueuer(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractJobs]:
    """The contract suite's application, made once for all tests of the folder."""
    settings = Settings(broker_url=SecretStr(valkey_url), data_dir=tmp_path_factory.getbasetemp(), lease=LEASE)
    made = contract_jobs.create(settings)
    yield made
    made.app.close()


@pytest_asyncio.fixture
async def jobs(broker_url: str, enqueuer: ContractJobs) -> AsyncGenerator[ContractJobs]:
    """The contract suite's jobs on this test process's own broker, which is empty."""
    yield enqueuer
    await enqueuer.app.client.aclose()


@pytest_asyncio.fixture
async def jobs_on_own_broker(own_broker: Broker, tmp_path: Path) -> AsyncGenerator[ContractJobs]:
    made = contract_jobs.create(Settings(broker_url=SecretStr(own_broker.url), data_dir=tmp_path, lease=LEASE))
    yield made
    await made.app.client.aclose()
    made.app.close()


@pytest.fixture
def module() -> str:
    return "tests.support.contract_jobs"


@pytest.fixture
def stock(broker_url: str) -> Iterator[Celery]:
    """A producer that knows nothing of Celeriac."""
    with Celery("stock", broker=broker_url, backend=broker_url, set_as_current=False) as app:
        yield app
