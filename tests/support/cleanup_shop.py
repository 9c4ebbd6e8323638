"""A shop whose old rows are cleaned up: its tables on a real database, and what a run has done with them."""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from celeriac.core.context import JobContext
from celeriac.database.engine import Database
from celeriac.families.cleanup.places import Place, history
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.runs import Runner
from celeriac.families.cleanup.work import Gate, RunResult

OLD, NEW = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
ORDERS = "CREATE TABLE orders (id INTEGER PRIMARY KEY, created_at TIMESTAMP, status VARCHAR(20), note VARCHAR(200))"
ITEMS = (
    "CREATE TABLE order_items (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL, what VARCHAR(20), "
    "FOREIGN KEY (order_id) REFERENCES orders (id){rule})"
)
ITEMS_AT_COLUMN = (
    "CREATE TABLE order_items (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id){rule}, "
    "what VARCHAR(20))"
)
#: Ways to write the same foreign key. MySQL tells tables apart by the case of their names.
ITEMS_IN_ALL_FORMS = {
    "at table": ITEMS,
    "at column": ITEMS_AT_COLUMN,
    "other case": ITEMS.replace("(order_id)", "(ORDER_ID)").replace("orders (id)", "{orders} (ID)"),
    "other case at column": ITEMS_AT_COLUMN.replace("orders (id)", "{orders} (ID)"),
    "no columns": ITEMS_AT_COLUMN.replace(" (id)", "{implied}"),
}


@dataclass
class Shop:
    """A database that is not ours."""

    url: str
    archives: Path
    tables: set[str] = field(default_factory=lambda: {"shop.orders", "shop.order_items"})
    gates: Sequence[Gate] = ()

    def __post_init__(self) -> None:
        self.database = Database(self.url, lambda: [history()], is_ours=False)

    @property
    def place(self) -> Place:
        return Place(self.database, frozenset(self.tables), self.archives)

    async def create(self, *statements: str) -> None:
        """Run statements. MySQL's TIMESTAMP ends in 2038."""
        time = "TIMESTAMP" if self.database.dialect in ("sqlite", "postgresql") else "DATETIME"
        made = [one.replace("TIMESTAMP", time) for one in statements]
        await self.database.write(lambda c: [c.execute(text(one)) for one in made])

    async def add_orders(self, count: int, *, new_every: int = 6) -> None:
        """Add orders from 1 on, all of them old but for each `new_every`th. Every third has no note."""
        await self.create(ORDERS)
        rows = [_order(n, NEW if n % new_every == 0 else OLD) for n in range(1, count + 1)]
        await self.insert("orders", rows)

    async def add_items_table(self, rule: str, form: str = "at table") -> None:
        """Create the table of items, with one of the forms of its foreign key."""
        orders, implied = ("orders", " (id)") if self.database.dialect == "mysql" else ("Orders", "")
        await self.create(ITEMS_IN_ALL_FORMS[form].format(rule=rule, orders=orders, implied=implied))

    async def insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        names = ", ".join(rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        statement = text(f"INSERT INTO {table} ({names}) VALUES ({values})")
        sqlite = self.database.dialect == "sqlite"
        given = [{name: _plain(value) if sqlite else value for name, value in row.items()} for row in rows]
        await self.database.write(lambda c: c.execute(statement, given))

    async def execute(self, statement: str, **parameters: Any) -> None:
        await self.database.write(lambda c: c.execute(text(statement), parameters))

    async def query(self, statement: str) -> list[tuple[Any, ...]]:
        return await self.database.read(lambda c: list(map(tuple, c.execute(text(statement)))))

    async def ids(self, table: str = "orders") -> list[int]:
        return [row[0] for row in await self.query(f"SELECT id FROM {table} ORDER BY id")]

    async def run(self, policy: Policy, job: str = "job-1", who: str = "test") -> RunResult:
        return await Runner(policy, self.place, JobContext(id=job), self.gates).run(who)

    async def archived(self, step: str = "orders") -> list[dict[str, str]]:
        """The rows that the audit says are archived, from the places in the files that it names."""
        query = f"SELECT file, file_offset, file_length, file_sha256 FROM celeriac_cleanup_chunk WHERE step = '{step}'"
        members = [row for row in await self.query(f"{query} ORDER BY run_id, number") if row[0]]
        found: list[dict[str, str]] = []
        for file, offset, length, sha256 in members:
            content = (self.archives / file).read_bytes()
            member = content[offset : offset + length]
            assert hashlib.sha256(member).hexdigest() == sha256
            header = next(csv.reader(gzip.decompress(content).decode().splitlines()))
            rows = csv.reader(gzip.decompress(member).decode().splitlines())
            found += [dict(zip(header, row, strict=True)) for row in rows]
        return found


def policy(**changes: Any) -> Policy:
    """A policy that deletes old orders. Its chunks stay as large as they are on a busy machine, too."""
    where = {"age": {"column": "created_at", "older_than": "90d"}}
    plain = {"name": "old-orders", "connection": "shop", "table": "orders", "where": where, "action": "delete"}
    chunk = {"target_ms": 60_000, **changes.pop("chunk", {})}
    return Policy.model_validate({**plain, "chunk": chunk, **changes})


def _order(number: int, at: datetime) -> dict[str, Any]:
    note = None if number % 3 == 0 else f'order {number}, "quoted" ü'
    return {"id": number, "created_at": at.replace(tzinfo=None), "status": f"s{number % 4}", "note": note}


def _plain(value: Any) -> Any:
    return value.isoformat(" ") if isinstance(value, datetime) else value
