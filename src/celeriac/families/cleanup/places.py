"""Where policies work: a database, the tables there that may be cleaned, and the folder of archives."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from celeriac.database.engine import Database
from celeriac.database.migrations import Migrations
from celeriac.database.named import NamedDatabases
from celeriac.families.cleanup.errors import PolicyInvalid
from celeriac.families.cleanup.hidden import refuse_hidden
from celeriac.families.cleanup.plans import plan
from celeriac.families.cleanup.policy import Policy
from celeriac.families.cleanup.pruning import Keeping
from celeriac.families.cleanup.settings import CleanupSettings
from celeriac.families.cleanup.shapes import Catalogue, Shape
from celeriac.families.cleanup.work import Plan


def history() -> Migrations:
    """The history of our tables in databases that are cleaned."""
    return Migrations("cleanup", "celeriac.families.cleanup:migrations", head="0002")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one policy works."""

    database: Database
    tables: frozenset[str]
    archives: Path
    keeping: Keeping = field(default_factory=Keeping)

    def plan(self, connection: Connection, policy: Policy) -> Plan:
        """Plan a policy's work, and have the database check its SQL.

        Raises:
            PolicyInvalid: the database refuses the SQL, or the new values.
            TableRefused: a table cannot be cleaned, or may not be.
        """
        root = plan(policy, Catalogue(connection), lambda shape: self._is_allowed(policy, shape))
        if policy.removes:
            refuse_hidden(connection, root)
        planned = Plan.of(policy, root, connection.dialect)
        try:
            statement = planned.of_root().read_first
            connection.execute(statement, planned.condition(0) | {"celeriac_limit": 0}).fetchall()
        except DBAPIError as error:
            raise PolicyInvalid(f"where: the database refuses it: {error.orig}") from None
        return planned

    def _is_allowed(self, policy: Policy, shape: Shape) -> bool:
        return f"{policy.connection}.{shape.shown}" in self.tables


class Places:
    """The places of all policies of an application."""

    def __init__(self, settings: CleanupSettings, data_dir: Path) -> None:
        self.databases = NamedDatabases(
            settings.cleanup_connections, setting="CELERIAC_CLEANUP_CONNECTIONS", migrations=lambda: [history()]
        )
        self._tables = frozenset(settings.cleanup_tables)
        self._keeping = Keeping(settings.cleanup_retention, settings.cleanup_audit_retention)
        self._archives = settings.cleanup_archives or data_dir / "cleanup-archives"

    def check(self, policy: Policy) -> None:
        """Check what can be checked without a connection.

        Raises:
            PolicyInvalid: its connection is not known, or its table may not be cleaned.
        """
        if policy.connection not in self.databases:
            known = ", ".join(self.databases) or "there are none"
            raise PolicyInvalid(
                f"connection: none is named {policy.connection!r}; CELERIAC_CLEANUP_CONNECTIONS names them: {known}"
            )
        ending = policy.table.rpartition(".")[2]
        if not any(one.startswith(f"{policy.connection}.") and one.endswith(f".{ending}") for one in self._tables):
            raise PolicyInvalid(
                f"table: {policy.table} may not be cleaned: add {policy.connection}.{policy.table} to "
                "CELERIAC_CLEANUP_TABLES"
            )

    def of(self, policy: Policy) -> Place:
        """Return where a policy works.

        Raises:
            UnknownConnection: the setting does not name its connection.
        """
        return Place(self.databases.get(policy.connection), self._tables, self._archives, self._keeping)
