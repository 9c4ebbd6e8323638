"""`celeriac queues`: shows the length of the queues of Celeriac and plain Celery applications."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from celeriac.terminal import App, AsJson, Column, age, print_json, print_table

if TYPE_CHECKING:
    from celeriac.store.messages.queues import QueueDepth

_READING_S = 60.0


def queues(
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """List queues: how many jobs are ready, delayed and held by workers, and how long the oldest has waited.

    Workers hold the jobs that they run, and a few that they have fetched in advance.
    """
    found = asyncio.run(_look(app))
    if as_json:
        print_json([{**asdict(depth), "oldest": depth.oldest and depth.oldest.isoformat()} for depth in found])
        return
    columns = [
        Column(name="queue", shortest=12),
        *(Column(name=name, right=True) for name in ("ready", "delayed", "held", "oldest")),
    ]
    print_table(columns, [_row(depth) for depth in found])


def _row(depth: QueueDepth) -> list[str]:
    return [depth.queue, str(depth.ready), str(depth.delayed), str(depth.held), age(depth.oldest)]


async def _look(app: str | None) -> list[QueueDepth]:
    from celeriac.application import load_broker
    from celeriac.settings import load_settings
    from celeriac.store.messages.queues import depths
    from celeriac.store.redis.connection import connect, deadline, naming

    settings = load_settings(app=app)
    broker = load_broker(settings)
    client: Any = connect(broker.url, timeout=settings.broker_timeout)
    try:
        with naming(broker.url):
            async with deadline(_READING_S):
                return await depths(client, broker.routing, broker.queues)
    finally:
        await client.aclose()
