"""Cancelling: before a job runs, while it runs, and what its function notices of it."""

from __future__ import annotations

from uuid import uuid4

import pytest

from celeriac import JobCancelled, JobFailed, JobState, WrongState
from tests.support.contract_jobs import ContractJobs
from tests.support.waiting import eventually

KINDS = pytest.mark.parametrize("kind", ["async", "def"])


async def _started(jobs: ContractJobs, job_id: str) -> None:
    await eventually(lambda: "start" in jobs.trace.of(job_id), "the job runs")


@KINDS
async def test_a_running_job_is_interrupted(jobs: ContractJobs, kind: str) -> None:
    handle = await jobs.twin("hold", kind).enqueue("never")
    await _started(jobs, handle.id)
    record = await handle.cancel()
    assert record.cancel_requested
    with pytest.raises(JobCancelled):
        await handle.result(timeout=60)
    assert jobs.trace.of(handle.id) == ["start", "cancelled" if kind == "async" else "JobInterrupted"]
    assert (await handle.status()).error is None


async def test_a_job_that_is_cancelled_as_it_puts_itself_off_ends_at_once_and_not_at_that_time(
    jobs: ContractJobs,
) -> None:
    gate = uuid4().hex
    handle = await jobs.block_and_postpone.enqueue(gate)
    await _started(jobs, handle.id)
    assert (await handle.cancel()).cancel_requested
    jobs.trace.open(gate)
    with pytest.raises(JobCancelled):
        await handle.result(timeout=60)
    assert jobs.trace.of(handle.id) == ["start"]


async def test_a_def_job_that_sleeps_is_woken_where_it_runs_in_a_main_thread(jobs: ContractJobs, pool: str) -> None:
    seconds = 2 if pool in ("asyncio", "threads") else 60
    handle = await jobs.sleep_sync.enqueue(seconds)
    await _started(jobs, handle.id)
    await handle.cancel()
    with pytest.raises(JobCancelled):
        await handle.result(timeout=60)
    assert jobs.trace.of(handle.id) == ["start", "JobInterrupted"]


async def test_a_scheduled_job_is_cancelled_at_once(jobs: ContractJobs) -> None:
    handle = await jobs.add.options(delay=0.3).enqueue(1)
    assert (await handle.cancel()).state is JobState.CANCELLED
    marker = await jobs.add.options(delay=0.4).enqueue(2)
    assert await marker.result(timeout=60) == 3  # by now the cancelled one was due, and was not run
    with pytest.raises(JobCancelled):
        await handle.result(timeout=60)
    assert (await handle.status()).attempt == 0


async def test_a_queued_job_is_cancelled_at_once_and_never_runs(jobs: ContractJobs) -> None:
    # Behind a queue that this worker does not consume, so that it stays queued.
    handle = await jobs.hold.options(queue=f"elsewhere-{uuid4().hex}").enqueue("never")
    assert (await handle.cancel()).state is JobState.CANCELLED
    assert jobs.trace.of(handle.id) == []


async def test_cancelling_twice_is_no_error_and_cancelling_an_end_is(jobs: ContractJobs) -> None:
    handle = await jobs.add.options(delay=60).enqueue(1)
    assert (await handle.cancel()).state is JobState.CANCELLED
    assert (await handle.cancel()).state is JobState.CANCELLED
    done = await jobs.add.enqueue(1)
    await done.result(timeout=60)
    with pytest.raises(WrongState, match="has succeeded already"):
        await done.cancel()


@KINDS
async def test_a_job_that_takes_too_long_is_stopped(jobs: ContractJobs, kind: str) -> None:
    handle = await jobs.twin("late", kind).enqueue()
    with pytest.raises(JobFailed, match=r"JobTimedOut: exceeded its time limit of 0\.3 s"):
        await handle.result(timeout=60)


async def test_a_timeout_is_a_failure_that_may_be_retried(jobs: ContractJobs) -> None:
    handle = await jobs.late_retried.enqueue()
    with pytest.raises(JobFailed, match="JobTimedOut"):
        await handle.result(timeout=60)
    assert jobs.trace.of(handle.id) == ["start", "start"]


@KINDS
async def test_after_a_cancellation_the_worker_goes_on(jobs: ContractJobs, kind: str) -> None:
    for _ in range(3):
        handle = await jobs.twin("hold", kind).enqueue("never")
        await _started(jobs, handle.id)
        await handle.cancel()
        with pytest.raises(JobCancelled):
            await handle.result(timeout=60)
        assert await (await jobs.twin("add", kind).enqueue(1, 1)).result(timeout=60) == 2


async def test_revoking_with_celerys_remote_control_cancels(jobs: ContractJobs) -> None:
    result = jobs.double.apply_async((21,), countdown=60)
    jobs.app.control.revoke(result.id)
    record = await jobs.app.client.wait(result.id, timeout=60)
    assert record.state is JobState.CANCELLED
    with pytest.raises(JobCancelled):
        await jobs.app.client.result(result.id)


async def test_celery_sees_a_cancelled_job_as_revoked(jobs: ContractJobs) -> None:
    handle = await jobs.add.options(delay=60).enqueue(1)
    await handle.cancel()
    assert jobs.app.AsyncResult(handle.id).state == "REVOKED"
