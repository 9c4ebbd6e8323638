"""`celeriac db`: the tables of the job families."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import typer

from celeriac.core.extras import require
from celeriac.terminal import AsJson, Column, print_json, print_table

if TYPE_CHECKING:
    from celeriac.database.engine import Database


class _Row(NamedTuple):
    family: str
    revision: str | None
    newest: str
    state: str


db = typer.Typer(name="db", help="The tables of the job families.", no_args_is_help=True)


@db.command()
def current(as_json: AsJson = False) -> None:
    """Show the current and the newest revision of each family's tables. Create and migrate nothing."""
    _show(asyncio.run(_rows(upgrade=False)), as_json)


@db.command()
def upgrade(as_json: AsJson = False) -> None:
    """Bring the tables of all families up to date. Without this command, their first use does that."""
    _show(asyncio.run(_rows(upgrade=True)), as_json)


async def _rows(*, upgrade: bool) -> list[_Row]:
    database = _open()
    try:
        if upgrade:
            await database.ensure_schema()
        states = await database.states()
        revisions = await database.look(lambda connection: [one.current(connection) for one, _ in states])
        return [_Row(one.family, found, one.head, state) for (one, state), found in zip(states, revisions, strict=True)]
    finally:
        await database.dispose()


def _open() -> Database:
    require("db")
    from celeriac.database.engine import Database
    from celeriac.discovery import migrations
    from celeriac.settings import load_settings

    settings = load_settings()
    return Database(settings.database(), lambda: migrations(settings))


def _show(rows: list[_Row], as_json: bool) -> None:
    if as_json:
        print_json([row._asdict() for row in rows])
        return
    columns = [Column(name=name) for name in _Row._fields]
    print_table(columns, [[cell or "none" for cell in row] for row in rows])
