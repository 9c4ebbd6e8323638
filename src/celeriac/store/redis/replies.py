"""Reads a server's replies on one connection."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

_NOT_YET = object()


class Replies(asyncio.Protocol):
    """A protocol that takes over the transport of a redis-py connection, and reads replies without a stream.

    A stream, and redis-py's work for each reply, take twice the time of the exchange itself.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._stream = transport.get_protocol()  # redis-py waits for it to hear of the end
        self._reader = cast(Any, hiredis).Reader(replyError=_error, notEnoughData=_NOT_YET)
        self._replies: list[Any] = []
        self._wanted = 0
        self._complete: asyncio.Future[None] | None = None
        self.is_open = not transport.is_closing()
        transport.set_protocol(self)

    async def exchange(self, packed: bytes, count: int) -> list[Any]:
        """Send commands, and return the `count` replies to them, including errors. Call it once at a time.

        Raises:
            redis.exceptions.ConnectionError: the connection was lost.
        """
        if not self.is_open:
            raise RedisConnectionError("the connection was lost")
        self._replies, self._wanted = [], count
        self._complete = asyncio.get_running_loop().create_future()
        self._transport.write(packed)
        try:
            await self._complete
        except BaseException:
            self.close()  # nobody waits for the remaining replies
            raise
        return self._replies

    def close(self) -> None:
        """Drop the connection."""
        self.is_open = False
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _NOT_YET:
                if not isinstance(reply, cast(Any, hiredis).PushNotification):  # not a reply
                    self._replies.append(reply)
        except Exception as error:
            self._end(error)
            self.close()
            return
        if self._complete is not None and len(self._replies) >= self._wanted and not self._complete.done():
            self._complete.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._end(exc)
        self._stream.connection_lost(exc)

    def _end(self, cause: Exception | None) -> None:
        if self._complete is not None and not self._complete.done():
            self._complete.set_exception(RedisConnectionError(f"the connection was lost: {cause or 'closed'}"))


def _error(text: str) -> ResponseError:
    return NoScriptError(text) if text.startswith("NOSCRIPT") else ResponseError(text)
