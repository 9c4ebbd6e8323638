"""Reads a report's data from an SQLite file, which no query can change or leave.

The file is opened read-only. SQLite asks an authorizer about each thing that a statement would do, when it is prepared:
only reading tables and calling harmless functions is allowed. So there is no ATTACH, no PRAGMA, and no extension.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from celeriac.families.reports.errors import QueryFailed, SourceInvalid, SourceUnavailable
from celeriac.families.reports.sources.data import BATCH_ROWS, Data, Patience, Row
from celeriac.families.reports.sources.sql_text import ONLY_SELECT

#: Longest value in bytes, which also bounds what `zeroblob` or `printf` make.
_LONGEST_VALUE = 16_000_000
_HEAP_BYTES = 512_000_000
#: Steps of SQLite's machine between two looks at the clock: well below a millisecond.
_STEPS = 10_000
#: OverflowError: a number beyond 64 bits. MemoryError: SQLite's heap is full.
_FAULTS = (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError, MemoryError)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
#: Seconds to wait for one who writes.
_LOCKED_S = 5.0
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
#: Functions that reach out of the database, or that only programs need.
_REFUSED_FUNCTIONS = frozenset({"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "sqlite_dbpage"})


def file_of(url: str) -> Path:
    """Return the file that `sqlite:///relative` or `sqlite:////absolute` names."""
    return Path(unquote(urlsplit(url).path.removeprefix("/")))


@asynccontextmanager
async def read_sqlite(
    name: str, url: str, sql: str, parameters: Mapping[str, Any], patience: Patience
) -> AsyncGenerator[Data]:
    """Run the query on the connection `name`, and give its rows. It blocks the event loop while SQLite works.

    Raises:
        SourceInvalid: there is no such file.
        SourceUnavailable: it cannot be opened, or is locked by one who writes.
        QueryFailed: SQLite or the authorizer refuses the query, or its time is over.
    """
    with closing(_opened(name, file_of(url))) as connection:
        connection.set_progress_handler(lambda: patience.is_over, _STEPS)
        try:
            cursor = connection.execute(sql, {key: _sqlite_value(value) for key, value in parameters.items()})
        except _FAULTS as error:
            raise _failed(name, error, patience) from None
        if cursor.description is None:
            raise QueryFailed(f"connection {name}: the query has no rows; only SELECT is allowed")
        columns = [str(column[0]) for column in cursor.description]
        yield Data(columns=columns, batches=_batches(name, cursor, patience), texts="dates")


def check_sqlite(name: str, url: str) -> None:
    """Raise `SourceInvalid` or `SourceUnavailable` unless the file is there and is a database."""
    with closing(_opened(name, file_of(url))) as connection:
        try:
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
        except sqlite3.Error as error:
            raise SourceUnavailable(f"connection {name}: {error}") from None


def _opened(name: str, file: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(file))}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=_LOCKED_S,
        )
        connection.execute("PRAGMA query_only = on")
    except sqlite3.Error as error:
        kind = SourceUnavailable if file.exists() else SourceInvalid
        raise kind(f"connection {name}: {file.name}: {error}") from None
    for pragma in (
        "trusted_schema = off",
        "cell_size_check = on",
        "temp_store = memory",  # so that what a query sorts counts towards the limit, and fills no disk
        f"hard_heap_limit = {_HEAP_BYTES}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_authorizer(_authorize)
    return connection


def _authorize(action: int, first: str | None, second: str | None, *_: Any) -> int:
    if action == sqlite3.SQLITE_FUNCTION:
        allowed = (second or "").lower() not in _REFUSED_FUNCTIONS
    elif action == sqlite3.SQLITE_READ:
        allowed = not (first or "").lower().startswith(("pragma_", "sqlite_dbpage"))
    else:
        allowed = action in _ALLOWED
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


async def _batches(name: str, cursor: sqlite3.Cursor, patience: Patience) -> AsyncGenerator[list[Row]]:
    try:
        while batch := cursor.fetchmany(BATCH_ROWS):
            yield batch
    except _FAULTS as error:
        raise _failed(name, error, patience) from None


def _failed(name: str, error: Exception, patience: Patience) -> QueryFailed | SourceUnavailable:
    if patience.is_over and "interrupt" in str(error):
        return QueryFailed(
            f"connection {name}: the query took more than {patience.seconds:g} s (CELERIAC_REPORTS_QUERY_TIMEOUT)"
        )
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _LOCKED:  # above are details
        return SourceUnavailable(f"connection {name}: {error}")
    if isinstance(error, MemoryError):
        return QueryFailed(f"connection {name}: the query needs more than {_HEAP_BYTES // 1_000_000} MB of memory")
    if str(error) == "not authorized":  # what the authorizer has refused is a statement, and no function
        return QueryFailed(f"connection {name}: {ONLY_SELECT}")
    return QueryFailed(f"connection {name}: {error}")


def _sqlite_value(value: Any) -> Any:
    """SQLite has neither dates nor decimals: it compares them as the text or number that applications store."""
    if value is None or isinstance(value, int | float | str | bytes):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
