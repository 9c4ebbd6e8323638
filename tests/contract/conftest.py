"""One worker of each pool, shared by all tests of the suite; each has a database of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

import pytest
import pytest_asyncio
from pydantic import SecretStr

from celeriac import Settings
from tests.conftest import LEASE, WORKERS, on_database, worker_environment
from tests.support import contract_jobs
from tests.support.contract_jobs import ContractJobs
from tests.support.workers import POOLS, Worker, start_worker


@pytest.fixture(scope="session", params=[pytest.param(pool, marks=pytest.mark.xdist_group(pool)) for pool in POOLS])
def pool(request: pytest.FixtureRequest) -> str:
    """Every test of the suite runs against every pool."""
    return request.param


@pytest.fixture(scope="session")
def pool_url(pool: str, valkey_url: str) -> str:
    return on_database(valkey_url, 1 + POOLS.index(pool))


@pytest.fixture(scope="session")
def shared_worker(pool: str, pool_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    directory = tmp_path_factory.mktemp(pool)
    environment = worker_environment("tests.support.contract_jobs", pool_url, directory)
    worker = start_worker("tests.support.celery_main", environment, directory / "log", pool=pool, name=pool)
    yield worker
    assert worker.stop() == 0, worker.log


@pytest.fixture
def worker(shared_worker: Worker, request: pytest.FixtureRequest) -> Worker:
    """The pool's worker; a failure shows what it printed during the test."""
    request.node.stash[WORKERS] = [(shared_worker, len(shared_worker.log))]
    return shared_worker


@pytest_asyncio.fixture
async def jobs(worker: Worker, pool_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[ContractJobs]:
    """The suite's jobs, seen from an enqueuer."""
    settings = Settings(broker_url=SecretStr(pool_url), data_dir=tmp_path_factory.getbasetemp(), lease=LEASE)
    made = contract_jobs.create(settings)
    yield made
    await made.app.client.aclose()
    made.app.close()
