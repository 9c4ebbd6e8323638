"""Deliveries by Celery's own pool, in which each process has one job at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from celeriac import Settings
from celeriac.asgi import create_api
from celeriac.families.webhooks import WebhookSettings
from celeriac.settings import as_environment
from tests.integration.hooks.conftest import OWN
from tests.support.api_server import NO_TLS, serving
from tests.support.hook_receiver import hook_receiver
from tests.support.hooks import Hooks
from tests.support.waiting import eventually
from tests.support.workers import start_worker


@pytest.mark.slow
async def test_prefork(settings: Settings, tmp_path: Path) -> None:
    environment = as_environment(settings) | {f"CELERIAC_{name.upper()}": value for name, value in OWN.items()}
    worker = start_worker("celeriac.worker:c_app", environment, tmp_path / "log", pool="prefork", concurrency=2)
    try:
        with serving(create_api(settings, {"webhooks": WebhookSettings(**OWN)})) as server:
            async with (
                hook_receiver({"/flaky": [503, 200]}) as receiver,
                httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60) as client,
            ):
                hooks = Hooks(client, "prefork")
                await hooks.add(f"{receiver.url}/flaky", concurrency=1)
                await hooks.add(f"{receiver.url}/ordered", fifo=True)
                ids = [(await hooks.send())["id"] for _ in range(10)]
                await eventually(lambda: len({i for _, i in receiver.taken}) == 10, "all arrive", within=60)
                ended = [one for each in await asyncio.gather(*map(hooks.ended, ids)) for one in each]
                assert {one["state"] for one in ended} == {"delivered"}
                assert [hook.id for hook in receiver.of("/ordered")] == ids
                assert all(times == 1 for times in receiver.taken.values())
    finally:
        worker.kill()
