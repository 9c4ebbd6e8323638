"""A migration that is interrupted leaves the database as it was, and the next one goes through."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from celeriac.core.errors import DatabaseUnavailable
from celeriac.database.engine import Database
from celeriac.database.migrations import Migrations, State
from celeriac.database.url import parse_database_url
from celeriac.families.email import EmailFamily
from tests.support.slow import quick_first
from tests.support.waiting import wait_until
from tests.support.workers import ROOT

STALLING = Migrations("stalling", "tests.integration.database:stalling_family", head="0001")
UPGRADE = """
import asyncio, sys
from celeriac.database.engine import Database
from tests.integration.database.test_interrupted import STALLING

asyncio.run(Database(sys.argv[1], lambda: [STALLING]).ensure_schema())
"""


@pytest.mark.parametrize("database_url", quick_first(["sqlite", "postgres"]), indirect=True)
async def test_a_migration_that_is_killed_half_way_is_run_anew(database_url: str, tmp_path: Path) -> None:
    note = tmp_path / "half-way"
    environment = {**os.environ, "STALLS_AT": str(note)}
    killed = subprocess.Popen([sys.executable, "-c", UPGRADE, database_url], cwd=ROOT, env=environment)
    wait_until(note.exists, "the migration is half-way", within=60)
    killed.kill()
    killed.wait()
    database = Database(database_url, lambda: [STALLING])
    assert await database.states() == [(STALLING, State.BEHIND)]
    await database.ensure_schema()
    assert await database.states() == [(STALLING, State.UP_TO_DATE)]
    assert await database.read(lambda c: c.execute(text("SELECT id FROM celeriac_stalling_thing")).all()) == [(1,)]
    await database.dispose()


async def test_a_full_disk_is_a_database_that_cannot_be_used(tmp_path: Path) -> None:
    """For SQLite, a file that may not grow is a full disk."""
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}", lambda: [STALLING])
    await database.look(lambda connection: None)

    def fill(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE filling AS SELECT randomblob(8000000)"))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(DatabaseUnavailable, match="disk"):
            await database.write(fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await database.ensure_schema()
    assert await database.states() == [(STALLING, State.UP_TO_DATE)]
    await database.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_migration_does_not_wait_for_ever_for_a_transaction_that_stays_open(database_url: str) -> None:
    """Somebody's console, for example. Whoever comes later would wait behind the migration."""
    behind = Database(database_url, lambda: [EmailFamily.migrations()])
    await behind.ensure_schema()

    def one_back(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE celeriac_email_mailing DROP COLUMN left_out"))
        connection.execute(text("UPDATE celeriac_schema_email SET version_num = '0007'"))

    await behind.write(one_back)
    await behind.dispose()
    console = create_async_engine(parse_database_url(database_url))
    async with console.connect() as connection:
        await connection.execute(text("SELECT count(*) FROM celeriac_email_mailing"))
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            await asyncio.wait_for(behind.ensure_schema(), 60)
    await console.dispose()
    await behind.ensure_schema()
    assert [state for _, state in await behind.states()] == [State.UP_TO_DATE]
    await behind.dispose()
