"""Delayed jobs, idempotency keys, ids of the caller's own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from celeriac import IdempotencyConflict, JobExists, JobState, UnknownJob
from tests.support.contract_jobs import ContractJobs


async def test_a_delayed_job_runs_when_it_is_due_and_not_before(jobs: ContractJobs) -> None:
    handle = await jobs.add.options(delay=0.6).enqueue(1)
    record = await handle.status()
    assert record.state is JobState.SCHEDULED
    due = record.delay_until
    assert due is not None
    await handle.result(timeout=60)
    record = await handle.status()
    assert record.started_at is not None
    assert timedelta(0) <= record.started_at - due < timedelta(seconds=0.5)
    states = [event.data["state"] async for event in handle.events()]
    assert states == ["scheduled", "queued", "running", "succeeded"]


async def test_a_moment_in_the_past_is_at_once(jobs: ContractJobs) -> None:
    handle = await jobs.add.options(at=datetime.now(UTC) - timedelta(hours=1)).enqueue(1)
    assert await handle.result(timeout=60) == 2


async def test_delayed_jobs_do_not_keep_a_worker_from_others(jobs: ContractJobs) -> None:
    delayed = await jobs.add.options(delay=120).enqueue_many([{"a": i} for i in range(50)])
    assert await (await jobs.add.enqueue(1)).result(timeout=60) == 2
    for handle in delayed:
        await handle.cancel()


async def test_the_same_request_under_the_same_key_is_the_same_job(jobs: ContractJobs) -> None:
    keyed = jobs.add.options(idempotency_key=uuid4().hex)
    first = await keyed.enqueue(1, b=2)
    assert (await keyed.enqueue(1, b=2)).id == first.id
    assert await first.result(timeout=60) == 3
    assert (await keyed.enqueue(1, b=2)).id == first.id  # also after its end


async def test_another_request_under_the_same_key_is_refused(jobs: ContractJobs) -> None:
    key = uuid4().hex
    first = await jobs.add.options(idempotency_key=key).enqueue(1)
    with pytest.raises(IdempotencyConflict, match=first.id):
        await jobs.add.options(idempotency_key=key).enqueue(2)
    with pytest.raises(IdempotencyConflict, match=first.id):
        await jobs.add_sync.options(idempotency_key=key).enqueue(1)


async def test_of_many_at_the_same_time_one_is_accepted(jobs: ContractJobs) -> None:
    keyed = jobs.who.options(idempotency_key=uuid4().hex)
    handles = await asyncio.gather(*(keyed.enqueue() for _ in range(20)))
    assert len({handle.id for handle in handles}) == 1
    await handles[0].result(timeout=60)
    states = [event.data["state"] async for event in handles[0].events()]
    assert states == ["queued", "running", "succeeded"]


async def test_an_id_of_the_callers_own_is_taken_once(jobs: ContractJobs) -> None:
    invoice = jobs.add.options(job_id=f"invoice-{uuid4().hex}")
    handle = await invoice.enqueue(1)
    with pytest.raises(JobExists, match=handle.id):
        await invoice.enqueue(2)
    assert await handle.result(timeout=60) == 2


@pytest.mark.parametrize("bad", ["", "a/b", "../x", "a b", "-x", "x" * 129, "ä", "a\n"])
async def test_an_id_that_is_none_is_refused_and_unknown(jobs: ContractJobs, bad: str) -> None:
    with pytest.raises(ValueError, match="use 1 to 128 letters, digits"):
        await jobs.add.options(job_id=bad).enqueue(1)
    with pytest.raises(UnknownJob):
        await jobs.add.handle(bad).status()
