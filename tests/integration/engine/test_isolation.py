"""Workers with isolated jobs that stop, are killed, or are full; and applications that cannot be imported again."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from celeriac import Celeriac, JobState, Settings
from celeriac.core.cores import available_cores
from tests.support import isolated_jobs, main_program
from tests.support.fixtures import StartWorker, worker_environment
from tests.support.isolated_jobs import IsolatedJobs
from tests.support.processes import is_alive
from tests.support.slow import quick_first
from tests.support.waiting import eventually
from tests.support.warm import WarmProcess
from tests.support.workers import POOLS, ROOT

EACH_POOL = pytest.mark.parametrize("pool", quick_first(POOLS))
MODULE = "tests.support.isolated_jobs"


@pytest_asyncio.fixture
async def jobs(settings: Settings) -> AsyncGenerator[IsolatedJobs]:
    made = isolated_jobs.create(settings)
    yield made
    await made.app.client.aclose()
    made.app.close()


async def process_of(jobs: IsolatedJobs, job_id: str) -> int:
    """The process id that the job has left, last."""
    return int((await eventually(lambda: jobs.trace.of(job_id), "the job runs"))[-1])


@EACH_POOL
@pytest.mark.slow
async def test_a_worker_that_is_asked_to_end_waits_for_isolated_jobs(
    jobs: IsolatedJobs, start: StartWorker, pool: str
) -> None:
    worker = start(MODULE, pool=pool, concurrency=1)
    gate = uuid4().hex
    handle = await jobs.compute.enqueue(gate)
    pid = await process_of(jobs, handle.id)
    for process in (worker.pid, pid):  # as a supervisor does that signals each process of a service
        os.kill(process, signal.SIGTERM)
    worker.wait_for_log("Warm shutdown")
    assert (await handle.status()).state is JobState.RUNNING
    jobs.trace.open(gate)
    assert worker.wait_end() == 0
    assert await handle.result(timeout=60) == gate
    await eventually(lambda: not is_alive(pid), "the job's process has ended with its worker")


@EACH_POOL
async def test_nothing_outlives_a_killed_worker(jobs: IsolatedJobs, start: StartWorker, pool: str) -> None:
    worker = start(MODULE, pool=pool, concurrency=1)
    gate = uuid4().hex
    handle = await jobs.compute.enqueue(gate)
    first = await process_of(jobs, handle.id)
    worker.kill()
    await eventually(lambda: not is_alive(first), "the job's process has ended with its worker")
    start(MODULE, pool=pool, concurrency=1)
    await eventually(lambda: len(jobs.trace.of(handle.id)) > 1, "the job runs again")
    jobs.trace.open(gate)
    assert await handle.result(timeout=60) == gate
    assert len(jobs.trace.of(handle.id)) == 3  # begun twice, ended once


@pytest.mark.parametrize("pool", quick_first(["asyncio", "prefork"]))  # in the others Celery waits for what runs
async def test_a_worker_that_is_told_to_end_at_once_gives_isolated_jobs_back(
    jobs: IsolatedJobs, start: StartWorker, pool: str
) -> None:
    worker = start(MODULE, pool=pool)
    gate = uuid4().hex
    handle = await jobs.compute.enqueue(gate)
    first = await process_of(jobs, handle.id)
    worker.signal(signal.SIGQUIT)
    worker.wait_end()
    assert not is_alive(first)
    start(MODULE, pool=pool)
    await eventually(lambda: len(jobs.trace.of(handle.id)) > 1, "the job runs again")
    jobs.trace.open(gate)
    assert await handle.result(timeout=60) == gate


@pytest.mark.slow
async def test_what_finds_no_process_is_left_to_other_workers(jobs: IsolatedJobs, start: StartWorker) -> None:
    start(MODULE, pool="asyncio", concurrency=100)
    gate = uuid4().hex
    busy = await jobs.compute.enqueue_many([{"gate": gate}] * available_cores())
    for handle in busy:
        await process_of(jobs, handle.id)
    waiting = await jobs.pid.enqueue_many([{}] * 5)
    assert await (await jobs.tick.enqueue()).result(timeout=60)  # what needs no process is not held up
    second = start(MODULE, pool="asyncio", concurrency=100)
    assert {(await handle.result(timeout=60))[1] for handle in waiting} == {second.pid}
    jobs.trace.open(gate)
    for handle in busy:
        await handle.result(timeout=60)


async def test_jobs_of_a_program_cannot_be_isolated(app: Celeriac, broker_url: str, tmp_path: Path) -> None:
    environment = {**os.environ, **worker_environment("", broker_url, tmp_path)}
    program = [str(Path(main_program.__file__)), "--loglevel=info"]
    worker = WarmProcess("python", program, cwd=ROOT, environment=environment, log=tmp_path / "log")
    try:
        worker.wait_for(r"ready\.")
        job_id = app.send_task("program.double", kwargs={"number": 1}).id
        record = await app.client.wait(job_id, timeout=60)
    finally:
        worker.end()
    assert record.error is not None
    assert record.error.type == "ConfigurationError"
    assert "an isolated job's process cannot import the application" in record.error.message
