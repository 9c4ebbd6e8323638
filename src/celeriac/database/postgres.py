"""The engine for Postgres, through asyncpg."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TypeVar

from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from celeriac.core import codec
from celeriac.core.errors import DatabaseRefused, DatabaseUnavailable, LockTimedOut
from celeriac.database.url import shown

T = TypeVar("T")

#: SQLSTATE for: the transaction was in the way of another one, and may be repeated. How often that is done.
_IN_THE_WAY, _REPEATS = ("40001", "40P01"), 5
#: Classes and codes of SQLSTATE for: no disk space or memory, the server shuts down, the server accepts no writes.
_TROUBLE = ("53", "57P", "25006")
#: The same for: a lock was not to be had in time.
_LOCKED = "55P03"
#: The same for: a wrong user or password, and a database that does not exist.
_REFUSED = ("28", "3D000")


class _InTheWay(DatabaseUnavailable):
    """The server has ended the transaction in favour of another one."""


class PostgresEngine:
    """An engine that runs transactions on a Postgres server.

    Each process and event loop has its own SQLAlchemy engine. Connections belong to the loop that opened them, and a
    parent and its forked child must not share them.
    """

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engines: dict[tuple[int, asyncio.AbstractEventLoop], AsyncEngine] = {}

    async def run(self, function: Callable[[Connection], T], *, write: bool) -> T:
        """Call `function` in a transaction; again if the server ended that in favour of another one (a deadlock).

        Raises:
            DatabaseUnavailable: the server cannot be reached, refuses us or is full, or the connection broke.
        """
        for _ in range(_REPEATS):
            with suppress(_InTheWay):
                return await self._run(function)
        return await self._run(function)

    async def _run(self, function: Callable[[Connection], T]) -> T:
        with self._translated():
            async with self._engine().begin() as connection:
                return await connection.run_sync(function)

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise DatabaseUnavailable(shown(self._url), str(error)) from error
        except DBAPIError as error:
            if _code(error) in _IN_THE_WAY:
                raise _InTheWay(shown(self._url), str(error.orig)) from error
            if _code(error).startswith(_REFUSED):
                raise DatabaseRefused(shown(self._url), str(error.orig)) from error
            if _code(error) == _LOCKED:
                raise LockTimedOut(shown(self._url), str(error.orig)) from error
            if error.connection_invalidated or _is_trouble(error):
                raise DatabaseUnavailable(shown(self._url), str(error.orig)) from error
            raise

    async def look(self, function: Callable[[Connection], T]) -> T:
        """Call `function` in a transaction. Queries create nothing."""
        return await self.run(function, write=False)

    async def outside(self, function: Callable[[Connection], T]) -> T:
        """Call `function`. Each of its statements is a transaction of its own."""
        with self._translated():
            async with self._engine().connect() as connection:
                alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
                return await alone.run_sync(function)

    async def dispose(self) -> None:
        """Close the connections of this process and event loop."""
        engine = self._engines.pop(_here(), None)
        if engine is not None:
            await engine.dispose()

    def _engine(self) -> AsyncEngine:
        # Keep the engines of a parent process: dropping them would close its connections.
        if _here() not in self._engines:
            self._engines[_here()] = create_async_engine(
                self._url,
                json_serializer=codec.dumps_text,
                json_deserializer=codec.loads,
                hide_parameters=True,  # errors, and so logs, have the statement without its values: some are secrets
            )
        return self._engines[_here()]


def _is_trouble(error: DBAPIError) -> bool:
    """Return whether the SQLSTATE says that the server itself is in trouble."""
    return _code(error).startswith(_TROUBLE)


def _code(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")


def _here() -> tuple[int, asyncio.AbstractEventLoop]:
    return os.getpid(), asyncio.get_running_loop()
