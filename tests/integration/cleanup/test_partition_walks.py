"""Policies that go through a partitioned table of Postgres one partition after the other, in chunks of each."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from celeriac.families.cleanup.dry_run import Preview, preview
from celeriac.families.cleanup.errors import TableRefused
from celeriac.families.cleanup.policy import Policy
from tests.support.cleanup_shop import Shop
from tests.support.cleanup_worker import run_apart
from tests.support.postgres import PostgresServer

MONTHS = ("2020-01-01", "2020-02-01", "2020-03-01", "2098-01-01", "2100-01-01")
OLD, ALL = 1500, 2000


def policy(**changes: Any) -> Policy:
    plain: dict[str, Any] = {
        "name": "old-events",
        "connection": "shop",
        "table": "events",
        "where": {"age": {"column": "at", "older_than": "1s"}},
        "action": "archive",
        "partitions": "chunk",
        "chunk": {"rows": 100},
    }
    return Policy.model_validate({**plain, **changes})


@pytest.fixture
async def events(postgres_server: PostgresServer, tmp_path: Path) -> AsyncGenerator[Shop]:
    """Its ids are spread over all partitions: January and February of 2020, some time since, and 2098."""
    shop = Shop(await postgres_server.create_database(), tmp_path / "archives", tables={"shop.events"})
    await shop.create(
        "CREATE TABLE events (id bigint, at timestamp, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)"
    )
    for number, (first, last) in enumerate(pairwise(MONTHS), start=1):
        await shop.create(f"CREATE TABLE events_{number} PARTITION OF events FOR VALUES FROM ('{first}') TO ('{last}')")
    days = " ".join(f"WHEN {n} THEN timestamp '{day}'" for n, day in enumerate(MONTHS[:4]))
    series = f"generate_series(1, {ALL}) AS n"
    await shop.create(f"INSERT INTO events SELECT n, CASE n % 4 {days} END, 'n' || n FROM {series}")
    yield shop
    await shop.database.dispose()


async def look(shop: Shop) -> tuple[int, int]:
    """Check that each row is in one place, and return how many are in the table, and in the archive."""
    left = await shop.ids("events")
    archived = [int(row["id"]) for row in await shop.archived("events")]
    assert sorted(left + archived) == list(range(1, ALL + 1))
    return len(left), len(archived)


@contextmanager
def statements() -> Generator[list[str]]:
    """Everything that is sent to databases meanwhile."""
    found: list[str] = []

    def note(*args: Any) -> None:
        found.append(str(args[2]))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def positions(shop: Shop) -> list[str]:
    return [row[0] for row in await shop.query("SELECT position FROM celeriac_cleanup_lock")]


async def seen(shop: Shop, chosen: Policy) -> Preview:
    return await preview(shop.place, chosen)


@pytest.mark.parametrize("action", ["archive", "delete"])
async def test_each_partition_is_cleaned_by_itself_and_younger_ones_are_not_asked(events: Shop, action: str) -> None:
    with statements() as sent:
        result = await events.run(policy(action=action))
    assert (result.state, result.rows) == ("done", {"events": OLD})
    assert await events.ids("events") == list(range(3, ALL + 1, 4))
    assert not [one for one in sent if "DELETE FROM events " in one or "events_4" in one.partition("FROM")[2]]
    assert [one for one in sent if "DELETE FROM public.events_1 " in one]
    if action == "archive":
        assert await look(events) == (ALL - OLD, OLD)
        assert [file.rows for file in result.files] == [OLD], "one archive has the rows of all"


async def test_a_run_goes_on_in_the_partition_and_at_the_key_where_the_last_one_ended(events: Shop) -> None:
    chosen = policy(budget={"rows": 650})
    assert (await events.run(chosen)).state == "budget"
    assert await positions(events) == ['{"partition":"public.events_2","key":[597,{"datetime":"2020-02-01T00:00:00"}]}']
    with statements() as sent:
        assert (await events.run(chosen, "job-2")).state == "budget"
    assert not [one for one in sent if "DELETE FROM public.events_1 " in one]
    assert (await events.run(chosen, "job-3")).state == "done"
    assert await positions(events) == [None]
    assert await look(events) == (ALL - OLD, OLD)


async def test_a_dry_run_says_which_partitions_and_how_many_rows_of_each(events: Shop) -> None:
    shown = await seen(events, policy())
    [step] = shown.steps
    assert [(one.table, one.rows) for one in step.partitions or ()] == [
        ("public.events_1", 500),
        ("public.events_2", 500),
        ("public.events_3", 500),
    ]
    assert (shown.rows, step.rows) == (OLD, OLD)
    assert "FROM public.events_1" in step.sql[0]
    assert len(await events.ids("events")) == ALL


async def test_a_dry_run_of_a_policy_that_detaches_counts_only_what_is_wholly_old(events: Shop) -> None:
    shown = await seen(events, policy(partitions="detach"))
    [step] = shown.steps
    assert [(one.table, one.rows) for one in step.partitions or ()] == [
        ("public.events_1", 500),
        ("public.events_2", 500),
    ]
    assert shown.rows == 1000
    assert step.sql == ["ALTER TABLE events DETACH PARTITION … CONCURRENTLY", "DROP TABLE …"]
    assert (await events.run(policy(partitions="detach"))).rows == {"public.events_1": 500, "public.events_2": 500}
    assert [row[0] for row in (await seen(events, policy(partitions="detach"))).sample] == []


async def test_conditions_without_an_age_go_through_all_partitions_also_of_other_kinds(events: Shop) -> None:
    await events.create("DROP TABLE events", "CREATE TABLE events (id int PRIMARY KEY) PARTITION BY HASH (id)")
    for at in range(2):
        await events.create(f"CREATE TABLE events_{at} PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER {at})")
    await events.create("INSERT INTO events SELECT n FROM generate_series(1, 100) AS n")
    assert (await events.run(policy(where={"sql": "id <= 90"}))).rows == {"events": 90}
    assert await events.ids("events") == list(range(91, 101))


async def test_a_partition_that_somebody_detaches_meanwhile_keeps_its_rows(events: Shop) -> None:
    await _meanwhile(events, "ALTER TABLE events DETACH PARTITION events_2")
    assert (await events.run(policy())).rows == {"events": 1000}
    assert len(await events.ids("events_2")) == 500


async def test_a_partition_that_somebody_drops_meanwhile_ends_no_run(events: Shop) -> None:
    await _meanwhile(events, "DROP TABLE events_2")
    assert (await events.run(policy())).rows == {"events": 1000}


@pytest.mark.parametrize("form", ["csv.gz", "parquet"])
async def test_a_partition_that_is_dropped_in_the_middle_leaves_no_gap_in_the_archive(events: Shop, form: str) -> None:
    dropped: list[int] = []

    async def look() -> None:
        [(left,)] = await events.query("SELECT count(*) FROM events WHERE at = '2020-02-01'")
        if 0 < left < 500 and not dropped:
            dropped.append(left)
            await events.create("DROP TABLE events_2")

    events.gates = [look]
    result = await events.run(policy(archive=form))
    assert dropped
    assert (result.state, result.rows) == ("done", {"events": OLD - dropped[0]})
    assert sum(file.rows for file in result.files) == OLD - dropped[0]
    audited = {row[0] for row in await events.query("SELECT file FROM celeriac_cleanup_chunk")}
    there = {path.name for path in events.archives.iterdir() if not path.name.endswith(".json")}
    assert there == audited, "nothing of the chunk that was not deleted"
    assert all("-1-events." in name for name in there), "the archive has the name of the table, and of no partition"


async def _meanwhile(shop: Shop, statement: str) -> None:
    """Run a statement when the first partition is empty, while the run knows of the second."""
    left = [statement]

    async def look() -> None:
        if left and not await shop.query("SELECT 1 FROM events WHERE at < '2020-02-01'"):
            await shop.create(left.pop())

    shop.gates = [look]


async def test_rows_that_refer_to_those_of_partitions_go_first(events: Shop) -> None:
    await events.create(
        "CREATE TABLE views (id int PRIMARY KEY, event bigint, at timestamp, "
        "FOREIGN KEY (event, at) REFERENCES events (id, at) ON DELETE CASCADE)",
        "CREATE INDEX ON views (event, at)",
        "INSERT INTO views SELECT id, id, at FROM events",
    )
    events.tables.add("shop.views")
    result = await events.run(policy(children="auto"))
    assert result.rows == {"events": OLD, "events.views": OLD}
    assert await events.ids("views") == await events.ids("events")


async def test_what_changes_rows_goes_through_partitions_as_well(events: Shop) -> None:
    chosen = policy(action="anonymise", columns={"note": {"pattern": "event {key}"}})
    assert (await events.run(chosen)).rows == {"events": OLD}
    notes = await events.query("SELECT count(*) FROM events WHERE note LIKE 'event %' AND id % 4 <> 3")
    assert notes == [(OLD,)]


async def test_tables_without_partitions_or_with_rows_that_refer_to_others_of_it_are_refused(events: Shop) -> None:
    await events.create("CREATE TABLE plain (id int PRIMARY KEY, at timestamp)")
    events.tables.add("shop.plain")
    with pytest.raises(TableRefused, match="plain has no partitions: leave `partitions` out"):
        await events.run(policy(table="plain"))
    await events.create(
        "ALTER TABLE events ADD before bigint, ADD before_at timestamp",
        "ALTER TABLE events ADD FOREIGN KEY (before, before_at) REFERENCES events (id, at)",
    )
    with pytest.raises(TableRefused, match="refer to others of it: leave `partitions` out"):
        await events.run(policy())


@pytest.mark.slow
async def test_a_worker_that_is_killed_twenty_times_loses_no_row_of_any_partition(events: Shop) -> None:
    await _kill_often(events, policy(chunk={"rows": 40}), kills=20)


async def test_a_worker_that_is_killed_anywhere_loses_no_row_of_any_partition(events: Shop) -> None:
    await _kill_often(events, policy(chunk={"rows": 300}), kills=3)


async def _kill_often(shop: Shop, chosen: Policy, *, kills: int) -> None:
    points, killed = Random(20), 0
    while killed < kills:
        code = await run_apart(shop, chosen, "job-1", points.randrange(60, 130))
        await look(shop)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
    assert killed >= 3
    assert (await shop.run(chosen)).state == "done"
    assert await look(shop) == (ALL - OLD, OLD)
