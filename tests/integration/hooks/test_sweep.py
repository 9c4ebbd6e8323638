"""The sweep: deliveries whose jobs were lost, were cancelled behind our back, or have failed for another reason."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from sqlalchemy import update

from celeriac import Celeriac, JobState, Settings
from celeriac.families.webhooks import WebhookSettings, WebhooksFamily
from celeriac.families.webhooks.deliveries import Choice
from celeriac.families.webhooks.event_store import new_event, store_events
from celeriac.families.webhooks.forms import NewEndpoint
from celeriac.families.webhooks.model import Delivery
from celeriac.families.webhooks.sweep import heal
from celeriac.families.webhooks.tables import delivery_table
from celeriac.worker import create_app

OWN = WebhookSettings(webhook_allow=("127.0.0.1",))


@pytest.fixture
async def app(settings: Settings) -> AsyncGenerator[Celeriac]:
    app = create_app(settings, {"webhooks": OWN})
    yield app
    await app.client.aclose()
    await app.database.dispose()
    app.close()  # pyright: ignore[reportUnknownMemberType] (Celery carries no types)


async def test_a_delivery_without_a_job_gets_one_and_one_whose_job_was_cancelled_ends(app: Celeriac) -> None:
    family = app.family(WebhooksFamily)
    for fifo in (False, True):
        await family.actions.add(NewEndpoint(url="http://127.0.0.1:9/", fifo=fifo))
    event = new_event("order.paid", "e1", "", b"{}")
    await app.database.write(lambda connection: store_events(connection, [event]))  # and then its process was killed
    assert await _swept(app) == 0  # its process may be at it
    await _wait_long(app)
    assert await _swept(app) == 2
    for delivery in await _deliveries(app):
        assert (await app.client.get(delivery.job_id)).state is JobState.QUEUED
    await _wait_long(app)
    assert await _swept(app) == 0

    stranger = Celeriac("another", settings=app.settings)  # which knows of no deliveries
    for delivery in await _deliveries(app):
        await stranger.client.cancel(delivery.job_id)
    await stranger.client.aclose()
    assert [one.state for one in await _deliveries(app)] == ["pending", "pending"]
    await _wait_long(app)
    assert await _swept(app) == 0
    assert [(one.state, one.error) for one in await _deliveries(app)] == 2 * [("aborted", "its job was cancelled")]


async def _swept(app: Celeriac) -> int:
    return await heal(app.database, app.client, app.family(WebhooksFamily).jobs.emitter)


async def _wait_long(app: Celeriac) -> None:
    long_ago = update(delivery_table).values(look_at=0)
    await app.database.write(lambda connection: connection.execute(long_ago))


async def _deliveries(app: Celeriac) -> list[Delivery]:
    found, _ = await app.family(WebhooksFamily).jobs.deliveries.page(Choice(), after=None, limit=10)
    return found
