"""The tables of webhooks, as their migrations make them."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

import celeriac.families.webhooks.tables  # noqa: F401  # pyright: ignore[reportUnusedImport] (its tables register)
from celeriac.database.engine import Database
from celeriac.database.tables import metadata
from celeriac.families.webhooks import WebhooksFamily
from tests.support.databases import database_url

__all__ = ["database_url"]

HISTORY = WebhooksFamily.migrations()


async def test_the_migrated_schema_is_the_one_the_code_declares(database_url: str) -> None:
    database = Database(database_url, lambda: [HISTORY])

    def differences(connection: Connection) -> list[Any]:
        options: dict[str, Any] = {"version_table": HISTORY.table, "compare_type": True, "include_object": _is_own}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    assert await database.read(differences) == []
    await database.dispose()


def _is_own(_: Any, name: str, kind: str, *__: Any) -> bool:
    """Other tests of the process may have registered the tables of other families."""
    return kind != "table" or name.startswith("celeriac_webhooks_")


def test_the_newest_script_is_the_declared_head() -> None:
    folder = HISTORY.location.replace(".", "/").replace(":", "/")
    scripts = ScriptDirectory("src/celeriac/database/migrations", version_locations=[f"src/{folder}"])
    assert scripts.get_current_head() == HISTORY.head
