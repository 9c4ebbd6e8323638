"""The engine for Postgres, through asyncpg."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from celeriac.core import codec
from celeriac.core.errors import DatabaseUnavailable
from celeriac.database.url import shown

T = TypeVar("T")

#: Classes and codes of SQLSTATE for: no disk space or memory, the server shuts down, the server accepts no writes.
_TROUBLE = ("53", "57P", "25006")


class PostgresEngine:
    """An engine that runs transactions on a Postgres server.

    Each process and event loop has its own SQLAlchemy engine. Connections belong to the loop that opened them, and a
    parent and its forked child must not share them.
    """

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engines: dict[tuple[int, asyncio.AbstractEventLoop], AsyncEngine] = {}

    async def run(self, function: Callable[[Connection], T], *, write: bool) -> T:
        """Call `function` in a transaction.

        Raises:
            DatabaseUnavailable: the server cannot be reached, refuses us or is full, or the connection broke.
        """
        try:
            async with self._engine().begin() as connection:
                return await connection.run_sync(function)
        except OSError as error:
            raise DatabaseUnavailable(shown(self._url), str(error)) from error
        except DBAPIError as error:
            if error.connection_invalidated or _is_trouble(error):
                raise DatabaseUnavailable(shown(self._url), str(error.orig)) from error
            raise

    async def look(self, function: Callable[[Connection], T]) -> T:
        """Call `function` in a transaction. Queries create nothing."""
        return await self.run(function, write=False)

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
                json_serializer=_to_json,
                json_deserializer=codec.loads,
                hide_parameters=True,  # errors, and so logs, have the statement without its values: some are secrets
            )
        return self._engines[_here()]


def _is_trouble(error: DBAPIError) -> bool:
    """Return whether the SQLSTATE says that the server itself is in trouble."""
    return str(getattr(error.orig, "sqlstate", None) or "").startswith(_TROUBLE)


def _here() -> tuple[int, asyncio.AbstractEventLoop]:
    return os.getpid(), asyncio.get_running_loop()


def _to_json(value: Any) -> str:
    return codec.dumps(value).decode()
