"""Tables that somebody else has made, changes or drops: no row of theirs, and none of ours, is lost in silence."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from celeriac.families.sync.errors import SyncInvalid
from tests.support.sync_jobs import SyncJobs, definition, numbered

ORDERS = {"name": "orders", "primary_key": "id"}


async def execute(syncs: SyncJobs, *statements: str) -> None:
    def act(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    await syncs.database.write(act)


async def test_a_table_that_is_named_like_one_beside_a_refresh_is_left_alone(syncs: SyncJobs) -> None:
    syncs.define({"name": "orders", "primary_key": "id", "mode": "full_refresh"})
    await execute(
        syncs, "CREATE TABLE orders__refresh (precious VARCHAR(20))", "INSERT INTO orders__refresh VALUES ('mine')"
    )
    ran = await syncs.run({"orders": numbered(2, 2)})
    assert "orders__refresh" in str(ran.error) and "is not one that a sync has made" in str(ran.error)
    assert await syncs.rows("SELECT * FROM orders__refresh") == [("mine",)]


async def test_a_table_that_was_dropped_is_read_from_the_beginning(syncs: SyncJobs) -> None:
    syncs.define({**ORDERS, "cursor": "id"})
    await syncs.outcome({"orders": numbered(2, 2)})
    await execute(syncs, "DROP TABLE orders")
    await syncs.outcome({"orders": numbered(2, 2)})
    assert syncs.source.asked[-1].cursor is None
    assert await syncs.rows("SELECT id FROM orders ORDER BY id") == [(1,), (2,), (3,), (4,)]


@pytest.mark.parametrize("mode", ["incremental", "append", "full_refresh"])
async def test_a_table_that_is_dropped_between_two_pages_is_read_from_the_beginning(syncs: SyncJobs, mode: str) -> None:
    syncs.define({**ORDERS, "mode": mode})
    first, second = numbered(2, 2)
    assert (await syncs.run({"orders": [first, RuntimeError("oops"), []]})).error is not None
    await execute(syncs, "DROP TABLE " + ("orders__refresh" if mode == "full_refresh" else "orders"))
    await syncs.outcome({"orders": [first, second]})
    assert await syncs.rows("SELECT id FROM orders ORDER BY id") == [(1,), (2,), (3,), (4,)]


async def test_rows_of_other_keys_are_not_replaced_because_of_another_unique_index(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    await execute(syncs, "CREATE TABLE orders (id BIGINT PRIMARY KEY, email VARCHAR(100) UNIQUE)")
    one, other = {"id": 1, "email": "a@example.com"}, {"id": 2, "email": "a@example.com"}
    ran = await syncs.run({"orders": [[one], [other]]})
    assert await syncs.rows("SELECT id FROM orders WHERE id > 1") == []
    if syncs.database.dialect == "mysql":
        assert "another unique index, of email" in str(ran.error)
    else:
        assert ran.result["streams"]["orders"]["rejected"] == 1
        [(reason,)] = await syncs.rows("SELECT reason FROM celeriac_sync_reject")
        assert "email" in reason


async def test_a_column_that_somebody_has_made_is_widened_at_its_first_use(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    if syncs.database.dialect == "sqlite":
        pytest.skip("a column of SQLite's keeps its type")
    await execute(syncs, "CREATE TABLE orders (id BIGINT PRIMARY KEY, code INTEGER, note VARCHAR(5))")
    await syncs.outcome({"orders": [[{"id": 1, "code": "A-1", "note": "longer than five"}]]})
    assert await syncs.rows("SELECT * FROM orders") == [(1, "A-1", "longer than five")]


async def test_fields_with_any_name_are_written(syncs: SyncJobs) -> None:
    syncs.define(ORDERS)
    names = ["😀", "discount_%", "%s", "%(id)s", ":id", "?", "$1", "a`b", 'a"b', "a'; --", "values (%s)", "select", " "]
    record = {"id": 1, **dict.fromkeys(names, 7)}
    outcome = await syncs.outcome({"orders": [[record], [{**record, "id": 2, "50 % off": 1}]]})
    assert outcome["streams"]["orders"]["written"] == 2
    assert await syncs.rows("SELECT * FROM orders WHERE id = 1") == [(1, *[7] * len(names), None)]


def test_two_syncs_do_not_refresh_one_table(syncs: SyncJobs) -> None:
    syncs.define({**ORDERS, "mode": "full_refresh"})
    with pytest.raises(
        SyncInvalid, match="'shop' refreshes the table 'orders' of this connection, and 'other' writes it"
    ):
        syncs.family.add(definition({**ORDERS, "table": "Orders"}, name="other"), source=lambda _: syncs.source)


@pytest.mark.parametrize("mode", ["incremental", "full_refresh"])
async def test_times_go_into_columns_that_somebody_has_made_for_them(syncs: SyncJobs, mode: str) -> None:
    syncs.define({**ORDERS, "mode": mode})
    kind = "DATETIME" if syncs.database.dialect == "mysql" else "TIMESTAMP"
    await execute(syncs, f"CREATE TABLE orders (id BIGINT PRIMARY KEY, moment {kind}, day DATE)")
    if syncs.database.dialect == "postgresql":
        await execute(syncs, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Tokyo''', "
                             "current_database()); END $$")  # fmt: skip
        await syncs.database.dispose()
    record = {"id": 1, "moment": "2026-07-01T12:00:00+02:00", "day": "2026-07-01"}
    outcome = await syncs.outcome({"orders": [[record, {**record, "id": 2, "moment": "yesterday"}]]})
    assert outcome["streams"]["orders"]["rejected"] == 1
    [(moment, day)] = await syncs.rows("SELECT moment, day FROM orders")
    assert (str(moment)[:19], str(day)) == ("2026-07-01 10:00:00", "2026-07-01")
