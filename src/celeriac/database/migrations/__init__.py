"""The schema's history. Alembic runs the scripts in `versions/`, on a connection that the caller has begun.

Alembic takes a while to import, so that is left until there is something to migrate.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from celeriac.core.errors import ConfigurationError

#: The newest script in `versions/`.
HEAD = "0002"

#: Celeriac's own, since the database may have an `alembic_version` of the application's.
VERSION_TABLE = "celeriac_schema"

# Any number will do, as long as it stays the same: all processes that migrate take this Postgres lock first.
_LOCK_KEY = 0x63656C6572


def current_revision(connection: Connection) -> str | None:
    """The revision the database is at, or None if it has none of Celeriac's tables yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 (a constant)


def upgrade(connection: Connection) -> None:
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
    config = Config()
    config.set_main_option("script_location", "celeriac.database:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise ConfigurationError(
            f"the database is at revision {current_revision(connection)!r}, which this version of Celeriac does not "
            f"know (it knows up to {HEAD!r}); run the version that migrated it, or a newer one"
        ) from None
