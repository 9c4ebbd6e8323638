"""A cleanup with archive and children, while its worker and the API are killed at random points: no row is lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy.exc import DatabaseError

from tests.e2e.conftest import Stack
from tests.support.cleanup_shop import ITEMS, Shop
from tests.support.databases import postgres_server
from tests.support.postgres import PostgresServer
from tests.support.waiting import eventually, wait_until

__all__ = ["postgres_server"]

POLICY = """
connection: shop
table: orders
where: {age: {column: created_at, older_than: 90d}}
action: archive
children: auto
chunk: {rows: 50}
"""
RECENT_OF, ITEMS_EACH = 6, 2
#: A job whose worker vanishes five times is given up.
MOST_WORKERS = 4


@asynccontextmanager
async def shop_at(url: str, folder: Path, orders: int) -> AsyncGenerator[Shop]:
    """A shop with orders, of which one in six is recent, and two items each."""
    shop = Shop(url, folder / "archives")
    await shop.add_orders(orders, new_every=RECENT_OF)
    await shop.create(ITEMS.format(rule=""), "CREATE INDEX items_of_order ON order_items (order_id)")
    items = [{"id": n, "order_id": 1 + (n - 1) // ITEMS_EACH, "what": f"item {n}"} for n in range(1, 2 * orders + 1)]
    await shop.insert("order_items", items)
    yield shop
    await shop.database.dispose()


@asynccontextmanager
async def stack_for(shop: Shop, folder: Path) -> AsyncGenerator[Stack]:
    (folder / "policies").mkdir()
    (folder / "policies" / "old-orders.yaml").write_text(POLICY)
    variables = {
        "CELERIAC_CLEANUP_CONNECTIONS": f"shop={shop.url}",
        "CELERIAC_CLEANUP_TABLES": "shop.orders shop.order_items",
        "CELERIAC_CLEANUP_FOLDER": str(folder / "policies"),
        "CELERIAC_CLEANUP_ARCHIVES": str(shop.archives),
    }
    stack = Stack(folder, [], variables)
    try:
        await asyncio.to_thread(stack.wait_until_ready)
        yield stack
    finally:
        await asyncio.to_thread(stack.stop)


async def answer(client: httpx2.AsyncClient, method: str, path: str, **options: Any) -> dict[str, Any]:
    """What the API answers, once it is there."""

    async def ask() -> dict[str, Any] | None:
        with suppress(httpx2.HTTPError):
            response = await client.request(method, path, **options)
            if response.status_code < 500:
                assert response.status_code in (200, 202), response.text
                return dict(response.json())
        return None

    found = await eventually(ask, f"{method} {path}")
    assert found is not None
    return found


async def archived_so_far(shop: Shop) -> int:
    try:
        found = await shop.query("SELECT COALESCE(sum(row_count), 0) FROM celeriac_cleanup_chunk")
    except DatabaseError:  # the run has not created it yet
        return 0
    return int(found[0][0])


async def kill_at_random(stack: Stack, shop: Shop, rows: int, *, workers: int, apis: int, seed: int) -> None:
    """Kill workers and the API when so many rows are archived, and a little later: somewhere within a chunk."""
    dice = random.Random(seed)
    victims = ["worker"] * workers + ["api"] * apis
    dice.shuffle(victims)
    for victim, point in zip(victims, sorted(dice.sample(range(rows * 9 // 10), len(victims))), strict=True):
        await eventually(lambda point=point: reached(shop, point), f"{point} rows are archived")
        await asyncio.sleep(dice.uniform(0, 0.02))  # not to wait for something: to strike anywhere
        os.kill(await asyncio.to_thread(pid_of, stack, victim), signal.SIGKILL)


async def reached(shop: Shop, point: int) -> bool:
    return await archived_so_far(shop) > point


def pid_of(stack: Stack, part: str) -> int:
    """The process of the worker or of the API, as soon as there is one again."""

    def look() -> int | None:
        try:
            return stack.worker() if part == "worker" else stack.pid("asgi")
        except (LookupError, FileNotFoundError, StopIteration):
            return None

    found = wait_until(look, f"there is a process of the {part}")
    assert found is not None
    return found


async def assert_that_each_row_is_somewhere(shop: Shop, result: dict[str, Any], orders: int) -> None:
    """Table and archive have all rows, each once and as it was, and the audit adds up."""
    for table, step, count in (("orders", "orders", orders), ("order_items", "orders.order_items", 2 * orders)):
        left = set(await shop.ids(table))
        rows = await shop.archived(step)
        archived = {int(row["id"]) for row in rows}
        assert len(rows) == len(archived) == result["rows"][step] == count - count // RECENT_OF
        assert not left & archived
        assert left | archived == set(range(1, count + 1))
    items = {int(row["id"]): row for row in await shop.archived("orders.order_items")}
    assert all((int(row["order_id"]), row["what"]) == (1 + (n - 1) // 2, f"item {n}") for n, row in items.items())
    files = {file["path"] for file in result["files"]}
    assert {str(path) for path in shop.archives.glob("*.csv.gz")} == files
    assert sum(file["rows"] for file in result["files"]) == sum(result["rows"].values())


async def outlast(url: str, folder: Path, *, orders: int, workers: int, apis: int, seed: int) -> None:
    assert workers <= MOST_WORKERS
    rows = (orders - orders // RECENT_OF) * (1 + ITEMS_EACH)
    async with (
        shop_at(url, folder, orders) as shop,
        stack_for(shop, folder) as stack,
        httpx2.AsyncClient(base_url=stack.address("api"), timeout=30) as client,
    ):
        begin = {"json": {}, "headers": {"Idempotency-Key": "tonight"}}
        run = (await answer(client, "POST", "/cleanup/policies/old-orders/runs", **begin))["id"]
        await kill_at_random(stack, shop, rows, workers=workers, apis=apis, seed=seed)

        async def ended() -> dict[str, Any] | None:
            job = await answer(client, "GET", f"/jobs/{run}")
            return job if job["state"] in ("succeeded", "failed", "dead", "cancelled") else None

        job = await eventually(ended, "the run has ended")
        assert job is not None and job["state"] == "succeeded", f"{job}\n{stack.log}"
        result = (await answer(client, "GET", f"/jobs/{run}/result"))["result"]
        assert result["state"] == "done"
        assert (await answer(client, "GET", f"/cleanup/runs/{run}"))["rows"] == result["rows"]
        await assert_that_each_row_is_somewhere(shop, result, orders)


async def test_a_cleanup_outlasts_a_killed_worker_and_a_killed_api(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "shop.db").close()
    await outlast(f"sqlite:///{tmp_path / 'shop.db'}", tmp_path, orders=600, workers=1, apis=1, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_cleanup_outlasts_many_kills(
    tmp_path: Path, kind: str, seed: int, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        sqlite3.connect(tmp_path / "shop.db").close()
        url = f"sqlite:///{tmp_path / 'shop.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = await server.create_database()
    await outlast(url, tmp_path, orders=6000, workers=MOST_WORKERS, apis=3, seed=seed)
