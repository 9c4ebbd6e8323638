"""The histories of the tables: one for each job family, with a version table of its own.

So a family that is switched off, or gone, keeps no other from being brought up to date. Alembic runs the scripts, on a
connection that the caller has begun; it takes a while to import, so that is left until there is something to migrate.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from celeriac.core.errors import SchemaTooNew

if TYPE_CHECKING:  # it takes a while to import, and most processes find nothing to migrate
    from alembic.config import Config

# Any number will do, as long as it stays the same: all processes that migrate take this Postgres lock first.
_LOCK_KEY = 0x63656C6572


class State(StrEnum):
    """How the tables of a family stand to its scripts."""

    UP_TO_DATE = "up to date"
    BEHIND = "behind"
    """There are scripts to run."""
    NEWER = "newer"
    """A newer version of the family has migrated them."""


@dataclass(frozen=True, slots=True)
class Migrations:
    """The history of a family's tables.

    Attributes:
        family: its name.
        location: where its scripts are, as `package:folder`.
        head: the newest of them.
        former_table: what its version table was called before; empty if it never had another name.
    """

    family: str
    location: str
    head: str
    former_table: str = ""

    @property
    def table(self) -> str:
        """The version table. Celeriac's own, since the database may have an `alembic_version` of the application's."""
        return f"celeriac_schema_{self.family}"

    def current(self, connection: Connection) -> str | None:
        """The revision that the database is at, or None if it has none of the family's tables yet."""
        known = inspect(connection)
        for table in filter(None, (self.table, self.former_table)):
            if known.has_table(table):
                return connection.execute(text(f"SELECT version_num FROM {table}")).scalar()  # noqa: S608 (our own)
        return None

    def state(self, connection: Connection) -> State:
        """How the database's tables stand to the scripts. Alembic is not imported if they are up to date."""
        current = self.current(connection)
        if current == self.head:
            return State.UP_TO_DATE if inspect(connection).has_table(self.table) else State.BEHIND
        return State.BEHIND if current is None or current in self._revisions() else State.NEWER

    def upgrade(self, connection: Connection) -> None:
        """Run the scripts that are missing, inside the transaction that `connection` is in.

        Processes that do so at the same time wait for each other: on SQLite for the write lock that the
        transaction began with, on Postgres for an advisory lock. All but the first then find nothing to do. A process
        that is killed meanwhile leaves the database as it was.

        Raises:
            SchemaTooNew: the database is at a revision that this version does not know.
        """
        from alembic import command

        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})"))
        if self.state(connection) is State.NEWER:
            raise SchemaTooNew(
                f"the tables of the job family {self.family!r} are at revision {self.current(connection)!r}, and the "
                f"installed version knows none after {self.head!r}: install the version that has migrated them, or a "
                "newer one"
            )
        self._rename_table(connection)
        config = self._config()
        config.attributes.update(connection=connection, version_table=self.table)
        command.upgrade(config, "head")

    def _revisions(self) -> set[str]:
        """All revisions that there are scripts for."""
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
