"""A run is interrupted between its last page and its end: the attempt that goes on judges all that was read before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from celeriac.core.context import JobContext
from celeriac.families.sync.errors import TooManyRejected
from celeriac.families.sync.outcome import SyncOutcome
from celeriac.families.sync.pages import Asked, Page
from tests.support.sync_jobs import ListedSource, SyncJobs

ORDERS = {"name": "orders", "primary_key": "id", "cursor": "at"}
#: Records without a key.
BAD = [{"at": 2}, {"at": 3}]


class KeepingSource(ListedSource):
    """Keeps the number of records that it has given, as a resource of dlt keeps its state."""

    async def pages(self, asked: Asked) -> AsyncGenerator[Page]:
        async for page in super().pages(asked):
            yield replace(page, kept=len(page.records))


async def attempt(syncs: SyncJobs, pages: dict[str, Sequence[Any]], job: JobContext) -> SyncOutcome:
    syncs.source = KeepingSource(pages)
    definition = syncs.family.definitions.get("shop")
    return await syncs.family.runner.run(job, definition, streams=None, full=False)


async def go_on_after_the_last_page(syncs: SyncJobs, records: list[dict[str, Any]]) -> SyncOutcome:
    """Stop the worker once the only page is committed. Return what the next attempt of the job makes of it."""

    def stop(*_: object) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await attempt(syncs, {"orders": [records]}, JobContext(id="job-1", report=stop))
    assert await syncs.rows("SELECT phase FROM celeriac_sync_state WHERE parent = ''") == [("read",)]
    return await attempt(syncs, {}, JobContext(id="job-1", attempt=2))


async def test_a_refresh_of_which_nothing_could_be_written_leaves_the_table(syncs: SyncJobs) -> None:
    syncs.define({**ORDERS, "mode": "full_refresh", "allow_empty": True})
    await syncs.outcome({"orders": [[{"id": 1, "at": 1}, {"id": 2, "at": 1}]]})
    with pytest.raises(TooManyRejected, match="none of its 2 records could be written"):
        await go_on_after_the_last_page(syncs, BAD)
    assert await syncs.rows("SELECT count(*) FROM orders") == [(2,)]


async def test_records_of_which_none_could_be_written_are_read_again(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[{"id": 1, "at": 1}]]})
    with pytest.raises(TooManyRejected, match="none of its 2 records could be written"):
        await go_on_after_the_last_page(syncs, BAD)
    await syncs.outcome({"orders": [[{"id": 2, "at": 2}]]})
    assert syncs.source.asked[0].cursor == 1


async def test_a_record_at_the_cursor_that_was_rejected_before_fails_no_run(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[{"id": 1, "at": 1}, {"at": 2}]]})
    outcome = await go_on_after_the_last_page(syncs, [{"at": 2}])
    assert outcome.streams["orders"].rejected == 1


async def test_what_the_source_kept_with_them_does_not_hide_them_from_the_next_run(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[{"id": 1, "at": 1}]]})
    with pytest.raises(TooManyRejected, match="none of its 2 records could be written"):
        await go_on_after_the_last_page(syncs, BAD)
    await syncs.outcome({"orders": [[{"id": 2, "at": 2}]]})
    assert syncs.source.asked[0].kept is None
