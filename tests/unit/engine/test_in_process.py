"""Jobs that run where they are enqueued, without a broker: by `task_always_eager`, and by the helper for tests."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, SecretStr, Strict

from celeriac import (
    Celeriac,
    IdempotencyConflict,
    InvalidArguments,
    JobCancelled,
    JobContext,
    JobExists,
    JobFailed,
    JobState,
    Retry,
    RetryAfter,
    Settings,
    UnknownJob,
    WrongState,
)
from celeriac.engine.in_process import InProcessJobs
from celeriac.testing import in_process

word: ContextVar[str] = ContextVar("word", default="outside")


class Receipt(BaseModel):
    number: int
    day: date


@pytest.fixture
def app(tmp_path: Path) -> Celeriac:
    return Celeriac("shop", settings=Settings(broker_url=SecretStr("redis://127.0.0.1:1/0"), data_dir=tmp_path))


@pytest.fixture
def jobs(app: Celeriac) -> Iterator[InProcessJobs]:
    with in_process(app) as jobs:
        yield jobs


async def test_enqueue_runs_async_and_def_jobs_and_the_handle_has_the_result_as_after_json(
    app: Celeriac, jobs: InProcessJobs
) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    @app.job
    async def receipt(number: int, day: date) -> Receipt:
        loops.append(asyncio.get_running_loop())
        return Receipt(number=number, day=day)

    @app.job(queue="slow", priority=3)
    def pair(value: Any) -> tuple[str, Any]:
        word.set("inside")
        return (value, type(value).__name__)

    handle = await receipt.enqueue(7, date(2026, 11, 28))
    assert await handle.result() == Receipt(number=7, day=date(2026, 11, 28))
    assert jobs.of(handle.id).result == {"number": 7, "day": "2026-11-28"}
    assert loops == [asyncio.get_running_loop()]
    handles = await pair.enqueue_many([{"value": "a"}, pair.call(date(2026, 1, 2))])  # type: ignore[list-item]
    assert [await handle.result() for handle in handles] == [("a", "str"), ("2026-01-02", "str")]
    assert word.get() == "outside"
    record = await handles[0].status()
    assert (record.state, record.attempt, record.queue, record.priority) == (JobState.SUCCEEDED, 1, "slow", 3)
    assert record.finished_at is not None
    assert record.arguments == {"value": "a"}
    assert [job.record.task for job in jobs.all] == [receipt.name, pair.name, pair.name]
    handles = await pair.enqueue_many([{"value": "c"}, {"value": "d"}], job_ids=[handles[0].id, "mine"])
    assert [await handle.result() for handle in handles] == [("a", "str"), ("d", "str")]


async def test_arguments_and_results_are_validated(app: Celeriac, jobs: InProcessJobs) -> None:
    @app.job
    async def wrong(number: int) -> int:
        return "three"  # type: ignore[return-value]

    with pytest.raises(InvalidArguments, match="number: Input should be a valid integer"):
        await wrong.enqueue("three")  # type: ignore[arg-type]
    assert jobs.all == []
    with pytest.raises(JobFailed, match="InvalidResult"):
        await (await wrong.enqueue(3)).result()


async def test_retries_do_not_wait_and_their_delays_are_recorded(app: Celeriac, jobs: InProcessJobs) -> None:
    @app.job(retry=Retry(attempts=4, backoff=3600, factor=2, max_delay=90_000, jitter=False, never=(KeyError,)))
    async def flaky(job: JobContext, give_up: bool = False) -> str:
        if job.attempt == 1:
            raise ConnectionError("first")
        if job.attempt == 2:
            raise RetryAfter(86_400)
        if give_up:
            raise KeyError("never mind")
        return f"attempt {job.attempt} of {job.attempts}"

    begun = time.monotonic()
    handle = await flaky.enqueue()
    assert await handle.result() == "attempt 3 of 4"
    ran = jobs.of(handle.id)
    assert ran.retry_delays == [3600, 86_400]
    assert ran.record.started_at and ran.record.finished_at
    assert ran.record.finished_at - ran.record.started_at >= timedelta(seconds=90_000)
    assert time.monotonic() - begun < 3600
    states = [event.data["state"] async for event in handle.events() if event.name == "state"]
    assert states == ["queued", "running", "retrying", "running", "retrying", "running", "succeeded"]

    failed = await flaky.enqueue(give_up=True)
    with pytest.raises(JobFailed, match="failed: KeyError: 'never mind'") as caught:
        await failed.result()
    assert isinstance(caught.value.__cause__, KeyError)
    record = await failed.status()
    assert (record.state, record.attempt) == (JobState.FAILED, 3)
    assert record.error and "never mind" in str(record.error.traceback)


async def test_a_delayed_job_runs_at_once_by_a_clock_that_has_moved(app: Celeriac, jobs: InProcessJobs) -> None:
    @app.job
    async def later() -> None: ...

    due = datetime.now(UTC) + timedelta(days=2)
    handle = await later.options(at=due).enqueue()
    started = (await handle.status()).started_at
    assert started and started >= due


async def test_progress_and_children_are_recorded(app: Celeriac, jobs: InProcessJobs) -> None:
    @app.job(retry=Retry(attempts=2, backoff=60))
    def child(job: JobContext, number: int) -> int:
        job.progress(number, 3)
        job.parent_progress(number, 3, "children")
        if number == 2:
            raise ValueError("two")
        return number

    before: list[int] = []

    @app.job
    async def parent(job: JobContext) -> str:
        before.append(job.attempt)
        children = await job.fan_out(child.call(number) for number in range(3))
        return f"{children.succeeded} of {children.total}, {children.failed} failed"

    handle = await parent.enqueue()
    assert await handle.result() == "2 of 3, 1 failed"
    assert before == [1, 1]
    ran = jobs.of(handle.id)
    assert [progress.done for progress in ran.progress] == [0, 1, 2, 2]
    assert ran.record.children == {"total": 3, "open": 0, "succeeded": 2, "failed": 1, "cancelled": 0}
    assert [len(child.retry_delays) for child in ran.children] == [0, 0, 1]
    assert {child.record.parent_id for child in ran.children} == {handle.id}
    page, following = await app.client.page(limit=2, matches=lambda record: record.parent_id == handle.id)
    rest, end = await app.client.page(cursor=following, limit=2, matches=lambda record: record.parent_id == handle.id)
    assert ([*page, *rest], end) == ([child.record for child in reversed(ran.children)], None)


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_a_running_job_is_cancelled(app: Celeriac, jobs: InProcessJobs, kind: str) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    if kind == "async":

        @app.job
        async def endless() -> None:
            begun.set()
            await asyncio.Event().wait()

    else:

        @app.job
        def endless() -> None:
            loop.call_soon_threadsafe(begun.set)
            while True:
                pass

    enqueueing = asyncio.create_task(endless.options(job_id="job-1").enqueue())
    await begun.wait()
    assert (await app.client.cancel("job-1")).cancel_requested
    with pytest.raises(JobCancelled):
        await (await enqueueing).result()
    assert (await app.client.cancel("job-1")).state is JobState.CANCELLED


async def test_a_test_that_is_cancelled_stops_its_job(app: Celeriac, jobs: InProcessJobs) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    @app.job
    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    enqueueing = asyncio.create_task(endless.enqueue())
    await begun.wait()
    enqueueing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await enqueueing
    assert ended.is_set()


async def test_what_a_worker_survives_fails_the_job_alone(app: Celeriac, jobs: InProcessJobs) -> None:
    @app.job
    async def leaves() -> None:
        raise SystemExit(3)

    @app.job(timeout=0.05)
    async def late() -> None:
        await asyncio.Event().wait()

    with pytest.raises(JobFailed, match=r"JobAborted: the job raised SystemExit\(3\)"):
        await (await leaves.enqueue()).result()
    with pytest.raises(JobFailed, match=r"JobTimedOut: exceeded its time limit of 0\.05 s"):
        await (await late.enqueue()).result()


async def test_idempotency_ids_and_retrying_by_hand_are_as_on_a_broker(app: Celeriac, jobs: InProcessJobs) -> None:
    outcomes = ["fails", "works"]

    @app.job
    async def once(number: int) -> str:
        if (outcome := outcomes.pop(0)) == "fails":
            raise ValueError(outcome)
        return outcome

    keyed = once.options(idempotency_key="k")
    first = await keyed.enqueue(1)
    assert (await keyed.enqueue(1)).id == first.id
    with pytest.raises(IdempotencyConflict):
        await keyed.enqueue(2)
    with pytest.raises(JobExists):
        await once.options(job_id=first.id).enqueue(1)
    with pytest.raises(WrongState, match="has failed already"):
        await first.cancel()
    assert (await app.client.retry(first.id)).state is JobState.SUCCEEDED
    assert await first.result() == "works"
    with pytest.raises(UnknownJob):
        await once.handle("never").status()


async def test_task_always_eager_is_honoured_by_enqueue_and_enqueue_many(app: Celeriac) -> None:
    @app.job
    async def halve(number: int) -> float:
        return 10 / number

    app.conf.task_always_eager = True
    assert await (await halve.enqueue(4)).result() == 2.5
    handles = await halve.enqueue_many([halve.call(n) for n in (1, 0)])
    assert await handles[0].result() == 10
    with pytest.raises(JobFailed, match="ZeroDivisionError"):
        await handles[1].result()

    app.conf.task_eager_propagates = True
    with pytest.raises(ZeroDivisionError):
        await halve.enqueue(0)
    with pytest.raises(ZeroDivisionError):
        await halve.enqueue_many([halve.call(n) for n in (0, 2)])
    (newest, *_), _ = await app.client.page()
    assert (newest.arguments, newest.state) == ({"number": 2}, JobState.SUCCEEDED)


async def test_strict_arguments_take_what_was_sent(app: Celeriac) -> None:
    @app.job
    async def year(at: Annotated[datetime, Strict()]) -> int:
        return at.year

    with in_process(app):
        assert await (await year.enqueue(datetime(2026, 7, 1, tzinfo=UTC))).result() == 2026


async def test_an_async_job_behind_a_decorator_that_is_not_async_is_awaited(app: Celeriac) -> None:
    async def more(number: int) -> int:
        return number + 1

    @functools.wraps(more)
    def decorated(number: int) -> Any:
        return more(number)

    job = app.job(decorated)
    with in_process(app):
        assert await (await job.enqueue(41)).result() == 42


async def test_a_job_whose_caller_is_cancelled_is_cancelled(app: Celeriac) -> None:
    begun = asyncio.Event()

    @app.job
    async def forever() -> None:
        begun.set()
        await asyncio.Event().wait()

    with in_process(app) as jobs:
        enqueueing = asyncio.create_task(forever.enqueue())
        await begun.wait()
        enqueueing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await enqueueing
        assert jobs.all[0].record.state is JobState.CANCELLED


@pytest.mark.parametrize("way", ["constructor", "object", "update"])
def test_task_always_eager_may_be_set_in_any_of_celerys_ways_and_taken_back(tmp_path: Path, way: str) -> None:
    settings = Settings(broker_url=SecretStr("redis://127.0.0.1:1/0"), data_dir=tmp_path)
    app = Celeriac("shop", settings=settings, **({"task_always_eager": True} if way == "constructor" else {}))
    if way == "object":
        app.config_from_object({"task_always_eager": True})
    if way == "update":
        assert not app.is_always_eager
        app.conf.update(task_always_eager=True)
    assert app.is_always_eager
    assert isinstance(app.client, InProcessJobs)
    app.conf.task_always_eager = False
    assert app.client is app.broker_client


async def test_as_many_jobs_are_known_as_are_to_be_kept(app: Celeriac) -> None:
    @app.job
    async def nothing() -> None: ...

    app.stand_in = jobs = InProcessJobs(app.specs, default_queue=lambda: "celery", keep=2)
    handles = [await nothing.options(idempotency_key=str(n)).enqueue() for n in range(4)]
    assert [job.record.id for job in jobs.all] == [handle.id for handle in handles[2:]]
    assert (await nothing.options(idempotency_key="0").enqueue()).id != handles[0].id
