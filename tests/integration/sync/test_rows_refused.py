"""A row that the database refuses is a rejected record with its reason, and costs no other row."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from celeriac.core.errors import DatabaseUnavailable
from celeriac.database.engine import Database
from celeriac.families.sync.destination.refusing import why_refused, write_apart
from celeriac.families.sync.errors import SyncFailed
from tests.support.sync_jobs import SyncJobs

ORDERS = {"name": "orders", "primary_key": "id"}
#: A good record, and what else a row may be beside it.
GOOD = {"name": "n", "qty": 1, "code": "c", "shop": 1}


async def make_table(syncs: SyncJobs, *more: str) -> None:
    """A table of the user's own, with every kind of constraint."""
    is_mysql = syncs.database.dialect == "mysql"
    unique = "" if is_mysql else " UNIQUE"  # MySQL would replace rows of other keys because of it, so it is refused
    statements = [
        "CREATE TABLE shops (id BIGINT PRIMARY KEY)",
        "INSERT INTO shops VALUES (1)",
        "CREATE TABLE orders (id BIGINT PRIMARY KEY, name VARCHAR(20) NOT NULL, qty BIGINT CHECK (qty > 0), "
        f"code VARCHAR(20){unique}, shop BIGINT, FOREIGN KEY (shop) REFERENCES shops (id))",
        *more,
    ]

    def act(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    await syncs.database.write(act)


async def rejects(syncs: SyncJobs) -> list[tuple[Any, ...]]:
    return await syncs.rows("SELECT page, position, reason FROM celeriac_sync_reject ORDER BY page, position")


@pytest.mark.parametrize("mode", ["incremental", "append", "full_refresh"])
async def test_rows_that_break_a_constraint_are_rejected_and_all_others_are_written(syncs: SyncJobs, mode: str) -> None:
    await make_table(syncs)
    syncs.define({**ORDERS, "mode": mode})
    page: list[dict[str, Any]] = [{"id": n, **GOOD, "code": f"c{n}"} for n in range(1, 41)]
    page[3] |= {"name": None}
    page[10] |= {"qty": 0}
    page[39] |= {"shop": 7}
    faults = {3: "name", 10: "qty", 39: "shop"}
    if syncs.database.dialect != "mysql":
        page[20] |= {"code": "c6"}
        faults[20] = "code"
    second = [{"id": 41, **GOOD, "code": "c41"}, {"id": 42, **GOOD, "code": "c42", "name": None}]
    outcome = (await syncs.outcome({"orders": [page, second]}))["streams"]["orders"]
    bad = len(faults) + 1
    assert (outcome["in"], outcome["written"], outcome["rejected"]) == (42, 42 - bad, bad)
    written = [row[0] for row in await syncs.rows("SELECT id FROM orders ORDER BY id")]
    assert written == [n for n in range(1, 42) if n - 1 not in faults]
    found = await rejects(syncs)
    assert len(found) == bad
    if mode != "full_refresh":  # where it is noticed at the end, when the record's place is not known any more
        assert [row[:2] for row in found] == [*((0, position) for position in sorted(faults)), (1, 1)]
    if syncs.database.dialect == "sqlite":
        assert any("NOT NULL constraint failed: orders.name" in row[2] for row in found)
    assert all("<class" not in row[2] and row[2] for row in found)


async def test_an_old_row_stays_when_its_new_version_is_refused(syncs: SyncJobs) -> None:
    await make_table(syncs)
    syncs.define(ORDERS)
    await syncs.outcome({"orders": [[{"id": 1, **GOOD}]]})
    outcome = await syncs.outcome({"orders": [[{"id": 1, **GOOD, "qty": -1}, {"id": 2, **GOOD, "code": "d"}]]})
    assert (outcome["streams"]["orders"]["written"], outcome["streams"]["orders"]["rejected"]) == (1, 1)
    assert await syncs.rows("SELECT id, qty FROM orders ORDER BY id") == [(1, 1), (2, 1)]


async def test_of_versions_on_one_page_the_last_that_the_database_takes_counts(syncs: SyncJobs) -> None:
    await make_table(syncs)
    syncs.define(ORDERS)
    versions = [{"id": 1, **GOOD, "qty": qty} for qty in (1, 2, -3, -4)]
    outcome = (await syncs.outcome({"orders": [[*versions, {"id": 2, **GOOD, "code": "d"}]]}))["streams"]["orders"]
    assert (outcome["in"], outcome["written"], outcome["rejected"]) == (5, 3, 2)
    assert await syncs.rows("SELECT id, qty FROM orders ORDER BY id") == [(1, 2), (2, 1)]
    assert [row[:2] for row in await rejects(syncs)] == [(0, 2), (0, 3)]


async def test_rows_that_refer_to_others_of_their_page_need_no_order(syncs: SyncJobs) -> None:
    await make_table(
        syncs,
        "DROP TABLE orders",
        "CREATE TABLE orders (id BIGINT PRIMARY KEY, parent BIGINT, qty BIGINT CHECK (qty > 0), "
        "FOREIGN KEY (parent) REFERENCES orders (id))",
    )
    syncs.define(ORDERS)
    page = [
        {"id": 1, "parent": 2, "qty": 1},
        {"id": 2, "parent": 4, "qty": 1},
        {"id": 3, "parent": None, "qty": 0},
        {"id": 4, "parent": None, "qty": 1},
        {"id": 5, "parent": 3, "qty": 1},
    ]
    outcome = await syncs.outcome({"orders": [page]})
    assert outcome["streams"]["orders"]["rejected"] == 2
    assert await syncs.rows("SELECT id FROM orders ORDER BY id") == [(1,), (2,), (4,)]


async def test_a_parent_that_is_refused_has_no_children(syncs: SyncJobs) -> None:
    await make_table(syncs)
    syncs.define(ORDERS, {"name": "parts", "primary_key": "id", "parent": {"stream": "orders", "fields": ["id"]}})
    orders = [{"id": 1, **GOOD}, {"id": 2, **GOOD, "qty": 0}]
    await syncs.outcome({"orders": [orders], "parts/1": [[{"id": 1}]], "parts/2": [[{"id": 2}]]})
    assert await syncs.rows("SELECT id FROM parts") == [(1,)]


async def test_a_constraint_that_is_checked_at_the_commit_rejects_rows_on_postgres(syncs: SyncJobs) -> None:
    if syncs.database.dialect != "postgresql":
        pytest.skip("others have none, or say it of a whole transaction only")
    await make_table(
        syncs, "ALTER TABLE orders ADD FOREIGN KEY (qty) REFERENCES shops (id) DEFERRABLE INITIALLY DEFERRED"
    )
    syncs.define(ORDERS)
    outcome = await syncs.outcome({"orders": [[{"id": 1, **GOOD}, {"id": 2, **GOOD, "code": "d", "qty": 5}]]})
    assert outcome["streams"]["orders"]["rejected"] == 1
    assert await syncs.rows("SELECT id FROM orders") == [(1,)]


async def test_what_is_not_the_rows_fault_rejects_none(syncs: SyncJobs) -> None:
    """Such as a trigger that fails because a table is missing."""
    if syncs.database.dialect != "sqlite":
        pytest.skip("made with SQLite's own means")
    await make_table(
        syncs,
        "CREATE TRIGGER noted AFTER INSERT ON orders BEGIN INSERT INTO missing VALUES (1); END",
    )
    syncs.define(ORDERS)
    ran = await syncs.run({"orders": [[{"id": 1, **GOOD}]]})
    assert isinstance(ran.error, SyncFailed) and "no such table" in str(ran.error)
    assert await rejects(syncs) == []


async def test_a_full_disk_and_a_lock_that_is_not_free_are_no_fault_of_a_row(syncs: SyncJobs) -> None:
    await make_table(syncs)
    dialect = syncs.database.dialect
    engine = create_engine(syncs.family.connections.get("main").address) if dialect == "sqlite" else None
    if engine is None:
        await _check_locked(syncs)
        return
    with engine.connect() as connection:
        count = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {count}")
        with pytest.raises(DBAPIError) as full:
            connection.exec_driver_sql("INSERT INTO orders (id, name) VALUES (1, ?)", ("x" * 100_000,))
    engine.dispose()
    assert "full" in str(full.value) and why_refused(full.value) is None


async def _check_locked(syncs: SyncJobs) -> None:
    """Two transactions are in each other's way: one of them holds a row, and the other does not wait."""
    lock = "SELECT * FROM shops WHERE id = 1 FOR UPDATE"
    other = Database(str(syncs.url), is_ours=False)
    held, done = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    found: list[DBAPIError] = []

    def collide(connection: Connection) -> None:
        patience = "SET LOCAL lock_timeout = '10ms'"
        connection.exec_driver_sql(
            patience if syncs.database.dialect == "postgresql" else "SET SESSION innodb_lock_wait_timeout = 0"
        )
        try:
            connection.exec_driver_sql(lock)
        except DBAPIError as error:
            found.append(error)
            raise

    async def hold() -> None:
        if syncs.database.dialect == "postgresql":
            engine = create_async_engine(str(syncs.url))
            async with engine.begin() as connection:
                await connection.exec_driver_sql(lock)
                held.set()
                await done.wait()
            await engine.dispose()
        else:
            released = threading.Event()

            def act(connection: Connection) -> None:
                connection.exec_driver_sql(lock)
                loop.call_soon_threadsafe(held.set)
                released.wait(60)

            holding = asyncio.create_task(other.write(act))
            await done.wait()
            released.set()
            await holding

    holder = asyncio.create_task(hold())
    await held.wait()
    with pytest.raises(DatabaseUnavailable):
        await syncs.database.write(collide)
    done.set()
    await holder
    await other.dispose()
    assert why_refused(found[0]) is None


async def test_mysql_refuses_too_long_values_even_if_its_server_would_cut_them(syncs: SyncJobs) -> None:
    if syncs.database.dialect != "mysql":
        pytest.skip("others never cut")
    await make_table(
        syncs,
        "CREATE TABLE moods (id BIGINT PRIMARY KEY, mood ENUM('ok', 'sad'), at TIME)",
        "SET GLOBAL sql_mode = ''",
    )
    await syncs.database.dispose()
    try:
        syncs.define({"name": "moods", "primary_key": "id"})
        page = [{"id": 1, "mood": "ok", "at": "12:00:00"}, {"id": 2, "mood": "angry"}, {"id": 3, "at": "noon"}]
        outcome = await syncs.outcome({"moods": [page]})
    finally:
        await syncs.database.write(lambda c: c.exec_driver_sql("SET GLOBAL sql_mode = DEFAULT"))
    assert outcome["streams"]["moods"]["rejected"] == 2
    assert [row[0] for row in await syncs.rows("SELECT id FROM moods")] == [1]


RAISING = {
    "P0004": "ASSERT NEW.qty < 3, 'too many'",
    "SHOP1": "IF NEW.qty > 2 THEN RAISE EXCEPTION 'too many' USING ERRCODE = 'SHOP1'; END IF",
}


@pytest.mark.parametrize("state", RAISING)
async def test_what_a_trigger_raises_rejects_the_row_whatever_its_code_is(syncs: SyncJobs, state: str) -> None:
    if syncs.database.dialect != "postgresql":
        pytest.skip("others have one code for it")
    await make_table(
        syncs,
        f"CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {RAISING[state]}; RETURN NEW; END $$",
        "CREATE TRIGGER looking BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION look()",
    )
    syncs.define(ORDERS)
    page = [{"id": n, **GOOD, "code": f"c{n}", "qty": n} for n in (1, 2, 3)]
    assert (await syncs.outcome({"orders": [page]}))["streams"]["orders"]["rejected"] == 1
    assert await syncs.rows("SELECT id FROM orders ORDER BY id") == [(1,), (2,)]
    assert await rejects(syncs) == [(0, 2, "too many")]


@pytest.mark.parametrize("mode", ["incremental", "append", "full_refresh"])
async def test_a_row_that_a_trigger_leaves_out_is_rejected(syncs: SyncJobs, mode: str) -> None:
    leaving = {
        "postgresql": [
            "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN IF NEW.qty > 2 THEN RETURN NULL; END IF; RETURN NEW; END'",
            "CREATE TRIGGER leaving BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION leave()",
        ],
        "sqlite": [
            "CREATE TRIGGER leaving BEFORE INSERT ON orders WHEN NEW.qty > 2 BEGIN SELECT RAISE(IGNORE); END",
        ],
    }
    if syncs.database.dialect not in leaving:
        pytest.skip("no trigger of MySQL can leave a row out without an error")
    await make_table(syncs, *leaving[syncs.database.dialect])
    syncs.define({**ORDERS, "mode": mode})
    page = [{"id": n, **GOOD, "code": f"c{n}", "qty": n} for n in (1, 2, 3)]
    outcome = (await syncs.outcome({"orders": [page]}))["streams"]["orders"]
    assert (outcome["written"], outcome["rejected"]) == (2, 1)
    assert await syncs.rows("SELECT id FROM orders ORDER BY id") == [(1,), (2,)]
    assert [row[2] for row in await rejects(syncs)] == ["a trigger or a rule of the table leaves it out"]


async def test_a_deadlock_while_rows_are_parted_has_the_transaction_run_again(syncs: SyncJobs) -> None:
    """MySQL ends the transaction with its savepoint, and then says that there is no such savepoint."""
    if syncs.database.dialect != "mysql":
        pytest.skip("others say what it was")
    more = [f"INSERT INTO shops VALUES ({n})" for n in range(2, 50)]
    await make_table(syncs, *more)
    other = Database(str(syncs.url), is_ours=False)
    ours_holds, theirs_holds = threading.Event(), threading.Event()
    tries: list[int] = []

    def ours(connection: Connection) -> dict[int, str]:
        tries.append(len(tries))
        connection.exec_driver_sql("SELECT * FROM shops WHERE id = 1 FOR UPDATE")
        ours_holds.set()
        theirs_holds.wait(60)
        take = "SELECT * FROM shops WHERE id = 2 FOR UPDATE"
        return write_apart(connection, [0], lambda rows: connection.exec_driver_sql(take))

    def theirs(connection: Connection) -> None:
        ours_holds.wait(60)
        connection.exec_driver_sql("DELETE FROM shops WHERE id > 1")  # so much that the other transaction is ended
        theirs_holds.set()
        connection.exec_driver_sql("SELECT * FROM shops WHERE id = 1 FOR UPDATE")

    refused, _ = await asyncio.gather(syncs.database.write(ours), other.write(theirs))
    await other.dispose()
    assert (refused, tries) == ({}, [0, 1])
