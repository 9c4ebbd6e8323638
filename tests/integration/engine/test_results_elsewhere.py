"""Results on a server of their own: Celery's clients look for them there, and there only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
import redis
from celery.exceptions import TaskRevokedError
from pydantic import SecretStr

from celeriac import JobCancelled, JobState, Settings
from tests.support import contract_jobs
from tests.support.contract_jobs import ContractJobs, OrderRejected
from tests.support.fixtures import LEASE, PATIENT, StartWorker, on_database
from tests.support.waiting import eventually

RESULTS = 14


@pytest.fixture
def result_url(broker_url: str) -> str:
    url = on_database(broker_url, RESULTS)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest_asyncio.fixture
async def jobs(broker_url: str, result_url: str, tmp_path: Path) -> AsyncGenerator[ContractJobs]:
    settings = Settings(
        broker_url=SecretStr(broker_url),
        result_url=SecretStr(result_url),
        data_dir=tmp_path,
        lease=LEASE,
        broker_timeout=PATIENT,
    )
    made = contract_jobs.create(settings)
    yield made
    await made.app.client.aclose()
    made.app.close()


@pytest.fixture
def worker(start: StartWorker, module: str, result_url: str) -> None:
    start(module, pool="threads", settings={"result_url": result_url})


@pytest.mark.usefixtures("worker")
async def test_results_are_there_and_the_rest_is_on_the_broker(jobs: ContractJobs, broker: redis.Redis) -> None:
    handle = await jobs.add.enqueue(40, b=2)
    assert await handle.result(timeout=60) == 42
    assert await asyncio.to_thread(jobs.app.AsyncResult(handle.id).get, timeout=60) == 42
    failed = await jobs.fail.enqueue("no")
    with pytest.raises(OrderRejected, match="no"):
        await asyncio.to_thread(jobs.app.AsyncResult(failed.id).get, timeout=60)
    assert broker.keys("celery-task-meta-*") == []


@pytest.mark.usefixtures("worker")
async def test_celery_sees_what_becomes_of_a_job(jobs: ContractJobs) -> None:
    held = await jobs.hold.enqueue("never")
    await eventually(lambda: jobs.app.AsyncResult(held.id).state == "STARTED")
    await held.cancel()
    with pytest.raises(TaskRevokedError):
        await asyncio.to_thread(jobs.app.AsyncResult(held.id).get, timeout=60)
    postponed = await jobs.postponed.enqueue(seconds=60)
    await eventually(lambda: jobs.app.AsyncResult(postponed.id).state == "RETRY")
    await postponed.cancel()
    assert jobs.app.AsyncResult(postponed.id).state == "REVOKED"


@pytest.mark.usefixtures("worker")
async def test_a_job_that_is_run_again_has_no_result_of_before(jobs: ContractJobs) -> None:
    handle = await jobs.add.options(delay=60).enqueue(1)
    await handle.cancel()
    with pytest.raises(JobCancelled):
        await handle.result(timeout=60)
    assert jobs.app.AsyncResult(handle.id).state == "REVOKED"
    await jobs.app.client.retry(handle.id)
    assert await asyncio.to_thread(jobs.app.AsyncResult(handle.id).get, timeout=60) == 2
    # The result is stored first, and the end recorded after it: they are on two servers.
    assert await handle.result(timeout=60) == 2
    assert (await handle.status()).state is JobState.SUCCEEDED


@pytest.mark.usefixtures("worker")
async def test_a_cancelled_parent_s_queued_children_are_revoked_for_celery_too(jobs: ContractJobs) -> None:
    handle = await jobs.parent.enqueue(children=6, gate="never")
    await eventually(lambda: any(word.startswith("child") for word in jobs.trace.of(handle.id)))
    records, _ = await jobs.app.client.page(matches=lambda record: record.parent_id == handle.id)
    await handle.cancel()
    for record in [await handle.status(), *records]:
        await eventually(lambda job_id=record.id: jobs.app.AsyncResult(job_id).state == "REVOKED")
