"""A worker that is killed in the middle loses no delivery, and repeats only what it was sending."""

from __future__ import annotations

import asyncio
import os
import signal
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

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

EVENTS, AT_A_TIME = 60, 10


@pytest.mark.own_server
async def test_kill_9(settings: Settings, tmp_path: Path) -> None:
    environment = as_environment(settings) | {f"CELERIAC_{name.upper()}": value for name, value in OWN.items()}
    worker = None
    try:
        with serving(create_api(settings, {"webhooks": WebhookSettings(**OWN)})) as server:
            async with (
                hook_receiver({"/slow": ["late"]}) as receiver,
                httpx2.AsyncClient(verify=NO_TLS, base_url=server.url, timeout=60) as client,
            ):
                hooks = Hooks(client, "kill")
                await hooks.add(f"{receiver.url}/slow", concurrency=AT_A_TIME)
                await asyncio.gather(*(hooks.send(id=f"e{n}") for n in range(EVENTS)))
                worker = start_worker("celeriac.worker:c_app", environment, tmp_path / "1.log", pool="asyncio")
                await eventually(lambda: len(receiver.hooks) == AT_A_TIME, "as many are under way as may be")
                os.kill(worker.pid, signal.SIGKILL)
                under_way = {hook.id for hook in receiver.hooks}
                receiver.plan["/slow"] = [200]
                receiver.released.set()
                worker = start_worker("celeriac.worker:c_app", environment, tmp_path / "2.log", pool="asyncio")
                await eventually(lambda: len({i for _, i in receiver.taken}) == EVENTS, "none is lost", within=120)
                repeated = {hook_id for (_, hook_id), times in receiver.by_message.items() if times > 1}
                assert repeated <= under_way
                await eventually(lambda: _all_delivered(hooks), "the log is complete")
    finally:
        if worker is not None:
            worker.kill()


async def _all_delivered(hooks: Hooks) -> bool:
    found = await hooks.deliveries(limit=200)
    return len(found) == EVENTS and all(one["state"] == "delivered" for one in found)
