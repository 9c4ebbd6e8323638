"""Throttles that measure real servers: what is too much holds a run, and so does what cannot be measured."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text

from celeriac.core.errors import UnknownConnection
from celeriac.database.engine import Database
from celeriac.families.cleanup.throttles import Throttle, Throttling
from tests.support.postgres import PostgresServer, find_binaries
from tests.support.postgres_standby import PostgresStandby
from tests.support.waiting import eventually

TYPE: TypeAdapter[Throttle] = TypeAdapter(Throttle)


def nowhere(name: str) -> Database:
    raise UnknownConnection(f"no connection is named {name}")


def throttling(database: Database, others: Callable[[str], Database] = nowhere, **values: Any) -> Throttling:
    return Throttling([TYPE.validate_python(values)], database, others)


async def reason(throttling: Throttling) -> str:
    hold = await throttling()
    return "" if hold is None else hold.reason


async def test_a_query_holds_a_run_above_its_number(other: Database) -> None:
    assert await throttling(other, kind="sql", sql="SELECT 5", above=5)() is None
    assert "sql: the query gives 5, which is above 4.5" in await reason(
        throttling(other, kind="sql", sql="SELECT 5", above=4.5)
    )


async def test_a_query_is_sent_as_it_is(other: Database) -> None:
    sql = "SELECT CASE WHEN 'a:b%s%' LIKE 'a:b%' THEN 1 ELSE 0 END"
    assert await throttling(other, kind="sql", sql=sql, above=0.5)() is not None
    assert await throttling(other, kind="sql", sql=sql, above=1)() is None


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT count(*) FROM missing", "missing"),
        ("SELECT NULL", "no number"),
        ("SELECT 'much'", "'much', which is no number"),
        ("SELECT 1 WHERE 1 = 0", "no number"),
        ("nonsense", "nonsense"),
    ],
)
async def test_a_query_that_measures_nothing_holds_the_run(other: Database, sql: str, says: str) -> None:
    found = await reason(throttling(other, kind="sql", sql=sql, above=1))
    assert found.startswith("sql: it cannot be measured: ") and says in found and "\n" not in found


async def test_a_query_on_another_connection_is_asked_there(other: Database, tmp_path: Path) -> None:
    file = tmp_path / "else.db"
    file.touch()
    elsewhere = Database(f"sqlite:///{file}", is_ours=False)
    await elsewhere.write(lambda connection: connection.execute(text("CREATE TABLE only_there (x INTEGER)")))
    found = throttling(
        other,
        {"else": elsewhere}.__getitem__,
        kind="sql",
        sql="SELECT count(*) FROM only_there",
        above=0,
        connection="else",
    )
    assert await found() is None
    await elsewhere.dispose()


async def test_an_unknown_connection_holds_the_run(other: Database) -> None:
    found = throttling(other, kind="sql", sql="SELECT 1", above=2, connection="typo")
    assert "no connection is named typo" in await reason(found)


async def test_a_database_that_is_gone_holds_the_run(tmp_path: Path) -> None:
    gone = Database(f"sqlite:///{tmp_path / 'gone.db'}", is_ours=False)
    assert "unable to open" in await reason(throttling(gone, kind="sql", sql="SELECT 1", above=2))
    await gone.dispose()


async def test_a_flag_holds_the_run_while_it_exists(other: Database, tmp_path: Path) -> None:
    flag = tmp_path / "stop"
    found = throttling(other, kind="flag", file=str(flag))
    assert await found() is None
    flag.touch()
    assert await reason(found) == f"flag: the file {flag} exists"
    flag.unlink()
    flag.symlink_to(tmp_path / "nothing")
    assert await found() is not None
    flag.unlink()
    assert await found() is None


async def test_a_flag_that_cannot_be_looked_at_holds_the_run(other: Database, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be measured" in await reason(throttling(other, kind="flag", file=str(tmp_path / "file" / "flag")))


async def test_the_load_of_the_machine_holds_the_run(other: Database) -> None:
    assert await throttling(other, kind="load", above=os.getloadavg()[0] + 1000)() is None
    found = Throttling([TYPE.validate_python({"kind": "load", "above": 5e-324})], other, nowhere)
    assert (os.getloadavg()[0] == 0) or "load of this machine" in await reason(found)


async def test_a_run_that_stays_held_looks_again_less_and_less_often(other: Database, tmp_path: Path) -> None:
    flag = tmp_path / "stop"
    flag.touch()
    found = throttling(other, kind="flag", file=str(flag), pause=4)
    pauses = [hold.seconds for _ in range(6) if (hold := await found())]
    assert pauses == [4, 8, 16, 32, 60, 60]
    flag.unlink()
    assert await found() is None
    flag.touch()
    hold = await found()
    assert hold is not None and hold.seconds == 4


async def test_the_first_of_several_throttles_that_holds_says_why(other: Database, tmp_path: Path) -> None:
    (tmp_path / "stop").touch()
    throttles = [
        TYPE.validate_python({"kind": "sql", "sql": "SELECT 1", "above": 2}),
        TYPE.validate_python({"kind": "flag", "file": str(tmp_path / "stop")}),
        TYPE.validate_python({"kind": "sql", "sql": "SELECT 3", "above": 2}),
    ]
    assert (await reason(Throttling(throttles, other, nowhere))).startswith("flag: ")


async def test_a_database_without_replicas_cannot_say_how_far_they_are_behind(other: Database) -> None:
    found = await reason(throttling(other, kind="replica_lag", above=10))
    assert "0 of 1 replicas are connected" in found if other.dialect == "postgresql" else "only Postgres" in found


async def test_what_is_no_replica_holds_the_run(other: Database) -> None:
    found = await reason(throttling(other, {"one": other}.__getitem__, kind="replica_lag", above=10, replicas=["one"]))
    assert "one is no replica" in found


async def test_a_query_of_postgres_cannot_write(postgres_server: PostgresServer) -> None:
    database = Database(await postgres_server.create_database(), is_ours=False)
    found = throttling(database, kind="sql", sql="CREATE TABLE made_by_a_probe (x int)", above=1)
    assert "read-only transaction" in await reason(found)
    await database.dispose()


@pytest.fixture
async def standby(postgres_server: PostgresServer) -> AsyncGenerator[PostgresStandby]:
    binaries = find_binaries()
    assert binaries is not None
    if not (binaries / "pg_basebackup").exists():
        pytest.skip("no pg_basebackup beside the Postgres server: the lag of replicas is NOT tested")
    standby = PostgresStandby(binaries, postgres_server.home, postgres_server.user)
    try:
        standby.start()
        yield standby
    finally:
        standby.stop()


async def test_a_replica_that_stands_still_holds_the_run(
    postgres_server: PostgresServer, standby: PostgresStandby
) -> None:
    url = await postgres_server.create_database()
    primary, replica = Database(url, is_ours=False), Database(standby.url(url), is_ours=False)
    await primary.write(lambda connection: connection.execute(text("CREATE TABLE filled (x text)")))
    at_primary = throttling(primary, kind="replica_lag", above=3600, above_mb=0.05)
    at_replica = throttling(
        primary, {"r": replica}.__getitem__, kind="replica_lag", above=3600, above_mb=0.05, replicas=["r"]
    )
    await eventually(lambda: _keeps_up(at_primary))
    await eventually(lambda: _keeps_up(at_replica))

    await replica.look(lambda connection: connection.execute(text("SELECT pg_wal_replay_pause()")))
    fill = text("INSERT INTO filled SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
    await primary.write(lambda connection: connection.execute(fill))
    await eventually(lambda: _is_held(at_primary, "MB behind, which is above 0.05"))
    await eventually(lambda: _is_held(at_replica, "r is 1 MB behind, which is above 0.05"))
    by_time = throttling(primary, {"r": replica}.__getitem__, kind="replica_lag", above=1e-6, replicas=["r"])
    assert "s behind, which is above 1e-06" in await reason(by_time)

    await replica.look(lambda connection: connection.execute(text("SELECT pg_wal_replay_resume()")))
    await eventually(lambda: _keeps_up(at_primary))
    await eventually(lambda: _keeps_up(at_replica))

    unseen = text("CREATE ROLE blind LOGIN")
    await primary.write(lambda connection: connection.execute(unseen))
    blind = Database(url.replace(f"//{postgres_server.user}@", "//blind@"), is_ours=False)
    assert "GRANT pg_monitor" in await reason(throttling(blind, kind="replica_lag", above=3600))
    await primary.write(lambda connection: connection.execute(text("DROP ROLE blind")))

    standby.stop()
    await eventually(lambda: _is_held(at_primary, "0 of 1 replicas are connected"))
    assert "cannot be measured" in await reason(at_replica)
    for database in (primary, replica, blind):
        await database.dispose()


async def _keeps_up(found: Throttling) -> bool:
    return await found() is None


async def _is_held(found: Throttling, says: str) -> bool:
    return says in await reason(found)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "replica_lag"},
        {"kind": "replica_lag", "above": 0},
        {"kind": "replica_lag", "above": float("inf")},
        {"kind": "sql", "above": 1},
        {"kind": "sql", "sql": "", "above": 1},
        {"kind": "load", "above": -1},
        {"kind": "flag", "file": "relative"},
        {"kind": "flag", "file": "/x", "pause": 0},
        {"kind": "other"},
        {"kind": "flag", "file": "/x", "extra": 1},
    ],
    ids=str,
)
def test_what_is_no_throttle_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TYPE.validate_python(values)
