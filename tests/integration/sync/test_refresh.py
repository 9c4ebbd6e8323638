"""A full refresh replaces the rows of a table at once, and one that fails leaves the old ones."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.core.context import JobContext
from celeriac.core.errors import LeaseLost
from celeriac.database.leases import Lease
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.tables import LEASES
from tests.support.sync_jobs import SyncJobs

ORDERS = {"name": "orders", "primary_key": "id", "mode": "full_refresh"}


async def rows(syncs: SyncJobs) -> list[tuple[Any, ...]]:
    return await syncs.rows("SELECT id, v FROM orders ORDER BY id")


def page(*pairs: tuple[int, Any]) -> list[dict[str, Any]]:
    return [{"id": number, "v": value} for number, value in pairs]


async def test_rows_that_have_vanished_are_deleted_and_others_replaced(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [page((1, "a"), (2, "b")), page((3, "c"))]})
    outcome = await syncs.outcome({"orders": [page((2, "B")), page((4, "d"))]})
    assert outcome["streams"]["orders"]["deleted"] == 2
    assert await rows(syncs) == [(2, "B"), (4, "d")]


async def test_until_it_is_complete_the_table_has_its_old_rows(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [page((1, "a"))]})
    ran = await syncs.run({"orders": [page((1, "changed")), page((2, "new")), SourceFailed("it has gone")]})
    assert "it has gone" in str(ran.error)
    assert await rows(syncs) == [(1, "a")]


async def test_another_run_goes_on_with_it_where_the_last_one_failed(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [page((1, "a"), (9, "z"))]})
    await syncs.run({"orders": [page((1, "A")), SourceFailed("it has gone")]})
    outcome = await syncs.outcome({"orders": [page((1, "never asked for")), page((2, "b"))]})
    assert [asked.place.page for asked in syncs.source.asked] == [1]
    assert outcome["streams"]["orders"]["in"] == 2
    assert await rows(syncs) == [(1, "A"), (2, "b")]


async def test_rows_that_the_table_refuses_are_read_again_by_the_next_run(syncs: SyncJobs) -> None:
    statement = "CREATE TABLE orders (id BIGINT PRIMARY KEY, v VARCHAR(9) NOT NULL, must VARCHAR(9) NOT NULL)"
    await syncs.database.write(lambda c: c.exec_driver_sql(statement))
    syncs.define(ORDERS)
    ran = await syncs.run({"orders": [page((1, "a"))]})
    assert "none of its 1 records could be written" in str(ran.error) and "must" in str(ran.error)
    await syncs.outcome({"orders": [[{"id": 1, "v": "a", "must": "b"}]]})
    assert await syncs.rows("SELECT id, v, must FROM orders") == [(1, "a", "b")]


async def test_the_table_keeps_its_views_and_indexes(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [page((1, 10))]})
    for statement in ("CREATE VIEW seen AS SELECT id, v FROM orders", "CREATE INDEX by_v ON orders (v)"):
        await syncs.database.write(lambda c, s=statement: c.exec_driver_sql(s))
    await syncs.outcome({"orders": [page((2, 20))]})
    assert await syncs.rows("SELECT id, v FROM seen") == [(2, 20)]


async def test_soft_deletes_mark_rows_and_take_the_mark_away_again(syncs: SyncJobs) -> None:
    syncs.define({**ORDERS, "deletes": "soft"})
    await syncs.outcome({"orders": [page((1, "a"), (2, "b"))]})
    query = "SELECT id, celeriac_deleted_at IS NULL FROM orders ORDER BY id"
    outcome = await syncs.outcome({"orders": [page((2, "b"))]})
    assert outcome["streams"]["orders"]["deleted"] == 1
    assert [(number, bool(here)) for number, here in await syncs.rows(query)] == [(1, False), (2, True)]
    outcome = await syncs.outcome({"orders": [page((2, "b"))]})
    assert outcome["streams"]["orders"]["deleted"] == 0
    await syncs.outcome({"orders": [page((1, "a"), (2, "b"))]})
    assert [(number, bool(here)) for number, here in await syncs.rows(query)] == [(1, True), (2, True)]


async def test_keep_deletes_nothing(syncs: SyncJobs) -> None:
    syncs.define({**ORDERS, "deletes": "keep"})
    await syncs.outcome({"orders": [page((1, "a"))]})
    await syncs.outcome({"orders": [page((2, "b"))]})
    assert await rows(syncs) == [(1, "a"), (2, "b")]


async def test_without_a_key_all_rows_are_replaced(syncs: SyncJobs) -> None:
    syncs.define({"name": "orders", "mode": "full_refresh"})
    await syncs.outcome({"orders": [page((1, "a"), (1, "a")), page((2, "b"))]})
    assert len(await rows(syncs)) == 3
    await syncs.outcome({"orders": [page((3, "c"), (3, "c"))]})
    assert await rows(syncs) == [(3, "c"), (3, "c")]


async def test_one_that_is_empty_is_refused_unless_it_may_be(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[]]})
    await syncs.outcome({"orders": [page((1, "a"))]})
    ran = await syncs.run({"orders": [[]]})
    assert "the source has no records at all, and table orders has rows" in str(ran.error)
    assert await rows(syncs) == [(1, "a")]
    await syncs.outcome({"orders": [page((2, "b"))]})  # it is read anew
    assert await rows(syncs) == [(2, "b")]


async def test_one_that_may_be_empty_empties_the_table(syncs: SyncJobs) -> None:
    syncs.define({**ORDERS, "allow_empty": True})
    await syncs.outcome({"orders": [page((1, "a"))]})
    await syncs.outcome({"orders": [[]]})
    assert await rows(syncs) == []


@pytest.mark.parametrize("value", ["text", 2.5, {"a": 1}])
async def test_what_it_finds_changes_the_table_when_it_is_swapped(syncs: SyncJobs, value: Any) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [page((1, 1))]})
    await syncs.outcome({"orders": [page((1, 1)), [{"id": 2, "v": value, "more": True}]]})
    assert await syncs.rows("SELECT id FROM orders WHERE more IS NULL") == [(1,)]
    assert len(await rows(syncs)) == 2


async def test_the_table_beside_is_gone_afterwards(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [page((1, "a"))]})
    assert await syncs.rows("SELECT count(*) FROM celeriac_sync_column WHERE field = 'v'") == [(1,)]
    with pytest.raises(Exception, match="orders__refresh"):
        await syncs.rows("SELECT * FROM orders__refresh")


async def test_who_has_lost_the_lock_leaves_the_table_beside_to_the_next_run(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await syncs.run({"orders": [page((1, "a")), SourceFailed("it has gone")]})
    sync = syncs.family.definitions.get("shop").sync
    writer = syncs.family.destinations.writer(
        sync, sync.streams[0], Lease(LEASES, "shop", "job-0", 0), JobContext(id="late")
    )
    with pytest.raises(LeaseLost):
        await writer.clean_up()
    assert await syncs.rows("SELECT id, v FROM orders__refresh") == [(1, "a")]
