"""Script calls of many coroutines, sent together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, TypeVar

from redis.exceptions import RedisError

from celeriac.core.batcher import Batcher
from celeriac.core.timing import RETRY_PAUSE_S
from celeriac.store.redis.connection import Client, is_absence, unavailable
from celeriac.store.redis.wire import Wire
from celeriac.store.scripts.script import ScriptCall

log = logging.getLogger("celeriac.store")

T = TypeVar("T")
_Waiting = tuple[ScriptCall[Any], asyncio.Future[Any]]

#: Calls that are sent together at most: the server does nothing else meanwhile.
_BATCH = 500
#: How long the server may take for a batch.
_TIMEOUT_S = 5.0


class Pipeline:
    """Collects calls while one batch is on its way, and sends them as the next. No call waits for others to join it.

    Calls run in the order in which they were submitted. While the server is away, the pipeline sends a batch again and
    again until no caller waits for it. That is safe, because every script may be sent twice. To wait for less time, put
    a time limit around `run`.
    """

    def __init__(self, client: Client) -> None:
        self._wire = Wire(client)
        self._calls = Batcher(self._send_together, most=_BATCH, name="celeriac-pipeline")

    async def run(self, call: ScriptCall[T]) -> T:
        """Run `call` on the server.

        Raises:
            redis.exceptions.ResponseError: the script failed.
            redis.exceptions.DataError: the call cannot be sent.
        """
        return await self.submit(call)

    def submit(self, call: ScriptCall[T]) -> asyncio.Future[T]:
        """Have `call` run after those that were submitted before."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((call, future))
        return future

    async def idle(self) -> None:
        """Wait until everything that was submitted has been answered."""
        await self._calls.idle()

    async def _send_together(self, batch: Sequence[_Waiting]) -> None:
        try:
            replies = await self._send(batch)
        except Exception as error:  # a fault of ours, of which each caller has to hear
            replies = [error] * len(batch)
        for (call, future), reply in zip(batch, replies, strict=True):
            _settle(future, call, reply)

    async def _send(self, batch: Sequence[_Waiting]) -> list[Any]:
        calls = [call for call, _ in batch]
        is_away = False
        while True:
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    return await self._execute(calls)
            except (TimeoutError, RedisError) as error:
                if not is_absence(error) or all(future.cancelled() for _, future in batch):
                    raise
                if not is_away:
                    log.warning(
                        "%s; %d calls are sent again until it answers", unavailable(error, _TIMEOUT_S), len(calls)
                    )
                is_away = True
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _execute(self, calls: Sequence[ScriptCall[Any]]) -> list[Any]:
        replies = await self._wire.exchange(calls)
        for reply in replies:
            if isinstance(reply, RedisError) and is_absence(reply):
                raise reply
        return replies


def _settle(future: asyncio.Future[Any], call: ScriptCall[Any], reply: Any) -> None:
    if future.done():  # its caller waits no more
        return
    if not isinstance(reply, Exception):
        try:
            future.set_result(call.parse(reply))
            return
        except Exception as error:  # an unexpected reply is an error of this caller only
            reply = error
    future.set_exception(reply)
