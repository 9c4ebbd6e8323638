"""What every test may use: a real Valkey, applications bound to it, real workers, and proof that no key leaks.

`tests/conftest.py` registers these fixtures where tests run.
"""

from __future__ import annotations

import gc
import shutil
import socket
import sys
import warnings
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import closing
from enum import IntEnum, unique
from importlib import invalidate_caches
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import pytest_asyncio
import redis
from pydantic import SecretStr

from celeriac import Celeriac, Settings, discovery
from celeriac.launch.broker.embedded import embedded_valkey
from tests.support.contract_jobs import trace_directory
from tests.support.lease import LEASE
from tests.support.packages import install_family
from tests.support.workers import Worker, dismiss, start_worker

#: Seconds for which a client may wait for a broker that is there, however busy the machine is with other tests.
PATIENT = 30.0
WORKERS = pytest.StashKey[list[tuple[Worker, int]]]()
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the test's workers printed meanwhile."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
        for worker, start in item.stash.get(WORKERS, []):
            report.sections.append((f"log of {worker.name}", worker.log[start:]))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Close what a failed test has left open. Else Python does so during a later test, and that one fails as well."""
    if FAILED in item.stash:
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):  # they keep the test's variables alive
            vars(sys).pop(name, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@unique
class Databases(IntEnum):
    """Databases of the test process's Valkey, each for a worker that tests share. Those below are the contract's."""

    REPORTS = 10
    CONFORMANCE = 11
    HTTP = 12
    MAILING = 13
    REPORTS_ALONE = 14
    MEDIA = 15


def on_database(url: str, number: int) -> str:
    """The same server's database `number`."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{number}"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    """A Valkey for this test process. Database 0 is emptied for each test; workers that tests share have others."""
    async with embedded_valkey(tmp_path_factory.mktemp("valkey"), append_only=False) as url:
        yield url
        shutil.rmtree(trace_directory(url), ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def readers_valkey_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    """Another Valkey, for pages and examples: no worker that tests share takes their jobs."""
    async with embedded_valkey(tmp_path_factory.mktemp("valkey"), append_only=False) as url:
        yield url
        shutil.rmtree(trace_directory(url), ignore_errors=True)


@pytest_asyncio.fixture
async def own_valkey_url(tmp_path: Path) -> AsyncGenerator[str]:
    async with embedded_valkey(tmp_path / "valkey", append_only=False) as url:
        yield url
        shutil.rmtree(trace_directory(url), ignore_errors=True)


@pytest.fixture(scope="session")
def mute_port() -> Generator[int]:
    """A port at which somebody listens who never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()[1]


@pytest.fixture
def broker_url(request: pytest.FixtureRequest) -> str:
    """An empty database. A test marked `own_server` has a server of its own."""
    if request.node.get_closest_marker("own_server"):
        return str(request.getfixturevalue("own_valkey_url"))
    valkey_url = str(request.getfixturevalue("valkey_url"))
    with closing(redis.Redis.from_url(valkey_url)) as client:
        client.flushdb()
    return valkey_url


@pytest.fixture
def broker(broker_url: str) -> Iterator[redis.Redis]:
    """A client to look into the database with."""
    with closing(redis.Redis.from_url(broker_url)) as client:
        yield client


@pytest.fixture
def settings(broker_url: str, tmp_path: Path) -> Settings:
    return Settings(broker_url=SecretStr(broker_url), data_dir=tmp_path, lease=LEASE)


@pytest_asyncio.fixture
async def app(settings: Settings) -> AsyncGenerator[Celeriac]:
    """A fresh application on an empty database."""
    application = Celeriac("test", settings=settings)
    yield application
    await application.client.aclose()
    application.close()


StartWorker = Callable[..., Worker]


@pytest.fixture
def start(request: pytest.FixtureRequest, broker_url: str, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts workers of the test's own: `start("tests.support.contract_jobs", pool="solo")`."""
    started: list[Worker] = []
    request.node.stash[WORKERS] = []

    def start_one(
        module: str,
        *,
        pool: str,
        url: str = broker_url,
        settings: dict[str, object] | None = None,
        application: str = "tests.support.celery_main",
        environment: dict[str, str] | None = None,
        **options: object,
    ) -> Worker:
        name = f"worker-{len(started)}"
        worker = start_worker(
            application,
            {**worker_environment(module, url, tmp_path, **(settings or {})), **(environment or {})},
            tmp_path / f"{name}.log",
            pool=pool,
            name=name,
            **options,  # type: ignore[arg-type]
        )
        started.append(worker)
        request.node.stash[WORKERS].append((worker, 0))
        return worker

    yield start_one
    dismiss(started)


def worker_environment(module: str, url: str, data_dir: Path, **settings: object) -> dict[str, str]:
    """The environment that has `tests.support.celery_main` serve the application of `module` on `url`."""
    values = {"broker_url": url, "data_dir": data_dir, "lease": LEASE, **settings}
    return {"TEST_APPLICATION": module, **{f"CELERIAC_{name.upper()}": str(value) for name, value in values.items()}}


@pytest.fixture
def install_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Installs job families for this process: `install_guest("faxes", source)`."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def install(name: str, source: str) -> None:
        install_family(folder, name, source)
        invalidate_caches()
        discovery.found.cache_clear()
        discovery.warn.cache_clear()

    yield install
    monkeypatch.undo()
    discovery.found.cache_clear()
    for name in [name for name in sys.modules if name.startswith("guest_")]:
        del sys.modules[name]


@pytest.fixture
def no_key_leaks(broker: redis.Redis) -> Iterator[None]:
    """After the test, every key left on the broker has a bounded life, or holds messages."""
    yield
    assert immortal_keys(broker) == []


#: Messages, wherever they are: in the hold of a worker, delayed, or dead letters. And kombu's own keys.
_MESSAGES = (
    b"celeriac:dead",
    b"celeriac:held:",
    b"celeriac:leases",
    b"celeriac:delayed:",
    b"_kombu.",
    b"unacked",
)


def immortal_keys(broker: redis.Redis) -> list[str]:
    """The keys that nothing will ever remove: they have no time to live, and hold no messages."""
    left = [key for key in broker.scan_iter() if not key.startswith(_MESSAGES) and broker.ttl(key) == -1]
    return sorted(key.decode() for key in left if not _is_queue(broker, key))


def _is_queue(broker: redis.Redis, key: bytes) -> bool:
    bound = broker.keys("_kombu.binding.*")
    queues = {member.rpartition(b"\x06\x16")[2] for table in bound for member in broker.smembers(table)}  # type: ignore
    return key.partition(b"\x06\x16")[0] in queues
