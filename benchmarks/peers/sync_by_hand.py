"""What a good engineer writes in an hour: page after page on aiohttp, upserts with executemany, a commit for each page.

python -m benchmarks.peers.sync_by_hand URL DATABASE [SECONDS_FILE]

It keeps no cursor, retries nothing, and infers no column. It prints its seconds, CPU seconds and peak memory in MiB.
"""

from __future__ import annotations

import resource
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import aiohttp
import orjson
import uvloop

from benchmarks.peers.postgres import connect

_COLUMNS = "id, customer, amount, paid, note, address, tags, updated_at"
_CHANGED = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[1:])
_UPSERT = f"ON CONFLICT (id) DO UPDATE SET {_CHANGED}"
_TABLE = (
    "CREATE TABLE orders (id BIGINT PRIMARY KEY, customer TEXT, amount DOUBLE PRECISION, paid BOOLEAN, note TEXT, "
    "address {json}, tags {json}, updated_at {moment})"
)

Write = Callable[[list[dict[str, Any]]], Awaitable[None]]


async def main(url: str, database: str) -> None:
    write = await (_sqlite if database.startswith("sqlite") else _postgres)(database)
    began = time.monotonic()
    async with aiohttp.ClientSession() as session:
        after: int | None = 0
        while after is not None:
            async with session.get(f"{url}/orders", params={"after": after}) as response:
                response.raise_for_status()
                page = orjson.loads(await response.read())
            await write(page["data"])
            after = page.get("next")
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


async def _sqlite(url: str) -> Write:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(_TABLE.format(json="TEXT", moment="TEXT"))
    statement = f"INSERT INTO orders ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) {_UPSERT}"

    async def write(records: list[dict[str, Any]]) -> None:
        with connection:
            connection.executemany(statement, [_row(record) for record in records])

    return write


async def _postgres(url: str) -> Write:
    connection = await connect(url)
    await connection.execute(_TABLE.format(json="JSONB", moment="TIMESTAMPTZ"))
    statement = f"INSERT INTO orders ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) {_UPSERT}"

    async def write(records: list[dict[str, Any]]) -> None:
        rows = [(*_row(record)[:7], datetime.fromisoformat(record["updated_at"])) for record in records]
        async with connection.transaction():
            await connection.executemany(statement, rows)

    return write


def _row(record: dict[str, Any]) -> tuple[Any, ...]:
    return (
        record["id"],
        record["customer"],
        record["amount"],
        record["paid"],
        record["note"],
        orjson.dumps(record["address"]).decode(),
        orjson.dumps(record["tags"]).decode(),
        record["updated_at"],
    )


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2]))
