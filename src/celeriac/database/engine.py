"""The connection to the database: SQLite in one file by default, Postgres in production.

Callers pass a function of a SQLAlchemy `Connection`, which runs as one transaction:

    count = await database.read(lambda connection: connection.execute(query).scalar_one())
    await database.write(lambda connection: connection.execute(statement))

A function can wait only for the database, so transactions stay short. With SQLite, each transaction is one hop to a
thread, which is fast and does not block the event loop. (An async SQLite driver makes such a hop for every cursor,
statement and commit, a dozen in all.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError

from celeriac.core.errors import DatabaseRefused
from celeriac.database.migrations import Migrations, State, load_scripts, run_alone
from celeriac.database.url import parse_database_url, shown

T = TypeVar("T")


class Engine(Protocol):
    """The interface of the engines for SQLite and Postgres."""

    async def run(self, function: Callable[[Connection], T], *, write: bool) -> T:
        """Call `function` with a connection, as one transaction."""
        ...

    async def look(self, function: Callable[[Connection], T]) -> T:
        """Call `function` with a connection that only queries. Create neither a file nor a table."""
        ...

    async def outside(self, function: Callable[[Connection], T]) -> T:
        """Call `function` with a connection on which each statement is a transaction of its own."""
        ...

    async def dispose(self) -> None:
        """Close this process's connections."""
        ...


class Database:
    """A database that connects at its first use. Build it before a fork, and share it within a process."""

    def __init__(
        self,
        url: str,
        migrations: Callable[[], Sequence[Migrations]] = tuple,
        *,
        is_ours: bool = True,
        may_create: bool = False,
    ) -> None:
        """
        Args:
            url: its SQLAlchemy URL.
            migrations: returns the histories of all our tables in it. The first use of the database calls it.
            is_ours: whether Celeriac may create an SQLite file and choose how it is written. A database of others may
                also be MySQL.
            may_create: whether an SQLite file of others may be created, in a folder that exists.

        Raises:
            ConfigurationError: the URL is wrong, or its driver is not installed.
        """
        self._url = parse_database_url(url, is_ours=is_ours)
        self._migrations = migrations
        self._engine = _engine(self._url, is_ours, may_create)
        self._is_migrated = False

    def __repr__(self) -> str:
        return f"Database({self.address!r})"

    @property
    def dialect(self) -> str:
        """The name of its SQL dialect: `sqlite`, `postgresql`, `mysql` or `mariadb`."""
        return self._url.get_backend_name()

    @property
    def address(self) -> str:
        """Its URL without the password, for people."""
        return shown(self._url)

    async def read(self, function: Callable[[Connection], T]) -> T:
        """Call `function` with a connection, and return its result. It must only query.

        With SQLite `function` runs in a thread, with Postgres in the thread of the event loop. So it must block on
        nothing but the connection, and must not touch data that other code changes.

        Raises:
            DatabaseUnavailable: connecting failed, or the connection broke.
        """
        await self.ensure_schema()
        return await self._engine.run(function, write=False)

    async def write(self, function: Callable[[Connection], T]) -> T:
        """Like `read`, but commit the transaction when `function` returns, and roll it back if it raises.

        A cancelled call may still commit its transaction.

        Raises:
            DatabaseUnavailable: connecting failed, the connection broke, or SQLite stayed locked for 10 seconds.
        """
        await self.ensure_schema()
        return await self._engine.run(function, write=True)

    async def look(self, function: Callable[[Connection], T]) -> T:
        """Like `read`, but create no tables. If the SQLite file does not exist, query an empty database."""
        return await self._engine.look(function)

    async def outside(self, function: Callable[[Connection], T]) -> T:
        """Like `write`, but begin no transaction: each statement is one of its own, as `VACUUM` wants it.

        Raises:
            DatabaseUnavailable: as `write`.
        """
        await self.ensure_schema()
        return await self._engine.outside(function)

    async def ensure_schema(self) -> None:
        """Bring the schema up to date. Any number of processes may do so at once. One query if it already is.

        The first use of the database does so by itself.

        Raises:
            SchemaTooNew: a newer version of a job family has migrated this database.
            DatabaseUnavailable: connecting failed, the connection broke, or the disk is full.
            DatabaseRefused: the password is wrong, there is no such database, or a privilege is missing.
        """
        if self._is_migrated:
            return
        try:
            await self._migrate()
        except DBAPIError as error:  # a privilege is missing, say
            reason = str(error.orig).partition("\n")[0]
            raise DatabaseRefused(self.address, f"our own tables cannot be read or made there: {reason}") from error
        self._is_migrated = True

    async def _migrate(self) -> None:
        behind = [history for history, state in await self.states() if state is not State.UP_TO_DATE]
        if behind:
            await asyncio.to_thread(load_scripts)
        for history in behind:
            await run_alone(self._engine.run(history.upgrade, write=True))

    def check_schema_again(self) -> None:
        """Have the next use look for missing tables again. Call this when a family adds a history."""
        self._is_migrated = False

    async def has_tables(self) -> bool:
        """Return whether all our tables are there, in whatever version. Create none.

        Raises:
            DatabaseUnavailable: as `read`.
        """
        if self._is_migrated:
            return True
        return await self.look(lambda c: all(history.current(c) is not None for history in self._migrations()))

    async def states(self) -> list[tuple[Migrations, State]]:
        """Return for each family whether its tables are up to date. Change nothing."""
        return await self.look(lambda connection: [(one, one.state(connection)) for one in self._migrations()])

    async def dispose(self) -> None:
        """Close the connections of this process. The next use opens new ones."""
        self._is_migrated = False
        await self._engine.dispose()


def _engine(url: URL, is_ours: bool, may_create: bool) -> Engine:
    """Make the engine for `url`. Import only its own modules: those of Postgres take a third of a second."""
    if url.get_backend_name() == "sqlite":
        from celeriac.database.sqlite import SqliteEngine

        return SqliteEngine(url, is_ours=is_ours, may_create=may_create)
    if url.get_backend_name() == "postgresql":
        from celeriac.database.postgres import PostgresEngine

        return PostgresEngine(url)
    from celeriac.database.mysql import MysqlEngine

    return MysqlEngine(url)
