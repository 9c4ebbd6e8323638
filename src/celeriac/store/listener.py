"""One pub/sub connection for all that a process listens to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger("celeriac.store")

#: Called with a message's payload, or with None when messages may have been missed (on (re)subscription).
Callback = Callable[[bytes | None], None]

#: Seconds that connecting may take, the server's answer to the password included.
_CONNECT = 5.0
_RECONNECT_DELAY = 0.2
_CANCEL_AGAIN = 0.1
_IDLE_CHANNEL = "celeriac:idle"


class Listener:
    """Hands messages of channels to callbacks, and survives the broker's absence.

    Pub/sub loses what is published while nobody listens, so whoever uses it must look for itself when called with
    None: after subscribing, and after every reconnect.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._callbacks: dict[str, set[Callback]] = {}
        self._pubsub: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def subscribed(self, channel: str, callback: Callback) -> AsyncGenerator[None]:
        """Call `callback` for messages of `channel` while inside."""
        await self.subscribe(channel, callback)
        try:
            yield
        finally:
            self.unsubscribe(channel, callback)

    async def subscribe(self, channel: str, callback: Callback) -> None:
        """Call `callback` for messages of `channel` from now on; soon after with None, once that is in force."""
        known = self._callbacks.setdefault(channel, set())
        known.add(callback)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read(), name="celeriac-listener")
        elif self._pubsub is not None and len(known) == 1:
            with suppress(RedisError, OSError):  # the connection is gone; the next one subscribes to all anew
                await self._pubsub.subscribe(channel)
        else:
            callback(None)

    def unsubscribe(self, channel: str, callback: Callback) -> None:
        """Stop calling `callback`. The server is told soon: nobody waits for that."""
        known = self._callbacks.get(channel, set())
        known.discard(callback)
        if not known:
            self._callbacks.pop(channel, None)
            telling = asyncio.create_task(self._leave(channel))
            self._leaving.add(telling)
            telling.add_done_callback(self._leaving.discard)

    async def _leave(self, channel: str) -> None:
        if self._pubsub is not None and channel not in self._callbacks:
            with suppress(RedisError, OSError):  # the connection is gone, and the subscription with it
                await self._pubsub.unsubscribe(channel)

    async def aclose(self) -> None:
        """Stop listening. Safe to call twice."""
        if self._leaving:
            await asyncio.wait(self._leaving)
        reader, self._reader = self._reader, None
        while reader is not None and not reader.done():
            reader.cancel()
            # Once may not do: `asyncio.wait_for`, which redis-py uses, can swallow it (python/cpython#86296).
            await asyncio.wait({reader}, timeout=_CANCEL_AGAIN)

    async def _read(self) -> None:
        while True:
            pubsub = cast(Any, self._client).pubsub()
            try:
                channels = set(self._callbacks) or {_IDLE_CHANNEL}
                async with asyncio.timeout(_CONNECT):
                    await pubsub.subscribe(*channels)
                self._pubsub = pubsub
                if late := set(self._callbacks) - channels:  # came while the connection was being made
                    await pubsub.subscribe(*late)
                while True:
                    message = await pubsub.get_message(timeout=None)
                    if message is not None:
                        self._dispatch(message)
            except (RedisError, OSError) as error:
                log.debug("listening was interrupted: %s", error)
                await asyncio.sleep(_RECONNECT_DELAY)
            finally:
                self._pubsub = None
                await pubsub.aclose()

    def _dispatch(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        payload = message["data"] if kind == "message" else None
        if kind in ("message", "subscribe"):
            for callback in tuple(self._callbacks.get(message["channel"].decode(), ())):
                callback(payload)
