"""Progress and events: in order, to the end, and from where a reader left off."""

from __future__ import annotations

from uuid import uuid4

import pytest

from celeriac import JobState, ResultTimeout
from tests.support.contract_jobs import ContractJobs
from tests.support.waiting import eventually


async def test_events_come_in_order_and_end_with_the_job(jobs: ContractJobs) -> None:
    handle = await jobs.count.enqueue(steps=12)
    events = [event async for event in handle.events()]
    states = [event.data["state"] for event in events if event.name == "state"]
    assert states == ["queued", "running", "succeeded"]
    done = [event.data["done"] for event in events if event.name == "progress"]
    assert done == sorted(set(done))
    assert done[-1] == 12  # reports may be left out, but never the last
    assert events[-1].final
    ids = [tuple(map(int, event.id.split("-"))) for event in events]
    assert ids == sorted(set(ids))


async def test_a_reader_goes_on_from_where_it_left_off(jobs: ContractJobs) -> None:
    handle = await jobs.count.enqueue(steps=5)
    events = [event async for event in handle.events()]
    for position, event in enumerate(events):
        assert [later async for later in handle.events(after=event.id)] == events[position + 1 :]


async def test_two_readers_see_the_same_live(jobs: ContractJobs) -> None:
    gate = uuid4().hex
    handle = await jobs.count.enqueue(steps=1, gate=gate)
    seen: list[list[str]] = []
    for _ in range(2):
        names: list[str] = []
        async for event in handle.events():
            names.append(event.name)
            if event.name == "progress":
                break
        seen.append(names)
    jobs.trace.open(gate)
    await handle.result(timeout=60)
    assert seen == [["state", "state", "progress"]] * 2


async def test_progress_is_in_the_record(jobs: ContractJobs) -> None:
    gate = uuid4().hex
    handle = await jobs.count.enqueue(steps=3, gate=gate)

    async def reported() -> bool:
        progress = (await handle.status()).progress
        return progress is not None and progress.done == 3

    await eventually(reported)
    record = await handle.status()
    assert record.progress is not None
    assert (record.progress.total, record.progress.message, record.state) == (3, "step 3", JobState.RUNNING)
    jobs.trace.open(gate)
    await handle.result(timeout=60)


async def test_waiting_ends_when_its_time_is_up_and_the_job_goes_on(jobs: ContractJobs) -> None:
    gate = uuid4().hex
    handle = await jobs.hold.enqueue(gate)
    with pytest.raises(ResultTimeout, match="it goes on"):
        await handle.result(timeout=0.3)
    jobs.trace.open(gate)
    assert await handle.result(timeout=60) == gate
