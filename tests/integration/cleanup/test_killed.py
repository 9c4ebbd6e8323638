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
    rows = await shop.archived()
    archived = {int(row["id"]): row["note"] for row in rows}
    assert len(archived) == len(rows), "a row is archived twice"
    assert not set(left) & set(archived)
    assert set(left) | set(archived) == set(range(1, orders + 1))
    assert all(note == f'order {n}, "quoted" ü' or (n % 3 == 0 and note == r"\N") for n, note in archived.items())
    return len(left), len(archived)


@pytest.mark.slow
async def test_a_worker_is_killed_ten_times_at_random_points(shop: Shop) -> None:
    await _kill_often(shop, orders=24_000, rows=500, points=400, kills=KILLS)


async def test_a_worker_is_killed_at_random_points(shop: Shop) -> None:
    await _kill_often(shop, orders=1_200, rows=100, points=100, kills=3)


async def _kill_often(shop: Shop, *, orders: int, rows: int, points: int, kills: int) -> None:
    """Kill runs at one of their first `points` each. The last one, which lives, is here: a process takes a second."""
    await shop.add_orders(orders)
    chosen = policy(action="archive", chunk={"rows": rows})
    seeded, killed = random.Random(4711), 0
    while killed < kills:
        code = await run_apart(shop, chosen, "job-1", seeded.randrange(20, 20 + points))
        await look(shop, orders)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
    assert killed >= min(kills, 3)
    assert (await shop.run(chosen)).state == "done"
    assert await look(shop, orders) == (orders // 6, orders - orders // 6)
