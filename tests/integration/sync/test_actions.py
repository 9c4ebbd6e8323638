"""What the API and the commands do with syncs."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.core.errors import WrongState
from celeriac.families.sync.errors import SourceFailed, UnknownSync
from celeriac.families.sync.locks import take
from tests.support.sync_jobs import ListedSource, SyncJobs

ORDERS = {"name": "orders", "primary_key": "id", "cursor": "id"}
PAGES: dict[str, Any] = {"orders": [[{"id": 1, "v": "a"}, {"v": "b"}], [{"id": 2, "v": "c"}]]}


async def test_a_dry_run_shows_the_first_page_and_writes_nothing(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    syncs.source = ListedSource(PAGES)
    (trial,) = await syncs.family.actions.dry_run("shop")
    assert (trial.records, trial.is_complete, trial.new) == (2, False, ["id", "v"])
    assert [(column.name, column.kind) for column in trial.columns] == [("id", "integer"), ("v", "text")]
    assert [refusal.reason for refusal in trial.rejected] == ["it has no id, which is its key"]
    assert trial.sample == PAGES["orders"][0]
    for table in ("celeriac_sync_state", "celeriac_sync_column", "celeriac_sync_run", "celeriac_sync_reject"):
        assert await syncs.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    with pytest.raises(Exception, match="orders"):
        await syncs.rows("SELECT * FROM orders")


async def test_a_dry_run_shows_what_an_existing_table_would_get(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome(PAGES)
    syncs.source = ListedSource({"orders": [[{"id": 9, "v": 1, "more": True}]]})
    (trial,) = await syncs.family.actions.dry_run("shop", ["orders"])
    assert trial.new == ["more"]
    assert syncs.source.asked[0].cursor == 2


async def test_how_a_sync_stands_its_runs_and_rejected_records(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome(PAGES)
    await syncs.run({"orders": [[{"id": 3}], SourceFailed("gone"), []]})
    standing = await syncs.family.actions.show("shop")
    assert standing.running is None
    state = standing.streams["orders"]
    assert (state.phase, state.cursor, state.pending, state.place.page) == ("reading", 2, 3, 1)
    failed, succeeded = await syncs.family.actions.runs("shop")
    assert (failed.state, failed.error, failed.counts["orders"].received) == ("failed", "gone", 1)
    assert (succeeded.state, succeeded.counts["orders"].written) == ("succeeded", 2)
    assert succeeded.ended_at is not None
    (reject,) = await syncs.family.actions.rejects("shop", stream="orders")
    assert (reject.page, reject.position, reject.record) == (0, 1, '{"v":"b"}')
    assert await syncs.family.actions.rejects("shop", before=reject.number) == []


async def test_a_reset_has_the_next_run_read_everything(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome(PAGES)
    assert await syncs.family.actions.reset("shop") == ["orders"]
    await syncs.outcome(PAGES)
    assert syncs.source.asked[0].cursor is None
    assert len(await syncs.family.actions.rejects("shop")) == 1


async def test_while_a_job_runs_a_sync_it_is_neither_run_nor_reset(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.database.write(lambda c: take(c, "shop", "job-1"))
    with pytest.raises(WrongState, match="job job-1 is running the sync 'shop'"):
        await syncs.family.actions.run("shop")
    with pytest.raises(WrongState, match="job job-1 is running the sync 'shop'"):
        await syncs.family.actions.reset("shop")
    standing = await syncs.family.actions.show("shop")
    assert standing.running is not None
    assert standing.running.holder == "job-1"


async def test_unknown_names_say_which_there_are(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    with pytest.raises(UnknownSync, match="no sync is named 'x'; those of this application: shop"):
        await syncs.family.actions.run("x")
    with pytest.raises(UnknownSync, match="the sync 'shop' has no stream 'x'; it has: orders"):
        await syncs.family.actions.run("shop", streams=["x"])
