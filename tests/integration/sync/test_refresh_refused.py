"""At the end of a full refresh, its table refuses rows: few are rejected, too many fail it, and which is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Connection

from celeriac.families.sync.errors import TooManyRejected
from tests.support.sync_jobs import SyncJobs

ORDERS = {"name": "orders", "primary_key": "id", "mode": "full_refresh"}


async def make_table(syncs: SyncJobs, *statements: str) -> None:
    def act(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    await syncs.database.write(act)


async def test_a_refresh_that_fails_keeps_what_it_has_rejected_and_is_read_again(syncs: SyncJobs) -> None:
    await make_table(
        syncs,
        "CREATE TABLE orders (id BIGINT PRIMARY KEY, qty BIGINT CHECK (qty > 0))",
        "INSERT INTO orders VALUES (99, 1)",
    )
    syncs.define({**ORDERS, "max_rejected": 2})
    pages = [[{"id": n, "qty": 1 if n > 3 else 0} for n in range(1, 10)], [{"id": 10, "qty": 1}]]
    ran = await syncs.run({"orders": pages})
    assert isinstance(ran.error, TooManyRejected)
    assert "3 of 10 records were rejected, and max_rejected is 2" in str(ran.error)
    assert "the next run reads them again" in str(ran.error) and "behind them" not in str(ran.error)
    assert await syncs.rows("SELECT id FROM orders") == [(99,)]
    rejected = await syncs.rows("SELECT reason, record FROM celeriac_sync_reject ORDER BY number")
    assert [record for _, record in rejected] == ['{"id":1,"qty":0}', '{"id":2,"qty":0}', '{"id":3,"qty":0}']
    assert all(reason for reason, _ in rejected)
    await syncs.outcome({"orders": [[{"id": n, "qty": 1} for n in range(1, 11)]]})
    assert syncs.source.asked[0].place.page == 0
    assert await syncs.rows("SELECT count(*) FROM orders") == [(10,)]


async def test_a_refresh_of_which_the_table_refuses_all_is_given_up_after_a_part_of_it(syncs: SyncJobs) -> None:
    await make_table(syncs, "CREATE TABLE orders (id BIGINT PRIMARY KEY, must BIGINT NOT NULL)")
    syncs.define({**ORDERS, "max_rejected": 10})
    ran = await syncs.run({"orders": [[{"id": n} for n in range(1, 2001)]]})
    assert isinstance(ran.error, TooManyRejected) and "max_rejected is 10" in str(ran.error)
    [(kept,)] = await syncs.rows("SELECT count(*) FROM celeriac_sync_reject")
    assert 10 < kept <= 500


@pytest.mark.parametrize("key", [["id"], ["shop", "id"]])
async def test_refused_rows_are_found_among_many(syncs: SyncJobs, key: list[str]) -> None:
    await make_table(
        syncs,
        "CREATE TABLE orders (id BIGINT, shop BIGINT, qty BIGINT CHECK (qty > 0), "
        f"PRIMARY KEY ({', '.join(reversed(key))}))",
    )
    syncs.define({**ORDERS, "primary_key": key})
    bad = (1, 500, 501, 777, 1200)
    page = [{"id": n, "shop": n % 7, "qty": int(n not in bad)} for n in range(1, 1201)]
    outcome = await syncs.outcome({"orders": [page]})
    assert outcome["streams"]["orders"]["rejected"] == len(bad)
    written = [row[0] for row in await syncs.rows("SELECT id FROM orders ORDER BY id")]
    assert written == [n for n in range(1, 1201) if n not in bad]
    rejected = await syncs.rows("SELECT record FROM celeriac_sync_reject ORDER BY number")
    records = [json.loads(row[0]) for row in rejected]
    assert sorted(records, key=lambda one: one["id"]) == [{"id": n, "shop": n % 7, "qty": 0} for n in bad]


async def test_rows_that_refer_to_much_later_ones_are_not_taken_for_refused(syncs: SyncJobs) -> None:
    await make_table(
        syncs,
        "CREATE TABLE orders (id BIGINT PRIMARY KEY, parent BIGINT, qty BIGINT CHECK (qty > 0), "
        "FOREIGN KEY (parent) REFERENCES orders (id))",
    )
    syncs.define({**ORDERS, "max_rejected": 1})
    page: list[dict[str, Any]] = [{"id": n, "parent": 1100 if n < 5 else None, "qty": 1} for n in range(1, 1101)]
    page[700] |= {"qty": 0}
    outcome = await syncs.outcome({"orders": [page]})
    assert outcome["streams"]["orders"]["rejected"] == 1
    assert await syncs.rows("SELECT count(*) FROM orders") == [(1099,)]


PARTS = {"name": "parts", "primary_key": "id", "parent": {"stream": "orders", "fields": ["id"]}}


@pytest.mark.parametrize("key", ["BIGINT", "NUMERIC(9, 2)"])
async def test_no_children_are_read_of_a_record_that_has_no_row(syncs: SyncJobs, key: str) -> None:
    await make_table(
        syncs,
        f"CREATE TABLE orders (id {key} PRIMARY KEY, qty BIGINT CHECK (qty > 0))",
        "INSERT INTO orders VALUES (2, 7)",
    )
    syncs.define(ORDERS, PARTS)
    page = [{"id": n, "qty": int(n > 2)} for n in range(1, 5)]
    parts = {f"parts/{n}": [[{"id": n * 10}]] for n in range(1, 5)}
    outcome = await syncs.outcome({"orders": [page], **parts})
    assert outcome["streams"]["orders"]["rejected"] == 2
    asked = [one.parent["id"] for one in syncs.source.asked if one.parent is not None]
    assert sorted(asked) == [2, 3, 4], "the old row of 2 stays, and 1 has none"
    assert await syncs.rows("SELECT id FROM parts ORDER BY id") == [(20,), (30,), (40,)]
    assert await syncs.rows("SELECT count(*) FROM orders") == [(3,)]
