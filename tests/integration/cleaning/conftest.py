"""A shop with old orders, and an application with an API and a worker that clean it up, on a server of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from pydantic import SecretStr

from celeriac import Settings
from celeriac.asgi import create_api
from celeriac.families.cleanup import CleanupSettings
from celeriac.launch.broker.embedded import embedded_valkey
from celeriac.settings import as_environment
from tests.support.api_server import NO_TLS, serving
from tests.support.cleanup_api import CleanupApi
from tests.support.fixtures import LEASE, PATIENT, WORKERS
from tests.support.workers import Worker, start_worker

KEYS = ("ann:0123456789abcdef0", "bob:0123456789abcdef1")
ORDERS, ITEMS = 1200, 2
#: One order of so many is recent.
RECENT_OF = 6
RECENT = set(range(RECENT_OF, ORDERS + 1, RECENT_OF))
OLD = ORDERS - len(RECENT)

POLICIES = {
    "old-orders": """
        connection: shop
        table: orders
        where: {age: {column: placed_at, older_than: 365d}}
        action: archive
        children: [{table: order_items}]
        chunk: {rows: 100}
        budget: {rows: 100000, seconds: 3600}
    """,
    "names": """
        connection: shop
        table: customers
        where: {sql: "left_shop = :left", parameters: {left: 1}}
        action: anonymise
        columns: {name: null, email: {pattern: "user-{key}@example.invalid"}}
    """,
    "events": """
        connection: shop
        table: events
        where: {sql: "id > 0"}
        action: delete
        chunk: {rows: 1}
    """,
    "waiting": """
        connection: shop
        table: events
        where: {sql: "id > 0"}
        action: delete
        throttles: [{kind: flag, file: FOLDER/stop, pause: 30}]
    """,
    "far-away": """
        connection: away
        table: orders
        where: {age: {column: placed_at, older_than: 365d}}
        action: delete
    """,
    "mute": """
        connection: mute
        table: orders
        where: {age: {column: placed_at, older_than: 365d}}
        action: delete
    """,
}


class Shop:
    """The database that is cleaned. Its tests see what a user sees who opens the file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "shop.db"
        self.archives = folder / "archives"

    def fill(self) -> None:
        """Empty everything, and add orders with two items each, of which one in six is recent."""
        with closing(sqlite3.connect(self.file, timeout=60)) as connection:
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'celeriac_%'").fetchall():
                if name.startswith("celeriac_cleanup_") and not name.endswith("_version"):
                    connection.execute(f"DELETE FROM {name}") if "ix_" not in name else None
            for name in ("order_items", "orders", "old_orders", "customers", "events"):
                connection.execute(f"DELETE FROM {name}")
            years = [(n, "2099-01-01" if n % RECENT_OF == 0 else "2020-01-01") for n in range(1, ORDERS + 1)]
            connection.executemany("INSERT INTO orders VALUES (?, ? || ' 12:00:00', 9.5)", years)
            items = [(ITEMS * n + i, n, f"item {i} of {n}") for n, _ in years for i in range(ITEMS)]
            connection.executemany("INSERT INTO order_items VALUES (?, ?, ?)", items)
            people = [(n, f"Name {n}", f"n{n}@example.com", n % 2) for n in range(1, 21)]
            connection.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", people)
            connection.executemany("INSERT INTO events VALUES (?)", [(n,) for n in range(1, 1001)])
            connection.commit()

    def query(self, sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.file, timeout=60)) as connection:
            return connection.execute(sql).fetchall()

    def ids(self, table: str = "orders") -> set[object]:
        return {number for (number,) in self.query(f"SELECT id FROM {table}")}


TABLES = """
    CREATE TABLE orders (id INTEGER PRIMARY KEY, placed_at TIMESTAMP, total REAL);
    CREATE TABLE order_items (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id), what TEXT);
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, email TEXT, left_shop INTEGER);
    CREATE TABLE old_orders (id INTEGER PRIMARY KEY, placed_at TIMESTAMP, total REAL);
    CREATE TABLE events (id INTEGER PRIMARY KEY);
    CREATE INDEX items_of_order ON order_items (order_id);
    PRAGMA journal_mode = WAL;
"""


@pytest.fixture(scope="session")
def cleaned_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cleaning")
    (folder / "policies").mkdir()
    for name, text in POLICIES.items():
        (folder / "policies" / f"{name}.yaml").write_text(text.replace("FOLDER", str(folder)))
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.executescript(TABLES)
    return folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cleaning_settings(cleaned_folder: Path) -> AsyncGenerator[Settings]:
    async with embedded_valkey(cleaned_folder / "valkey", append_only=False) as url:
        yield Settings(
            broker_url=SecretStr(url),
            data_dir=cleaned_folder,
            lease=LEASE,
            broker_timeout=PATIENT,
            api_keys=tuple(map(SecretStr, KEYS)),
        )


@pytest.fixture(scope="session")
def own_settings(cleaned_folder: Path, mute_port: int) -> dict[str, str]:
    return {
        "cleanup_connections": f"shop=sqlite:///{cleaned_folder / 'shop.db'} "
        "away=postgresql://cleaner:secret-password@127.0.0.1:1/shop "
        f"mute=postgresql://cleaner:secret-password@127.0.0.1:{mute_port}/shop",
        "cleanup_tables": "shop.orders shop.order_items shop.old_orders shop.customers shop.events "
        "away.orders mute.orders",
        "cleanup_folder": str(cleaned_folder / "policies"),
        "cleanup_archives": str(cleaned_folder / "archives"),
    }


@pytest.fixture(scope="session")
def environment(cleaning_settings: Settings, own_settings: dict[str, str]) -> dict[str, str]:
    return as_environment(cleaning_settings) | {f"CELERIAC_{name.upper()}": own for name, own in own_settings.items()}


@pytest.fixture(scope="session")
def shared_worker(environment: dict[str, str], cleaned_folder: Path) -> Generator[Worker]:
    worker = start_worker(
        "celeriac.worker:c_app", environment, cleaned_folder / "worker.log", pool="asyncio", concurrency=10
    )
    yield worker
    worker.kill()


@asynccontextmanager
async def serving_cleanups(settings: Settings, own: dict[str, str]) -> AsyncGenerator[httpx2.AsyncClient]:
    """An API of its own, and a client of it that has a key."""
    headers = {"Authorization": f"Bearer {KEYS[0].partition(':')[2]}"}
    with serving(create_api(settings, {"cleanup": CleanupSettings.model_validate(own)})) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60, headers=headers) as client:
            yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(cleaning_settings: Settings, own_settings: dict[str, str]) -> AsyncGenerator[httpx2.AsyncClient]:
    async with serving_cleanups(cleaning_settings, own_settings) as client:
        yield client


@pytest.fixture
def shop(cleaned_folder: Path) -> Shop:
    shop = Shop(cleaned_folder)
    shop.fill()
    return shop


@pytest.fixture
def api(client: httpx2.AsyncClient, shop: Shop, shared_worker: Worker, request: pytest.FixtureRequest) -> CleanupApi:
    """The API, with a worker. A failure shows what the worker printed meanwhile."""
    request.node.stash[WORKERS] = [(shared_worker, len(shared_worker.log))]
    return CleanupApi(client)
