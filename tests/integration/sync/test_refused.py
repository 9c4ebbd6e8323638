"""What a destination refuses for good ends a run, and the message says what to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from celeriac.core.errors import DatabaseRefused
from celeriac.database.engine import Database
from celeriac.families.sync.errors import SyncFailed
from celeriac.families.sync.forms import RunForm
from tests.support.mariadb import MariadbServer
from tests.support.postgres import PostgresServer
from tests.support.sync_jobs import SyncJobs

ORDERS = {"name": "orders", "primary_key": "id"}
SECRET = "s3cret-word"


async def check_refused(folder: Path, url: str, reason: str) -> None:
    """Both a run and who asks for one are told the reason, and never the password."""
    await check_run_refused(folder, url, reason)
    jobs = SyncJobs(folder, {"main": url})
    jobs.define(ORDERS)
    with pytest.raises(DatabaseRefused) as raised:
        await jobs.family.actions.run("shop", RunForm())
    await jobs.close()
    assert reason in str(raised.value)
    assert SECRET not in str(raised.value)


async def check_run_refused(folder: Path, url: str, reason: str) -> None:
    """A run is told the reason, and never the password."""
    jobs = SyncJobs(folder, {"main": url})
    jobs.define(ORDERS)
    ran = await jobs.run({"orders": [[{"id": 1}]]})
    await jobs.close()
    assert isinstance(ran.error, SyncFailed)
    assert reason in str(ran.error)
    assert SECRET not in str(ran.error)


async def test_postgres_refuses_a_user_a_database_and_one_without_privileges(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = await postgres_server.create_database()
    database = Database(url, is_ours=False)
    await database.outside(lambda c: c.exec_driver_sql("CREATE ROLE bound LOGIN"))
    await database.outside(lambda c: c.exec_driver_sql("REVOKE ALL ON SCHEMA public FROM PUBLIC"))
    await database.dispose()
    await check_refused(tmp_path, url.replace("celeriac@", f"stranger:{SECRET}@"), 'role "stranger" does not exist')
    await check_refused(tmp_path, url.replace("/test_", "/none_"), "does not exist")
    await check_run_refused(tmp_path, url.replace("celeriac@", "bound@"), "our own tables cannot be read or made there")


async def test_mysql_refuses_a_user_and_a_database(tmp_path: Path, mariadb_server: MariadbServer) -> None:
    url = mariadb_server.create_database()
    await check_refused(tmp_path, url.replace("root@", f"stranger:{SECRET}@"), "Access denied")
    await check_refused(tmp_path, url.replace("/test_", "/none_"), "Unknown database")


async def test_a_file_of_sqlite_is_in_no_folder_or_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "text.db"
    file.write_text("This is no database. " * 100)
    await check_refused(tmp_path, f"sqlite:///{tmp_path}/misspelt/shop.db", "unable to open database file")
    await check_refused(tmp_path, f"sqlite:///{file}", "file is not a database")


async def test_a_row_larger_than_mysql_takes_ends_the_run(tmp_path: Path, mariadb_server: MariadbServer) -> None:
    jobs = SyncJobs(tmp_path, {"main": mariadb_server.create_database()})
    jobs.define(ORDERS)
    ran = await jobs.run({"orders": [[{"id": 1, "text": "short"}, {"id": 2, "text": "'" * 9_000_000}]]})
    assert isinstance(ran.error, SyncFailed)
    assert "max_allowed_packet" in str(ran.error)
    await jobs.close()
