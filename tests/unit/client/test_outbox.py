"""Jobs on their way to the broker: who waits for whom, and who shares whose fate."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from celeriac import BrokerUnavailable
from celeriac.client.outbox import BATCH_BYTES, BATCH_JOBS, Outbox, batches
from celeriac.store.jobs.enqueueing import JobKind, NewJob

WAYS = 4


def job(job_id: str, queue: str = "mail", size: int = 10) -> NewJob:
    return NewJob(JobKind(task="t", queue=queue, list_key=queue), job_id, b"x" * size, b"{}")


class Broker:
    """Keeps its callers waiting until the test answers."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self._answers: list[asyncio.Future[None]] = []

    async def accept(self, jobs: Sequence[NewJob]) -> None:
        self.calls.append([job.id for job in jobs])
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        await answer

    async def answer(self, call: int, error: Exception | None = None) -> None:
        if error is None:
            self._answers[call].set_result(None)
        else:
            self._answers[call].set_exception(error)
        await idle()


async def idle() -> None:
    """Let all go on that can."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def outbox(broker: Broker) -> Outbox:
    return Outbox([broker.accept] * WAYS, timeout=60)


async def put(outbox: Outbox, *jobs: NewJob) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(outbox.put(job)) for job in jobs]
    await idle()
    return tasks


async def test_few_jobs_go_at_once_and_each_by_itself(outbox: Outbox, broker: Broker) -> None:
    tasks = await put(outbox, *(job(f"{n}") for n in range(WAYS)))
    assert broker.calls == [["0"], ["1"], ["2"], ["3"]]
    await broker.answer(2)
    assert [task.done() for task in tasks] == [False, False, True, False]


async def test_the_others_wait_for_one_call_to_end_and_go_together_in_order(outbox: Outbox, broker: Broker) -> None:
    tasks = await put(outbox, *(job(f"{n}") for n in range(100)))
    assert len(broker.calls) == WAYS
    await broker.answer(0)
    assert broker.calls[WAYS:] == [[f"{n}" for n in range(WAYS, 100)]]
    assert not tasks[50].done()
    await broker.answer(WAYS)
    assert all(task.done() for task in tasks[WAYS:])


async def test_who_comes_when_nothing_is_under_way_any_more_waits_for_nobody(outbox: Outbox, broker: Broker) -> None:
    await put(outbox, *(job(f"{n}") for n in range(WAYS + 1)))
    for call in range(WAYS + 1):
        await broker.answer(call)
    await put(outbox, job("late"))
    assert broker.calls[-1] == ["late"]


async def test_what_is_wrong_with_one_queue_is_no_error_for_another(outbox: Outbox, broker: Broker) -> None:
    await put(outbox, *(job(f"first {n}") for n in range(WAYS)))
    tasks = await put(outbox, job("a", "bad"), job("b", "good"), job("c", "bad"))
    await broker.answer(0)
    await broker.answer(1)
    assert broker.calls[WAYS:] == [["a", "c"], ["b"]]
    await broker.answer(WAYS, ValueError("wrong type"))
    await broker.answer(WAYS + 1)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ValueError, type(None), ValueError]


async def test_an_error_of_a_call_is_an_error_for_all_that_it_carried_and_stops_nobody_else(
    outbox: Outbox, broker: Broker
) -> None:
    first = await put(outbox, *(job(f"{n}") for n in range(WAYS)))
    others = await put(outbox, job("a"), job("b"))
    await broker.answer(0, BrokerUnavailable("away"))
    await broker.answer(WAYS, BrokerUnavailable("away"))
    for task in (first[0], *others):
        with pytest.raises(BrokerUnavailable, match="away"):
            await task
    tasks = await put(outbox, job("after"))
    assert broker.calls[-1] == ["after"]
    await broker.answer(WAYS + 1)
    assert tasks[0].done()


async def test_a_caller_that_gives_up_while_it_waits_takes_its_job_out(outbox: Outbox, broker: Broker) -> None:
    await put(outbox, *(job(f"{n}") for n in range(WAYS)))
    tasks = await put(outbox, job("stays"), job("goes"))
    tasks[1].cancel()
    await idle()
    await broker.answer(0)
    assert broker.calls[WAYS:] == [["stays"]]


async def test_a_caller_that_gives_up_later_leaves_the_others_alone(outbox: Outbox, broker: Broker) -> None:
    await put(outbox, *(job(f"{n}") for n in range(WAYS)))
    tasks = await put(outbox, job("stays"), job("goes"))
    await broker.answer(0)
    tasks[1].cancel()
    await broker.answer(WAYS)
    assert await tasks[0] is None
    assert tasks[1].cancelled()


async def test_nobody_waits_longer_than_the_deadline_for_calls_of_others(broker: Broker) -> None:
    outbox = Outbox([broker.accept] * WAYS, timeout=0.2)
    await put(outbox, *(job(f"{n}") for n in range(WAYS)))
    with pytest.raises(BrokerUnavailable, match=r"did not answer within 0\.2 s"):
        await outbox.put(job("waits"))
    await broker.answer(0)
    assert len(broker.calls) == WAYS, "given up, and so not sent"


async def test_closing_waits_for_what_is_under_way(outbox: Outbox, broker: Broker) -> None:
    await put(outbox, *(job(f"{n}") for n in range(WAYS + 1)))
    await broker.answer(0)
    closing = asyncio.create_task(outbox.aclose())
    await idle()
    assert not closing.done()
    await broker.answer(WAYS)
    await closing


def test_a_batch_has_so_many_jobs_at_most() -> None:
    sizes = [len(batch) for batch in batches(job(f"{n}") for n in range(2 * BATCH_JOBS + 1))]
    assert sizes == [BATCH_JOBS, BATCH_JOBS, 1]


def test_a_batch_has_so_many_bytes_at_most_unless_one_job_has_more() -> None:
    half, large = BATCH_BYTES // 2, BATCH_BYTES * 3
    jobs = [job("a", size=half), job("b", size=half), job("c", size=large), job("d"), job("e")]
    assert [[job.id for job in batch] for batch in batches(jobs)] == [["a"], ["b"], ["c"], ["d", "e"]]


def test_no_jobs_are_no_batch() -> None:
    assert list(batches([])) == []
