"""The engine for SQLite. The processes of one machine share a file, and each uses a few threads for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DatabaseError

from celeriac.core import codec
from celeriac.core.errors import DatabaseUnavailable
from celeriac.core.files import touch_private
from celeriac.database.url import shown

T = TypeVar("T")

_THREADS = 8
#: SQLite's error codes for a file that no statement can use: it is locked, read-only, damaged or not a database, or the
#: disk is full or fails.
_TROUBLE = frozenset(
    {
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR),
        *(sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB),
    }
)
#: What each connection keeps of the file, in KiB. There are as many as threads, and the system keeps the file as well.
_CACHE_KIB = 800
# A transaction takes milliseconds. A write lock that is not free after so long means trouble.
_BUSY_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class _Process:
    """The open connections and threads of one process. A forked child must not use its parent's."""

    engine: Engine
    threads: ThreadPoolExecutor


class SqliteEngine:
    """An engine that runs transactions on an SQLite file, with one hop to a thread for each."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._processes: dict[int, _Process] = {}

    async def run(self, function: Callable[[Connection], T], *, write: bool) -> T:
        """Call `function` in a thread.

        Raises:
            DatabaseUnavailable: the file cannot be opened, read or written, or stayed locked.
        """
        process = self._process()
        transaction = self._write if write else self._read
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(process.threads, transaction, process.engine, function)

    async def look(self, function: Callable[[Connection], T]) -> T:
        """Call `function` in a thread. Without a file, give it an empty database for the moment.

        Raises:
            DatabaseUnavailable: the file cannot be read, or stayed locked.
        """
        file = _file(self._url)
        if file is None or file.exists():
            return await self.run(function, write=False)
        return await asyncio.to_thread(_with_empty_database, function)

    async def dispose(self) -> None:
        """Close this process's connections and end its threads."""
        process = self._processes.pop(os.getpid(), None)
        if process is not None:
            await asyncio.to_thread(process.threads.shutdown)
            process.engine.dispose()

    def _process(self) -> _Process:
        # Keep the entries of parent processes: dropping them would close their connections.
        if os.getpid() not in self._processes:
            self._processes[os.getpid()] = _open(self._url)
        return self._processes[os.getpid()]

    def _read(self, engine: Engine, function: Callable[[Connection], T]) -> T:
        with self._translated(), engine.connect() as connection:
            return function(connection)

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
            raise DatabaseUnavailable(shown(self._url), str(cause)) from error


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


def _open(url: URL) -> _Process:
    if (file := _file(url)) is not None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # SQLite's own error says more
            touch_private(file)  # it may hold personal data; SQLite gives its log the same mode
    engine = create_engine(
        url,
        json_serializer=_to_json,
        json_deserializer=codec.loads,
        pool_size=_THREADS,
        hide_parameters=True,  # errors, and so logs, have the statement without its values: some of them are secrets
    )
    event.listen(engine, "connect", _configure)
    return _Process(engine, ThreadPoolExecutor(_THREADS, thread_name_prefix="celeriac-sqlite"))


def _to_json(value: Any) -> str:
    return codec.dumps(value).decode()


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
