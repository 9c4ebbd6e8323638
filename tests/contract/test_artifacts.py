"""Files that jobs make, in every pool and in each way that a job can run."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from celeriac import JobFailed, Settings
from celeriac.core.errors import InvalidFileName
from celeriac.engine.in_process import in_process
from tests.support import artifact_jobs
from tests.support.artifact_jobs import PIECE, ArtifactJobs
from tests.support.broker import fragile_broker
from tests.support.fixtures import LEASE, WORKERS, on_database, worker_environment
from tests.support.waiting import eventually
from tests.support.workers import POOLS, Worker, start_worker

WAYS = ["async", "def", "isolated async", "isolated def"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_broker_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    """Of a server of its own: the shared one has no databases left."""
    async with fragile_broker(tmp_path_factory.mktemp("broker")) as own:
        yield own.url


@pytest.fixture(scope="module")
def own_settings(pool: str, own_broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    url = on_database(own_broker_url, POOLS.index(pool))
    directory = tmp_path_factory.mktemp(f"artists-{pool}")
    return Settings(broker_url=SecretStr(url), data_dir=directory, lease=LEASE)


@pytest.fixture(scope="module")
def drawing_worker(pool: str, own_settings: Settings) -> Iterator[Worker]:
    directory, url = own_settings.data_dir, own_settings.broker()
    environment = worker_environment("tests.support.artifact_jobs", url, directory)
    worker = start_worker(
        "tests.support.celery_main", environment, directory / "log", pool=pool, concurrency=4, name=f"artists-{pool}"
    )
    yield worker
    assert worker.stop() == 0, worker.log


@pytest.fixture
def worker(drawing_worker: Worker, request: pytest.FixtureRequest) -> Worker:
    request.node.stash[WORKERS] = [(drawing_worker, len(drawing_worker.log))]
    return drawing_worker


@pytest_asyncio.fixture
async def artists(worker: Worker, own_settings: Settings) -> AsyncGenerator[ArtifactJobs]:
    made = artifact_jobs.create(own_settings)
    yield made
    await made.app.client.aclose()
    made.app.close()


@pytest.mark.parametrize("way", WAYS)
async def test_a_job_makes_a_file(artists: ArtifactJobs, way: str) -> None:
    handle = await artists.jobs[way].enqueue("Übersicht.bin", pieces=12)
    size, sha256 = await handle.result(timeout=60)
    assert (size, sha256) == (12 * len(PIECE), hashlib.sha256(12 * PIECE).hexdigest())
    artifacts = artists.app.storage.artifacts
    (made,) = await artifacts.of(handle.id)
    assert (made.name, made.size, made.sha256) == ("Übersicht.bin", size, sha256)
    assert b"".join([piece async for piece in artifacts.stream(made)]) == 12 * PIECE


@pytest.mark.parametrize("way", WAYS)
async def test_a_job_that_fails_in_the_middle_makes_none(artists: ArtifactJobs, way: str) -> None:
    handle = await artists.jobs[way].enqueue("half.bin", pieces=12, fails=True)
    with pytest.raises(JobFailed, match="half of it"):
        await handle.result(timeout=60)
    assert await artists.app.storage.artifacts.of(handle.id) == []
    listed = [found.path async for found in artists.app.storage.location.list(f"artifacts/files/{handle.id}/")]
    assert listed == []


@pytest.mark.parametrize("way", WAYS)
async def test_a_name_that_cannot_be_one_fails_the_job(artists: ArtifactJobs, way: str) -> None:
    handle = await artists.jobs[way].enqueue("../up.bin", pieces=1)
    with pytest.raises(JobFailed, match="InvalidFileName"):
        await handle.result(timeout=60)


async def test_a_file_of_the_machine_is_copied(artists: ArtifactJobs, tmp_path: Path) -> None:
    (tmp_path / "source.txt").write_bytes(2 * PIECE)
    handle = await artists.copy.enqueue(tmp_path / "source.txt")
    assert await handle.result(timeout=60) == 2 * len(PIECE)


async def test_a_cancelled_job_leaves_no_file(artists: ArtifactJobs) -> None:
    handle = await artists.hold.enqueue("held.bin")

    async def half_way() -> bool:
        return (await artists.app.client.get(handle.id)).progress is not None

    await eventually(half_way)
    await handle.cancel()

    async def over() -> bool:
        return (await artists.app.client.get(handle.id)).state.finished

    await eventually(over)
    assert await artists.app.storage.artifacts.of(handle.id) == []
    folder = artists.app.storage.location.folder
    assert folder is not None and list((folder / "artifacts" / "files").glob(f"{handle.id}/**/*#*")) == []


@pytest.mark.parametrize("way", ["async", "def"])
async def test_in_a_test_files_stay_in_memory(tmp_path: Path, way: str) -> None:
    artists = artifact_jobs.create(Settings(broker_url=SecretStr("redis://127.0.0.1:1"), data_dir=tmp_path))
    with in_process(artists.app) as ran:
        handle = await artists.jobs[way].enqueue("a.bin", pieces=2)
        assert await handle.result() == (2 * len(PIECE), hashlib.sha256(2 * PIECE).hexdigest())
        assert ran.of(handle.id).artifacts == {"a.bin": 2 * PIECE}
        failed = await artists.jobs[way].enqueue("half.bin", pieces=2, fails=True)
        assert ran.of(failed.id).artifacts == {}
        refused = await artists.jobs[way].enqueue("../up", pieces=2)
        assert isinstance(ran.of(refused.id).error, InvalidFileName)
    artists.app.close()
