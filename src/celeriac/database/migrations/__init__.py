"""Migrates the tables. Each job family has its own history and version table.

So a family that is switched off or removed does not stop the others from migrating. Alembic runs the scripts on a
connection in which the caller has begun a transaction. Alembic loads slowly, so it is imported only to migrate.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, text

from celeriac.core.errors import SchemaTooNew

if TYPE_CHECKING:  # it loads slowly, and most processes find nothing to migrate
    from alembic.config import Config

# All processes that migrate take this Postgres lock first. The number is arbitrary, but must never change.
_LOCK_KEY = 0x63656C6572
#: Seconds that a migration on Postgres waits for tables that others use.
_PATIENCE_S = 10
#: Alembic keeps the connection of the script that runs in variables of the process. Two at once would mix databases up.
_one_at_a_time = threading.Lock()
_LOOK_AGAIN_S = 0.01


class State(StrEnum):
    """The state of a family's tables, compared with its scripts."""

    UP_TO_DATE = "up to date"
    BEHIND = "behind"
    """There are scripts to run."""
    NEWER = "newer"
    """A newer version of the family has migrated them."""


@dataclass(frozen=True, slots=True)
class Migrations:
    """The history of a family's tables.

    Attributes:
        family: the family's name.
        location: the folder of its scripts, as `package:folder`.
        head: the newest script.
        former_table: the former name of its version table; empty if it had none.
    """

    family: str
    location: str
    head: str
    former_table: str = ""

    @property
    def table(self) -> str:
        """The version table. It is not `alembic_version`, which may belong to the application."""
        return f"celeriac_schema_{self.family}"

    def current(self, connection: Connection) -> str | None:
        """Return the revision of the database, or None if it has none of the family's tables yet."""
        known = inspect(connection)
        for table in filter(None, (self.table, self.former_table)):
            if known.has_table(table):
                return connection.execute(text(f"SELECT version_num FROM {table}")).scalar()  # noqa: S608 (our own)
        return None

    def state(self, connection: Connection) -> State:
        """Compare the database's tables with the scripts. If they are up to date, Alembic is not imported."""
        current = self.current(connection)
        if current == self.head:
            return State.UP_TO_DATE if inspect(connection).has_table(self.table) else State.BEHIND
        return State.BEHIND if current is None or current in self._revisions() else State.NEWER

    def upgrade(self, connection: Connection) -> None:
        """Run the missing scripts, inside the current transaction of `connection`.

        Processes that migrate at the same time wait for each other: on SQLite for the write lock with which the
        transaction began, on Postgres and MySQL for an advisory lock. All but the first then find nothing to do. A
        process that is killed leaves the database unchanged, but for MySQL, which commits each change of a table.

        Raises:
            SchemaTooNew: this version does not know the database's revision.
            DBAPIError: a transaction that stays open keeps the tables from being changed (Postgres).
        """
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})"))
            # A transaction that stays open (somebody's console) would hold up this one, and all behind it, for ever.
            connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE_S}s'"))
        with _lock_of_mysql(connection):
            self._run_scripts(connection)

    def _run_scripts(self, connection: Connection) -> None:
        from alembic import command

        if self.state(connection) is State.NEWER:
            raise SchemaTooNew(
                f"the tables of the job family {self.family!r} are at revision {self.current(connection)!r}, and the "
                f"installed version knows none after {self.head!r}: install the version that migrated them, or a newer "
                "one"
            )
        self._rename_table(connection)
        config = self._config()
        config.attributes.update(connection=connection, version_table=self.table)
        command.upgrade(config, "head")

    def _revisions(self) -> set[str]:
        """Return the revisions of all scripts."""
        from alembic.script import ScriptDirectory

        scripts = ScriptDirectory.from_config(self._config())
        return {script.revision for script in scripts.walk_revisions()}

    def _config(self) -> Config:
        from alembic.config import Config

        config = Config()
        config.set_main_option("path_separator", "newline")
        config.set_main_option("script_location", "celeriac.database:migrations")
        config.set_main_option("version_locations", self.location)
        return config

    def _rename_table(self, connection: Connection) -> None:
        known = inspect(connection)
        if self.former_table and known.has_table(self.former_table) and not known.has_table(self.table):
            connection.execute(text(f"ALTER TABLE {self.former_table} RENAME TO {self.table}"))


async def run_alone(migrating: Coroutine[Any, Any, None]) -> None:
    """Await a migration while no other one runs in this process, in whatever thread or event loop.

    If this is cancelled, the migration goes on to its end, and others wait for it: its thread cannot be stopped.
    """
    try:
        while not _one_at_a_time.acquire(blocking=False):  # noqa: ASYNC110 (other threads have no event of this loop)
            await asyncio.sleep(_LOOK_AGAIN_S)
    except BaseException:
        migrating.close()
        raise
    task = asyncio.ensure_future(migrating)
    task.add_done_callback(_let_the_next_one)
    await asyncio.shield(task)


def _let_the_next_one(ended: asyncio.Task[None]) -> None:
    _one_at_a_time.release()
    if not ended.cancelled():
        ended.exception()  # somebody has looked at it


def load_scripts() -> None:
    """Import what runs scripts. That takes a second or two, in which others shall not wait for a lock of ours."""
    from alembic import command
    from alembic.runtime import migration

    del command, migration


@contextmanager
def _lock_of_mysql(connection: Connection) -> Generator[None]:
    """Hold the lock of all who migrate. MySQL's do not end with the transaction."""
    if connection.dialect.name not in ("mysql", "mariadb"):
        yield
        return
    connection.execute(text(f"SELECT GET_LOCK(CONCAT('celeriac ', DATABASE()), {_PATIENCE_S * 6})"))
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(CONCAT('celeriac ', DATABASE()))"))
