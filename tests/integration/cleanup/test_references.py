"""Rows that the database would delete by itself, wherever the foreign key stands: none vanishes uncounted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import pytest

from celeriac.families.cleanup.dry_run import preview
from celeriac.families.cleanup.errors import TableRefused
from tests.integration.cleanup.test_partition_walks import OLD as OLD_EVENTS
from tests.integration.cleanup.test_partition_walks import events
from tests.integration.cleanup.test_partition_walks import policy as events_policy
from tests.support.cleanup_shop import Shop, policy
from tests.support.mariadb import MariadbServer
from tests.support.postgres import PostgresServer

__all__ = ["events"]

CASCADE = "FOREIGN KEY (event, at) REFERENCES {to} (id, at) ON DELETE CASCADE"
MARKS = "CREATE TABLE marks (id int PRIMARY KEY, event bigint, at timestamp, {key})"


async def add_marks(events: Shop, to: str) -> None:
    await events.create(
        MARKS.format(key=CASCADE.format(to=to)),
        f"INSERT INTO marks SELECT row_number() OVER (), id, at FROM {to}",
    )
    events.tables.add("shop.marks")


@pytest.mark.parametrize("partitions", [None, "chunk"])
async def test_rows_that_refer_to_one_partition_do_not_vanish(events: Shop, partitions: str | None) -> None:
    await add_marks(events, "events_1")
    with pytest.raises(TableRefused, match="rows of marks would vanish"):
        await events.run(events_policy(partitions=partitions))
    assert len(await events.ids("marks")) == 500
    result = await events.run(events_policy(partitions=partitions, children="auto"), "job-2")
    assert result.rows == {"events": OLD_EVENTS, "events.marks": 500}
    assert len(await events.archived("events.marks")) == 500


async def test_rows_that_refer_to_a_partitioned_table_do_not_vanish_with_those_of_one_partition(events: Shop) -> None:
    await add_marks(events, "events")
    events.tables.add("shop.events_1")
    with pytest.raises(TableRefused, match="rows of marks would vanish with those of events_1"):
        await events.run(events_policy(table="events_1", partitions=None))
    result = await events.run(events_policy(table="events_1", partitions=None, children="auto"), "job-2")
    assert result.rows == {"events_1": 500, "events_1.marks": 500}
    assert len(await events.ids("marks")) == 1500


async def test_a_partition_that_is_referred_to_by_less_than_the_key_is_refused(events: Shop) -> None:
    """Rows of other partitions have the same ids: nobody could tell to which of them a mark refers."""
    await events.create(
        "ALTER TABLE events_1 ADD UNIQUE (id)",
        "CREATE TABLE marks (id int PRIMARY KEY, event bigint REFERENCES events_1 (id) ON DELETE CASCADE)",
        "INSERT INTO marks SELECT id, id FROM events_1",
    )
    events.tables.add("shop.marks")
    listed = [{"table": "marks", "columns": ["event"]}]
    for children in ((), "auto"):
        with pytest.raises(TableRefused, match=r"refer to rows of events_1 alone by id.*key \(id, at\)"):
            await events.run(events_policy(partitions=None, children=children))
    with pytest.raises(Exception, match="`columns` has 1 columns, and the key of events has 2"):
        await events.run(events_policy(partitions=None, children=listed))
    assert len(await events.ids("marks")) == 500


async def test_rows_of_a_partition_with_a_foreign_key_of_its_own_do_not_vanish(events: Shop) -> None:
    await events.create(
        "CREATE TABLE views (id int, event bigint, at timestamp, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
        "CREATE TABLE views_1 PARTITION OF views FOR VALUES FROM ('2020-01-01') TO ('2099-01-01')",
        f"ALTER TABLE views_1 ADD {CASCADE.format(to='events')}",
        "INSERT INTO views SELECT id, id, at FROM events",
    )
    events.tables.add("shop.views_1")
    with pytest.raises(TableRefused, match="rows of views_1 would vanish"):
        await events.run(events_policy(partitions=None))
    result = await events.run(events_policy(partitions=None, children="auto"), "job-2")
    assert result.rows == {"events": OLD_EVENTS, "events.views_1": OLD_EVENTS}
    assert len(await events.archived("events.views_1")) == OLD_EVENTS


async def test_the_foreign_key_of_a_partitioned_table_counts_once(events: Shop) -> None:
    await events.create(
        "CREATE TABLE views (id int, event bigint, at timestamp, PRIMARY KEY (id, at), "
        f"{CASCADE.format(to='events')}) PARTITION BY RANGE (at)",
        "CREATE TABLE views_1 PARTITION OF views FOR VALUES FROM ('2020-01-01') TO ('2099-01-01')",
        "INSERT INTO views SELECT id, id, at FROM events",
    )
    events.tables.add("shop.views")
    result = await events.run(events_policy(partitions=None, children="auto"))
    assert result.rows == {"events": OLD_EVENTS, "events.views": OLD_EVENTS}


@pytest.mark.parametrize("children", [(), "auto"])
async def test_partitions_of_one_table_that_refer_to_each_other_are_refused(events: Shop, children: object) -> None:
    await events.create(
        "ALTER TABLE events ADD COLUMN before bigint, ADD COLUMN before_at timestamp",
        "ALTER TABLE events_4 ADD FOREIGN KEY (before, before_at) REFERENCES events_1 (id, at) ON DELETE CASCADE",
        "UPDATE events_4 SET before = id + 1, before_at = '2020-01-01' WHERE id < 1999",
    )
    events.tables.add("shop.events_4")
    with pytest.raises(TableRefused, match="rows of events_4 refer to events, and both are parts of one table"):
        await events.run(events_policy(partitions=None, children=children))
    assert len(await events.ids("events")) == 2000


async def test_rows_of_another_database_of_mysql_do_not_vanish(mariadb_server: MariadbServer, tmp_path: Path) -> None:
    shop = Shop(mariadb_server.create_database(), tmp_path / "archives")
    await shop.add_orders(60)
    [(own,)] = await shop.query("SELECT database()")
    other = mariadb_server.create_database().partition("?")[0].rpartition("/")[2]
    await shop.create(
        f"CREATE TABLE {other}.bills (id INTEGER PRIMARY KEY, o INTEGER, FOREIGN KEY (o) REFERENCES {own}.orders (id) "
        "ON DELETE CASCADE)",
        f"INSERT INTO {other}.bills SELECT id, id FROM orders",
    )
    with pytest.raises(TableRefused, match=rf"rows of {other}\.bills would vanish"):
        await shop.run(policy(action="archive"))
    assert len(await shop.ids(f"{other}.bills")) == 60
    shop.tables.add(f"shop.{other}.bills")
    result = await shop.run(policy(action="archive", children="auto"), "job-2")
    assert list(result.rows.values()) == [50, 50]
    assert len(await shop.ids(f"{other}.bills")) == 10
    await shop.database.dispose()


@pytest.mark.parametrize(
    ("grants", "refused", "warned"),
    [
        ([], "", "PROCESS"),
        (["PROCESS ON *.*"], r"rows of {bills} would vanish .* has no rights on it", ""),
        (["SELECT ON {bills}"], r"rows of {bills} would vanish .*MySQL hides its ON DELETE", ""),
        (["SELECT ON *.*", "DELETE ON *.*"], r"rows of {bills} would vanish .*ON DELETE CASCADE", ""),
    ],
)
async def test_rows_that_mysql_hides_do_not_vanish_unsaid(
    mariadb_server: MariadbServer, tmp_path: Path, grants: list[str], refused: str, warned: str
) -> None:
    test = Shop(mariadb_server.create_database(), tmp_path / "archives")  # everybody has all rights on it
    own, other, user = (f"{name}_{uuid4().hex[:12]}" for name in ("own", "other", "user"))
    await test.create(f"CREATE DATABASE {own}", f"CREATE DATABASE {other}", f"CREATE USER {user}@localhost")
    name = test.url.partition("?")[0].rpartition("/")[2]
    owner = Shop(test.url.replace(name, own), tmp_path / "archives")
    await owner.add_orders(12)
    await owner.create(
        f"CREATE TABLE {other}.bills (id INTEGER PRIMARY KEY, o INTEGER, FOREIGN KEY (o) REFERENCES {own}.orders (id) "
        "ON DELETE CASCADE)",
        f"GRANT SELECT, DELETE ON {own}.* TO {user}@localhost",
        *(f"GRANT {one.format(bills=f'{other}.bills')} TO {user}@localhost" for one in grants),
    )
    shop = Shop(owner.url.replace("root@", f"{user}@"), tmp_path / "archives")
    if refused:
        with pytest.raises(TableRefused, match=refused.format(bills=f"{other}.bills")):
            await preview(shop.place, policy())
    else:
        [warning] = (await preview(shop.place, policy())).warnings
        assert warned in warning
    for one in (test, owner, shop):
        await one.database.dispose()


@pytest.mark.parametrize("rule", ["", " ON DELETE CASCADE"])
async def test_a_table_that_refers_twice_goes_by_both(shop: Shop, rule: str) -> None:
    await shop.add_orders(12)
    await shop.create(
        "CREATE TABLE order_items (id INTEGER PRIMARY KEY, order_id INTEGER, gift_id INTEGER, "
        f"FOREIGN KEY (order_id) REFERENCES orders (id){rule}, FOREIGN KEY (gift_id) REFERENCES orders (id){rule})"
    )
    rows = [{"id": n, "order_id": n if n % 2 else 12, "gift_id": 12 if n % 2 else n} for n in range(1, 12)]
    await shop.insert("order_items", rows)
    result = await shop.run(policy(action="archive", children="auto"))
    steps = ["order_items (gift_id)", "order_items"]
    assert result.rows["orders"] == 10
    assert sum(result.rows.get(f"orders.{step}", 0) for step in steps) == 10
    archived = [row["id"] for step in steps for row in await shop.archived(f"orders.{step}")]
    assert sorted(map(int, archived)) == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert await shop.ids() == [6, 12]
    assert await shop.ids("order_items") == [6]


@pytest.fixture
async def postgres(postgres_server: PostgresServer, tmp_path: Path) -> AsyncGenerator[Shop]:
    shop = Shop(await postgres_server.create_database(), tmp_path / "archives")
    await shop.add_orders(12)
    yield shop
    await shop.database.dispose()


async def test_a_table_is_not_taken_for_one_above_another_whose_schema_has_its_name(postgres: Shop) -> None:
    """Both `a` and `a.b` refer to orders: the rows of `a.b` do not depend on those of `a`."""
    await postgres.create(
        "CREATE SCHEMA a",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, o INTEGER REFERENCES orders)",
        "CREATE TABLE a.b (id INTEGER PRIMARY KEY, o INTEGER REFERENCES orders)",
        "INSERT INTO a.b SELECT id, id FROM orders",
    )
    postgres.tables |= {"shop.a", "shop.a.b"}
    seen = await preview(postgres.place, policy(children="auto"))
    assert {step.path: step.rows for step in seen.steps} == {"orders.a": 0, "orders.a.b": 10, "orders": 10}


async def test_tables_that_the_audit_could_not_tell_apart_are_refused(postgres: Shop) -> None:
    await postgres.create(
        "CREATE SCHEMA a",
        "CREATE SCHEMA b",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, o INTEGER REFERENCES orders)",
        "CREATE TABLE b.c (id INTEGER PRIMARY KEY, o INTEGER REFERENCES a)",
        "CREATE TABLE a.b (id INTEGER PRIMARY KEY, o INTEGER REFERENCES orders)",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, o INTEGER REFERENCES a.b)",
    )
    postgres.tables |= {"shop.a", "shop.a.b", "shop.b.c", "shop.c"}
    with pytest.raises(TableRefused, match=r"the audit would call two tables orders\.a\.b\.c"):
        await postgres.run(policy(action="archive", children="auto"))
