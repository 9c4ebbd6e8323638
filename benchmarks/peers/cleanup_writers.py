"""Writers of a shop that goes on: each inserts an order and pays one, 50 times a second, on the young rows.

python -m benchmarks.peers.cleanup_writers DATABASE FIRST WRITERS

They end with their input. Then it prints how many writes there were, and the milliseconds of the slowest.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal

from benchmarks.peers.postgres import connect

_EVERY_S = 0.02

Write = Callable[[int, int], Awaitable[None]]


async def main(database: str, first: int, writers: int) -> None:
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    took: list[float] = []

    async def write(number: int) -> None:
        do = await (_sqlite if database.startswith("sqlite") else _postgres)(database)
        count = 0
        while not ended.done():
            began = time.monotonic()
            await do(first + 1_000_000 * (1 + number) + count, first - 1 - (number + writers * count) % 1000)
            took.append(time.monotonic() - began)
            count += 1
            await asyncio.sleep(_EVERY_S)

    print("ready", flush=True)
    await asyncio.gather(*map(write, range(writers)))
    print(len(took), max(took) * 1000, sorted(took)[len(took) * 99 // 100] * 1000)


async def _postgres(url: str) -> Write:
    connection = await connect(url)

    async def write(new: int, paid: int) -> None:
        async with connection.transaction():
            values = (new, datetime.now(UTC), 1, "new", Decimal("9.90"), "now")
            await connection.execute("INSERT INTO orders VALUES ($1, $2, $3, $4, $5, $6)", *values)
            await connection.execute("UPDATE orders SET status = 'paid', total = total + 1 WHERE id = $1", paid)

    return write


async def _sqlite(url: str) -> Write:
    file = url.removeprefix("sqlite:///")

    def write_in_thread(new: int, paid: int) -> None:
        connection = sqlite3.connect(file, timeout=30)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            values = (new, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}", 1, "new", 9.9, "now")
            connection.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", values)
            connection.execute("UPDATE orders SET status = 'paid', total = total + 1 WHERE id = ?", (paid,))
        connection.close()

    async def write(new: int, paid: int) -> None:
        await asyncio.to_thread(write_in_thread, new, paid)

    return write


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
