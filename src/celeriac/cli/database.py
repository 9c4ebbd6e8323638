"""`celeriac db`: the tables of the job families."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from celeriac.cli.output import AsJson, Column, print_json, print_table
from celeriac.core.extras import require

if TYPE_CHECKING:
    from celeriac.database.engine import Database
    from celeriac.database.migrations import Migrations

db = typer.Typer(name="db", help="The tables of the job families.", no_args_is_help=True)


@db.command()
def current(as_json: AsJson = False) -> None:
    """Show the revision of each family's tables, and the newest one. Migrates nothing."""
    rows = asyncio.run(_revisions(upgrade=False))
    _show(rows, as_json)


@db.command()
def upgrade(as_json: AsJson = False) -> None:
    """Bring the tables of all families up to date. What uses them does so by itself; this does it beforehand."""
    rows = asyncio.run(_revisions(upgrade=True))
    _show(rows, as_json)


async def _revisions(*, upgrade: bool) -> list[tuple[Migrations, str | None]]:
    database, histories = _open()
    try:
        if upgrade:
            await database.ensure_schema()
        return await database.look(lambda connection: [(one, one.current(connection)) for one in histories])
    finally:
        await database.dispose()


def _open() -> tuple[Database, list[Migrations]]:
    require("database", "`celeriac db`")
    from celeriac.database.engine import Database
    from celeriac.discovery import migrations
    from celeriac.settings import load_settings

    settings = load_settings()
    histories = migrations(settings)
    return Database(settings.database(), lambda: histories), histories


def _show(rows: list[tuple[Migrations, str | None]], as_json: bool) -> None:
    if as_json:
        print_json([{"family": one.family, "revision": revision, "newest": one.head} for one, revision in rows])
        return
    columns = [Column(name=name) for name in ("family", "revision", "newest")]
    print_table(columns, [[one.family, revision or "none", one.head] for one, revision in rows])
