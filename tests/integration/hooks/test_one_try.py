"""A job whose worker was killed right after its only try, against one that somebody retries."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from celeriac import JobContext
from celeriac.database.engine import Database
from celeriac.families.webhooks import WebhookSettings, WebhooksFamily
from celeriac.families.webhooks.delivering import Delivering
from celeriac.families.webhooks.emitting import Emitter
from celeriac.families.webhooks.endpoints import Endpoints
from celeriac.families.webhooks.event_store import Stored, new_event, store_events
from celeriac.families.webhooks.lanes import NoSlot, Slot
from celeriac.families.webhooks.refusals import DeliveryFailed
from celeriac.families.webhooks.runtime import Runtime, Runtimes
from tests.support.hook_receiver import hook_receiver

SETTINGS = WebhookSettings(webhook_allow=("127.0.0.1",), webhook_schedule=())
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Free:
    """Slots without a limit."""

    is_fresh = True

    async def take(self, endpoint_id: str, *, concurrency: int, rate: float | None) -> Slot | NoSlot:
        return self

    async def release(self) -> None:
        pass


@pytest.fixture
async def database(tmp_path: Path) -> AsyncGenerator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'hooks.db'}", lambda: [WebhooksFamily.migrations()])
    yield database
    await database.dispose()


async def test_only_one_that_is_retried_by_hand_sends_again(database: Database) -> None:
    async def keep(_: Sequence[Stored]) -> None:
        pass

    def none() -> NoReturn:
        raise AssertionError("nothing is enqueued here")

    runtime = Runtime(database, SETTINGS, Free(), lambda: 100, keep)
    delivering = Delivering(Runtimes(lambda: runtime), lambda: database, Emitter(lambda: database, none), SETTINGS)
    async with hook_receiver({"/down": [500, 200]}) as receiver:
        values: dict[str, Any] = {
            "url": f"{receiver.url}/down",
            "event_types": ["*"],
            "owner": "",
            "description": "",
            "headers": {},
        }
        await Endpoints(database).create({**values, "fifo": False}, SECRET)
        event = new_event("order.paid", "e1", "", b"{}")
        (stored,) = await database.write(lambda connection: store_events(connection, [event]))
        (delivery_id,) = stored.deliveries
        job = JobContext(id=f"{delivery_id}.1", attempt=1)
        for context in (job, replace(job, redelivered=True)):
            with pytest.raises(DeliveryFailed, match="exhausted: status 500"):
                await delivering.run(context, delivery_id)
            assert len(receiver.hooks) == 1
        assert await delivering.run(job, delivery_id) == "delivered"
        assert len(receiver.hooks) == 2
        await runtime.close()
