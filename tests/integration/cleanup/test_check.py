"""`celeriac cleanup check --connect`: what a database would refuse is known before a run begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from celeriac.core.findings import Finding, Status
from celeriac.families.cleanup import CleanupSettings
from celeriac.families.cleanup.checks import check_files_there
from tests.support.cleanup_shop import ITEMS, Shop
from tests.support.mariadb import MariadbServer
from tests.support.postgres import PostgresServer

AGE = {"age": {"column": "created_at", "older_than": "90d"}}
PAIRS = "CREATE TABLE pairs (a VARCHAR(9), b DATE, created_at TIMESTAMP, PRIMARY KEY (a, b))"
MARKS = "CREATE TABLE marks (id INTEGER PRIMARY KEY, a VARCHAR(9), b DATE, FOREIGN KEY (a, b) REFERENCES pairs (a, b))"


async def check(shop: Shop, folder: Path, url: str = "", **changes: Any) -> Finding:
    """Check a file with a policy."""
    file = folder / "old-orders.yaml"
    plain = {"connection": "shop", "table": "orders", "where": AGE, "action": "delete", "children": "auto"}
    file.write_text(yaml.safe_dump({name: one for name, one in {**plain, **changes}.items() if one is not None}))
    tables = "shop.orders shop.order_items shop.pairs shop.marks"
    own = CleanupSettings(cleanup_connections={"shop": SecretStr(url or shop.url)}, cleanup_tables=tables)
    [finding] = await check_files_there([file], own)
    return finding


async def make(shop: Shop) -> None:
    await shop.add_orders(6)
    await shop.create(ITEMS.format(rule=""), "CREATE INDEX of_order ON order_items (order_id)", PAIRS, MARKS)
    await shop.create("CREATE INDEX of_pair ON marks (a, b)")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"action": "archive"},
        {"action": "archive", "archive": {"table": "orders_of_old"}, "children": None},
        {"action": "anonymise", "columns": {"note": {"pattern": "{key}"}, "status": None}, "children": None},
        {"table": "pairs"},
        {"table": "pairs", "action": "update", "columns": {"created_at": None}, "children": None},
    ],
)
async def test_all_statements_of_a_policy_that_can_run_are_taken(
    shop: Shop, tmp_path: Path, changes: dict[str, Any]
) -> None:
    await make(shop)
    tables = await shop.query("SELECT count(*) FROM orders")
    found = await check(shop, tmp_path, **changes)
    assert (found.status, found.check) == (Status.OK, "old-orders.yaml"), found.detail
    assert await shop.query("SELECT count(*) FROM orders") == tables


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"where": {"sql": "no_such_column = 1"}}, "where: the database refuses it: "),
        ({"where": {"sql": "status = 'x' AND AND note = 'y'"}}, "where"),
        ({"where": {"age": {"column": "gone_at", "older_than": "90d"}}}, "table orders has no column 'gone_at'"),
        ({"table": "order_items", "where": AGE}, "table order_items has no column 'created_at'"),
    ],
)
async def test_what_the_database_refuses_is_told_with_file_and_field(
    shop: Shop, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    await make(shop)
    found = await check(shop, tmp_path, **changes)
    assert (found.status, found.check) == (Status.FAIL, "old-orders.yaml")
    assert says in found.detail


async def _as_reader(shop: Shop, folder: Path, url: str, *grants: str) -> None:
    """Check it as a user who may read tables only."""
    await make(shop)
    await shop.create(*grants)
    found = await check(shop, folder, url)
    assert found.status is Status.FAIL
    assert found.detail.startswith("table order") and ": the database refuses to " in found.detail
    assert "denied" in found.detail
    await shop.database.dispose()


async def test_a_right_that_is_missing_is_told_with_table_and_statement(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    shop = Shop(await postgres_server.create_database(), tmp_path / "archives")
    url = shop.url.replace("celeriac@", "only_reader@")
    await _as_reader(
        shop,
        tmp_path,
        url,
        "CREATE ROLE only_reader LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO only_reader",
    )


async def test_a_right_that_is_missing_in_mysql_is_told_with_table_and_statement(
    mariadb_server: MariadbServer, tmp_path: Path
) -> None:
    everybodys = Shop(mariadb_server.create_database(), tmp_path / "archives")  # as all whose names begin with test
    await everybodys.create("CREATE DATABASE rights", "CREATE USER only_reader@localhost")
    await everybodys.database.dispose()
    name = everybodys.url.partition("?")[0].rpartition("/")[2]
    shop = Shop(everybodys.url.replace(name, "rights"), tmp_path / "archives")
    url = shop.url.replace("root@", "only_reader@")
    await _as_reader(shop, tmp_path, url, "GRANT SELECT ON rights.* TO only_reader@localhost")


async def test_a_database_that_does_not_answer_is_told(shop: Shop, tmp_path: Path) -> None:
    found = await check(shop, tmp_path, "postgresql://127.0.0.1:1/shop")
    assert found.status is Status.FAIL and found.detail.startswith("connection shop: ")
