"""Jobs that try to break what their worker needs: the event loop, its tasks, the recursion limit of the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
import redis

from celeriac import JobHandle, JobState, Settings
from celeriac.engine.loop import BROKEN
from celeriac.store import keys
from tests.support import vandal_jobs
from tests.support.fixtures import StartWorker, worker_environment
from tests.support.running import running
from tests.support.vandal_jobs import VandalJobs
from tests.support.waiting import eventually
from tests.support.workers import POOLS


def pools(*names: str) -> pytest.MarkDecorator:
    """Each of these pools; others than the asyncio one take longer."""
    return pytest.mark.parametrize(
        "pool", [pytest.param(name, marks=[] if name == "asyncio" else [pytest.mark.slow]) for name in names]
    )


MODULE = "tests.support.vandal_jobs"
STARTS = 120.0  # seconds; on a machine that has other work to do as well


@pytest_asyncio.fixture
async def jobs(settings: Settings) -> AsyncGenerator[VandalJobs]:
    made = vandal_jobs.create(settings)
    yield made
    await made.app.client.aclose()
    made.app.close()


async def _begun(jobs: VandalJobs, handle: JobHandle[str], times: int = 1) -> None:
    await eventually(lambda: len(jobs.trace.of(handle.id)) >= times, f"start number {times}", within=STARTS)


@pools("asyncio", "threads")
async def test_a_job_that_cancels_all_tasks_and_stops_the_loop_harms_neither_other_jobs_nor_its_worker(
    jobs: VandalJobs, start: StartWorker, pool: str
) -> None:
    worker, gate = start(MODULE, pool=pool, concurrency=4), uuid4().hex
    other = await jobs.hold.enqueue(gate)
    await _begun(jobs, other)
    cancelling, stopping = await jobs.cancel_all.enqueue(), await jobs.stop_loop.enqueue()
    assert await cancelling.result(timeout=60) == "cancelled 1"  # the one task that it has started
    assert await stopping.result(timeout=60) == "stopped"
    worker.wait_for_log("stopped the event loop")
    assert await (await jobs.where.enqueue()).result(timeout=60) == worker.pid
    jobs.trace.open(gate)
    assert await other.result(timeout=60) == gate
    assert jobs.trace.of(other.id) == ["start"]
    assert worker.stop() == 0


@pools("asyncio")
async def test_a_worker_whose_loop_a_job_has_given_a_broken_task_factory_goes_on(
    jobs: VandalJobs, start: StartWorker, pool: str
) -> None:
    worker = start(MODULE, pool=pool, concurrency=4)
    await (await jobs.break_factory.enqueue()).result(timeout=60)
    places = [await (await jobs.where.enqueue()).result(timeout=60) for _ in range(3)]
    assert set(places) == {worker.pid}
    assert worker.stop() == 0


@pools(*POOLS)
@pytest.mark.parametrize("kind", ["async", "def"])
async def test_a_job_does_not_lower_the_recursion_limit_of_its_worker(
    jobs: VandalJobs, start: StartWorker, pool: str, kind: str
) -> None:
    worker = start(MODULE, pool=pool)
    lowered = await (jobs.lower_limit if kind == "async" else jobs.lower_limit_sync).enqueue()
    assert await lowered.result(timeout=60) >= 1000
    await eventually(lambda: "a job tried to set it to 100" in worker.log)


@pools("asyncio", "threads", "solo")
async def test_a_worker_whose_lease_a_job_has_ended_ends_and_says_why(
    jobs: VandalJobs, start: StartWorker, broker: redis.Redis, pool: str
) -> None:
    worker, gate = start(MODULE, pool=pool, until=None), uuid4().hex
    jobs.trace.open(gate)
    await jobs.end_lease.enqueue(gate)
    assert await asyncio.to_thread(worker.wait_end, within=STARTS) == BROKEN
    assert "the thread that renews the lease has ended" in worker.log
    assert broker.keys(keys.held("*"))


async def test_a_worker_whose_own_tasks_a_job_has_ended_ends_and_says_why(
    jobs: VandalJobs, start: StartWorker, broker: redis.Redis
) -> None:
    worker = start(MODULE, pool="asyncio", until=None)
    await jobs.break_.enqueue()
    assert await asyncio.to_thread(worker.wait_end, within=STARTS) == BROKEN
    assert "a job must have broken it" in worker.log
    assert broker.keys(keys.held("*"))  # as after a crash: whoever sees it brings it back


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
@pytest.mark.slow
async def test_a_shard_that_a_job_has_broken_is_replaced_and_the_job_is_given_up_after_five_times(
    jobs: VandalJobs, broker_url: str, tmp_path: Path
) -> None:
    gate = uuid4().hex
    command = ["-m", "celeriac", "worker", "-A", "tests.support.celery_main:app", "--shards=1"]
    environment = worker_environment(MODULE, broker_url, tmp_path)
    async with running(command, environment=environment) as worker:
        await worker.printed(r"celeriac \| 1 shard is ready", within=STARTS)
        innocent = await jobs.hold.enqueue(gate)
        await _begun(jobs, innocent)
        culprit = await jobs.break_.enqueue()
        await _begun(jobs, innocent, 2)
        jobs.trace.open(gate)
        assert await innocent.result(timeout=STARTS) == gate
        record = await jobs.app.client.wait(culprit.id, timeout=2 * STARTS)
        assert record.state is JobState.DEAD
        assert len(jobs.trace.of(culprit.id)) == 5
        assert await (await jobs.where.enqueue()).result(timeout=STARTS) > 0
        await worker.printed(rf"ended.* code {BROKEN}")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
async def test_a_shard_that_a_job_breaks_while_it_retires_is_replaced(
    jobs: VandalJobs, broker_url: str, tmp_path: Path
) -> None:
    """It takes no more, and waits for what it runs: which it must not do for ever."""
    first, second = uuid4().hex, uuid4().hex
    command = ["-m", "celeriac", "worker", "-A", "tests.support.celery_main:app", "--shards=1"]
    command += ["--max-tasks-per-child=3"]
    async with running(command, environment=worker_environment(MODULE, broker_url, tmp_path)) as worker:
        await worker.printed(r"celeriac \| 1 shard is ready", within=STARTS)
        innocent, culprit = await jobs.hold.enqueue(second), await jobs.end_lease.enqueue(first)
        await _begun(jobs, innocent)
        await _begun(jobs, culprit)
        await jobs.where.enqueue()
        await worker.printed("it takes no more jobs, and is replaced", within=STARTS)
        jobs.trace.open(first)
        await worker.printed(rf"ended.* code {BROKEN}", within=STARTS)
        await _begun(jobs, innocent, 2)
        jobs.trace.open(second)
        assert await innocent.result(timeout=STARTS) == second
