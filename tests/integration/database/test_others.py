"""Databases of the user's own: SQLite files that are there already, Postgres, and MySQL."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, func, select, text

from celeriac.core.errors import DatabaseUnavailable, UnknownConnection
from celeriac.database.clock import now_ms
from celeriac.database.engine import Database
from celeriac.database.migrations import State
from celeriac.database.named import NamedDatabases
from celeriac.families.email import EmailFamily
from celeriac.families.email.tables import mailing_table
from tests.support.mariadb import MariadbServer
from tests.support.postgres import PostgresServer


async def make_table(database: Database) -> None:
    await database.write(lambda c: c.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY, v INTEGER)")))


async def numbers(database: Database) -> list[int]:
    return list(await database.read(lambda c: c.execute(text("SELECT n FROM numbers ORDER BY n")).scalars().all()))


async def test_several_databases_are_migrated_at_the_same_time(tmp_path: Path, postgres_server: PostgresServer) -> None:
    files = [f"sqlite:///{tmp_path / name}.db" for name in "abcdef"]
    urls = [*files, *[await postgres_server.create_database() for _ in range(3)]]
    databases = [Database(url, lambda: [EmailFamily.migrations()]) for url in urls]
    await asyncio.gather(*(database.ensure_schema() for database in databases))
    for database in databases:
        assert [state for _, state in await database.states()] == [State.UP_TO_DATE]
        assert await database.read(lambda c: c.execute(select(func.count()).select_from(mailing_table)).scalar()) == 0
        await database.dispose()


async def test_a_write_is_committed_and_one_that_raises_is_not(other: Database) -> None:
    await make_table(other)

    def insert_and_fail(connection: Connection) -> None:
        connection.execute(text("INSERT INTO numbers VALUES (2, 0)"))
        raise KeyError("on purpose")

    await other.write(lambda c: c.execute(text("INSERT INTO numbers VALUES (1, 0)")))
    with pytest.raises(KeyError):
        await other.write(insert_and_fail)
    assert await numbers(other) == [1]


async def test_outside_each_statement_is_committed_by_itself(other: Database) -> None:
    await make_table(other)

    def insert_and_fail(connection: Connection) -> None:
        connection.execute(text("INSERT INTO numbers VALUES (1, 0)"))
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        await other.outside(insert_and_fail)
    assert await numbers(other) == [1]
    await other.write(lambda c: c.execute(text("INSERT INTO numbers VALUES (2, 0)")))  # begins a transaction again


async def test_vacuum_and_its_like_work_outside(other: Database) -> None:
    await make_table(other)
    statement = {"sqlite": "VACUUM", "postgresql": "VACUUM ANALYZE numbers"}.get(other.dialect, "ANALYZE TABLE numbers")
    await other.outside(lambda c: c.execute(text(statement)))


async def test_the_clock_is_that_of_the_server(other: Database) -> None:
    assert abs(await other.read(lambda c: c.execute(select(now_ms())).scalar_one()) - time.time() * 1000) < 60_000


async def test_tables_of_a_family_come_into_a_database_of_others_once(other_url: str) -> None:
    databases = [Database(other_url, lambda: [EmailFamily.migrations()], is_ours=False) for _ in range(3)]
    await asyncio.gather(*(database.ensure_schema() for database in databases))
    assert [state for _, state in await databases[0].states()] == [State.UP_TO_DATE]
    await asyncio.gather(*(database.dispose() for database in databases))


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'typo.db'}", is_ours=False)
    with pytest.raises(DatabaseUnavailable, match="unable to open"):
        await database.read(lambda c: c.execute(text("SELECT 1")))
    assert not (tmp_path / "typo.db").exists()


async def test_a_file_that_we_may_create_is_private_and_has_a_log(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    database = Database(f"sqlite:///{file}", is_ours=False, may_create=True)
    assert await database.read(lambda c: c.execute(text("PRAGMA journal_mode")).scalar_one()) == "wal"
    assert file.stat().st_mode & 0o777 == 0o600
    await database.dispose()


async def test_a_file_in_a_folder_that_is_not_there_is_a_database_that_is_away(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'typo' / 'new.db'}", is_ours=False, may_create=True)
    with pytest.raises(DatabaseUnavailable, match="unable to open"):
        await database.read(lambda c: c.execute(text("SELECT 1")))
    assert not (tmp_path / "typo").exists()


async def test_a_file_of_others_keeps_its_journal(tmp_path: Path) -> None:
    file = tmp_path / "others.db"
    sqlite3.connect(file).execute("CREATE TABLE numbers (n INTEGER)").connection.close()
    database = Database(f"sqlite:///{file}", is_ours=False)
    await database.write(lambda c: c.execute(text("INSERT INTO numbers VALUES (1)")))
    assert await database.read(lambda c: c.execute(text("PRAGMA journal_mode")).scalar_one()) == "delete"
    await database.dispose()


async def test_one_of_two_mysql_transactions_in_each_others_way_is_run_again(mariadb_server: MariadbServer) -> None:
    database = Database(mariadb_server.create_database(), is_ours=False)
    await make_table(database)
    await database.write(lambda c: c.execute(text("INSERT INTO numbers VALUES (1, 0), (2, 0)")))
    both, runs = threading.Barrier(2, timeout=30), list[int]()

    def locking(first: int, second: int) -> None:
        def run(connection: Connection) -> None:
            add = text("UPDATE numbers SET v = v + 1 WHERE n = :n")
            connection.execute(add, {"n": first})
            runs.append(first)
            if runs.count(first) == 1:
                both.wait()  # until the other one has its first row as well
            connection.execute(add, {"n": second})

        return run  # pyright: ignore[reportReturnType]

    await asyncio.gather(database.write(locking(1, 2)), database.write(locking(2, 1)))  # pyright: ignore[reportArgumentType]
    assert len(runs) == 3, "one of the two was run again"
    assert await database.read(lambda c: c.execute(text("SELECT sum(v) FROM numbers")).scalar_one()) == 4
    await database.dispose()


async def test_a_mysql_server_that_is_away_is_a_database_that_is_away() -> None:
    database = Database("mysql://root:geheim@127.0.0.1:1/shop", is_ours=False)
    with pytest.raises(DatabaseUnavailable) as caught:
        await database.read(lambda c: c.execute(text("SELECT 1")))
    assert "geheim" not in str(caught.value)


def test_an_unknown_connection_is_refused_with_those_that_there_are() -> None:
    named = NamedDatabases({"shop": SecretStr("sqlite:///shop.db")}, setting="CELERIAC_SYNC_CONNECTIONS")
    with pytest.raises(
        UnknownConnection, match="no connection is named 'stop'; CELERIAC_SYNC_CONNECTIONS names them: shop"
    ):
        named.get("stop")
    assert named.get("shop") is named.get("shop") and list(named) == ["shop"] and "stop" not in named


async def test_looking_for_tables_makes_none(other_url: str) -> None:
    database = Database(other_url, lambda: [EmailFamily.migrations()], is_ours=False)
    assert not await database.has_tables()
    assert [state for _, state in await database.states()] == [State.BEHIND]
    await database.ensure_schema()
    assert await database.has_tables()
    await database.dispose()
