"""Celery's own ways to the same jobs: publishing, canvas, results, states."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import chain, chord, group
from celery.exceptions import ChordError, TaskRevokedError, TimeLimitExceeded
from celery.result import AsyncResult

from celeriac import JobRecord, JobState, RetryAfter, UnknownJob
from celeriac.store import keys
from tests.contract.conftest import marks
from tests.support.contract_jobs import ContractJobs, OrderRejected
from tests.support.waiting import eventually

#: Celery's threads and its solo pool can stop nothing that runs.
CAN_STOP = pytest.mark.parametrize(
    "pool", [pytest.param(pool, marks=marks(pool)) for pool in ("asyncio", "prefork")], indirect=True, scope="session"
)
KINDS = pytest.mark.parametrize("kind", ["async", "def"])


async def get(result: AsyncResult, timeout: float = 10) -> Any:
    """Celery's own, blocking, wait."""
    return await asyncio.to_thread(result.get, timeout=timeout)


@KINDS
async def test_delay(jobs: ContractJobs, kind: str) -> None:
    result = jobs.twin("add", kind).task.delay(40, b=2)
    assert await get(result) == 42


async def test_apply_async_with_a_countdown(jobs: ContractJobs) -> None:
    result = jobs.add.task.apply_async(kwargs={"a": 1}, countdown=0.4)
    assert (await jobs.app.client.get(result.id)).state is JobState.SCHEDULED
    assert await get(result) == 2


async def test_a_published_task_is_known_from_the_start(jobs: ContractJobs) -> None:
    gate, key = uuid4().hex, uuid4().hex
    result = jobs.hold_plainly.delay(key, gate)
    assert (await jobs.app.client.get(result.id)).state in (JobState.QUEUED, JobState.RUNNING)
    await eventually(lambda: jobs.trace.of(key))
    record = await jobs.app.client.get(result.id)
    assert (record.state, record.task, record.attempt) == (JobState.RUNNING, "plain.hold", 1)
    assert result.state == "STARTED"
    jobs.trace.open(gate)
    assert await jobs.app.client.result(result.id, timeout=60) == gate
    assert (await jobs.app.client.get(result.id)).state is JobState.SUCCEEDED


async def test_a_task_whose_result_nobody_wants_is_recorded_all_the_same(jobs: ContractJobs) -> None:
    done, failed = jobs.silent.delay(fail=False), jobs.silent.delay(fail=True)
    assert (await jobs.app.client.wait(done.id, timeout=60)).state is JobState.SUCCEEDED
    record = await jobs.app.client.wait(failed.id, timeout=60)
    assert record.error is not None
    assert (record.state, record.error.message) == (JobState.FAILED, "silently")
    assert failed.state == "PENDING"  # as Celery's clients see what has no result


async def test_a_task_that_is_acknowledged_before_it_runs(jobs: ContractJobs) -> None:
    for _ in range(20):
        key = uuid4().hex
        assert await jobs.app.client.result(jobs.early.delay(key).id, timeout=60) == key
        assert jobs.trace.of(key) == ["start"]


@CAN_STOP
async def test_what_ran_out_of_time_is_tried_again_if_it_is_not_acknowledged_then(jobs: ContractJobs) -> None:
    gate = uuid4().hex
    result = jobs.overrun.delay(gate)
    with pytest.raises(TimeLimitExceeded, match=r"1\.0"):
        await get(result)
    jobs.trace.open(gate)
    assert await jobs.app.client.result(result.id, timeout=60) == gate
    events = [event.data async for event in jobs.app.client.events(result.id)]
    states = [data["state"] for data in events if "state" in data]
    assert states[:4] == ["queued", "running", "retrying", "running"]
    assert states[-1] == "succeeded"
    (error, *_) = [data["error"] for data in events if data.get("state") == "retrying"]
    assert error["type"] == "TimeLimitExceeded"
    record = await jobs.app.client.get(result.id)
    assert (record.state, record.attempt, record.error) == (JobState.SUCCEEDED, 1, None)


@CAN_STOP
async def test_what_runs_out_of_time_again_and_again_fails_for_that_reason(jobs: ContractJobs) -> None:
    result = jobs.overrun.delay(uuid4().hex)
    record = await jobs.app.client.wait(result.id, timeout=60)
    assert record.error is not None
    assert (record.state, record.error.type) == (JobState.FAILED, "TimeLimitExceeded")
    assert jobs.trace.of(result.id) == ["start"] * 5
    with pytest.raises(TimeLimitExceeded):
        await get(result)
    with redis.Redis.from_url(jobs.app.broker_address) as broker:
        letter = await eventually(lambda: _letter_of(broker, result.id), "its message is a dead letter")
    assert letter[b"cause"] == b"TimeLimitExceeded(1.0)"


async def test_async_result_knows_a_job_that_was_enqueued(jobs: ContractJobs) -> None:
    handle = await jobs.add.enqueue(1, 2)
    result = jobs.app.AsyncResult(handle.id)
    assert await get(result) == 3
    assert result.state == "SUCCESS"


async def test_async_result_of_a_failure_and_of_a_cancellation(jobs: ContractJobs) -> None:
    failed = await jobs.fail.enqueue("no")
    with pytest.raises(OrderRejected, match="no"):
        await get(jobs.app.AsyncResult(failed.id))
    assert "raise OrderRejected(message)" in jobs.app.AsyncResult(failed.id).traceback
    held = await jobs.hold.enqueue("never")
    await eventually(lambda: jobs.trace.of(held.id))
    await held.cancel()
    with pytest.raises(TaskRevokedError):
        await get(jobs.app.AsyncResult(held.id))


async def test_async_result_shows_a_retry(jobs: ContractJobs) -> None:
    handle = await jobs.postponed.enqueue(seconds=60)
    await eventually(lambda: jobs.app.AsyncResult(handle.id).state == "RETRY")
    error = jobs.app.AsyncResult(handle.id).result
    assert isinstance(error, RetryAfter)
    assert (error.seconds, str(error)) == (60, "the other side is busy")
    await handle.cancel()


async def test_a_chain_of_typed_jobs_and_plain_tasks(jobs: ContractJobs) -> None:
    result = chain(jobs.add.task.s(1, 2), jobs.double.s(), jobs.add_sync.task.s(4))()
    assert await get(result) == 10
    for step in (result, result.parent, result.parent.parent):
        assert (await jobs.app.client.get(step.id)).state is JobState.SUCCEEDED


async def test_a_chain_goes_on_after_a_retry(jobs: ContractJobs) -> None:
    result = chain(jobs.flaky.task.s(failures=1), jobs.who.task.si())()
    assert (await get(result))["attempt"] == 1


async def test_a_chain_ends_with_a_failure(jobs: ContractJobs) -> None:
    result = chain(jobs.fail.task.s("broken"), jobs.double.s())()
    with pytest.raises(OrderRejected, match="broken"):
        await get(result.parent)
    with pytest.raises(OrderRejected, match="broken"):
        await get(result)


async def test_a_chain_goes_on_after_a_fan_out(jobs: ContractJobs) -> None:
    result = chain(jobs.parent.task.s(children=2), jobs.remember.task.s())()
    assert await get(result, timeout=60) == {"total": 2, "succeeded": 2, "failed": 0}


async def test_a_group_of_typed_jobs_and_plain_tasks(jobs: ContractJobs) -> None:
    result = group(jobs.add.task.s(i, i) if i % 2 else jobs.double.s(i) for i in range(6))()
    assert await asyncio.to_thread(result.get, timeout=60) == [2 * i for i in range(6)]


@KINDS
async def test_a_chord_of_typed_jobs_with_a_body_of_either_sort(jobs: ContractJobs, kind: str) -> None:
    header = [jobs.twin("add", kind).task.s(i, i) for i in range(5)]
    assert await get(chord([*header, jobs.double.s(100)])(jobs.total.s()), timeout=60) == 220
    assert await get(chord(header)(jobs.total_typed.task.s()), timeout=60) == 20


async def test_a_chord_part_counts_once_although_it_was_retried(jobs: ContractJobs) -> None:
    header = [jobs.flaky.task.s(failures=i) for i in (0, 1, 2)]
    assert sorted(await get(chord(header)(jobs.remember.task.s()), timeout=60)) == ["early", "early", "last"]


async def test_a_chord_with_a_part_that_was_cancelled_in_its_queue_fails_instead_of_waiting_for_ever(
    jobs: ContractJobs,
) -> None:
    cancelled = jobs.add.task.s(1, 1).set(task_id=f"part-{uuid4().hex}", countdown=0.5)
    result = chord([jobs.double.s(1), cancelled])(jobs.total.s())
    await jobs.app.client.cancel(cancelled.options["task_id"])
    with pytest.raises((ChordError, TaskRevokedError)):
        await get(result)
    record = await eventually(lambda: _known(jobs, result.id), "the body has failed")
    assert record.state is JobState.FAILED
    assert record.error is not None
    assert (record.error.type, record.error.message) == (
        "ChordError",
        f"Dependency {cancelled.options['task_id']} raised TaskRevokedError('cancelled')",
    )


async def test_a_chord_fails_with_a_chord_in_its_header_and_both_call_their_errbacks(jobs: ContractJobs) -> None:
    inner_key, outer_key = uuid4().hex, uuid4().hex
    inner = chord(
        [jobs.fail_plainly.si("no"), jobs.add.task.si(1)], jobs.echo.s().on_error(jobs.complain.s(key=inner_key))
    )
    outer = chord([inner, jobs.echo.si(2)], jobs.echo.s().on_error(jobs.complain.s(key=outer_key)))()
    with pytest.raises(ChordError, match=r"ChordError.*no"):
        await get(jobs.app.AsyncResult(outer.id))
    assert jobs.trace.of(inner_key) == jobs.trace.of(outer_key) == ["complaint ChordError"]


async def test_two_messages_of_one_id_run_one_job(jobs: ContractJobs) -> None:
    gate, job_id = uuid4().hex, f"twice-{uuid4().hex}"
    for _ in range(2):
        jobs.hold.task.apply_async(kwargs={"gate": gate}, task_id=job_id)
    await eventually(lambda: jobs.trace.of(job_id))
    marker = await jobs.add.enqueue(1)  # behind the second message
    jobs.trace.open(gate)
    assert await marker.result(timeout=60) == 2
    assert await jobs.app.client.result(job_id, timeout=60) == gate
    assert jobs.trace.of(job_id) == ["start", "end"]


def _letter_of(broker: redis.Redis, job_id: str) -> dict[bytes, bytes] | None:
    letters = [letter for _, letter in broker.xrevrange(keys.DEAD)]
    return next((letter for letter in letters if job_id.encode() in letter[b"message"]), None)


async def _known(jobs: ContractJobs, job_id: str) -> JobRecord | None:
    try:
        return await jobs.app.client.get(job_id)
    except UnknownJob:
        return None
