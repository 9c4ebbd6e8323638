"""The tables that syncs keep beside their rows, in the destination's database. Times are milliseconds of its clock."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from celeriac.core import codec
from celeriac.database.leases import Leases, lease_columns
from celeriac.database.tables import metadata

#: SQLite numbers rows by itself only if their key is an INTEGER.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")


class _Json(TypeDecorator[Any]):
    """JSON in a text. In a column of the type JSON, SQLite makes a number of `7`, and MySQL has other rules again."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else codec.dumps_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else codec.loads(value)


_VALUE = _Json()

#: Who runs a sync.
lock_table = Table(
    "celeriac_sync_lock",
    metadata,
    Column("sync", String(100), primary_key=True),
    *lease_columns(),
)

#: The right to run a sync. Each commit of a run wants it.
LEASES = Leases(lock_table, what="the sync", lasting_ms=120_000)

#: How far a stream is. `parent` is '' but for the children of one parent. A pass reads a stream once, from its first
#: page to its last, over as many runs as that takes. `phase` is idle, reading or read (a refresh, not swapped yet).
#: `cursor` is where the next pass begins; it becomes the greatest value of this pass, `pending`, when that ends.
#: `done_run` is the run that has ended the last one: another attempt of its job does not begin a new one.
#: `has_news`: this pass has read more than records at the cursor, which came before.
#: `kept` is what the source itself wants to have at the next pass.
state_table = Table(
    "celeriac_sync_state",
    metadata,
    Column("sync", String(100), primary_key=True),
    Column("stream", String(100), primary_key=True),
    Column("parent", String(64), primary_key=True),
    Column("phase", String(8), nullable=False),
    Column("pass", String(64), nullable=False),
    Column("is_full", Boolean, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("origin", String(64), nullable=False),
    Column("done_run", String(100), nullable=False),
    Column("has_news", Boolean, nullable=False),
    Column("place", _VALUE),
    Column("cursor", _VALUE),
    Column("pending", _VALUE),
    Column("counts", _VALUE),
    Column("kept", _VALUE),
    Column("updated_at", BigInteger, nullable=False),
)

#: One run. Its id is its job's. `counts` has those of each stream.
run_table = Table(
    "celeriac_sync_run",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("sync", String(100), nullable=False),
    Column("state", String(12), nullable=False),
    Column("error", Text),
    Column("counts", _VALUE),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index(None, "sync", "started_at"),
    Index(None, "started_at"),
)

#: A record that was not written, and why. `position` is its place on its page, from 0.
reject_table = Table(
    "celeriac_sync_reject",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("sync", String(100), nullable=False),
    Column("stream", String(100), nullable=False),
    Column("run", String(100), nullable=False),
    Column("page", BigInteger, nullable=False),
    Column("position", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index(None, "sync", "number"),
    Index(None, "at"),
    sqlite_autoincrement=True,
)

#: The parents whose children a stream reads: what its paths need of them. `pass` is the last one that has seen them.
parent_table = Table(
    "celeriac_sync_parent",
    metadata,
    Column("sync", String(100), primary_key=True),
    Column("stream", String(100), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("fields", _VALUE, nullable=False),
    Column("pass", String(64), nullable=False),
)

#: Which field of the records a column has. `is_fixed`: its type was declared, or is a key's, and never changes.
column_table = Table(
    "celeriac_sync_column",
    metadata,
    Column("table", String(200), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("field", Text, nullable=False),
    Column("kind", String(12), nullable=False),
    Column("is_fixed", Boolean, nullable=False),
    Column("place", Integer, nullable=False),
)

TABLES = (lock_table, state_table, run_table, reject_table, parent_table, column_table)
