"""Sends script calls of many coroutines together, over one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

from celeriac.core.batcher import Batcher
from celeriac.store.redis.connection import Client, deadline
from celeriac.store.redis.wire import Wire
from celeriac.store.scripts.script import ScriptCall

T = TypeVar("T")
_Waiting = tuple[ScriptCall[Any], asyncio.Future[Any]]

#: Calls that are sent together at most: the server does nothing else meanwhile.
_MOST = 250


class Together:
    """Collects calls while others are on their way, and sends them as the next batch. No call waits for others to come.

    In contrast to a pipeline, it does not try again: `timeout` is how many seconds a call may take.
    """

    def __init__(self, client: Client, timeout: float) -> None:
        self._wire = Wire(client)
        self._timeout = timeout
        self._calls: Batcher[_Waiting] = Batcher(self._send, most=_MOST, name="celeriac-together")

    async def run(self, call: ScriptCall[T]) -> T:
        """Run `call` on the server.

        Raises:
            BrokerUnavailable: the broker did not answer in time.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((call, future))
        async with deadline(self._timeout):
            return await future

    async def aclose(self) -> None:
        """Wait for what is under way."""
        await self._calls.idle()

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                replies: list[Any] = await self._wire.exchange([call for call, _ in batch])
        except Exception as error:
            replies = [error] * len(batch)
        for (call, future), reply in zip(batch, replies, strict=True):
            if not future.done():  # else its caller waits no more
                _settle(future, call, reply)


def _settle(future: asyncio.Future[Any], call: ScriptCall[Any], reply: Any) -> None:
    if isinstance(reply, Exception):
        future.set_exception(reply)
        return
    try:
        future.set_result(call.parse(reply))
    except Exception as error:  # an unexpected reply is an error of this caller only
        future.set_exception(error)
