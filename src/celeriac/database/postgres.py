"""Postgres, through asyncpg."""

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

#: Classes and codes of SQLSTATE: no disk space or memory left, the server shuts down, it takes no writes.
_TROUBLE = ("53", "57P", "25006")


class PostgresEngine:
    """Runs transactions on a Postgres server.

    Each process and event loop has an engine of its own: connections belong to the loop they were opened on,
    and must not be used by a parent and its forked child.
    """

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engines: dict[tuple[int, asyncio.AbstractEventLoop], AsyncEngine] = {}

    async def run(self, function: Callable[[Connection], T], *, write: bool) -> T:
        """Call `function` in a transaction.

        Raises:
            DatabaseUnavailable: the server cannot be reached, refuses us or has no room, or the connection broke.
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
        """The same; a query makes nothing."""
        return await self.run(function, write=False)

    async def dispose(self) -> None:
        """Close the connections of this process and event loop."""
        engine = self._engines.pop(_here(), None)
        if engine is not None:
            await engine.dispose()

    def _engine(self) -> AsyncEngine:
        # Engines of a parent process are kept: dropping them would close connections that are not ours.
        if _here() not in self._engines:
            self._engines[_here()] = create_async_engine(
                self._url, json_serializer=_to_json, json_deserializer=codec.loads
            )
        return self._engines[_here()]


def _is_trouble(error: DBAPIError) -> bool:
    """Whether the server itself is in trouble, by its SQLSTATE."""
    return str(getattr(error.orig, "sqlstate", None) or "").startswith(_TROUBLE)


def _here() -> tuple[int, asyncio.AbstractEventLoop]:
    return os.getpid(), asyncio.get_running_loop()


def _to_json(value: Any) -> str:
    return codec.dumps(value).decode()
