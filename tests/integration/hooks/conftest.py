"""The built-in application with an API and a worker that deliver webhooks, on a server of their own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from pydantic import SecretStr

from celeriac import Settings
from celeriac.asgi import create_api
from celeriac.families.webhooks import WebhookSettings
from celeriac.launch.broker.embedded import embedded_valkey
from celeriac.settings import as_environment
from tests.support.api_server import NO_TLS, serving
from tests.support.databases import postgres_server
from tests.support.fixtures import LEASE, PATIENT, WORKERS
from tests.support.hook_receiver import HookReceiver, hook_receiver
from tests.support.hooks import Hooks
from tests.support.workers import Worker, start_worker

__all__ = ["postgres_server"]

#: Delays of a family in a hurry.
OWN: dict[str, Any] = {
    "webhook_allow": "127.0.0.1",
    "webhook_schedule": "0.05,0.05,0.1",
    "webhook_connect_timeout": "1",
    "webhook_read_timeout": "1",
    "webhook_timeout": "2",
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hooks_settings(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Settings]:
    folder = tmp_path_factory.mktemp("hooks")
    async with embedded_valkey(folder / "valkey", append_only=False) as url:
        yield Settings(broker_url=SecretStr(url), data_dir=folder, lease=LEASE, broker_timeout=PATIENT)


@pytest.fixture(scope="session")
def environment(hooks_settings: Settings) -> dict[str, str]:
    return as_environment(hooks_settings) | {f"CELERIAC_{name.upper()}": value for name, value in OWN.items()}


@pytest.fixture(scope="session")
def shared_worker(environment: dict[str, str], hooks_settings: Settings) -> Generator[Worker]:
    log = hooks_settings.data_dir / "worker.log"
    worker = start_worker("celeriac.worker:c_app", environment, log, pool="asyncio", concurrency=200)
    yield worker
    worker.kill()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(hooks_settings: Settings) -> AsyncGenerator[httpx2.AsyncClient]:
    with serving(create_api(hooks_settings, {"webhooks": WebhookSettings(**OWN)})) as server:
        async with httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60) as client:
            yield client


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncGenerator[HookReceiver]:
    async with hook_receiver() as receiver:
        yield receiver


@pytest.fixture
def hooks(client: httpx2.AsyncClient, shared_worker: Worker, request: pytest.FixtureRequest) -> Hooks:
    """Webhooks of an owner that this test alone has. A failure shows what the worker printed meanwhile."""
    request.node.stash[WORKERS] = [(shared_worker, len(shared_worker.log))]
    return Hooks(client, owner=request.node.name[:100])
