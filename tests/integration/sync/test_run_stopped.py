"""A run is cancelled, or its source is slow: nothing is half written, and the lock is free for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from celeriac.core.context import JobContext
from celeriac.core.errors import RunLater
from celeriac.database.leases import Busy
from celeriac.families.sync.history import begin_run, forget_old, list_runs
from celeriac.families.sync.pages import Asked, Page
from celeriac.families.sync.prefetching import prefetched
from celeriac.families.sync.states import all_of
from celeriac.families.sync.tables import LEASES
from tests.support.sync_jobs import ListedSource, SyncJobs, numbered
from tests.support.waiting import eventually

ORDERS = {"name": "orders", "primary_key": "id"}


async def holder(syncs: SyncJobs) -> Busy | None:
    return await syncs.database.read(lambda c: LEASES.holder(c, "shop"))


class Standing(ListedSource):
    """It stops for ever before its third page."""

    async def pages(self, asked: Asked) -> AsyncGenerator[Page]:
        async for page in super().pages(asked):
            if page.page == 2:
                await asyncio.Event().wait()
            yield page


async def test_a_cancelled_run_keeps_what_is_committed_and_frees_the_lock(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    syncs.source = source = Standing({"orders": numbered(4, 5)})
    await _cancelled(syncs, JobContext(id="job-1", cancel_requested=lambda: True))
    assert source.is_closed
    assert await holder(syncs) is None
    ((state, ended),) = await syncs.rows("SELECT state, ended_at FROM celeriac_sync_run")
    assert state == "cancelled"
    assert ended is not None
    assert await syncs.rows("SELECT count(*) FROM orders") == [(10,)]
    outcome = await syncs.outcome({"orders": numbered(4, 5)})
    assert outcome["streams"]["orders"]["in"] == 20
    assert [asked.place.page for asked in syncs.source.asked] == [2]


async def test_a_run_whose_worker_stops_keeps_the_lock_for_the_worker_that_goes_on(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    syncs.source = Standing({"orders": numbered(4, 5)})
    await _cancelled(syncs, JobContext(id="job-1"))
    kept = await holder(syncs)
    assert kept is not None
    assert kept.holder == "job-1"
    assert await syncs.rows("SELECT state, ended_at FROM celeriac_sync_run") == [("running", None)]
    (run,) = await syncs.database.read(lambda c: list_runs(c, "shop", 10))
    assert (run.counts["orders"].received, run.counts["orders"].pages) == (10, 2), "what it has counted until now"
    syncs.source = ListedSource({"orders": numbered(4, 5)})
    definition = syncs.family.definitions.get("shop")
    outcome = await syncs.family.runner.run(JobContext(id="job-1"), definition, streams=None, full=False)
    assert (outcome.state, outcome.streams["orders"].written) == ("done", 20)
    assert await holder(syncs) is None


async def _cancelled(syncs: SyncJobs, job: JobContext) -> None:
    """Cancel a run when two pages are committed."""
    definition = syncs.family.definitions.get("shop")
    run = asyncio.create_task(syncs.family.runner.run(job, definition, streams=None, full=False))

    async def is_committed() -> bool:
        states = await syncs.database.read(lambda c: all_of(c, "shop"))
        return "orders" in states and states["orders"].counts.pages == 2

    await eventually(is_committed)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_job_that_is_cancelled_while_it_waits_frees_the_lock(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    syncs.source = ListedSource({"orders": [*numbered(1, 5), RunLater(3600, "rate limit"), []]})
    definition = syncs.family.definitions.get("shop")
    with pytest.raises(RunLater):
        await syncs.family.runner.run(JobContext(id="job-1"), definition, streams=None, full=False)
    waiting = await holder(syncs)
    assert waiting is not None
    assert waiting.left_ms > 3_500_000
    on_cancelled = syncs.app.specs["celeriac.sync.run"].options.on_cancelled
    assert on_cancelled is not None
    await on_cancelled("job-1")
    assert await holder(syncs) is None
    (run,) = await syncs.database.read(lambda c: list_runs(c, "shop", 10))
    assert (run.state, run.counts["orders"].received) == ("cancelled", 5)


async def test_pages_are_read_one_ahead_and_closed_with_their_reader() -> None:
    given: list[int] = []
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[Any]:
        try:
            while True:
                given.append(len(given))
                yield given[-1]
        finally:
            closed.set()

    reading = prefetched(endless())
    assert await anext(reading) == 0
    for _ in range(100):
        await asyncio.sleep(0)
    assert given == [0, 1, 2]  # one waits to be read, and one to wait
    await reading.aclose()
    assert closed.is_set()


async def test_progress_tells_records_and_rate_and_an_end_once_it_was_seen(syncs: SyncJobs) -> None:
    syncs.define({**ORDERS, "mode": "full_refresh"})
    first = await syncs.run({"orders": numbered(3, 5)})
    assert (first.progress[-1].done, first.progress[-1].total) == (15, None)
    assert first.progress[-1].message.startswith("orders: 3 pages, 15 records, ")
    second = await syncs.run({"orders": numbered(4, 5)})
    assert second.progress[0].total == 15
    assert (second.progress[-1].done, second.progress[-1].total) == (20, 20)


async def test_a_run_whose_lock_another_job_has_got_meanwhile_ends_in_the_list_as_well(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    syncs.source = ListedSource({"orders": [*numbered(1, 5), RunLater(3600, "rate limit"), []]})
    definition = syncs.family.definitions.get("shop")
    with pytest.raises(RunLater):
        await syncs.family.runner.run(JobContext(id="job-1"), definition, streams=None, full=False)
    await syncs.database.write(lambda c: LEASES.free(c, "job-1", "shop"))
    await syncs.database.write(lambda c: LEASES.take(c, "shop", "job-2"))
    outcome = await syncs.family.runner.run(JobContext(id="job-1", attempt=2), definition, streams=None, full=False)
    assert outcome.state == "skipped"
    (run,) = await syncs.database.read(lambda c: list_runs(c, "shop", 10))
    assert (run.state, run.error) == ("failed", "job job-2 is running the sync 'shop'")
    assert run.ended_at is not None


async def test_only_runs_that_have_ended_are_forgotten(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": numbered(1, 1)})
    await syncs.database.write(lambda c: begin_run(c, "still-going", "shop"))
    await syncs.database.write(lambda c: forget_old(c, -60_000))
    assert [run.id for run in await syncs.database.read(lambda c: list_runs(c, "shop", 10))] == ["still-going"]
