"""Listens to all channels of a process on one pub/sub connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from celeriac.core.background import background
from celeriac.core.timing import RECONNECT_PAUSE_S
from celeriac.store import keys
from celeriac.store.redis.connection import connection_of

log = logging.getLogger("celeriac.store")

#: Called with a message's payload, or with None when messages may have been missed (on (re)subscription).
Callback = Callable[[bytes | None], None]

#: How long connecting may take, including the server's answer to the password.
_CONNECT_TIMEOUT_S = 5.0
#: Time between two tries to stop the reading task.
_CANCEL_AGAIN_S = 0.1


class Listener:
    """A listener that passes messages of channels to callbacks, and survives the broker's absence.

    Pub/sub loses messages while nobody listens. So the listener calls each callback with None after subscribing, and
    after every reconnect. The callback must then read the current state itself.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._callbacks: dict[str, set[Callback]] = {}
        self._connection: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def subscribed(self, channel: str, callback: Callback) -> AsyncGenerator[None]:
        """Call `callback` for messages of `channel` inside the `async with` block."""
        await self.subscribe(channel, callback)
        try:
            yield
        finally:
            self.unsubscribe(channel, callback)

    async def subscribe(self, channel: str, callback: Callback) -> None:
        """Call `callback` for messages of `channel` from now on. Call it with None when the server has subscribed."""
        known = self._callbacks.setdefault(channel, set())
        known.add(callback)
        if self._reader is None or self._reader.done():
            self._reader = background(self._read(), name="celeriac-listener")
        elif self._connection is not None and len(known) == 1:
            await self._tell("SUBSCRIBE", channel)
        else:
            callback(None)

    def unsubscribe(self, channel: str, callback: Callback) -> None:
        """Stop calling `callback`. The server hears of it later."""
        known = self._callbacks.get(channel, set())
        known.discard(callback)
        if not known:
            self._callbacks.pop(channel, None)
            telling = background(self._leave(channel))
            self._leaving.add(telling)
            telling.add_done_callback(self._leaving.discard)

    async def _leave(self, channel: str) -> None:
        if self._connection is not None and channel not in self._callbacks:
            await self._tell("UNSUBSCRIBE", channel)

    async def _tell(self, command: str, *channels: str) -> None:
        with suppress(RedisError, OSError):  # the connection is lost; the next one subscribes to all again
            await _send(self._connection, command, *channels)

    async def aclose(self) -> None:
        """Stop listening. Safe to call twice."""
        for telling in self._leaving:
            telling.cancel()
        reader, self._reader = self._reader, None
        while reader is not None and not reader.done():
            reader.cancel()
            # Once may not suffice: redis-py uses `asyncio.wait_for`, which can swallow it (python/cpython#86296).
            await asyncio.wait({reader}, timeout=_CANCEL_AGAIN_S)

    async def _read(self) -> None:
        pool = cast(Any, self._client).connection_pool
        while True:
            connection = None
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    connection = await connection_of(self._client)
                    channels = set(self._callbacks) or {keys.IDLE_CHANNEL}
                    await _send(connection, "SUBSCRIBE", *channels)
                self._connection = connection
                if late := set(self._callbacks) - channels:  # added while connecting
                    await _send(connection, "SUBSCRIBE", *late)
                while True:
                    self._dispatch(await connection.read_response(push_request=True))
            except (RedisError, OSError) as error:
                log.debug("listening was interrupted: %s", error)
                await asyncio.sleep(RECONNECT_PAUSE_S)
            finally:
                self._connection = None
                if connection is not None:
                    await connection.disconnect(nowait=True)  # it is subscribed, so nothing else can use it
                    await pool.release(connection)

    def _dispatch(self, pushed: Any) -> None:
        match pushed:
            case [b"message", channel, payload]:
                pass
            case [b"subscribe", channel, _]:
                payload = None
            case _:
                return
        for callback in tuple(self._callbacks.get(channel.decode(), ())):
            callback(payload)


async def _send(connection: Any, command: str, *channels: str) -> None:
    await connection.send_packed_command(connection.pack_command(command, *channels), check_health=False)
