"""Tells an idle worker when there is something to take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from redis.exceptions import RedisError

from celeriac.store import keys
from celeriac.store.connection import Client
from celeriac.store.deliveries import Source
from celeriac.store.listener import Listener

#: Seconds for which the server holds a wait, and seconds after that when it is given up for lost.
_HOLD = 5
_GRACE = 5.0
#: Seconds between two attempts while the server is away.
_PAUSE = 0.1


class Arrivals:
    """Waits for all lists of all queues at the same time, each on a connection of its own.

    A wait goes on when its worker has something else to do meanwhile: nothing is sent again for each message.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._listener = Listener(client)
        self._heard: set[str] = set()
        self._sooner = asyncio.Event()
        self._waits: dict[str, asyncio.Task[None]] = {}

    async def wait(self, sources: Sequence[Source], seconds: float) -> None:
        """Return when something has come to a queue, or will be due sooner than was known; at last after `seconds`."""
        for source in sources:
            await self._hear_of_delays(source.queue)
            for list_key in source.lists:
                if list_key not in self._waits:
                    self._waits[list_key] = asyncio.create_task(self._wait_for(list_key), name="celeriac-arrivals")
        sooner = asyncio.create_task(self._sooner.wait())
        try:
            await asyncio.wait({*self._waits.values(), sooner}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sooner.cancel()
        self._sooner.clear()
        for list_key in [name for name, wait in self._waits.items() if wait.done()]:
            del self._waits[list_key]

    async def aclose(self) -> None:
        """Wait no more."""
        for wait in self._waits.values():
            wait.cancel()
        await self._listener.aclose()

    async def _hear_of_delays(self, queue: str) -> None:
        if queue not in self._heard:
            self._heard.add(queue)
            await self._listener.subscribe(keys.delayed(queue), lambda _: self._sooner.set())

    async def _wait_for(self, list_key: str) -> None:
        try:
            async with asyncio.timeout(_HOLD + _GRACE):
                # Takes nothing: the last message moves to where it is, and the reply tells that there is one.
                await cast(Any, self._client).blmove(list_key, list_key, _HOLD, "RIGHT", "RIGHT")
        except (TimeoutError, RedisError):
            await asyncio.sleep(_PAUSE)
