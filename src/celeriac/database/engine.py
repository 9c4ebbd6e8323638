"""The connection to the database: SQLite in one file by default, Postgres in production.

Work is handed over as a function of a SQLAlchemy `Connection`, which runs as one transaction:

    count = await database.read(lambda connection: connection.execute(query).scalar_one())
    await database.write(lambda connection: connection.execute(statement))

That keeps transactions short, since a function cannot wait for anything but the database, and makes SQLite fast
without blocking the event loop: a transaction is one hop to a thread. (An async SQLite driver makes such a hop for
every cursor, statement and commit, a dozen in all.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy.engine import URL, Connection

from celeriac.database.migrations import Migrations, State
from celeriac.database.url import parse_database_url, shown

T = TypeVar("T")


class Engine(Protocol):
    """What `Database` needs of each of its two kinds."""

    async def run(self, function: Callable[[Connection], T], *, write: bool) -> T:
        """Call `function` with a connection, as one transaction."""
        ...

    async def look(self, function: Callable[[Connection], T]) -> T:
        """Call `function` with a connection that only queries, and make nothing."""
        ...

    async def dispose(self) -> None:
        """Close this process's connections."""
        ...


class Database:
    """A lazily connected database, safe to build before a fork and to share by everything in a process."""

    def __init__(self, url: str, migrations: Callable[[], Sequence[Migrations]] = tuple) -> None:
        """`migrations` gives the histories of all tables that are used in it; it is asked at the first use.

        Raises:
            ConfigurationError: the URL is not understood, or its driver is not installed.
        """
        self._url = parse_database_url(url)
        self._migrations = migrations
        self._engine = _engine(self._url)
        self._is_migrated = False

    def __repr__(self) -> str:
        return f"Database({shown(self._url)!r})"

    async def read(self, function: Callable[[Connection], T]) -> T:
        """Call `function` with a connection and return its result. It must only query.

        With SQLite `function` runs in a thread, with Postgres in the thread of the event loop. So it must block on
        nothing but the connection, and must not touch data that other code changes.

        Raises:
            DatabaseUnavailable: no connection could be had, or it broke.
        """
        await self.ensure_schema()
        return await self._engine.run(function, write=False)

    async def write(self, function: Callable[[Connection], T]) -> T:
        """Like `read`, in a transaction that is committed when `function` returns and rolled back if it raises.

        Where this is cancelled, the transaction may still be committed.

        Raises:
            DatabaseUnavailable: no connection could be had, it broke, or SQLite stayed locked for 10 seconds.
        """
        await self.ensure_schema()
        return await self._engine.run(function, write=True)

    async def look(self, function: Callable[[Connection], T]) -> T:
        """Like `read`, of a database as it is: no table is made. Without an SQLite file, it looks at an empty one."""
        return await self._engine.look(function)

    async def ensure_schema(self) -> None:
        """Bring the schema up to date, by any number of processes at the same time. One query if it already is.

        The first use of the database does so by itself.

        Raises:
            SchemaTooNew: a newer version of a job family has migrated this database.
            DatabaseUnavailable: no connection could be had, it broke, or the disk is full.
        """
        if self._is_migrated:
            return
        for history, state in await self.states():
            if state is not State.UP_TO_DATE:
                await self._engine.run(history.upgrade, write=True)
        self._is_migrated = True

    def check_schema_again(self) -> None:
        """Let the next use look for missing tables once more: there is a history that was not known before."""
        self._is_migrated = False

    async def states(self) -> list[tuple[Migrations, State]]:
        """How the tables of each family stand to its scripts. Nothing is changed."""
        return await self.look(lambda connection: [(one, one.state(connection)) for one in self._migrations()])

    async def dispose(self) -> None:
        """Close the connections of this process. The next use opens new ones."""
        self._is_migrated = False
        await self._engine.dispose()


def _engine(url: URL) -> Engine:
    """The engine for `url`. Only its own modules are imported: those of Postgres take a third of a second."""
    if url.get_backend_name() == "sqlite":
        from celeriac.database.sqlite import SqliteEngine

        return SqliteEngine(url)
    from celeriac.database.postgres import PostgresEngine

    return PostgresEngine(url)
