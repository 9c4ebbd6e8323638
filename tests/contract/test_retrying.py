"""What happens after a failed attempt, what is recorded of it, and running a job again by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from celeriac import JobFailed, JobRecord, JobState, UnknownTask, WrongState
from celeriac.store import keys
from tests.contract.conftest import marks
from tests.support.contract_jobs import ContractJobs
from tests.support.waiting import eventually
from tests.support.workers import POOLS

KINDS = pytest.mark.parametrize("kind", ["async", "def"])


@KINDS
async def test_a_failed_attempt_is_followed_by_another(jobs: ContractJobs, kind: str) -> None:
    handle = await jobs.twin("flaky", kind).enqueue(failures=2)
    assert await handle.result(timeout=60) == "last"
    assert jobs.trace.of(handle.id) == ["attempt 1 of 3", "attempt 2 of 3", "attempt 3 of 3"]
    record = await handle.status()
    assert (record.attempt, record.error, record.delay_until) == (3, None, None)


async def test_the_last_failure_is_the_jobs(jobs: ContractJobs) -> None:
    handle = await jobs.flaky.enqueue(failures=9)
    with pytest.raises(JobFailed, match="ConnectionError: failure 3"):
        await handle.result(timeout=60)
    assert (await handle.status()).attempt == 3


async def test_a_retry_is_recorded_with_its_delay_and_its_cause(jobs: ContractJobs) -> None:
    before = datetime.now(UTC)
    handle = await jobs.postponed.enqueue(seconds=30)
    record = await eventually(lambda: _in_state(jobs, handle.id, JobState.RETRYING))
    assert record.attempt == 1
    assert record.error is not None
    assert (record.error.type, record.error.message) == ("RetryAfter", "the other side is busy")
    assert record.delay_until is not None
    assert timedelta(seconds=29) < record.delay_until - before < timedelta(seconds=35)
    states = [event.data["state"] async for event in _events_so_far(jobs, handle.id)]
    assert states == ["queued", "running", "retrying"]
    await handle.cancel()


async def test_a_job_chooses_its_own_delay(jobs: ContractJobs) -> None:
    handle = await jobs.postponed.enqueue(seconds=0.2)  # its policy would wait 100 s, and retries no error by itself
    assert await handle.result(timeout=60) == 2


@pytest.mark.parametrize(("error", "attempts"), [("reset", 2), ("refused", 1), ("value", 1)])
async def test_the_policy_says_which_errors_are_worth_another_attempt(
    jobs: ContractJobs, error: str, attempts: int
) -> None:
    handle = await jobs.choosy.enqueue(error)
    with pytest.raises(JobFailed):
        await handle.result(timeout=60)
    assert len(jobs.trace.of(handle.id)) == attempts


async def test_an_attempt_that_is_waiting_for_its_delay_can_be_cancelled(jobs: ContractJobs) -> None:
    handle = await jobs.postponed.enqueue(seconds=60)
    await eventually(lambda: _in_state(jobs, handle.id, JobState.RETRYING))
    assert (await handle.cancel()).state is JobState.CANCELLED


async def test_the_events_tell_of_every_attempt(jobs: ContractJobs) -> None:
    handle = await jobs.flaky.enqueue(failures=1)
    told = [(e.data["state"], e.data.get("attempt")) async for e in handle.events() if e.name == "state"]
    assert told == [
        ("queued", None),
        ("running", 1),
        ("retrying", 1),
        ("queued", None),
        ("running", 2),
        ("succeeded", None),
    ]


async def test_a_failed_job_is_run_again_by_hand_with_attempts_counted_anew(jobs: ContractJobs) -> None:
    handle = await jobs.flaky.enqueue(failures=3)
    await jobs.app.client.wait(handle.id, timeout=60)
    retried = await jobs.app.client.retry(handle.id)
    assert (retried.state.finished, retried.error, retried.finished_at) == (False, None, None)
    record = await jobs.app.client.wait(handle.id, timeout=60)
    assert (record.state, record.attempt) == (JobState.FAILED, 3)
    assert jobs.trace.of(handle.id) == [f"attempt {n} of 3" for n in (1, 2, 3, 1, 2, 3)]


async def test_a_cancelled_job_is_run_again_by_hand(jobs: ContractJobs) -> None:
    handle = await jobs.add.options(delay=60).enqueue(20, 22)
    await handle.cancel()
    await jobs.app.client.retry(handle.id)
    assert await handle.result(timeout=60) == 42


async def test_only_what_has_ended_without_success_can_be_run_again(jobs: ContractJobs) -> None:
    done = await jobs.add.enqueue(1)
    await done.result(timeout=60)
    with pytest.raises(WrongState, match="succeeded; only a failed, dead or cancelled job can be retried"):
        await jobs.app.client.retry(done.id)
    waiting = await jobs.add.options(delay=60).enqueue(1)
    with pytest.raises(WrongState, match="scheduled"):
        await jobs.app.client.retry(waiting.id)
    await waiting.cancel()


async def test_a_plain_task_cannot_be_run_again_by_hand(jobs: ContractJobs) -> None:
    result = jobs.fail_plainly.delay("as it is")
    await jobs.app.client.wait(result.id, timeout=60)
    with pytest.raises(UnknownTask, match=r"plain\.fail"):
        await jobs.app.client.retry(result.id)


async def test_a_plain_task_retries_as_celery_has_it(jobs: ContractJobs) -> None:
    result = jobs.flaky_plainly.delay(2)
    record = await jobs.app.client.wait(result.id, timeout=60)
    assert (record.state, record.attempt) == (JobState.SUCCEEDED, 3)
    assert await jobs.app.client.outcome(result.id) == 2


async def test_a_plain_task_that_has_used_up_its_retries_has_failed(jobs: ContractJobs) -> None:
    result = jobs.flaky_plainly.delay(9)
    record = await jobs.app.client.wait(result.id, timeout=60)
    assert (record.state, record.attempt) == (JobState.FAILED, 4)
    assert record.error is not None
    assert (record.error.type, record.error.message) == ("ConnectionError", "plainly")


#: Only the asyncio pool awaits what a plain task's `async def` function returns.
FORMS = pytest.mark.parametrize(
    ("pool", "kind"),
    [
        pytest.param(pool, kind, marks=marks(pool))
        for pool, kind in [("asyncio", "async"), *((p, "def") for p in POOLS)]
    ],
    indirect=["pool"],
    scope="session",
)


@FORMS
@pytest.mark.parametrize(
    ("how", "outcome"), [("one", 42), ("chain", 42), ("group", [41, 1]), ("published", 42)], scope="session"
)
async def test_a_task_that_has_retried_hands_its_job_on_to_another(
    jobs: ContractJobs, kind: str, how: str, outcome: object
) -> None:
    result = jobs.twin("hand_on", kind).delay(how)
    record = await jobs.app.client.wait(result.id, timeout=60)
    assert (record.state, record.error, record.attempt) == (JobState.SUCCEEDED, None, 1)
    assert await jobs.app.client.outcome(result.id) == outcome
    assert jobs.trace.of(result.id) == ["attempt 1", "attempt 2"]


@FORMS
async def test_a_task_that_is_ignored_has_succeeded(jobs: ContractJobs, kind: str) -> None:
    result = jobs.twin("leave_by_plainly", kind).delay("ignored")
    record = await jobs.app.client.wait(result.id, timeout=60)
    assert (record.state, record.error, result.state) == (JobState.SUCCEEDED, None, "PENDING")


@FORMS
async def test_a_task_that_is_ignored_keeps_what_it_has_stored_itself(jobs: ContractJobs, kind: str) -> None:
    task = jobs.twin("leave_by_plainly", kind)
    partial, failed = task.delay("PARTIAL"), task.delay("FAILURE")
    assert (await jobs.app.client.wait(partial.id, timeout=60)).state is JobState.SUCCEEDED
    assert (partial.state, partial.info) == ("PARTIAL", 1)
    record = await jobs.app.client.wait(failed.id, timeout=60)
    assert record.error is not None
    assert (record.state, record.error.message, failed.state) == (JobState.FAILED, "told early", "FAILURE")


@KINDS
async def test_a_typed_job_that_is_ignored_succeeds_with_nothing_at_its_first_attempt(
    jobs: ContractJobs, kind: str
) -> None:
    handle = await jobs.twin("leave_by", kind).enqueue("ignored")
    assert await handle.result(timeout=60) is None
    record = await handle.status()
    assert (record.state, record.attempt) == (JobState.SUCCEEDED, 1)


@FORMS
async def test_a_retry_that_was_not_published_is_a_failure(jobs: ContractJobs, kind: str) -> None:
    result = jobs.twin("leave_by_plainly", kind).delay("retry")
    record = await jobs.app.client.wait(result.id, timeout=60)
    assert record.error is not None
    assert (record.state, record.error.type, result.state) == (JobState.FAILED, "JobAborted", "FAILURE")
    assert record.error.message.endswith("call self.retry()")


@KINDS
async def test_a_typed_job_that_raises_a_retry_is_tried_again_by_its_policy(jobs: ContractJobs, kind: str) -> None:
    handle = await jobs.twin("leave_by", kind).enqueue("retry")
    record = await jobs.app.client.wait(handle.id, timeout=60)
    assert record.error is not None
    assert (record.state, record.attempt, record.error.type) == (JobState.FAILED, 3, "JobAborted")


@FORMS
async def test_an_outcome_that_a_task_stores_itself_is_seen_while_it_runs(jobs: ContractJobs, kind: str) -> None:
    gate = uuid4().hex
    result = jobs.twin("tell_early_plainly", kind).delay(gate)
    assert await asyncio.to_thread(result.get, timeout=60) == 5
    assert (await jobs.app.client.get(result.id)).state is JobState.SUCCEEDED
    jobs.trace.open(gate)


DAY = 86_400


async def test_a_record_outlives_the_longest_delay_before_an_attempt(jobs: ContractJobs) -> None:
    job_ids = [
        (await jobs.postponed.enqueue(seconds=60 * DAY)).id,
        (await jobs.patient.enqueue("not today")).id,
        jobs.postpone.delay(60).id,
        jobs.postpone.delay(60, as_eta=True).id,
        jobs.postponed.task.delay(seconds=60 * DAY).id,
    ]
    for job_id in job_ids:
        await eventually(lambda job_id=job_id: _in_state(jobs, job_id, JobState.RETRYING))
        assert _days_left(jobs, keys.record(job_id)) >= 89
        assert _days_left(jobs, keys.events(job_id)) >= 89
        assert jobs.app.AsyncResult(job_id).state == "RETRY"
        assert _days_left(jobs, keys.result(job_id)) >= 89
        await jobs.app.client.cancel(job_id)


async def test_a_parent_outlives_the_longest_delay_of_its_children_and_goes_on(jobs: ContractJobs) -> None:
    parent = await jobs.delegate.enqueue(seconds=60 * DAY)

    async def child() -> JobRecord | None:
        records, _ = await jobs.app.client.page(matches=lambda record: record.parent_id == parent.id)
        return records[0] if records and records[0].state is JobState.RETRYING else None

    delayed = await eventually(child, "the child waits")
    assert _days_left(jobs, keys.record(parent.id)) >= 89
    await jobs.app.client.cancel(delayed.id)
    assert await parent.result(timeout=60) == "resumed"


async def test_a_record_outlives_the_longest_delay_before_its_job(jobs: ContractJobs) -> None:
    due = datetime.now(UTC) + timedelta(days=400)
    typed = await jobs.add.options(at=due).enqueue(1)
    for job_id in (
        typed.id,
        jobs.echo.apply_async((1,), countdown=400 * DAY).id,
        jobs.echo.apply_async((1,), eta=due).id,
    ):
        assert _days_left(jobs, keys.record(job_id)) >= 429
        assert (await jobs.app.client.cancel(job_id)).state is JobState.CANCELLED


def _days_left(jobs: ContractJobs, key: str) -> float:
    return jobs.app.records.client.ttl(key) / DAY  # type: ignore[operator]


async def _in_state(jobs: ContractJobs, job_id: str, state: JobState):
    record = await jobs.app.client.get(job_id)
    return record if record.state is state else None


async def _events_so_far(jobs: ContractJobs, job_id: str):
    async for event in jobs.app.client.events(job_id):
        if event is None:
            return
        yield event
