"""Rows that stay with other values: anonymised or updated, and once only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from celeriac.families.cleanup.errors import PolicyInvalid
from tests.support.cleanup_shop import NEW, OLD, Shop, policy

PEOPLE = (
    "CREATE TABLE people (id INTEGER PRIMARY KEY, email VARCHAR(60) NOT NULL UNIQUE, name VARCHAR(40), "
    "age INTEGER, created_at TIMESTAMP)"
)


async def make(shop: Shop, count: int = 40) -> None:
    await shop.create(PEOPLE)
    rows = [
        {
            "id": n,
            "email": f"person{n}@example.com",
            "name": f"Person {n % 3}" if n % 4 else None,
            "age": n,
            "created_at": (NEW if n % 5 == 0 else OLD).replace(tzinfo=None),
        }
        for n in range(1, count + 1)
    ]
    await shop.insert("people", rows)
    shop.tables.add("shop.people")


def anonymise(tmp_path: Path, **columns: Any) -> Any:
    (tmp_path / "secret").write_text("pepper\n")
    changes = {
        "email": {"pattern": "user-{key}@example.invalid"},
        "name": {"hash": f"file:{tmp_path / 'secret'}"},
        "age": None,
        **columns,
    }
    return policy(table="people", action="anonymise", columns=changes, chunk={"rows": 7})


async def test_personal_data_is_replaced_and_a_second_run_changes_nothing(shop: Shop, tmp_path: Path) -> None:
    await make(shop)
    result = await shop.run(anonymise(tmp_path))
    assert result.rows == {"people": 32}
    rows = await shop.query("SELECT id, email, name, age FROM people ORDER BY id")
    assert rows[4] == (5, "person5@example.com", "Person 2", 5), "young rows stay as they are"
    assert rows[0][1] == "user-1@example.invalid"
    assert rows[0][2].startswith("anon-")
    assert rows[0][2] == rows[6][2] != rows[1][2], "the same name has the same hash"
    assert rows[3][2] is None
    assert rows[0][3] is None

    assert (await shop.run(anonymise(tmp_path), "job-2")).rows == {}
    assert await shop.query("SELECT id, email, name, age FROM people ORDER BY id") == rows
    assert await shop.query("SELECT count(*) FROM celeriac_cleanup_chunk WHERE run_id = 'job-2'") == [(0,)]


async def test_an_update_ends_though_its_rows_go_on_meeting_the_condition(shop: Shop) -> None:
    await shop.add_orders(40)
    update = policy(action="update", columns={"status": "archived", "note": None}, chunk={"rows": 7})
    assert (await shop.run(update)).rows == {"orders": 34}
    assert await shop.query("SELECT count(*) FROM orders WHERE status = 'archived' AND note IS NULL") == [(34,)]
    assert (await shop.run(update, "job-2")).chunks == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"nothing": None}, "no column 'nothing'; it has id, email"),
        ({"id": 7}, "columns.id: it is part of the key"),
        ({"email": None}, "columns.email: it cannot be NULL"),
        ({"age": {"pattern": "x{key}"}}, "and the new value is a text"),
        (
            {"name": {"hash": "env:NO_SUCH"}},
            "columns.name: env:NO_SUCH is empty, or not set",
        ),
        ({"name": {"hash": "file:/nowhere/secret"}}, "columns.name: /nowhere/secret"),
    ],
)
async def test_a_change_that_cannot_be_made_is_refused_before_the_first_row(
    shop: Shop, columns: dict[str, Any], message: str
) -> None:
    await make(shop, 4)
    with pytest.raises(Exception, match=r".") as refused:
        await shop.run(policy(table="people", action="anonymise", columns=columns))
    assert message in str(refused.value)


async def test_a_condition_on_numbers_needs_their_unit(shop: Shop) -> None:
    await shop.create("CREATE TABLE orders (id INTEGER PRIMARY KEY, at BIGINT)")
    await shop.insert("orders", [{"id": 1, "at": 1_000_000}, {"id": 2, "at": 4_102_444_800}])
    where = {"age": {"column": "at", "older_than": "1d"}}
    with pytest.raises(PolicyInvalid, match="say with `unit` whether they are s or ms"):
        await shop.run(policy(where=where))
    where["age"]["unit"] = "s"
    assert (await shop.run(policy(where=where))).rows == {"orders": 1}
    assert await shop.ids() == [2]
