"""One worker and one API server for all tests of the folder, on a database of their own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

import httpx2
import pytest
import pytest_asyncio
import redis
from pydantic import SecretStr

from celeriac import Settings
from tests.support import http_jobs
from tests.support.api_server import NO_TLS, ApiServer, api_of, serving
from tests.support.contract_jobs import ContractJobs
from tests.support.fixtures import LEASE, WORKERS, Databases, on_database, worker_environment
from tests.support.jobs_client import JobsClient
from tests.support.workers import Worker, start_worker


@pytest.fixture(scope="session")
def http_url(valkey_url: str) -> str:
    return on_database(valkey_url, Databases.HTTP)


@pytest.fixture(scope="session")
def http_jobs_app(http_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractJobs]:
    """The application that the shared API serves."""
    settings = Settings(broker_url=SecretStr(http_url), data_dir=tmp_path_factory.getbasetemp(), lease=LEASE)
    jobs = http_jobs.create(settings)
    yield jobs
    jobs.app.close()


@pytest.fixture(scope="session")
def http_worker(http_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    directory = tmp_path_factory.mktemp("http")
    environment = worker_environment("tests.support.http_jobs", http_url, directory)
    worker = start_worker(
        "tests.support.celery_main", environment, directory / "log", pool="threads", concurrency=8, name="http"
    )
    yield worker
    assert worker.stop() == 0, worker.log


@pytest.fixture
def worker(http_worker: Worker, request: pytest.FixtureRequest) -> Worker:
    """The worker; a failure shows what it printed during the test."""
    request.node.stash[WORKERS] = [(http_worker, len(http_worker.log))]
    return http_worker


@pytest.fixture(scope="session")
def api(http_jobs_app: ContractJobs) -> Iterator[ApiServer]:
    with serving(api_of(http_jobs_app.app)) as server:
        yield server


@pytest.fixture
def jobs(http_jobs_app: ContractJobs) -> ContractJobs:
    """The application's jobs; its trace opens their gates."""
    return http_jobs_app


@pytest_asyncio.fixture
async def client(api: ApiServer) -> AsyncGenerator[JobsClient]:
    async with httpx2.AsyncClient(verify=NO_TLS, base_url=api.url, timeout=60) as http:
        yield JobsClient(http)


@pytest.fixture
def store(http_url: str) -> Iterator[redis.Redis]:
    """A client to look into the database with."""
    with redis.Redis.from_url(http_url) as client:
        yield client
