"""The engine for SQLite. The processes of one machine share a file, and each uses a few threads for it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DatabaseError

from celeriac.core import codec
from celeriac.core.errors import DatabaseRefused, DatabaseUnavailable
from celeriac.core.files import touch_private
from celeriac.database.threads import THREADS, ThreadedEngine
from celeriac.database.url import shown

T = TypeVar("T")

#: SQLite's error codes for a file that no statement can use: it is locked, read-only, damaged or not a database, or the
#: disk is full or fails.
_TROUBLE = frozenset(
    {
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR),
        *(sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB),
    }
)
#: Of these: the file cannot be opened, as its folder does not exist, say; or it is no database.
_REFUSED = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB})
#: What each connection keeps of the file, in KiB. There are as many as threads, and the system keeps the file as well.
_CACHE_KIB = 800
# A transaction takes milliseconds. A write lock that is not free after so long means trouble.
_BUSY_TIMEOUT_S = 10


class SqliteEngine(ThreadedEngine):
    """An engine that runs transactions on an SQLite file, with one hop to a thread for each."""

    _name = "sqlite"

    def __init__(self, url: URL, *, is_ours: bool = True, may_create: bool = False) -> None:
        """A file that is not `ours` is written as its owners have chosen. It has to exist unless we `may_create` it."""
        super().__init__()
        self._url = url
        self._is_ours = is_ours
        self._may_create = may_create

    async def look(self, function: Callable[[Connection], T]) -> T:
        """Call `function` in a thread. Without a file, give it an empty database for the moment.

        Raises:
            DatabaseUnavailable: the file cannot be read, or stayed locked.
        """
        file = _file(self._url)
        if file is None or file.exists() or not self._is_ours:
            return await super().look(function)
        return await asyncio.to_thread(_with_empty_database, function)

    def _open(self) -> Engine:
        file = _file(self._url)
        if self._is_ours and file is not None:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # SQLite's own error says more
                touch_private(file)  # it may hold personal data; SQLite gives its log the same mode
        elif self._may_create and file is not None and not file.exists():
            _create(file)
        engine = create_engine(
            self._url,
            json_serializer=codec.dumps_text,
            json_deserializer=codec.loads,
            pool_size=THREADS,
            hide_parameters=True,  # errors, and so logs, have the statement without its values: some are secrets
            **({} if self._is_ours or file is None else {"creator": lambda: _connect_to_existing(file)}),
        )
        event.listen(engine, "connect", _configure if self._is_ours else _configure_of_others)
        return engine

    def _write(self, engine: Engine, function: Callable[[Connection], T]) -> T:
        with self._translated(), engine.connect() as connection, connection.begin():
            # Take the write lock first. A transaction that reads and then writes cannot wait for it: SQLite refuses
            # at once, whatever the timeout.
            connection.connection.cursor().execute("BEGIN IMMEDIATE")
            return function(connection)

    @contextlib.contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except (DatabaseError, sqlite3.DatabaseError) as error:  # sqlite3's comes from `_configure`
            cause = getattr(error, "orig", error)
            if not _is_trouble(cause):
                raise
            kind = DatabaseRefused if getattr(cause, "sqlite_errorcode", 0) & 0xFF in _REFUSED else DatabaseUnavailable
            raise kind(shown(self._url), str(cause)) from error


def _is_trouble(error: object) -> bool:
    """Return whether the file is in trouble, rather than the statement wrong."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _TROUBLE


def _with_empty_database(function: Callable[[Connection], T]) -> T:
    engine = create_engine("sqlite://")
    try:
        with engine.connect() as connection:
            return function(connection)
    finally:
        engine.dispose()


def _file(url: URL) -> Path | None:
    """Return the database's file, or None for a URI, which only SQLite can read."""
    return Path(url.database) if url.database and not url.database.startswith("file:") else None


def _create(file: Path) -> None:
    """Create a file for others, in which readers and the writer do not block each other."""
    with contextlib.suppress(OSError, sqlite3.Error):  # whoever connects is told why
        touch_private(file)
        with contextlib.closing(sqlite3.connect(file)) as connection:
            _use_wal(connection)


def _connect_to_existing(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, check_same_thread=False)


def _configure_of_others(dbapi_connection: Any, record: object) -> None:
    dbapi_connection.isolation_level = None
    dbapi_connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_S * 1000}")
    dbapi_connection.execute("PRAGMA foreign_keys = ON")


def _configure(dbapi_connection: Any, record: object) -> None:
    dbapi_connection.isolation_level = None  # `_write` begins transactions, not the driver
    dbapi_connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_S * 1000}")
    _use_wal(dbapi_connection)
    dbapi_connection.execute("PRAGMA synchronous = NORMAL")  # in WAL: a commit survives the process, not a power cut
    dbapi_connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    dbapi_connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(dbapi_connection: Any) -> None:
    """Switch to write-ahead logging, in which readers and the writer do not block each other.

    If several processes switch at once, SQLite refuses without waiting for its lock.
    """
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            dbapi_connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
