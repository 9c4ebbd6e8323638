"""A job that hands its work to children and goes on when all have ended."""

from __future__ import annotations

from uuid import uuid4

import pytest

from celeriac import JobCancelled, JobFailed, JobState
from tests.support.contract_jobs import ContractJobs
from tests.support.waiting import eventually


async def test_the_parent_goes_on_when_all_children_have_ended(jobs: ContractJobs) -> None:
    handle = await jobs.parent.enqueue(children=7)
    assert await handle.result(timeout=60) == {"total": 7, "succeeded": 7, "failed": 0}
    trace = jobs.trace.of(handle.id)
    assert sorted(trace[1:8]) == [f"child {i}" for i in range(7)]
    assert trace == ["start", *trace[1:8], "start", "resumed"]
    record = await handle.status()
    assert record.children == {"total": 7, "open": 0, "succeeded": 7, "failed": 0, "cancelled": 0}
    assert record.attempt == 1


async def test_a_child_that_fails_counts_as_failed(jobs: ContractJobs) -> None:
    handle = await jobs.parent.enqueue(children=4, failing=1)
    assert await handle.result(timeout=60) == {"total": 4, "succeeded": 3, "failed": 1}


async def test_no_children_are_no_wait(jobs: ContractJobs) -> None:
    handle = await jobs.parent.enqueue(children=0)
    assert await handle.result(timeout=60) == {"total": 0, "succeeded": 0, "failed": 0}
    assert jobs.trace.of(handle.id) == ["start", "resumed"]


async def test_parents_hold_no_worker_while_they_wait(jobs: ContractJobs) -> None:
    handles = await jobs.parent.enqueue_many([{"children": 2} for _ in range(6)])  # more than the worker has slots
    for handle in handles:
        assert (await handle.result(timeout=60))["succeeded"] == 2


async def test_a_waiting_parent_is_running_and_shows_its_children(jobs: ContractJobs) -> None:
    gate = uuid4().hex
    handle = await jobs.parent.enqueue(children=3, gate=gate)
    await eventually(lambda: any(word.startswith("child") for word in jobs.trace.of(handle.id)))
    record = await handle.status()
    assert record.state is JobState.RUNNING
    assert record.children is not None
    assert record.children["open"] == 3
    jobs.trace.open(gate)
    await handle.result(timeout=60)


async def test_cancelling_a_waiting_parent_cancels_its_children(jobs: ContractJobs) -> None:
    handle = await jobs.parent.enqueue(children=5, gate=uuid4().hex)
    await eventually(lambda: any(word.startswith("child") for word in jobs.trace.of(handle.id)))
    await handle.cancel()
    with pytest.raises(JobCancelled):
        await handle.result(timeout=60)

    async def all_cancelled() -> bool:
        records, _ = await jobs.app.client.page(matches=lambda record: record.parent_id == handle.id)
        return [record.state for record in records] == [JobState.CANCELLED] * 5

    await eventually(all_cancelled)
    assert "resumed" not in jobs.trace.of(handle.id)


async def test_a_parent_that_fails_after_its_children_does_not_run_them_again(jobs: ContractJobs) -> None:
    handle = await jobs.parent_flaky.enqueue(children=3)
    assert await handle.result(timeout=60) == 3
    trace = jobs.trace.of(handle.id)
    assert sorted(word for word in trace if word.startswith("child")) == ["child 0", "child 1", "child 2"]
    assert trace[-2:] == ["resumed 1", "resumed 2"]


async def test_children_know_their_parent_and_report_its_progress(jobs: ContractJobs) -> None:
    handle = await jobs.parent.enqueue(children=3)
    events = [event async for event in handle.events()]
    assert any(event.name == "progress" and event.data["message"] == "child" for event in events)
    records, _ = await jobs.app.client.page(matches=lambda record: record.parent_id == handle.id)
    assert {record.task for record in records} == {"child"}


async def test_a_failed_child_that_is_run_again_by_hand_leaves_the_parent_alone(jobs: ContractJobs) -> None:
    handle = await jobs.parent.enqueue(children=2, failing=1)
    before = await handle.result(timeout=60)
    records, _ = await jobs.app.client.page(
        matches=lambda record: record.parent_id == handle.id and record.state is JobState.FAILED
    )
    await jobs.app.client.retry(records[0].id)
    assert (await jobs.app.client.wait(records[0].id, timeout=60)).state is JobState.FAILED
    assert await handle.result() == before
    assert jobs.trace.of(handle.id).count("resumed") == 1


async def test_a_failing_parent_run_again_by_hand_fans_out_anew(jobs: ContractJobs) -> None:
    handle = await jobs.parent.enqueue(children=2, gate=uuid4().hex)
    await eventually(lambda: any(word.startswith("child") for word in jobs.trace.of(handle.id)))
    await handle.cancel()
    await eventually(lambda: _ended(jobs, handle.id))
    await jobs.app.client.retry(handle.id)

    async def children() -> bool:
        record = await handle.status()
        return record.children is not None and record.children["open"] == 2

    await eventually(children)
    await handle.cancel()
    with pytest.raises((JobCancelled, JobFailed)):
        await handle.result(timeout=60)


async def test_children_of_before_are_not_counted_when_a_parent_is_run_again(jobs: ContractJobs) -> None:
    gate = uuid4().hex
    handle = await jobs.parent.enqueue(children=12, gate=gate)  # more than the worker has slots
    await eventually(lambda: any(word.startswith("child") for word in jobs.trace.of(handle.id)))
    await handle.cancel()
    await jobs.app.client.retry(handle.id)  # at once: the children of before have not all heard of it

    async def twice_as_many() -> bool:
        records, _ = await jobs.app.client.page(matches=lambda record: record.parent_id == handle.id)
        return len(records) == 24

    try:
        await eventually(twice_as_many)
    finally:
        jobs.trace.open(gate)
    assert await handle.result(timeout=60) == {"total": 12, "succeeded": 12, "failed": 0}
    assert jobs.trace.of(handle.id).count("resumed") == 1


async def _ended(jobs: ContractJobs, job_id: str) -> bool:
    records, _ = await jobs.app.client.page(matches=lambda record: record.parent_id == job_id)
    return all(record.state.finished for record in records)
