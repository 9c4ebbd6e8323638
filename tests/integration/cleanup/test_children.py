"""Rows that refer to others: they go first, each is archived, and nothing vanishes uncounted."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.families.cleanup.errors import PolicyInvalid, RowsReferred, TableRefused
from celeriac.families.cleanup.holds import Hold
from tests.support.cleanup_shop import ITEMS, ITEMS_AT_COLUMN, ITEMS_IN_ALL_FORMS, OLD, ORDERS, Shop, policy

NOTES = (
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, item_id INTEGER, FOREIGN KEY (item_id) REFERENCES order_items (id))"
)
TREE_AT_COLUMN = (
    "CREATE TABLE tree (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES tree (id){rule}, created_at TIMESTAMP)"
)
TREE = (
    "CREATE TABLE tree (id INTEGER PRIMARY KEY, parent_id INTEGER, created_at TIMESTAMP, "
    "FOREIGN KEY (parent_id) REFERENCES tree (id){rule})"
)


async def make(shop: Shop, *, orders: int = 12, items: int = 3, rule: str = "", form: str = "at table") -> None:
    """Orders of which each sixth is young, and a few items of each."""
    await shop.add_orders(orders)
    await shop.add_items_table(rule, form)
    rows = [
        {"id": 100 * order + n, "order_id": order, "what": f"thing {n}"}
        for order in range(1, orders + 1)
        for n in range(items)
    ]
    await shop.insert("order_items", rows)


async def make_notes(shop: Shop) -> None:
    await shop.create(NOTES)
    await shop.insert("notes", [{"id": 2 * item, "item_id": item} for item in await shop.ids("order_items")])
    shop.tables.add("shop.notes")


@pytest.mark.parametrize("form", ITEMS_IN_ALL_FORMS)
@pytest.mark.parametrize("rule", ["", " ON DELETE CASCADE"])
async def test_children_are_found_and_go_first_with_archives_of_their_own(shop: Shop, rule: str, form: str) -> None:
    await make(shop, rule=rule, form=form)
    await make_notes(shop)
    result = await shop.run(policy(action="archive", children="auto", chunk={"rows": 4}))

    assert result.rows == {"orders": 10, "orders.order_items": 30, "orders.order_items.notes": 30}
    assert await shop.ids() == [6, 12]
    assert await shop.ids("order_items") == [600, 601, 602, 1200, 1201, 1202]
    assert len(await shop.ids("notes")) == 6
    assert sorted((file.table, file.rows) for file in result.files) == [
        ("notes", 30),
        ("order_items", 30),
        ("orders", 10),
    ]
    archived = {int(row["id"]) for row in await shop.archived("orders.order_items")}
    assert archived | set(await shop.ids("order_items")) == {100 * o + n for o in range(1, 13) for n in range(3)}


async def test_children_may_be_listed_with_the_columns_that_refer(shop: Shop) -> None:
    await shop.add_orders(12)
    await shop.create("CREATE TABLE order_items (id INTEGER PRIMARY KEY, order_no INTEGER)")
    await shop.insert("order_items", [{"id": n, "order_no": n} for n in range(1, 13)])
    listed = [{"table": "order_items", "columns": ["order_no"]}]
    assert (await shop.run(policy(children=listed))).rows == {"orders": 10, "orders.order_items": 10}
    assert await shop.ids("order_items") == [6, 12]


async def test_a_child_without_a_foreign_key_needs_its_columns(shop: Shop) -> None:
    await shop.add_orders(12)
    await shop.create("CREATE TABLE order_items (id INTEGER PRIMARY KEY, order_no INTEGER)")
    with pytest.raises(PolicyInvalid, match="no foreign key to orders: give its `columns`"):
        await shop.run(policy(children=[{"table": "order_items"}]))


@pytest.mark.parametrize("form", ITEMS_IN_ALL_FORMS)
async def test_children_that_would_vanish_uncounted_are_refused(shop: Shop, form: str) -> None:
    await make(shop, rule=" ON DELETE CASCADE", form=form)
    with pytest.raises(TableRefused, match=r"rows of order_items would vanish.*`children: auto`"):
        await shop.run(policy())
    assert len(await shop.ids()) == 12


async def test_a_child_that_may_not_be_cleaned_is_refused(shop: Shop) -> None:
    await make(shop)
    shop.tables.remove("shop.order_items")
    with pytest.raises(TableRefused, match=r"order_items, which refers to orders.*shop\.order_items"):
        await shop.run(policy(children="auto"))


async def test_children_that_are_not_listed_and_stay_stand_in_the_way(shop: Shop) -> None:
    await make(shop)
    with pytest.raises(RowsReferred, match="List the table in `children`"):
        await shop.run(policy(action="archive"))
    assert len(await shop.ids()) == 12
    assert await shop.archived() == []
    where = {"sql": "NOT EXISTS (SELECT 1 FROM order_items WHERE order_id = orders.id) AND created_at < '2030-01-01'"}
    await shop.execute("DELETE FROM order_items WHERE order_id < 4")
    assert (await shop.run(policy(where=where), "job-2")).rows == {"orders": 3}


@pytest.mark.parametrize("form", [ITEMS, ITEMS_AT_COLUMN])
async def test_references_that_the_database_empties_stand_in_nobodys_way(shop: Shop, form: str) -> None:
    await shop.add_orders(12)
    await shop.create(form.format(rule=" ON DELETE SET NULL").replace("NOT NULL", ""))
    await shop.insert("order_items", [{"id": n, "order_id": n, "what": "x"} for n in range(1, 13)])
    assert (await shop.run(policy(children="auto"))).rows == {"orders": 10}
    assert await shop.query("SELECT count(*) FROM order_items WHERE order_id IS NULL") == [(10,)]


@pytest.mark.parametrize("form", ["at table", "at column"])
@pytest.mark.parametrize("rule", ["", " ON DELETE CASCADE"])
async def test_a_child_that_appears_meanwhile_has_the_chunk_done_again(shop: Shop, rule: str, form: str) -> None:
    await make(shop, rule=rule, form=form)
    added = False

    async def add() -> Hold | None:
        nonlocal added
        if not added and not await shop.query("SELECT 1 FROM order_items WHERE order_id = 1"):
            added = True
            await shop.execute("INSERT INTO order_items (id, order_id, what) VALUES (1, 1, 'late')")
        return None

    shop.gates = [add]
    result = await shop.run(policy(action="archive", children="auto", chunk={"rows": 3}))
    assert added
    assert result.rows == {"orders": 10, "orders.order_items": 31}
    assert [row["what"] for row in await shop.archived("orders.order_items") if row["id"] == "1"] == ["late"]


async def test_children_stay_if_their_parent_is_wanted_again(shop: Shop) -> None:
    await make(shop, orders=2, items=4)
    changed = False

    async def renew() -> Hold | None:
        nonlocal changed
        if not changed and len(await shop.ids("order_items")) < 8:
            changed = True
            await shop.execute("UPDATE orders SET status = 'open' WHERE id = 2")
        return None

    shop.gates = [renew]
    where = {"sql": "status <> 'open'"}
    result = await shop.run(policy(where=where, children="auto", chunk={"rows": 2}))
    assert changed
    assert await shop.ids() == [2]
    assert result.rows["orders"] == 1
    assert {row // 100 for row in await shop.ids("order_items")} == {2}


@pytest.mark.parametrize("form", [TREE, TREE_AT_COLUMN])
@pytest.mark.parametrize("rule", ["", " ON DELETE CASCADE"])
async def test_a_tree_goes_from_its_leaves_and_what_young_rows_refer_to_stays(shop: Shop, rule: str, form: str) -> None:
    await shop.create(form.format(rule=rule))
    old, new = OLD.replace(tzinfo=None), OLD.replace(tzinfo=None, year=2100)
    rows: list[dict[str, Any]] = [
        {"id": 1, "parent_id": None, "created_at": old},
        {"id": 2, "parent_id": 1, "created_at": old},
        {"id": 3, "parent_id": 2, "created_at": old},
        {"id": 4, "parent_id": None, "created_at": old},
        {"id": 5, "parent_id": 4, "created_at": old},
        {"id": 6, "parent_id": 5, "created_at": new},
        {"id": 7, "parent_id": 7, "created_at": old},
    ]
    await shop.insert("tree", rows)
    shop.tables.add("shop.tree")
    result = await shop.run(policy(table="tree", action="archive", children="auto"))
    can = shop.database.dialect != "mysql"  # it never deletes a row that refers to itself
    assert await shop.ids("tree") == ([4, 5, 6] if can else [4, 5, 6, 7])
    assert [row["id"] for row in await shop.archived("tree")] == (["3", "7", "2", "1"] if can else ["3", "2", "1"])
    assert result.rows == {"tree": 4 if can else 3}


async def test_a_tree_of_children_goes_from_its_leaves(shop: Shop) -> None:
    await shop.add_orders(6)
    await shop.create(
        "CREATE TABLE order_items (id INTEGER PRIMARY KEY, order_id INTEGER, part_of INTEGER, "
        "FOREIGN KEY (order_id) REFERENCES orders (id), FOREIGN KEY (part_of) REFERENCES order_items (id))"
    )
    parts = [{"id": n, "order_id": 1, "part_of": n - 1 if n > 1 else None} for n in range(1, 6)]
    await shop.insert("order_items", parts)
    assert (await shop.run(policy(children="auto"))).rows == {"orders": 5, "orders.order_items": 5}


async def test_a_child_that_rows_of_others_refer_to_ends_the_run_with_words(shop: Shop) -> None:
    await shop.add_orders(6)
    await shop.create(
        "CREATE TABLE order_items (id INTEGER PRIMARY KEY, order_id INTEGER, part_of INTEGER, "
        "FOREIGN KEY (order_id) REFERENCES orders (id), FOREIGN KEY (part_of) REFERENCES order_items (id))"
    )
    await shop.insert("order_items", [{"id": 1, "order_id": 1, "part_of": None}])
    await shop.insert("order_items", [{"id": 2, "order_id": 6, "part_of": 1}])
    with pytest.raises(RowsReferred, match="rows that stay refer to rows of orders"):
        await shop.run(policy(children="auto", chunk={"rows": 1}))
    assert await shop.ids() == [1, 2, 3, 4, 5, 6]


async def test_tables_that_refer_to_each_other_in_a_circle_are_refused(shop: Shop) -> None:
    await shop.create(ORDERS, ITEMS.format(rule=""))
    if shop.database.dialect == "sqlite":
        await shop.create("ALTER TABLE orders ADD COLUMN main_item INTEGER REFERENCES order_items (id)")
    else:
        await shop.create(
            "ALTER TABLE orders ADD COLUMN main_item INTEGER",
            "ALTER TABLE orders ADD FOREIGN KEY (main_item) REFERENCES order_items (id)",
        )
    with pytest.raises(TableRefused, match="circle: orders ← order_items ← orders"):
        await shop.run(policy(children="auto"))


async def test_keys_of_several_columns_link_children(shop: Shop) -> None:
    await shop.create(
        "CREATE TABLE orders (shop INTEGER, id INTEGER, created_at TIMESTAMP, PRIMARY KEY (shop, id))",
        "CREATE TABLE order_items (id INTEGER PRIMARY KEY, order_id INTEGER, shop INTEGER, "
        "FOREIGN KEY (shop, order_id) REFERENCES orders (shop, id))",
    )
    orders = [{"shop": s, "id": n, "created_at": OLD.replace(tzinfo=None)} for s in (1, 2) for n in range(5)]
    await shop.insert("orders", orders)
    await shop.insert("order_items", [{"id": n, "order_id": n % 5, "shop": 1 + n % 2} for n in range(20)])
    result = await shop.run(policy(children="auto", chunk={"rows": 3}, where={"sql": "shop = 1"}))
    assert result.rows == {"orders": 5, "orders.order_items": 10}
    assert await shop.query("SELECT DISTINCT shop FROM order_items") == [(2,)]


async def test_a_budget_counts_rows_of_children_and_is_never_passed(shop: Shop) -> None:
    await make(shop)
    await make_notes(shop)
    states: list[str] = []
    for number in range(1, 30):
        small = policy(action="archive", children="auto", chunk={"rows": 4}, budget={"rows": 7})
        result = await shop.run(small, f"job-{number}")
        assert sum(result.rows.values()) <= 7
        states.append(result.state)
        if result.state == "done":
            break
    assert states == ["budget"] * 10 + ["done"]  # 70 rows
    assert await shop.ids() == [6, 12]
    assert len(await shop.archived()) == 10 and len(await shop.archived("orders.order_items")) == 30
