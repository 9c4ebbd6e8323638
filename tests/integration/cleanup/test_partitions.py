"""Old partitions of Postgres: found by their bounds, archived, detached without stopping others, and dropped."""

from __future__ import annotations

import asyncio
import gzip
import multiprocessing
import random
from collections.abc import AsyncGenerator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from celeriac.core.errors import LeaseLost
from celeriac.database.engine import Database
from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.errors import TableRefused
from celeriac.families.cleanup.partitions import find_partitions
from celeriac.families.cleanup.restore import restore
from tests.support.cleanup_partitions import EVENTS, Calendar, names, run_and_kill
from tests.support.postgres import PostgresServer
from tests.support.waiting import eventually

LEFT = ["events", "events_04*", "events_05*", "events_06*"]


@pytest.fixture
async def calendar(postgres_server: PostgresServer, tmp_path: Path) -> AsyncGenerator[Calendar]:
    calendar = Calendar(await postgres_server.create_database(), tmp_path / "archives")
    yield calendar
    await calendar.database.dispose()


async def older(
    calendar: Calendar, cutoff: Any, table: TableName = EVENTS, column: str = "at"
) -> tuple[list[str], list[str]]:
    """The names of partitions that are wholly, and partly, older."""
    return await calendar.database.read(
        lambda c: (
            names(find_partitions(c, table, column).wholly_older(c, cutoff)),
            names(find_partitions(c, table, column).partly_older(c, cutoff)),
        )
    )


async def test_a_partition_is_old_when_no_row_that_is_not_can_come_into_it(calendar: Calendar) -> None:
    await calendar.create()
    months = [f"events_{month:02}" for month in range(1, 7)]
    assert await older(calendar, datetime(2026, 4, 10)) == (months[:3], months[:4])
    assert await older(calendar, datetime(2026, 4, 1)) == (months[:3], months[:3])
    assert await older(calendar, datetime(2026, 3, 31, 23, 59, 59)) == (months[:2], months[:3])
    assert await older(calendar, datetime(2025, 1, 1)) == ([], [])
    assert await older(calendar, datetime(2027, 1, 1)) == (months, months)


async def test_partitions_without_bounds_are_looked_at_and_never_detached(calendar: Calendar) -> None:
    await calendar.execute(
        "CREATE TABLE events (at date) PARTITION BY RANGE (at)",
        "CREATE TABLE events_first PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2026-01-01')",
        "CREATE TABLE events_last PARTITION OF events FOR VALUES FROM ('2026-01-01') TO (MAXVALUE)",
    )
    assert await older(calendar, date(2026, 1, 1)) == (["events_first"], ["events_first"])
    assert await older(calendar, date(2030, 1, 1)) == (["events_first"], ["events_last", "events_first"])
    await calendar.execute("DROP TABLE events_last", "CREATE TABLE events_rest PARTITION OF events DEFAULT")
    assert await older(calendar, date(2030, 1, 1)) == (["events_first"], ["events_first", "events_rest"])


@pytest.mark.parametrize(
    ("kind", "first", "last", "cutoff"),
    [
        ("bigint", "-5", "10", 10),
        ("numeric", "1.5", "10.5", 11),
        ("text", "'it''s (a), b'", "'m)'", "n"),
        ("timestamptz", "'2026-01-01 00:00:00+05'", "'2026-02-01'", datetime(2026, 2, 2).astimezone()),
        ("date", "'0044-03-15 BC'", "'2026-02-01'", date(2026, 2, 1)),
    ],
)
async def test_bounds_of_each_type_are_understood(
    calendar: Calendar, kind: str, first: str, last: str, cutoff: Any
) -> None:
    await calendar.execute(
        f'CREATE TABLE events ("a:t" {kind}) PARTITION BY RANGE ("a:t")'.replace(":", "\\:"),
        f'CREATE TABLE "part %" PARTITION OF events FOR VALUES FROM ({first}) TO ({last})'.replace(":", "\\:"),
    )
    assert await older(calendar, cutoff, column="a:t") == (["part %"], ["part %"])


async def test_of_several_columns_only_the_first_is_the_age(calendar: Calendar) -> None:
    await calendar.execute(
        "CREATE TABLE events (at date, region text) PARTITION BY RANGE (at, region)",
        "CREATE TABLE events_one PARTITION OF events FOR VALUES FROM ('2026-01-01', 'a') TO ('2026-02-01', 'm')",
    )
    # A row of 2026-02-01 in region b would be in it, so nobody can say when it is wholly old by that column alone.
    assert await older(calendar, date(2026, 2, 1)) == ([], ["events_one"])


async def test_partitions_below_others_are_found(calendar: Calendar) -> None:
    await calendar.execute(
        "CREATE TABLE events (at date, region text) PARTITION BY LIST (region)",
        "CREATE TABLE events_eu PARTITION OF events FOR VALUES IN ('eu') PARTITION BY RANGE (at)",
        "CREATE TABLE events_eu_01 PARTITION OF events_eu FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        "CREATE TABLE events_us PARTITION OF events FOR VALUES IN ('us')",
    )
    assert await older(calendar, date(2026, 6, 1)) == (["events_eu_01"], ["events_eu_01", "events_us"])


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE events (at date, id int)",
        "CREATE TABLE events (at date, id int) PARTITION BY RANGE (id)",
        "CREATE TABLE events (at date, id int) PARTITION BY HASH (at)",
        "CREATE TABLE events (at timestamp, id int) PARTITION BY RANGE (date_trunc('day', at))",
    ],
)
async def test_a_table_that_is_not_divided_by_its_age_is_refused(calendar: Calendar, statement: str) -> None:
    await calendar.execute(statement)
    with pytest.raises(TableRefused, match="no partitions by ranges of 'at'"):
        await older(calendar, date(2026, 1, 1))


async def test_other_databases_have_no_partitions(other: Database) -> None:
    if other.dialect == "postgresql":
        return
    with pytest.raises(TableRefused, match="needs Postgres"):
        await other.look(lambda c: find_partitions(c, EVENTS, "at"))


async def test_old_partitions_are_archived_detached_and_dropped(calendar: Calendar) -> None:
    await calendar.create()
    old = [row[0] for row in await calendar.query("SELECT id FROM events WHERE at < '2026-04-01' ORDER BY id")]
    found = await calendar.detach()
    assert found.dropped == {"public.events_01": 310, "public.events_02": 280, "public.events_03": 310}
    assert (found.failed, found.waiting) == ({}, {})
    assert await calendar.tables() == LEFT
    assert sorted(await calendar.audited()) == old
    assert [file.rows for _, file in found.files] == [310, 280, 310]
    assert await calendar.query("SELECT count(*) FROM celeriac_cleanup_partition") == [(0,)]
    assert await calendar.query("SELECT count(*) FROM celeriac_cleanup_partition_chunk") == [(0,)]
    assert (await calendar.detach()).dropped == {}


async def test_what_was_detached_can_be_restored(calendar: Calendar) -> None:
    await calendar.create()
    before = await calendar.query("SELECT * FROM events ORDER BY id")
    found = await calendar.detach()
    await calendar.execute(
        "CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-04-01')"
    )
    restored = await restore(calendar.database, [file.path for _, file in found.files], EVENTS)
    assert restored.restored == 900
    assert await calendar.query("SELECT * FROM events ORDER BY id") == before


async def test_without_an_archive_partitions_are_only_dropped(calendar: Calendar) -> None:
    await calendar.create()
    found = await calendar.detach(form=None)
    assert sum(found.dropped.values()) == 900
    assert await calendar.tables() == LEFT
    entries = await calendar.query("SELECT step, action, row_count, file FROM celeriac_cleanup_chunk ORDER BY number")
    assert entries == [
        ("public.events_01", "delete", 310, None),
        ("public.events_02", "delete", 280, None),
        ("public.events_03", "delete", 310, None),
    ]


async def test_rows_that_come_or_change_while_they_are_archived_are_archived_as_they_are_in_the_end(
    calendar: Calendar,
) -> None:
    await calendar.create()
    change = calendar.once(
        (50, 250),
        "UPDATE events SET note = 'changed' WHERE id = 3",
        "INSERT INTO events VALUES (100000, '2026-01-05', 'late')",
        "DELETE FROM events WHERE id = 5",
    )
    found = await calendar.detach(wait=change)
    assert found.dropped["public.events_01"] == 310
    audited = await calendar.audited()
    assert len(audited) == len(set(audited)) == 900
    assert 100000 in audited and 5 not in audited
    packed = [file.path for step, file in found.files if step == "public.events_01"]
    assert len(packed) == 1  # the one of the round whose rows are those that were dropped


async def test_an_update_that_moves_no_row_is_noticed(calendar: Calendar) -> None:
    await calendar.create()
    twice = ["UPDATE events_01 SET note = 'y' WHERE id = 1", "UPDATE events_01 SET note = 'z' WHERE id = 1"]
    found = await calendar.detach(wait=calendar.once((310, 310), *twice))  # all is read, and nothing detached
    text_of = {step: file.path for step, file in found.files}
    assert "\r\n1,2026-01-01 00:00:00,z\r\n" in gzip.decompress(text_of["public.events_01"].read_bytes()).decode()


async def test_others_read_and_write_while_a_partition_is_detached(calendar: Calendar) -> None:
    """A long transaction has the table open: the partition waits for it, and nobody waits for the partition."""
    await calendar.create()
    reader = Database(calendar.url, is_ours=False)
    hold, held = asyncio.Event(), asyncio.Event()

    async def read_long() -> None:
        async with reader._engine._engine().begin() as connection:  # pyright: ignore
            await connection.execute(text("SELECT count(*) FROM events"))
            held.set()
            await hold.wait()

    reading = asyncio.create_task(read_long())
    await held.wait()
    detaching = asyncio.create_task(calendar.detach())
    pending = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"
    await eventually(lambda: _is(calendar, pending, 1))
    await calendar.execute("INSERT INTO events VALUES (1, '2026-05-05', 'beside')")
    assert await calendar.query("SELECT count(*) FROM events WHERE at >= '2026-05-05' AND note = 'beside'") == [(1,)]
    hold.set()
    await reading
    found = await detaching
    assert set(found.dropped) | set(found.waiting) == {f"public.events_{month:02}" for month in (1, 2, 3)}
    found = await calendar.detach()  # what did not get its lock in time goes on
    assert await calendar.tables() == LEFT
    assert len(await calendar.audited()) == 900
    await reader.dispose()


async def _is(calendar: Calendar, sql: str, value: int) -> bool:
    return await calendar.query(sql) == [(value,)]


async def test_a_default_partition_does_not_keep_others(calendar: Calendar) -> None:
    await calendar.create()
    await calendar.execute("CREATE TABLE events_rest PARTITION OF events DEFAULT")
    found = await calendar.detach()
    assert sum(found.dropped.values()) == 900
    assert await calendar.tables() == [*LEFT, "events_rest*"]


async def test_partitions_of_a_partition_go_with_it(calendar: Calendar) -> None:
    await calendar.execute(
        "CREATE TABLE events (id bigint, at date, region text) PARTITION BY RANGE (at)",
        "CREATE TABLE events_01 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') "
        "PARTITION BY LIST (region)",
        "CREATE TABLE events_01_eu PARTITION OF events_01 FOR VALUES IN ('eu')",
        "CREATE TABLE events_01_us (region text, at date, gone int, id bigint)",
        "ALTER TABLE events_01_us DROP COLUMN gone",
        "ALTER TABLE events_01 ATTACH PARTITION events_01_us FOR VALUES IN ('us')",
        "INSERT INTO events SELECT n, '2026-01-05', CASE n % 2 WHEN 0 THEN 'eu' ELSE 'us' END "
        "FROM generate_series(1, 500) AS n",
    )
    found = await calendar.detach()
    assert found.dropped == {"public.events_01": 500}
    assert await calendar.tables() == ["events"]
    assert sorted(await calendar.audited()) == list(range(1, 501))


async def test_a_partition_that_cannot_go_holds_up_no_other(calendar: Calendar) -> None:
    await calendar.create()
    await calendar.execute("CREATE VIEW looked_at AS SELECT * FROM events_02")
    found = await calendar.detach()
    assert set(found.dropped) == {"public.events_01", "public.events_03"}
    assert list(found.failed) == ["public.events_02"]
    assert "cannot drop table events_02 because other objects depend on it" in found.failed["public.events_02"]
    await calendar.execute("DROP VIEW looked_at")
    assert (await calendar.detach()).dropped == {"public.events_02": 280}  # it goes on where it ended


async def test_a_partition_that_somebody_else_detaches_is_left_to_them(calendar: Calendar) -> None:
    await calendar.create()
    reader = Database(calendar.url, is_ours=False)

    async with reader._engine._engine().begin() as connection:  # pyright: ignore
        await connection.execute(text("SELECT count(*) FROM events"))

        def half(connection: Any) -> None:
            connection.exec_driver_sql("SET lock_timeout = '50ms'")
            connection.exec_driver_sql("ALTER TABLE events DETACH PARTITION events_02 CONCURRENTLY")

        with pytest.raises(Exception, match="lock timeout"):
            await calendar.database.outside(half)
    found = await calendar.detach()
    assert "FINALIZE" in found.failed["public.events_02"]
    await reader.dispose()


async def test_a_partition_that_somebody_else_drops_meanwhile_is_forgotten(calendar: Calendar) -> None:
    await calendar.create()
    found = await calendar.detach(wait=calendar.once((50, 250), "DROP TABLE events_01"))
    assert "events_01" in found.failed["public.events_01"]
    assert set(found.dropped) == {"public.events_02", "public.events_03"}
    await calendar.detach()
    assert await calendar.query("SELECT count(*) FROM celeriac_cleanup_partition") == [(0,)]


async def test_who_has_lost_the_lease_neither_detaches_nor_drops(calendar: Calendar) -> None:
    await calendar.create()
    lose = calendar.once((50, 250), "UPDATE celeriac_cleanup_lock SET token = token + 1, holder = NULL, until = 0")
    with pytest.raises(LeaseLost):
        await calendar.detach(wait=lose)
    assert await calendar.tables() == ["events", *(f"events_{month:02}*" for month in range(1, 7))]
    assert len((await calendar.detach(job="another")).dropped) == 3
    assert len(await calendar.audited()) == len(set(await calendar.audited())) == 900


async def killed_until_done(calendar: Calendar, seeds: range, until_s: float) -> None:
    await calendar.create(rows_a_day=60)
    everything = {row[0] for row in await calendar.query("SELECT id FROM events")}
    forking, killed = multiprocessing.get_context("fork"), 0
    for seed in seeds:
        args = (calendar.url, calendar.archives, seed, until_s)
        process = forking.Process(target=run_and_kill, args=args)
        process.start()
        await asyncio.to_thread(process.join)
        assert process.exitcode in (0, -9)
        killed += process.exitcode == -9
        assert await _found_once(calendar) == everything
    assert killed
    await calendar.detach()
    assert await _found_once(calendar) == everything
    assert await calendar.tables() == LEFT
    assert await calendar.query("SELECT count(*) FROM celeriac_cleanup_partition") == [(0,)]


async def _found_once(calendar: Calendar) -> set[int]:
    """All ids that are in a table or, as the audit says, in the archive: each of them once."""
    ids = await calendar.audited()
    for table in await calendar.tables():
        if table != "events":
            ids += [row[0] for row in await calendar.query(f"SELECT id FROM {table.rstrip('*')}")]
    assert len(ids) == len(set(ids))
    return set(ids)


async def test_a_process_that_is_killed_at_any_point_loses_no_row(calendar: Calendar) -> None:
    await killed_until_done(calendar, range(3), 0.3)


@pytest.mark.slow
async def test_many_processes_that_are_killed_at_any_point_lose_no_row(calendar: Calendar) -> None:
    start = random.Random(12).randrange(1000)
    await killed_until_done(calendar, range(start, start + 25), 0.6)
