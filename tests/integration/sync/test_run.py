"""Runs of a sync into real databases: rows, state and counts move together."""

from __future__ import annotations

from tests.support.sync_jobs import SyncJobs, numbered

ORDERS = {"name": "orders", "primary_key": "id"}


async def test_all_pages_become_rows_once(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    outcome = await syncs.outcome({"orders": numbered(3, 10)})
    assert outcome["state"] == "done"
    assert outcome["streams"]["orders"]["in"] == 30
    assert outcome["streams"]["orders"]["written"] == 30
    assert outcome["streams"]["orders"]["pages"] == 3
    assert await syncs.rows("SELECT count(*), min(id), max(id) FROM orders") == [(30, 1, 30)]
    assert syncs.source.is_closed


async def test_another_run_replaces_rows_by_their_key(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[{"id": 1, "name": "old"}, {"id": 2, "name": "stays"}]]})
    await syncs.outcome({"orders": [[{"id": 1, "name": "new"}, {"id": 3, "name": "more"}]]})
    assert await syncs.rows("SELECT id, name FROM orders ORDER BY id") == [(1, "new"), (2, "stays"), (3, "more")]
