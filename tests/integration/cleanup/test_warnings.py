"""What a policy leaves where it is, or makes slow: a dry run says so, or the run is refused."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from celeriac.families.cleanup.dry_run import preview
from celeriac.families.cleanup.errors import CleanupRefused, RowsReferred, TableRefused
from tests.support.cleanup_shop import ITEMS, OLD, Shop, policy
from tests.support.postgres import PostgresServer


@pytest.fixture
async def postgres(postgres_server: PostgresServer, tmp_path: Path) -> AsyncGenerator[Shop]:
    shop = Shop(await postgres_server.create_database(), tmp_path / "archives")
    yield shop
    await shop.database.dispose()


@pytest.fixture
async def lite(tmp_path: Path) -> AsyncGenerator[Shop]:
    (tmp_path / "shop.db").touch()
    shop = Shop(f"sqlite:///{tmp_path}/shop.db", tmp_path / "archives")
    yield shop
    await shop.database.dispose()


async def warnings(shop: Shop, **changes: Any) -> list[str]:
    return (await preview(shop.place, policy(**changes))).warnings


@pytest.mark.parametrize("listed", ["auto", [{"table": "order_items"}], [{"table": "order_items", "columns": ["no"]}]])
async def test_a_reference_without_an_index_is_named_with_the_statement_that_helps(shop: Shop, listed: Any) -> None:
    await shop.add_orders(12)
    refers = "FOREIGN KEY (order_id) REFERENCES orders (id)" if listed == "auto" or "columns" not in listed[0] else ""
    column = "order_id" if refers else "no"
    columns = ", ".join(("id INTEGER PRIMARY KEY", f"{column} INTEGER", *([refers] if refers else [])))
    await shop.create(f"CREATE TABLE order_items ({columns})")
    if shop.database.dialect == "mysql" and refers:
        assert await warnings(shop, children=listed) == [], "MySQL creates an index by itself"
        return
    [warning] = await warnings(shop, children=listed)
    assert f"order_items has no index on {column}: for each row of orders" in warning
    statement = warning.partition("Create one first: ")[2]
    assert statement == statement.replace("  ", " ") and statement.startswith("CREATE INDEX")
    await shop.database.outside(lambda c: c.execute(text(statement)))
    assert await warnings(shop, children=listed) == []


async def test_an_index_for_some_rows_only_is_none(postgres: Shop) -> None:
    await postgres.add_orders(12)
    await postgres.create(ITEMS.format(rule=""), "CREATE INDEX special ON order_items (order_id) WHERE what = 'x'")
    assert len(await warnings(postgres, children="auto")) == 1
    await postgres.create("CREATE INDEX wide ON order_items (order_id, what)")
    assert await warnings(postgres, children="auto") == []


async def test_rows_of_tables_that_inherit_stay_and_are_mentioned(postgres: Shop) -> None:
    await postgres.add_orders(12)
    await postgres.create("CREATE TABLE special_orders (PRIMARY KEY (id)) INHERITS (orders)")
    await postgres.insert("special_orders", [{"id": n, "created_at": OLD.replace(tzinfo=None)} for n in range(1, 8)])
    shown = await preview(postgres.place, policy(action="archive"))
    assert shown.rows == 10
    assert shown.warnings == ["rows of special_orders stay, which inherit from orders: each such table needs a policy"]
    result = await postgres.run(policy(action="archive"))
    assert (result.rows, result.hints) == ({"orders": 10}, shown.warnings)
    assert await postgres.ids("special_orders") == list(range(1, 8))
    assert await postgres.ids("ONLY orders") == [6, 12]
    postgres.tables.add("shop.special_orders")
    assert (await postgres.run(policy(table="special_orders"), "job-2")).rows == {"special_orders": 7}


@pytest.mark.parametrize("action", ["update", "delete"])
async def test_rows_of_sqlite_whose_key_is_null_are_refused_by_number(lite: Shop, action: str) -> None:
    await lite.create("CREATE TABLE orders (code TEXT PRIMARY KEY, created_at TIMESTAMP, note TEXT)")
    young = {"code": None, "created_at": "2099-01-01 00:00:00"}
    rows = [{"code": code, "created_at": OLD} for code in ("a", None, None)]
    await lite.insert("orders", [*rows, young])
    changes: dict[str, Any] = {"action": action, **({"columns": {"note": "x"}} if action == "update" else {})}
    for look in (lite.run(policy(**changes)), preview(lite.place, policy(**changes))):
        with pytest.raises(TableRefused, match=r"2 rows of orders .* NULL in their key \(code\).*`code IS NOT NULL`"):
            await look
    assert len(await lite.query("SELECT 1 FROM orders")) == 4
    left_out = {**policy().where.model_dump(exclude_none=True), "sql": "code IS NOT NULL"}
    assert (await lite.run(policy(**changes, where=left_out), "job-2")).rows == {"orders": 1}


async def test_children_of_sqlite_whose_key_is_null_are_refused_as_well(lite: Shop) -> None:
    await lite.add_orders(12)
    await lite.create("CREATE TABLE order_items (code TEXT PRIMARY KEY, order_id INTEGER REFERENCES orders (id))")
    await lite.insert("order_items", [{"code": None, "order_id": 1}, {"code": None, "order_id": 6}])
    with pytest.raises(TableRefused, match="1 rows of order_items"):
        await lite.run(policy(children="auto"))
    assert len(await lite.ids()) == 12


async def test_an_archive_of_a_table_without_a_key_can_be_restored_by_fail_only(lite: Shop) -> None:
    await lite.create("CREATE TABLE orders (id INTEGER, created_at TIMESTAMP)")
    assert await warnings(lite, action="archive") == [
        "orders has no primary key: its archive can be restored with `on_conflict: fail` only"
    ]


async def test_an_archive_that_is_a_table_names_the_way_out_for_rows_that_others_refer_to(lite: Shop) -> None:
    await lite.add_orders(12)
    await lite.create(ITEMS.format(rule=" ON DELETE RESTRICT"))
    await lite.insert("order_items", [{"id": 1, "order_id": 1, "what": "x"}])
    with pytest.raises(RowsReferred, match="Archive to files, which `children` can have"):
        await lite.run(policy(action="archive", archive={"table": "old_orders"}))
    assert (len(await lite.ids()), await lite.ids("old_orders")) == (12, [])


async def test_a_row_that_refers_to_itself_stays_on_mysql_and_a_dry_run_says_so(shop: Shop) -> None:
    await shop.create(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, created_at TIMESTAMP, before_id INTEGER, "
        "FOREIGN KEY (before_id) REFERENCES orders (id))",
        "CREATE INDEX orders_before ON orders (before_id)",
    )
    await shop.insert("orders", [{"id": n, "created_at": OLD.replace(tzinfo=None), "before_id": 1} for n in (1, 2)])
    found = await warnings(shop)
    await shop.run(policy())
    if shop.database.dialect == "mysql":
        assert (await shop.ids(), len(found)) == ([1], 1)
        assert "refer to themselves stay, as MySQL deletes none" in found[0]
    else:
        assert (await shop.ids(), found) == ([], [])


async def test_a_refusal_of_a_trigger_is_none_of_references(lite: Shop) -> None:
    await lite.add_orders(6)
    await lite.create("CREATE TRIGGER refusing BEFORE DELETE ON orders BEGIN SELECT RAISE(ABORT, 'not today'); END")
    with pytest.raises(CleanupRefused, match="not today") as caught:
        await lite.run(policy())
    assert "refer" not in str(caught.value).partition("not today")[2]


@pytest.mark.parametrize("archive", [None, {"table": "orders_old"}], ids=str)
async def test_rows_in_the_way_are_named_by_their_foreign_key(shop: Shop, archive: Any) -> None:
    await shop.add_orders(12)
    await shop.create(ITEMS.format(rule=""), "CREATE INDEX items_of_order ON order_items (order_id)")
    changes: dict[str, Any] = {} if archive is None else {"action": "archive", "archive": archive}
    assert await warnings(shop, **changes) == []
    await shop.insert("order_items", [{"id": 1, "order_id": 6, "what": "x"}])  # of an order that stays
    assert await warnings(shop, **changes) == []
    await shop.insert("order_items", [{"id": 2, "order_id": 7, "what": "x"}])
    [warning] = await warnings(shop, **changes)
    assert "rows of order_items refer to rows of orders that should go (order_id, ON DELETE" in warning
    assert ("archive to files, and list it" if archive else "there: list it in `children`") in warning
    if archive is None:
        assert await warnings(shop, children="auto") == []
    with pytest.raises(RowsReferred):
        await shop.run(policy(**changes))


async def test_a_dry_run_measures_throttles_once(postgres: Shop) -> None:
    await postgres.add_orders(12)
    throttles = [
        {"kind": "sql", "sql": "SELECT nope", "above": 1},
        {"kind": "sql", "sql": "SELECT count(*) FROM orders", "above": 100},
        {"kind": "sql", "sql": "SELECT count(*) FROM orders", "above": 5},
    ]
    wrong, high = await warnings(postgres, throttles=throttles)
    assert "a run would wait now: sql: it cannot be measured: " in wrong and 'column "nope" does not exist' in wrong
    assert high == "a run would wait now: sql: the query gives 12, which is above 5"


async def test_a_dry_run_shows_what_values_become(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.add_orders(12)
    columns = {"note": {"pattern": "note {key}"}, "status": None}
    seen = await preview(shop.place, policy(action="anonymise", columns=columns))
    assert (seen.sample[2][0], seen.sample[2][3]) == (3, None)
    assert seen.becomes == {"note": ["note 1", "note 2", None, "note 4", "note 5"], "status": [None] * 5}
    hidden = policy(action="anonymise", columns={"note": {"hash": "env:PEPPER"}})
    monkeypatch.delenv("PEPPER", raising=False)
    seen = await preview(shop.place, hidden)
    assert seen.becomes == {} and "what values become is not shown" in seen.warnings[0]
    monkeypatch.setenv("PEPPER", "s3cret")
    seen = await preview(shop.place, hidden)
    await shop.run(hidden)
    notes = await shop.query("SELECT note FROM orders WHERE id IN (1, 2, 3, 4, 5) ORDER BY id")
    assert seen.becomes == {"note": [note for (note,) in notes]}
