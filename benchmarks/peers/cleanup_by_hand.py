"""A loop over the key, as a good engineer writes it: select a chunk, append it to a CSV.gz, delete it, commit.

python -m benchmarks.peers.cleanup_by_hand DATABASE FILE

It checks nothing, waits for nobody, and cannot be killed: then rows would be in the archive twice. It prints its
seconds, its CPU seconds and its peak memory in MiB.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import resource
import sqlite3
import sys
import time
from typing import Any

from benchmarks.peers.cleanup_orders import CUTOFF
from benchmarks.peers.postgres import connect

_CHUNK = 1000
_LEVEL = 6


async def main(database: str, file: str) -> None:
    began = time.monotonic()
    with gzip.open(file, "wt", compresslevel=_LEVEL, newline="") as stream:
        writer = csv.writer(stream)
        if database.startswith("sqlite"):
            _sqlite(database.removeprefix("sqlite:///"), writer)
        else:
            await _postgres(database, writer)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


async def _postgres(url: str, writer: Any) -> None:
    connection = await connect(url)
    select = await connection.prepare(
        f"SELECT * FROM orders WHERE created_at < $1 AND id > $2 ORDER BY id LIMIT {_CHUNK}"
    )
    last = -1
    while rows := await select.fetch(CUTOFF, last):
        writer.writerows(map(tuple, rows))
        async with connection.transaction():
            await connection.execute("DELETE FROM orders WHERE id = ANY($1)", [row["id"] for row in rows])
        last = rows[-1]["id"]
    await connection.close()


def _sqlite(file: str, writer: Any) -> None:
    connection = sqlite3.connect(file, timeout=30)
    connection.execute("PRAGMA synchronous = NORMAL")
    select = f"SELECT * FROM orders WHERE created_at < ? AND id > ? ORDER BY id LIMIT {_CHUNK}"
    last = -1
    while rows := connection.execute(select, (f"{CUTOFF:%Y-%m-%d %H:%M:%S}", last)).fetchall():
        writer.writerows(rows)
        with connection:
            connection.executemany("DELETE FROM orders WHERE id = ?", [(row[0],) for row in rows])
        last = rows[-1][0]
    connection.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
