"""kill -9 anywhere: every row is in its table or in the archive, once, and the database says where."""

from __future__ import annotations

import random
import signal

import pytest

from tests.support.cleanup_shop import Shop, policy
from tests.support.cleanup_worker import run_apart

KILLS = 10


async def look(shop: Shop, orders: int) -> tuple[int, int]:
    """Check that each order is in one place, as it was, and that files have nothing that the audit does not know."""
    left = {int(row[0]): row[3] for row in await shop.query("SELECT id, created_at, status, note FROM orders")}
    archived = {int(row["id"]): row["note"] for row in await shop.archived()}
    assert len(archived) == len(await shop.archived()), "a row is archived twice"
    assert not set(left) & set(archived)
    assert set(left) | set(archived) == set(range(1, orders + 1))
    assert all(note == f'order {n}, "quoted" ü' or (n % 3 == 0 and note == r"\N") for n, note in archived.items())
    return len(left), len(archived)


@pytest.mark.slow
async def test_a_worker_is_killed_ten_times_at_random_points(shop: Shop) -> None:
    await _kill_often(shop, orders=24_000, kills=KILLS)


async def test_a_worker_is_killed_at_random_points(shop: Shop) -> None:
    await _kill_often(shop, orders=6_000, kills=3)


async def _kill_often(shop: Shop, *, orders: int, kills: int) -> None:
    await shop.add_orders(orders)
    chosen = policy(action="archive", chunk={"rows": 500})
    points = random.Random(4711)
    killed = 0
    while killed < kills:
        code, _ = await run_apart(shop, chosen, "job-1", points.randrange(20, 20 + orders // 60))
        await look(shop, orders)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
    assert killed >= min(kills, 3)
    code, output = await run_apart(shop, chosen, "job-1", 0)
    assert code == 0
    assert output.startswith("done")
    assert await look(shop, orders) == (orders // 6, orders - orders // 6)
