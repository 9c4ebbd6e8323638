"""A shop with a database, a worker and an API, on a database of their own."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
import redis
from pydantic import SecretStr

from celeriac import Settings
from celeriac.families.reports import ReportsSettings
from celeriac.settings import as_environment
from tests.support.api_server import NO_TLS, ApiServer, serving
from tests.support.databases import postgres_server
from tests.support.fixtures import LEASE, PATIENT, WORKERS, Databases, on_database
from tests.support.report_api import ReportApi
from tests.support.report_shop import ReportShop
from tests.support.workers import Worker, start_worker

__all__ = ["postgres_server"]

MEMORY_MB = 1000
#: A bank that does not answer. Tests that need one have a server of their own.
BANK = "bank=postgresql://nobody@127.0.0.1:1/bank"
KEYS = ("ann:0123456789abcdef0", "bob:0123456789abcdef1")


@pytest.fixture(scope="session")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shop's database: 2,000 orders."""
    folder = tmp_path_factory.mktemp("shop")
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, day TEXT, country TEXT, total REAL)")
        connection.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?)",
            [(n, f"2026-{n % 12 + 1:02}-{n % 28 + 1:02}", ("DE", "FR", "JP")[n % 3], n * 1.5) for n in range(1, 2001)],
        )
        connection.commit()
    return folder


@pytest.fixture(scope="session")
def shop_settings(valkey_url: str, shop_folder: Path) -> Settings:
    url = on_database(valkey_url, Databases.REPORTS)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return Settings(
        broker_url=SecretStr(url),
        data_dir=shop_folder,
        lease=LEASE,
        broker_timeout=PATIENT,
        api_keys=tuple(map(SecretStr, KEYS)),
        storage_reserve_bytes=0,
    )


@pytest.fixture(scope="session")
def report_settings(shop_folder: Path) -> dict[str, Any]:
    """The family's settings, as the environment has them."""
    (shop_folder / "audit").write_text("of-the-audit\n")
    return {
        "reports_connections": f"shop=sqlite:///{shop_folder / 'shop.db'} {BANK}",
        "reports_memory_mb": MEMORY_MB,
        "reports_timeout": 120,
        "reports_free_sql": "true",
        "reports_scratch": shop_folder / "scratch",
        "reports_link_url": "https://shop.example/links",
        "reports_passwords": f"board=env:SHOP_BOARD audit=file:{shop_folder / 'audit'} lost=file:/nowhere/at/all",
    }


@pytest.fixture(scope="session")
def shop(shop_settings: Settings, report_settings: dict[str, Any]) -> Iterator[ReportShop]:
    shop = ReportShop(shop_settings, ReportsSettings(**report_settings))
    yield shop
    shop.app.close()


@pytest.fixture(scope="session")
def shop_api(shop: ReportShop) -> Iterator[ApiServer]:
    with serving(shop.api) as server:
        yield server


@pytest.fixture(scope="session")
def shared_worker(shop_settings: Settings, report_settings: dict[str, Any], shop_folder: Path) -> Iterator[Worker]:
    """The only worker on this queue: a test that looks for the process of its report finds it here."""
    own = {f"CELERIAC_{name.upper()}": str(value) for name, value in report_settings.items()}
    environment = {**os.environ, **as_environment(shop_settings), **own, "SHOP_BOARD": "of-the-board"}
    worker = start_worker(
        "tests.support.report_shop:app", environment, shop_folder / "shop.log", pool="asyncio", name="shop"
    )
    yield worker
    worker.kill()


@pytest.fixture
def worker(shared_worker: Worker, request: pytest.FixtureRequest) -> Worker:
    """The worker that tests share; a failure shows what it printed meanwhile."""
    request.node.stash[WORKERS] = [(shared_worker, len(shared_worker.log))]
    return shared_worker


@pytest_asyncio.fixture
async def reports(shop_api: ApiServer) -> AsyncGenerator[ReportApi]:
    """The API as the caller `ann` uses it."""
    async with _client(shop_api, KEYS[0]) as client:
        yield ReportApi(client)


@pytest_asyncio.fixture
async def bob(shop_api: ApiServer) -> AsyncGenerator[ReportApi]:
    """The API as another caller uses it."""
    async with _client(shop_api, KEYS[1]) as client:
        yield ReportApi(client)


def _client(api: ApiServer, key: str) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {key.partition(':')[2]}"}
    return httpx2.AsyncClient(verify=NO_TLS, base_url=api.url, timeout=60, headers=headers)
