"""Moments stay the same, whatever the server's time zone is, or was when they were archived."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from celeriac.core.context import JobContext
from celeriac.families.cleanup.forms import RestoreForm
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.restoring import restore_run
from tests.support.cleanup_shop import Shop, policy
from tests.support.mariadb import MariadbServer

MOMENTS = "SELECT id, unix_timestamp(created_at) FROM orders ORDER BY id"


def of_the_last_hour() -> Policy:
    return policy(action="archive", where={"age": {"column": "created_at", "older_than": "1h"}})


@pytest.fixture
async def shop_far_west(mariadb_server: MariadbServer, tmp_path: Path) -> AsyncGenerator[Shop]:
    """The clock of its server's zone is five hours behind UTC."""
    shop = Shop(mariadb_server.create_database(), tmp_path / "archives")
    await move(shop, "-05\\:00")
    await shop.database.write(
        lambda c: c.exec_driver_sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, created_at TIMESTAMP NULL)")
    )
    await shop.execute("INSERT INTO orders VALUES (1, now() - INTERVAL 30 MINUTE), (2, now() - INTERVAL 3 DAY)")
    yield shop
    await move(shop, "SYSTEM")
    await shop.database.dispose()


async def move(shop: Shop, zone: str) -> None:
    await shop.execute(f"SET GLOBAL time_zone = '{zone}'")
    await shop.database.dispose()


async def test_what_is_young_stays_in_each_time_zone(shop_far_west: Shop) -> None:
    assert (await shop_far_west.run(of_the_last_hour())).rows == {"orders": 1}
    assert await shop_far_west.ids() == [1]


async def test_moments_come_back_the_same_although_the_server_has_another_zone_now(shop_far_west: Shop) -> None:
    before = await shop_far_west.query(MOMENTS)
    await shop_far_west.run(policy(action="archive", where={"sql": "id = 2"}), "old")
    await move(shop_far_west, "+03\\:00")
    await restore_run(
        shop_far_west.place,
        policy(action="archive", where={"sql": "id = 2"}),
        RestoreForm(policy="old-orders", run="old"),
        JobContext(id="back"),
        "test",
    )
    assert await shop_far_west.query(MOMENTS) == before
