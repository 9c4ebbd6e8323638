"""Keys that the database compares loosely: two records are never one row in silence."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from celeriac.families.sync.errors import SyncFailed
from tests.support.sync_jobs import SyncJobs

ORDERS = {"name": "orders", "primary_key": "code"}
#: How a column is made that takes `a` and `A` for the same, and one that does not.
LOOSE = {
    "sqlite": "VARCHAR(20) COLLATE NOCASE",
    "postgresql": "VARCHAR(20) COLLATE loose",
    "mysql": "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
}
EXACT = {
    "sqlite": "VARCHAR(20)",
    "postgresql": "VARCHAR(20)",
    "mysql": "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
}


async def make_table(syncs: SyncJobs, kind: str) -> None:
    def act(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(
                "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
            )
        connection.exec_driver_sql(f"CREATE TABLE orders (code {kind} PRIMARY KEY, n BIGINT)")

    await syncs.database.write(act)


@pytest.mark.parametrize("mode", ["incremental", "full_refresh"])
async def test_a_key_that_is_compared_loosely_is_refused_before_anything_is_written(syncs: SyncJobs, mode: str) -> None:
    await make_table(syncs, LOOSE[syncs.database.dialect])
    syncs.define({**ORDERS, "mode": mode})
    for _ in range(2):
        ran = await syncs.run({"orders": [[{"code": "a", "n": 1}, {"code": "A", "n": 2}]]})
        assert isinstance(ran.error, SyncFailed)
        assert "its key code takes different texts for the same" in str(ran.error) and "COLLATE" in str(ran.error)
    assert await syncs.rows("SELECT * FROM orders") == []


async def test_a_key_that_is_compared_exactly_has_a_row_for_each_record(syncs: SyncJobs) -> None:
    await make_table(syncs, EXACT[syncs.database.dialect])
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[{"code": "a", "n": 1}, {"code": "A", "n": 2}]]})
    assert await syncs.rows("SELECT n FROM orders ORDER BY n") == [(1,), (2,)]


async def test_records_that_are_only_appended_need_no_exact_key(syncs: SyncJobs) -> None:
    kind = LOOSE[syncs.database.dialect]
    await make_table(syncs, kind)
    await syncs.database.write(lambda c: c.exec_driver_sql("DROP TABLE orders"))
    await syncs.database.write(lambda c: c.exec_driver_sql(f"CREATE TABLE orders (code {kind}, n BIGINT)"))
    syncs.define({**ORDERS, "mode": "append"})
    await syncs.outcome({"orders": [[{"code": "a", "n": 1}, {"code": "A", "n": 2}]]})
    assert await syncs.rows("SELECT n FROM orders ORDER BY n") == [(1,), (2,)]


@pytest.mark.parametrize("mode", ["incremental", "append", "full_refresh"])
@pytest.mark.parametrize("how", ["REPLACE", "IGNORE"])
async def test_a_constraint_of_sqlite_that_would_drop_rows_in_silence_rejects_records(
    syncs: SyncJobs, how: str, mode: str
) -> None:
    if syncs.database.dialect != "sqlite":
        pytest.skip("others have no such constraints")
    table = f"CREATE TABLE orders (code INTEGER PRIMARY KEY, n TEXT UNIQUE ON CONFLICT {how})"
    await syncs.database.write(lambda c: c.exec_driver_sql(table))
    syncs.define({**ORDERS, "mode": mode})
    outcome = await syncs.outcome({"orders": [[{"code": 1, "n": "a"}, {"code": 2, "n": "a"}, {"code": 3, "n": "b"}]]})
    assert (outcome["streams"]["orders"]["written"], outcome["streams"]["orders"]["rejected"]) == (2, 1)
    assert await syncs.rows("SELECT code FROM orders ORDER BY code") == [(1,), (3,)]
