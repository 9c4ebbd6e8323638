"""Each run ends in the list, and as what it was: the list never says of a run under way that it has ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from sqlalchemy import Connection, update

from celeriac.client.options import EnqueueOptions
from celeriac.core.context import JobContext
from celeriac.core.errors import DatabaseRefused, LeaseLost
from celeriac.families.sync.errors import SourceFailed, SourceUnavailable, SyncFailed
from celeriac.families.sync.history import Run, begin_run, list_runs
from celeriac.families.sync.outcome import SyncOutcome
from celeriac.families.sync.pages import Asked, Page
from celeriac.families.sync.tables import LEASES
from tests.support.sync_jobs import ListedSource, SyncJobs

ORDERS = {"name": "orders", "primary_key": "id"}
PARTS = {"name": "parts", "primary_key": "id"}


async def runs(syncs: SyncJobs) -> dict[str, Run]:
    return {run.id: run for run in await syncs.database.read(lambda c: list_runs(c, "shop", 10))}


async def attempt(syncs: SyncJobs) -> SyncOutcome:
    definition = syncs.family.definitions.get("shop")
    return await syncs.family.runner.run(JobContext(id="job-1"), definition, streams=["orders"], full=False)


async def test_a_run_whose_worker_was_lost_ends_when_the_next_one_begins(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.database.write(lambda c: LEASES.take(c, "shop", "job-lost"))
    await syncs.database.write(lambda c: begin_run(c, "job-lost", "shop"))
    await syncs.database.write(lambda c: begin_run(c, "job-other", "another sync"))
    await syncs.database.write(lambda c: c.execute(update(LEASES.table).values(until=0)))
    await syncs.outcome({"orders": [[{"id": 1}]]})
    lost = (await runs(syncs))["job-lost"]
    assert (lost.state, lost.ended_at is not None) == ("failed", True)
    assert lost.error is not None and "its worker was lost" in lost.error
    others = await syncs.database.read(lambda c: list_runs(c, "another sync", 10))
    assert [run.state for run in others] == ["running"]


async def test_a_run_that_waited_and_is_refused_then_ends_and_frees_the_lock(syncs: SyncJobs) -> None:
    syncs.define(ORDERS, PARTS)
    syncs.source = ListedSource({"orders": [SourceUnavailable("off for a while")]})
    with pytest.raises(SourceUnavailable):
        await attempt(syncs)
    assert (await runs(syncs))["job-1"].state == "waiting"
    syncs.redefine(PARTS)
    await syncs.app.client.submit(syncs.family.call("shop", streams=["orders"]), EnqueueOptions(job_id="job-1"))
    run = (await runs(syncs))["job-1"]
    assert (run.state, run.ended_at is not None) == ("failed", True)
    assert run.error is not None and "has no stream 'orders'" in run.error
    assert await syncs.database.read(lambda c: LEASES.holder(c, "shop")) is None


async def test_a_run_that_a_database_refuses_has_failed_and_does_not_wait(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    ran = await syncs.run({"orders": [[{"id": 1}], DatabaseRefused("postgresql://shop@db/shop", "wrong password"), []]})
    assert isinstance(ran.error, SyncFailed) and not ran.retry_delays
    (run,) = (await runs(syncs)).values()
    assert (run.state, run.ended_at is not None, run.counts["orders"].written) == ("failed", True, 1)
    assert run.error is not None and "wrong password" in run.error
    assert await syncs.database.read(lambda c: LEASES.holder(c, "shop")) is None


class Robbed(ListedSource):
    """While it is asked, another worker takes the lock, as after a long silence of ours."""

    def __init__(self, syncs: SyncJobs, thief: str, error: Exception | None) -> None:
        super().__init__({"orders": [error or [{"id": 1}]]})
        self._syncs, self._thief = syncs, thief

    async def pages(self, asked: Asked) -> AsyncGenerator[Page]:
        def take(connection: Connection) -> None:
            LEASES.take_away(connection, "shop")
            LEASES.take(connection, "shop", self._thief)

        await self._syncs.database.write(take)
        async for page in super().pages(asked):
            yield page


@pytest.mark.parametrize("error", [None, SourceFailed("no list")])
async def test_a_worker_that_has_lost_its_lock_does_not_end_the_run_of_its_successor(
    syncs: SyncJobs, error: SyncFailed | None
) -> None:
    syncs.define(ORDERS)
    syncs.source = Robbed(syncs, "job-1", error)
    with pytest.raises(LeaseLost if error is None else SourceFailed):
        await attempt(syncs)
    run = (await runs(syncs))["job-1"]
    assert (run.state, run.ended_at) == ("running", None)


async def test_a_run_that_has_lost_its_lock_to_another_job_has_failed(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    syncs.source = Robbed(syncs, "job-2", None)
    with pytest.raises(LeaseLost):
        await attempt(syncs)
    assert (await runs(syncs))["job-1"].state == "failed"
    assert await syncs.rows("SELECT phase FROM celeriac_sync_state") == [("reading",)]
