"""Jobs that cannot begin yet, and ask to be run later: no attempt is counted, in whatever pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
import redis
from pydantic import SecretStr

from celeriac import JobFailed, JobHandle, JobState, Settings
from celeriac.store import keys
from celeriac.terminal import watch
from tests.support import later_jobs
from tests.support.broker import fragile_broker
from tests.support.fixtures import LEASE, WORKERS, worker_environment
from tests.support.later_jobs import FORMS, LaterJobs
from tests.support.waiting import eventually
from tests.support.workers import Worker, start_worker

DAY_S = 86_400


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_broker_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    async with fragile_broker(tmp_path_factory.mktemp("broker")) as own:
        yield own.url


@pytest.fixture(scope="module")
def own_worker(pool: str, own_broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp(f"later-{pool}")
    environment = worker_environment("tests.support.later_jobs", own_broker_url, folder)
    worker = start_worker("tests.support.celery_main", environment, folder / "log", pool=pool, name=f"later-{pool}")
    yield worker
    assert worker.stop() == 0, worker.log


@pytest_asyncio.fixture
async def jobs(own_worker: Worker, own_broker_url: str, request: pytest.FixtureRequest) -> AsyncGenerator[LaterJobs]:
    request.node.stash[WORKERS] = [(own_worker, len(own_worker.log))]
    jobs = later_jobs.create(Settings(broker_url=SecretStr(own_broker_url), lease=LEASE))
    yield jobs
    await jobs.app.client.aclose()


@pytest.mark.parametrize("form", FORMS)
async def test_a_job_that_is_run_later_has_made_no_attempt(jobs: LaterJobs, form: str) -> None:
    handle = await jobs.forms[form].enqueue(times=3)
    assert await handle.result(timeout=60) == 1
    assert jobs.trace.of(handle.id) == ["attempt 1 of 1"] * 4
    record = await handle.status()
    assert (record.state, record.attempt, record.error, record.delay_until) == (JobState.SUCCEEDED, 1, None, None)


@pytest.mark.parametrize("form", FORMS)
async def test_a_job_that_waits_to_be_run_says_why_and_can_be_cancelled(jobs: LaterJobs, form: str) -> None:
    handle = await jobs.forms[form].enqueue(times=1, seconds=3600)
    await eventually(lambda: _is_waiting(handle), "it waits")
    record = await handle.status()
    assert record.error is not None and record.delay_until is not None
    assert (record.error.type, record.error.message, record.attempt) == ("RunLater", "not its turn", 1)
    assert timedelta(minutes=59) < record.delay_until - datetime.now(UTC) <= timedelta(hours=1)
    assert jobs.trace.of(handle.id) == ["attempt 1 of 1"]
    await handle.cancel()
    assert (await handle.status()).state is JobState.CANCELLED
    assert jobs.trace.of(handle.id) == ["attempt 1 of 1", "told"]  # by `on_cancelled`, since no worker had it


async def test_whoever_follows_a_job_is_told_why_it_waits_and_until_when(
    jobs: LaterJobs, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = await jobs.forms["async"].enqueue(times=1, seconds=3600)
    following = asyncio.create_task(watch(jobs.app, handle.id, unit="rows"))
    shown = ""

    def is_told() -> bool:
        nonlocal shown
        shown += capsys.readouterr().err
        return "\n" in shown

    await eventually(is_told, "it is told")
    until = (await handle.status()).delay_until
    assert until is not None
    assert shown == f"waits until {until.astimezone():%Y-%m-%d %H:%M:%S}: not its turn\n"
    await handle.cancel()
    await following


@pytest.mark.parametrize("form", FORMS)
async def test_a_job_that_is_cancelled_at_the_moment_at_which_it_begins_to_wait_is_told_of(
    jobs: LaterJobs, form: str
) -> None:
    handle = await jobs.forms[form].enqueue(times=1, seconds=3600, cancelled=True)

    async def is_told() -> bool:
        return (await handle.status()).state is JobState.CANCELLED and "told" in jobs.trace.of(handle.id)

    await eventually(is_told, "its application is told")
    assert jobs.trace.of(handle.id) == ["attempt 1 of 1", "told"]


@pytest.mark.parametrize("form", FORMS)
async def test_a_job_cannot_wait_for_ever(jobs: LaterJobs, form: str) -> None:
    handle = await jobs.forms[form].enqueue(times=1, seconds=1e12)
    with pytest.raises(JobFailed, match="ten years"):
        await handle.result(timeout=60)


async def test_a_parent_is_known_for_as_long_as_its_child_waits(jobs: LaterJobs, own_broker_url: str) -> None:
    handle = await jobs.parent.enqueue(seconds=60 * DAY_S)
    with redis.Redis.from_url(own_broker_url) as broker:

        def lives() -> bool:
            return broker.ttl(keys.record(handle.id)) > 60 * DAY_S

        await eventually(lives, "the record lasts")


async def _is_waiting(handle: JobHandle[int]) -> bool:
    return (await handle.status()).state is JobState.RETRYING
