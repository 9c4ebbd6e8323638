"""The engine for MySQL and MariaDB, through pymysql. Celeriac works there on tables of others."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError

from celeriac.core import codec
from celeriac.core.errors import DatabaseRefused, DatabaseUnavailable, LockTimedOut
from celeriac.database.threads import THREADS, ThreadedEngine
from celeriac.database.url import shown

T = TypeVar("T")

#: Errors for: too many connections, the server stops, is read-only, or is gone.
_TROUBLE = frozenset({1040, 1053, 1290, 2003, 2006, 2013, 2055})
#: The error for: a lock was not to be had in time.
_LOCKED = 1205
#: Errors for: a wrong user or password, and a database that does not exist or is not for us.
_REFUSED = frozenset({1044, 1045, 1049, 1698})
#: The error for: the transaction was in the way of another one, and may be repeated. How often that is done.
_DEADLOCK, _REPEATS = 1213, 5
#: The error for a savepoint that has gone with such a transaction: it comes in place of the other. It has other uses.
_GONE = 1305
_CONNECT_S = 10


class _InTheWay(DatabaseUnavailable):
    """The server has ended the transaction in favour of another one."""


class MysqlEngine(ThreadedEngine):
    """An engine that runs transactions on a MySQL server, with one hop to a thread for each."""

    _name = "mysql"

    def __init__(self, url: URL) -> None:
        super().__init__()
        self._url = url

    async def run(self, function: Callable[[Connection], T], *, write: bool) -> T:
        """Call `function` in a transaction; again if the server ended that in favour of another one (a deadlock).

        Raises:
            DatabaseUnavailable: the server cannot be reached, refuses us, or the connection broke.
        """
        for _ in range(_REPEATS):
            with suppress(_InTheWay):
                return await super().run(function, write=write)
        return await super().run(function, write=write)

    def _open(self) -> Engine:
        engine = create_engine(
            self._url,
            json_serializer=codec.dumps_text,
            json_deserializer=codec.loads,
            pool_size=THREADS,
            pool_pre_ping=True,  # the server closes connections that were idle for some hours
            connect_args={"connect_timeout": _CONNECT_S},
            isolation_level="READ COMMITTED",  # no locks on gaps, which would hold up writers of other rows
            hide_parameters=True,  # errors, and so logs, have the statement without its values: some are secrets
        )
        event.listen(engine, "connect", _use_utc)
        return engine

    def _write(self, engine: Engine, function: Callable[[Connection], T]) -> T:
        with self._translated(), engine.begin() as connection:
            return function(connection)

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except DBAPIError as error:
            arguments = getattr(error.orig, "args", ())
            code = arguments[0] if arguments else None
            if code == _DEADLOCK or (code == _GONE and "SAVEPOINT" in str(error.orig)):
                raise _InTheWay(shown(self._url), str(error.orig)) from error
            if code in _REFUSED:
                raise DatabaseRefused(shown(self._url), str(error.orig)) from error
            if code == _LOCKED:
                raise LockTimedOut(shown(self._url), str(error.orig)) from error
            if error.connection_invalidated or code in _TROUBLE:
                raise DatabaseUnavailable(shown(self._url), str(error.orig)) from error
            raise


def _use_utc(connection: Any, _: object) -> None:
    """Give and take moments in UTC. In the server's zone, one hour of autumn is there twice."""
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
