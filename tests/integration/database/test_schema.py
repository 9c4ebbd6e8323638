"""The migrations, on real databases."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import Connection, inspect, text

import celeriac.families.email.feedback_tables
import celeriac.families.email.tables  # noqa: F401 (the tables of both register with the metadata)
from celeriac import Celeriac, Settings
from celeriac.core.errors import SchemaTooNew
from celeriac.database.engine import Database
from celeriac.database.migrations import Migrations, State
from celeriac.database.tables import metadata
from celeriac.families.email import EmailFamily
from tests.support.slow import quick_first

EMAIL = EmailFamily.migrations()
NOWHERE = "redis://127.0.0.1:1"
FIRST_ON_SQLITE = pytest.mark.parametrize("database_url", quick_first(["sqlite", "postgres"]), indirect=True)

# Prints whether Alembic was needed.
ENSURE_SCHEMA = """
import asyncio, sys
from celeriac.database.engine import Database
from celeriac.families.email import EmailFamily

asyncio.run(Database(sys.argv[1], lambda: [EmailFamily.migrations()]).ensure_schema())
print("alembic" in sys.modules)
"""


async def test_the_migrated_schema_is_the_one_the_code_declares(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        options = {"version_table": EMAIL.table, "compare_type": True, "include_object": _is_of_email}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    assert await database.read(differences) == []


def _is_of_email(_: Any, name: str, kind: str, *__: Any) -> bool:
    """Other tests of the process may have registered the tables of other families."""
    return kind != "table" or name.startswith("celeriac_email")


def test_the_newest_script_is_the_declared_head() -> None:
    folder = EMAIL.location.replace(".", "/").replace(":", "/")
    scripts = ScriptDirectory("src/celeriac/database/migrations", version_locations=[f"src/{folder}"])
    assert scripts.get_current_head() == EMAIL.head


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
async def test_processes_that_start_at_once_migrate_once(database_url: str) -> None:
    database = Database(database_url, lambda: [EMAIL])
    children = [fork(database.ensure_schema) for _ in range(8)]
    statuses = await asyncio.gather(*(asyncio.to_thread(os.waitpid, child, 0) for child in children))
    assert [os.waitstatus_to_exitcode(status) for _, status in statuses] == [0] * 8
    assert await database.read(EMAIL.current) == EMAIL.head
    await database.dispose()


def fork(job: Callable[[], Coroutine[Any, Any, None]]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(job())
            code = 0
        finally:
            os._exit(code)
    return child


@pytest.mark.slow
def test_a_schema_that_is_up_to_date_costs_no_import_of_alembic(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENSURE_SCHEMA, f"sqlite:///{tmp_path / 'jobs.db'}"]
    printed = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(2)]
    assert printed == ["True\n", "False\n"]


async def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    statement = text(f"UPDATE {EMAIL.table} SET version_num = '9999'")
    await database.write(lambda connection: connection.execute(statement))
    await database.dispose()  # what comes next is a new process's first look
    known = rf"and the installed version knows none after '{EMAIL.head}': install the version"
    told = rf"'email' are at revision '9999', {known}"
    with pytest.raises(SchemaTooNew, match=told):
        await database.ensure_schema()
    assert [state for _, state in await database.states()] == [State.NEWER]


@FIRST_ON_SQLITE
async def test_the_applications_own_alembic_table_is_left_alone(database_url: str) -> None:
    database = Database(database_url, lambda: [EMAIL])
    await database.write(lambda c: c.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))")))
    await database.write(lambda c: c.execute(text("INSERT INTO alembic_version VALUES ('of-the-app')")))
    await database.ensure_schema()
    kept = await database.read(lambda c: c.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
    assert kept == "of-the-app"
    await database.dispose()


@FIRST_ON_SQLITE
async def test_a_version_table_of_before_goes_on_under_its_new_name(database_url: str) -> None:
    database = Database(database_url, lambda: [EMAIL])
    await database.ensure_schema()
    await database.write(lambda c: c.execute(text(f"ALTER TABLE {EMAIL.table} RENAME TO {EMAIL.former_table}")))
    await database.dispose()
    await database.ensure_schema()
    assert await database.look(EMAIL.current) == EMAIL.head
    assert not await database.look(lambda c: inspect(c).has_table(EMAIL.former_table))
    await database.dispose()


@FIRST_ON_SQLITE
async def test_tables_of_a_family_that_is_gone_keep_no_other_from_being_made(database_url: str) -> None:
    other = Migrations("other", "tests.integration.database:other_family", head="0001")
    first = Database(database_url, lambda: [other])
    await first.ensure_schema()
    await first.dispose()
    second = Database(database_url, lambda: [EMAIL])
    await second.ensure_schema()
    assert await second.look(lambda c: inspect(c).has_table("celeriac_other_thing"))
    await second.dispose()


@FIRST_ON_SQLITE
async def test_a_family_that_comes_after_the_first_use_gets_its_tables(database_url: str) -> None:
    app = Celeriac("late", settings=Settings(broker_url=SecretStr(NOWHERE), database_url=SecretStr(database_url)))
    await app.database.read(lambda connection: connection.execute(text("SELECT 1")))
    app.include_family(EmailFamily)
    assert await app.database.read(EMAIL.current) == EMAIL.head
    await app.database.dispose()
    app.close()
