"""The shop of the demo: its orders in SQLite, customers who write meanwhile, and what is where at the end."""

from __future__ import annotations

import csv
import gzip
import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

#: One order of so many is recent, and stays. They lie between the others, not at the end.
RECENT_OF = 6
_OLD, _RECENT = timedelta(days=800), timedelta(days=60)
_TABLE = """CREATE TABLE orders (
    id INTEGER PRIMARY KEY, changed_at TIMESTAMP NOT NULL, customer TEXT NOT NULL, cents INTEGER NOT NULL, note TEXT
)"""
_FILL = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO orders SELECT
    n,
    datetime(CASE WHEN n % :recent_of THEN :old ELSE :recent END, '+' || n || ' seconds'),
    'customer ' || (n * 7919 % 50000),
    500 + n * 7919 % 25000,
    CASE WHEN n % 3 THEN 'order "' || n || '", delivered' END
FROM numbers
"""
#: The recent orders, in columns that customers do not change while the cleanup runs.
_RECENT_ORDERS = "SELECT id, changed_at, customer, cents FROM orders WHERE id % :of = 0 ORDER BY id"
_HERE = "SELECT id, changed_at, customer, cents FROM orders WHERE id <= :last ORDER BY id"
#: Writers come one after another, as customers do. A pause lets others have the lock.
_WRITER_PAUSE_S = 0.01
_PATIENCE_S = 60.0


def fill(path: Path, count: int) -> None:
    """Make the shop's database with `count` orders."""
    now = datetime.now(UTC)
    told = {"count": count, "recent_of": RECENT_OF}
    told |= {"old": f"{now - _OLD:%Y-%m-%d %H:%M:%S}", "recent": f"{now - _RECENT:%Y-%m-%d %H:%M:%S}"}
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # readers and the writer are not in each other's way
        connection.execute(_TABLE)
        connection.execute(_FILL, told)
        connection.commit()


@dataclass
class Customers:
    """Two threads that write to the shop until they are stopped: one adds orders, one changes recent ones.

    Attributes:
        added: the ids of new orders.
        changed: how many changes of recent orders were committed.
        slowest_ms: how long the longest of their transactions took, with its wait for the lock.
        faults: what went wrong.
    """

    path: Path
    count: int
    added: list[int] = field(default_factory=list[int])
    changed: int = 0
    slowest_ms: float = 0.0
    faults: list[str] = field(default_factory=list[str])
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list[threading.Thread])

    def __enter__(self) -> Customers:
        self._threads = [threading.Thread(target=self._write, args=(act,)) for act in (self._add, self._change)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, act: Any) -> None:
        try:
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = NORMAL")
                while not self._stop.wait(_WRITER_PAUSE_S):
                    began = time.monotonic()
                    connection.execute("BEGIN IMMEDIATE")
                    done = act(connection)
                    connection.execute("COMMIT")
                    done()
                    self.slowest_ms = max(self.slowest_ms, 1000 * (time.monotonic() - began))
        except sqlite3.Error as error:
            self.faults.append(f"a customer could not write: {error}")

    def _add(self, connection: sqlite3.Connection) -> Any:
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        row = connection.execute("INSERT INTO orders VALUES (NULL, ?, 'new customer', 900, NULL) RETURNING id", [now])
        (number,) = row.fetchone()
        return lambda: self.added.append(int(number))

    def _change(self, connection: sqlite3.Connection) -> Any:
        number = RECENT_OF * (1 + self.changed * 7919 % (self.count // RECENT_OF))
        change = connection.execute("UPDATE orders SET note = 'changed meanwhile' WHERE id = ?", [number])

        def done() -> None:
            self.changed += 1
            if change.rowcount != 1:
                self.faults.append(f"the recent order {number} is gone")

        return done


@dataclass(frozen=True)
class Counted:
    """What was found at the end.

    Attributes:
        archived: rows in the archive that are as they were.
        left: rows in the table that should stay, and are as they were.
        faults: what is wrong.
    """

    archived: int
    left: int
    faults: Sequence[str]


def count(before: Path, after: Path, files: Sequence[Mapping[str, Any]], added: Sequence[int], orders: int) -> Counted:
    """Compare each order with what it was: the old ones are in the archive, all others in the table, each once."""
    faults = [f"{file['path']} has another SHA-256" for file in files if _sha256(Path(file["path"])) != file["sha256"]]
    archived, left = 0, 0
    with closing(sqlite3.connect(before)) as was, closing(sqlite3.connect(after)) as now:
        old = was.execute("SELECT * FROM orders WHERE id % ? ORDER BY id", [RECENT_OF])
        for row in _archived(files):
            archived += row == old.fetchone()
        if archived != orders - orders // RECENT_OF or old.fetchone() is not None:
            faults.append(f"{archived:,} of the old orders are in the archive as they were")
        recent = was.execute(_RECENT_ORDERS, {"of": RECENT_OF})
        for row in now.execute(_HERE, {"last": orders}):
            left += row == recent.fetchone()
        if left != orders // RECENT_OF or recent.fetchone() is not None:
            faults.append(f"{left:,} of the recent orders are in the table as they were")
        here = [number for (number,) in now.execute("SELECT id FROM orders WHERE id > ? ORDER BY id", [orders])]
        (rows,) = now.execute("SELECT count(*) FROM orders").fetchone()
    if here != sorted(added):
        faults.append(f"{len(added):,} orders were added meanwhile, and {len(here):,} are there")
    if rows != left + len(here):
        faults.append(f"the table has {rows:,} rows, of which {rows - left - len(here):,} should not be there")
    return Counted(archived, left, faults)


def _archived(files: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """Read the archive's rows as anybody can who has gzip and csv."""
    for file in files:
        with gzip.open(file["path"], "rt", encoding="utf-8", newline="") as text:
            rows = csv.reader(text)
            next(rows)
            for number, changed_at, customer, cents, note in rows:
                yield int(number), changed_at, customer, int(cents), None if note == r"\N" else note


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
