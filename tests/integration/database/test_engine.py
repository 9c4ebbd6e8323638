"""Transactions on real databases."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from celeriac.core.errors import DatabaseUnavailable
from celeriac.database.clock import now_ms
from celeriac.database.engine import Database
from tests.support.postgres import PostgresServer


async def make_table(database: Database) -> None:
    await database.write(lambda c: c.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")))


async def insert(database: Database, n: int) -> None:
    await database.write(lambda c: c.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": n}))


async def numbers(database: Database) -> list[int]:
    return list(await database.read(lambda c: c.execute(text("SELECT n FROM numbers ORDER BY n")).scalars().all()))


async def test_a_write_is_committed_when_its_function_returns(database: Database) -> None:
    await make_table(database)
    await insert(database, 1)
    assert await numbers(database) == [1]


async def test_a_write_is_rolled_back_when_its_function_raises(database: Database) -> None:
    await make_table(database)

    def fail(connection: Connection) -> None:
        connection.execute(text("INSERT INTO numbers VALUES (1)"))
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        await database.write(fail)
    assert await numbers(database) == []


async def test_an_error_has_no_values_of_its_statement(database: Database) -> None:
    statement = text("INSERT INTO no_such_table VALUES (:secret)")
    with pytest.raises(DBAPIError) as caught:
        await database.write(lambda c: c.execute(statement, {"secret": "very-secret"}))
    assert "no_such_table" in str(caught.value) and "very-secret" not in str(caught.value)


async def test_transactions_that_read_and_then_write_wait_for_each_other(database: Database) -> None:
    await make_table(database)

    def increment(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE numbers"))
        highest = connection.execute(text("SELECT coalesce(max(n), 0) FROM numbers")).scalar_one()
        connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": highest + 1})

    await asyncio.gather(*(database.write(increment) for _ in range(30)))
    assert await numbers(database) == list(range(1, 31))


async def test_one_of_two_transactions_in_each_others_way_is_run_again(postgres_server: PostgresServer) -> None:
    database = Database(await postgres_server.create_database())
    begun: list[int] = []

    def locking(first: int, second: int) -> Callable[[Connection], None]:
        def run(connection: Connection) -> None:
            is_first_run = first not in begun
            begun.append(first)
            lock = text("SELECT pg_advisory_xact_lock(:n)")
            connection.execute(lock, {"n": first})
            while is_first_run and _locks(connection) < 2:  # until the other one has its first lock as well
                pass
            connection.execute(lock, {"n": second})

        return run

    await asyncio.gather(database.write(locking(1, 2)), database.write(locking(2, 1)))
    assert sorted(begun) in ([1, 1, 2], [1, 2, 2])
    await database.dispose()


def _locks(connection: Connection) -> int:
    held = text(
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        "WHERE locktype = 'advisory' AND granted AND datname = current_database()"
    )
    return connection.execute(held).scalar_one()


async def test_the_database_is_usable_again_after_dispose(database: Database) -> None:
    await make_table(database)
    await database.dispose()
    await insert(database, 1)
    assert await numbers(database) == [1]


async def test_the_servers_clock_counts_milliseconds_since_the_epoch(database: Database) -> None:
    before = time.time_ns() // 1_000_000
    servers = await database.read(lambda connection: connection.execute(select(now_ms())).scalar_one())
    assert before - 5 <= servers <= time.time_ns() // 1_000_000 + 5


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
async def test_a_forked_child_uses_the_same_object_with_connections_of_its_own(database: Database) -> None:
    await make_table(database)
    await insert(database, 1)
    child = os.fork()
    if child == 0:
        asyncio.run(_child(database))
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    await insert(database, 3)  # the parent's connections have not been closed by the child
    assert await numbers(database) == [1, 2, 3]


async def _child(database: Database) -> None:
    code = 1
    try:
        await insert(database, 2)
        await database.dispose()
        code = 0
    finally:
        os._exit(code)


async def test_sqlite_does_not_block_the_event_loop_while_it_waits_for_the_lock(tmp_path: os.PathLike[str]) -> None:
    database = Database(f"sqlite:///{tmp_path}/a.db")
    await make_table(database)
    locked, release = threading.Event(), threading.Event()

    def hold_the_lock(connection: Connection) -> None:
        locked.set()
        assert release.wait(10)

    holder = asyncio.create_task(database.write(hold_the_lock))
    await asyncio.to_thread(locked.wait, 10)
    waiting = asyncio.create_task(insert(database, 1))
    assert await numbers(database) == []  # the loop runs, and readers are not kept waiting
    assert not waiting.done()
    release.set()
    await asyncio.gather(holder, waiting)
    assert await numbers(database) == [1]
    await database.dispose()


async def test_an_sqlite_file_that_cannot_be_opened_is_named(tmp_path: os.PathLike[str]) -> None:
    database = Database(f"sqlite:///{tmp_path}")  # a directory
    with pytest.raises(DatabaseUnavailable, match=r"sqlite.*unable to open database file"):
        await database.read(lambda connection: connection.execute(text("SELECT 1")))
    await database.dispose()


async def test_a_file_that_is_named_by_a_uri_is_the_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = Database("sqlite:///file:jobs.db?uri=true")
    assert await database.read(lambda connection: connection.execute(text("SELECT 1")).scalar_one()) == 1
    await database.dispose()
    assert {file.name for file in tmp_path.iterdir()} == {"jobs.db"}


async def test_a_postgres_server_that_is_not_there_is_named_without_the_password() -> None:
    database = Database("postgresql://app:secret-password@127.0.0.1:1/app")
    with pytest.raises(DatabaseUnavailable) as caught:
        await database.ensure_schema()
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret-password" not in str(caught.value)
    await database.dispose()
