"""The histories of the tables: one for each job family, with a version table of its own.

So a family that is switched off, or gone, keeps no other from being brought up to date. Alembic runs the scripts, on a
connection that the caller has begun; it takes a while to import, so that is left until there is something to migrate.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, inspect, text

from celeriac.core.errors import ConfigurationError

# Any number will do, as long as it stays the same: all processes that migrate take this Postgres lock first.
_LOCK_KEY = 0x63656C6572


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

    def is_behind(self, connection: Connection) -> bool:
        """Whether there is something to migrate."""
        return self.current(connection) != self.head or not inspect(connection).has_table(self.table)

    def upgrade(self, connection: Connection) -> None:
        """Run the scripts that are missing, inside the transaction that `connection` is in.

        Processes that do so at the same time wait for each other: on SQLite for the write lock that the
        transaction began with, on Postgres for an advisory lock. All but the first then find nothing to do.

        Raises:
            ConfigurationError: the database is at a revision that this version does not know.
        """
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})"))
        self._rename_table(connection)
        config = Config()
        config.set_main_option("path_separator", "newline")
        config.set_main_option("script_location", "celeriac.database:migrations")
        config.set_main_option("version_locations", self.location)
        config.attributes.update(connection=connection, version_table=self.table)
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise ConfigurationError(
                f"the tables of {self.family} are at revision {self.current(connection)!r}, which this version of "
                f"Celeriac does not know (it knows up to {self.head!r}); run the version that migrated them, or a newer"
            ) from None

    def _rename_table(self, connection: Connection) -> None:
        known = inspect(connection)
        if self.former_table and known.has_table(self.former_table) and not known.has_table(self.table):
            connection.execute(text(f"ALTER TABLE {self.former_table} RENAME TO {self.table}"))
