"""One worker of each pool, shared by all tests of the suite; each has a database of its own.

Two applications are served that way: one of ours (`jobs`), and one of plain Celery (`task`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from functools import cache
from typing import Any

import pytest
import pytest_asyncio
import redis
from celery import Celery
from pydantic import SecretStr

from celeriac import Settings
from tests.support import contract_jobs, plain_twins
from tests.support.contract_jobs import ContractJobs, Trace
from tests.support.fixtures import LEASE, PATIENT, WORKERS, on_database, worker_environment
from tests.support.plain_twins import Kind
from tests.support.workers import POOLS, Worker, start_worker

#: How many tasks a worker of the plain application runs at a time.
CONCURRENCY = {"asyncio": 100, "solo": 1, "prefork": 2, "threads": 4}
#: A pool, and the form in which it runs the tasks of a plain application: only the asyncio pool awaits coroutines.
Way = tuple[str, Kind]
WAYS: list[Way] = [("asyncio", "async"), *((pool, "def") for pool in POOLS)]
TaskOf = Callable[[str], Any]


#: The pool that the suite runs against by default, as workers do; `--slow` adds the others.
_QUICK = ("asyncio",)


def marks(pool: str) -> list[pytest.MarkDecorator]:
    """Those of a test that runs against `pool`."""
    return [pytest.mark.xdist_group(pool), *([] if pool in _QUICK else [pytest.mark.slow])]


@pytest.fixture(scope="session", params=[pytest.param(pool, marks=marks(pool)) for pool in POOLS])
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


@pytest.fixture(scope="session")
def enqueuer(pool_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractJobs]:
    """The suite's application in the test process, made once: describing all its jobs takes a tenth of a second."""
    settings = Settings(
        broker_url=SecretStr(pool_url), data_dir=tmp_path_factory.getbasetemp(), lease=LEASE, broker_timeout=PATIENT
    )
    made = contract_jobs.create(settings)
    yield made
    made.app.close()


@pytest_asyncio.fixture
async def jobs(worker: Worker, enqueuer: ContractJobs) -> AsyncGenerator[ContractJobs]:
    """The suite's jobs, seen from an enqueuer."""
    yield enqueuer
    await enqueuer.app.client.aclose()


def ways(*pools: str) -> list[Any]:
    """For `parametrize("way", ..., indirect=True)`: the ways of these pools."""
    return [pytest.param(way, id="-".join(way), marks=marks(way[0])) for way in WAYS if way[0] in pools]


@pytest.fixture(scope="session", params=ways(*POOLS))
def way(request: pytest.FixtureRequest) -> Way:
    """Every test of a plain application runs in every way."""
    return request.param


@pytest.fixture(scope="session")
def plain_worker_of(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Worker]]:
    """The worker of a pool that serves the plain application."""
    started: list[Worker] = []

    @cache
    def start_one(pool: str) -> Worker:
        url, directory = plain_url_of(pool, valkey_url), tmp_path_factory.mktemp(f"plain-{pool}")
        name, concurrency = f"plain-{pool}", CONCURRENCY[pool]
        environment = {"TWINS_URL": url, "PLAIN_URL": url}
        application = "tests.support.plain_twins"
        started.append(
            start_worker(application, environment, directory / "log", pool=pool, concurrency=concurrency, name=name)
        )
        return started[-1]

    yield start_one
    assert [worker.stop() for worker in started] == [0] * len(started)


def plain_url_of(pool: str, valkey_url: str) -> str:
    return on_database(valkey_url, 1 + len(POOLS) + POOLS.index(pool))


@pytest.fixture
def plain_url(way: Way, valkey_url: str) -> str:
    return plain_url_of(way[0], valkey_url)


@pytest.fixture
def plain_worker(way: Way, plain_worker_of: Callable[[str], Worker], request: pytest.FixtureRequest) -> Worker:
    worker = plain_worker_of(way[0])
    request.node.stash[WORKERS] = [(worker, len(worker.log))]
    return worker


@pytest.fixture(scope="session")
def plain_producer_of(valkey_url: str) -> Iterator[Callable[[str], Celery]]:
    """The plain application, as producers for the worker of a pool see it."""
    made: list[Celery] = []

    @cache
    def make_one(pool: str) -> Celery:
        made.append(plain_twins.create(plain_url_of(pool, valkey_url), set_as_current=False))
        return made[-1]

    yield make_one
    for app in made:
        app.backend.close()
        app.close()


@pytest.fixture
def plain(plain_worker: Worker, plain_producer_of: Callable[[str], Celery], way: Way) -> Celery:
    """The plain application, as a producer sees it."""
    return plain_producer_of(way[0])


@pytest.fixture
def task(plain: Celery, way: Way) -> TaskOf:
    """A task of the plain application, in the form in which the pool runs it."""
    return lambda name: plain.tasks[f"{way[1]}.{name}"]


@pytest.fixture
def trace(plain_url: str) -> Trace:
    return Trace(plain_url)


@pytest.fixture
def plain_broker(plain_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(plain_url) as client:
        yield client
