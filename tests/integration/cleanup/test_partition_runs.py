"""Policies on partitioned tables of Postgres: whole partitions go, or rows do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.context import JobContext
from celeriac.families.cleanup import locks
from celeriac.families.cleanup.errors import ArchiveRefused, TableRefused
from celeriac.families.cleanup.forms import RestoreForm
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.restore import Restored
from celeriac.families.cleanup.restoring import RestoreResult, restore_run
from tests.support.cleanup_partitions import Calendar
from tests.support.cleanup_shop import Shop
from tests.support.postgres import PostgresServer

POLICY: dict[str, Any] = {
    "name": "old-events",
    "connection": "shop",
    "table": "events",
    "where": {"age": {"column": "at", "older_than": "1s"}},
    "action": "archive",
}


@pytest.fixture
async def calendar(postgres_server: PostgresServer, tmp_path: Path) -> AsyncGenerator[Calendar]:
    """Its table has a month that is over, and one that comes."""
    calendar = Calendar(await postgres_server.create_database(), tmp_path / "archives")
    await calendar.execute(
        "CREATE TABLE events (id bigint, at timestamp, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
        "CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')",
        "CREATE TABLE events_now PARTITION OF events FOR VALUES FROM ('2020-02-01') TO ('2100-01-01')",
        "INSERT INTO events SELECT n, '2020-01-05', 'old' FROM generate_series(1, 700) AS n",
        "INSERT INTO events SELECT n, '2020-02-05', 'not so old' FROM generate_series(701, 900) AS n",
        "INSERT INTO events SELECT n, '2099-01-05', 'new' FROM generate_series(901, 1000) AS n",
    )
    yield calendar
    await calendar.database.dispose()


@pytest.fixture
async def events(calendar: Calendar) -> AsyncGenerator[Shop]:
    shop = Shop(calendar.url, calendar.archives, tables={"shop.events"})
    yield shop
    await shop.database.dispose()


@pytest.mark.parametrize("action", ["archive", "delete"])
async def test_a_run_lets_whole_partitions_go(calendar: Calendar, events: Shop, action: str) -> None:
    result = await events.run(Policy.model_validate({**POLICY, "action": action, "partitions": "detach"}))
    assert (result.state, result.rows) == ("done", {"public.events_old": 700})
    assert await calendar.tables() == ["events", "events_now*"]
    assert len(await events.ids("events")) == 300
    if action == "archive":
        assert sorted(await calendar.audited()) == list(range(1, 701))
        assert [file.rows for file in result.files] == [700]


async def test_a_run_without_them_takes_rows_from_each_partition(calendar: Calendar, events: Shop) -> None:
    result = await events.run(Policy.model_validate({**POLICY, "chunk": {"rows": 300}}))
    assert (result.state, result.rows) == ("done", {"events": 900})
    assert await calendar.tables() == ["events", "events_now*", "events_old*"]
    assert await events.ids("events") == list(range(901, 1001))
    assert sorted(await calendar.audited()) == list(range(1, 901))


async def test_a_run_names_the_partitions_that_cannot_go(calendar: Calendar, events: Shop) -> None:
    await calendar.execute("CREATE VIEW looked_at AS SELECT * FROM events_old")
    with pytest.raises(TableRefused, match=r"cannot be dropped: public\.events_old: .*other objects depend on it"):
        await events.run(Policy.model_validate({**POLICY, "partitions": "detach"}))
    states = await calendar.query("SELECT state, error IS NOT NULL FROM celeriac_cleanup_run")
    assert states == [("failed", True)]


async def test_a_run_that_is_paused_goes_on_with_the_next(calendar: Calendar, events: Shop) -> None:
    policy = Policy.model_validate({**POLICY, "partitions": "detach", "chunk": {"rows": 100}})

    async def pause() -> None:
        if await calendar.query("SELECT 1 FROM celeriac_cleanup_partition WHERE row_count > 0"):
            await calendar.database.write(lambda c: locks.pause(c, policy.name, force=False))

    events.gates = [pause]
    assert (await events.run(policy)).state == "paused"
    assert await calendar.tables() == ["events", "events_now*", "events_old*"]
    assert await calendar.audited() == []
    await calendar.database.write(lambda c: locks.resume(c, policy.name))
    events.gates = []
    assert (await events.run(policy, job="job-2")).rows == {"public.events_old": 700}
    assert sorted(await calendar.audited()) == list(range(1, 701))


async def test_a_table_without_partitions_is_refused(calendar: Calendar, events: Shop) -> None:
    await calendar.execute("DROP TABLE events", "CREATE TABLE events (id bigint PRIMARY KEY, at timestamp)")
    with pytest.raises(TableRefused, match="no partitions by ranges of 'at'"):
        await events.run(Policy.model_validate({**POLICY, "partitions": "detach"}))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"where": {"sql": "id < 5"}}, "goes by the age alone"),
        ({"where": {**POLICY["where"], "sql": "id < 5"}}, "goes by the age alone"),
        ({"archive": {"table": "old"}}, "archive to csv.gz or parquet"),
        ({"action": "anonymise", "columns": {"note": None}}, "needs the action delete"),
        ({"children": "auto"}, "neither `children` nor `budget`"),
        ({"budget": {"rows": 5}}, "neither `children` nor `budget`"),
    ],
)
def test_a_policy_for_partitions_cannot_ask_for_less_than_all_of_one(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Policy.model_validate({**POLICY, "partitions": "detach", **more})


async def restored(events: Shop, policy: Policy, **asked: Any) -> RestoreResult:
    form = RestoreForm.model_validate({"policy": policy.name, "run": "job-1", **asked})
    return await restore_run(events.place, policy, form, JobContext(id=f"restore {asked}"), "somebody")


@pytest.mark.parametrize("table", [None, "events", "public.events_old"])
async def test_what_went_with_its_partition_is_put_back_into_the_table(
    calendar: Calendar, events: Shop, table: str | None
) -> None:
    policy = Policy.model_validate({**POLICY, "partitions": "detach"})
    before = await calendar.query("SELECT * FROM events ORDER BY id")
    assert (await events.run(policy)).rows == {"public.events_old": 700}
    with pytest.raises(ArchiveRefused, match=r"no partition of relation .* Create a partition for them"):
        await restored(events, policy, table=table)
    await calendar.execute(
        "CREATE TABLE events_again PARTITION OF events FOR VALUES FROM ('2019-01-01') TO ('2020-02-01')"
    )
    result = await restored(events, policy, table=table)
    assert result.tables == {"events": Restored(rows=700, restored=700)}
    assert await calendar.query("SELECT * FROM events ORDER BY id") == before


async def test_several_partitions_go_into_one_other_table(calendar: Calendar, events: Shop) -> None:
    await calendar.execute(
        "CREATE TABLE events_older PARTITION OF events FOR VALUES FROM ('2019-01-01') TO ('2020-01-01')",
        "INSERT INTO events SELECT n, '2019-01-05', 'older' FROM generate_series(2001, 2100) AS n",
        "CREATE TABLE looked_at (LIKE events INCLUDING ALL)",
    )
    events.tables.add("shop.looked_at")
    policy = Policy.model_validate({**POLICY, "partitions": "detach"})
    await events.run(policy)
    with pytest.raises(
        ArchiveRefused, match=r"table: the policy has events, public\.events_old, public\.events_older, and"
    ):
        await restored(events, policy, table="public.events_now")
    assert (await restored(events, policy, into="looked_at")).tables == {"looked_at": Restored(rows=800, restored=800)}
    assert len(await events.ids("looked_at")) == 800
