"""The table whose old rows are deleted, and writers that go on with its young ones meanwhile."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

from benchmarks.peers.postgres import connect

#: Orders before this moment are old.
CUTOFF = datetime(2025, 1, 1, tzinfo=UTC)
_OLDEST = datetime(2020, 1, 1, tzinfo=UTC)
COLUMNS = ("id", "created_at", "customer", "status", "total", "note")
_TABLE = (
    "CREATE TABLE orders (id BIGINT PRIMARY KEY, created_at {moment} NOT NULL, customer BIGINT NOT NULL, "
    "status VARCHAR(20) NOT NULL, total {number} NOT NULL, note TEXT)"
)
_INDEX = "CREATE INDEX orders_created_at ON orders (created_at)"


def order(number: int, old: int) -> tuple[int, datetime, int, str, str, str]:
    """One order, of which the first `old` are before the cutoff."""
    moment = _OLDEST + timedelta(seconds=120 * number) if number < old else CUTOFF + timedelta(seconds=1 + number - old)
    return number, moment, number * 7919 % 50_000, "paid", f"{number % 9000 / 7:.2f}", f"order {number}, by post, gift"


async def fill_postgres(url: str, old: int, young: int) -> None:
    """Make the table on Postgres."""
    from decimal import Decimal

    connection = await connect(url)
    await connection.execute(_TABLE.format(moment="TIMESTAMPTZ", number="NUMERIC(12, 2)"))
    rows = (order(number, old) for number in range(old + young))
    records = ((*row[:4], Decimal(row[4]), row[5]) for row in rows)
    await connection.copy_records_to_table("orders", records=records, columns=COLUMNS)
    await connection.execute(_INDEX)
    await connection.execute("VACUUM ANALYZE orders")
    await connection.close()


def fill_sqlite(file: str, old: int, young: int) -> None:
    """Make the table in an SQLite file."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(_TABLE.format(moment="TIMESTAMP", number="NUMERIC"))
    rows = (order(number, old) for number in range(old + young))
    with connection:
        connection.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)",
            ((row[0], f"{row[1]:%Y-%m-%d %H:%M:%S.%f}", *row[2:]) for row in rows),
        )
    connection.execute(_INDEX)
    connection.execute("ANALYZE")
    connection.close()
