"""The built-in application with syncs from YAML files: an API and a worker, on a server of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from pydantic import SecretStr

from celeriac import Settings
from celeriac.asgi import create_api
from celeriac.families.sync import SyncSettings
from celeriac.launch.broker.embedded import embedded_valkey
from celeriac.settings import as_environment
from tests.support.api_server import NO_TLS, serving
from tests.support.fixtures import LEASE, PATIENT, WORKERS
from tests.support.sync_api import SyncApi, sync_api
from tests.support.syncs import Syncs
from tests.support.workers import Worker, start_worker

DEFINITIONS = {
    "shop": """
        source:
          url: {url}/
          headers: {{X-Shop: a secret by mistake}}
          auth: {auth}
          backoff: 0.01
        streams:
          - name: orders
            primary_key: id
            cursor: updated_at
            http: {{path: link/orders, since: {{param: since}}}}
        destination: {{connection: main}}
        schedule: {{every: 86400}}
    """,
    "family": """
        source: {{url: "{url}", auth: {auth}, pagination: {{type: page}}}}
        streams:
          - {{name: customers, primary_key: id, http: {{path: customers}}}}
          - name: their_orders
            primary_key: id
            parent: {{stream: customers, fields: [id]}}
            http: {{path: "customers/{{parent.id}}/orders"}}
        destination: {{connection: main, table_prefix: family_}}
    """,
    "untidy": """
        source: {{url: "{url}", auth: {auth}}}
        streams: [{{name: things, primary_key: id, http: {{path: untidy}}}}]
        destination: {{connection: main}}
    """,
    "slow": """
        source: {{url: "{url}", auth: {auth}, read_timeout: 300, attempts: 2, backoff: 0.01}}
        streams: [{{name: waiting, primary_key: id, http: {{path: slow}}}}]
        destination: {{connection: main}}
    """,
    "away": """
        source: {{url: "{url}", auth: {auth}}}
        streams: [{{name: nothing, primary_key: id, http: {{path: link/orders}}}}]
        destination: {{connection: away}}
    """,
}
AUTH = '{type: header, name: X-Key, value: "env:SHOP_KEY"}'
UNTIDY = [{"id": 1, "name": "good"}, {"name": "no key"}, {"id": [3], "name": "odd key"}, {"id": 4, "name": "good"}]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sync_settings(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Settings]:
    folder = tmp_path_factory.mktemp("syncs")
    async with embedded_valkey(folder / "valkey", append_only=False) as url:
        yield Settings(broker_url=SecretStr(url), data_dir=folder, lease=LEASE, broker_timeout=PATIENT)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shop() -> AsyncGenerator[SyncApi]:
    """The API that is read. The path `slow` does not answer before it is released."""
    async with sync_api(accepts={"s3cret"}) as api:
        api.told["/untidy"] = [(200, {}, UNTIDY)]
        api.told["/slow"] = ["hang"]
        yield api


@pytest.fixture(scope="session")
def own(shop: SyncApi, sync_settings: Settings) -> dict[str, str]:
    """The settings of syncs, as the environment has them."""
    folder = sync_settings.data_dir / "definitions"
    folder.mkdir()
    for name, text in DEFINITIONS.items():
        (folder / f"{name}.yaml").write_text(f"name: {name}{dedent(text.format(url=shop.url, auth=AUTH))}")
    database = sync_settings.data_dir / "shop.db"
    sqlite3.connect(database).close()
    away = "postgresql://reader:hidden-password@127.0.0.1:1/away"
    return {"sync_connections": f"main=sqlite:///{database} away={away}", "sync_folder": str(folder)}


@pytest.fixture(scope="session")
def environment(sync_settings: Settings, own: dict[str, str]) -> dict[str, str]:
    variables = as_environment(sync_settings) | {f"CELERIAC_{name.upper()}": value for name, value in own.items()}
    return variables | {"SHOP_KEY": "s3cret"}


@pytest.fixture(scope="session")
def shared_worker(environment: dict[str, str], sync_settings: Settings) -> Generator[Worker]:
    log = sync_settings.data_dir / "worker.log"
    worker = start_worker("celeriac.worker:c_app", environment, log, pool="asyncio", concurrency=20)
    yield worker
    worker.kill()


@pytest.fixture(scope="session")
def sync_family_settings(own: dict[str, str]) -> SyncSettings:
    given: Any = own
    return SyncSettings(**given)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(sync_settings: Settings, sync_family_settings: SyncSettings) -> AsyncGenerator[httpx2.AsyncClient]:
    with serving(create_api(sync_settings, {"sync": sync_family_settings})) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60) as client:
            yield client


@pytest.fixture
def syncs(
    client: httpx2.AsyncClient, shared_worker: Worker, sync_settings: Settings, request: pytest.FixtureRequest
) -> Syncs:
    """A failure shows what the worker printed meanwhile."""
    request.node.stash[WORKERS] = [(shared_worker, len(shared_worker.log))]
    return Syncs(client, Path(sync_settings.data_dir / "shop.db"))
