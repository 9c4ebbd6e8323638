"""Waits for messages. An idle worker takes the next one in the same step, by a claim."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from celeriac.core.background import background
from celeriac.core.timing import RETRY_PAUSE_S
from celeriac.store import keys
from celeriac.store.messages.taking import Source, Taken, wait_for
from celeriac.store.redis.connection import Client
from celeriac.store.redis.errors import RedisError
from celeriac.store.redis.listener import Listener
from celeriac.store.redis.pipeline import Pipeline
from celeriac.store.redis.wire import Wire
from celeriac.store.scripts.script import ScriptCall

#: How long the server blocks one wait, and how much later the worker counts its reply as lost.
HOLD_S = 5
_GRACE_S = 5.0


class Claim:
    """A `take` call sent ahead: the server takes the next message as it comes, if the worker is idle then."""

    def __init__(self, take: Callable[[int], ScriptCall[Taken]], deliver: Callable[[Taken], None], until: int) -> None:
        """Prepare a claim that holds until the time `until`, in ms of the server's clock.

        `take` makes the call for such a time, always under the same receipt. `deliver` gets what was taken.
        """
        self._take = take
        self.deliver = deliver
        self.call = take(until)
        self._over = time.monotonic() + HOLD_S + _GRACE_S

    async def recover(self, pipeline: Pipeline) -> None:
        """After a lost reply, fetch and deliver what the claim took. The server may still hold it, so look again."""
        while True:
            taken = await pipeline.run(self._take(0))
            self.deliver(taken)
            remaining = self._over - time.monotonic()
            if taken.messages or remaining <= 0:
                return
            await asyncio.sleep(remaining)


class Arrivals:
    """Waits for all lists of all queues at once, each on a connection of its own.

    A wait goes on while the worker is busy, so that it need not be sent again for each message. A claim follows each
    wait on the same connection. The server carries it out right after the wait, without a round trip.
    """

    def __init__(self, client: Client, pipeline: Pipeline) -> None:
        self._client = client
        self._pipeline = pipeline
        self._listener = Listener(client)
        self._heard: set[str] = set()
        self._news = asyncio.Event()
        self._look = False
        self._wires: dict[str, Wire] = {}
        self._waits: dict[str, asyncio.Task[None]] = {}
        self._recovering: set[asyncio.Task[None]] = set()

    async def wait(self, sources: Sequence[Source], claim: Callable[[], Claim], seconds: float) -> bool:
        """Wait for a message in a queue, for an earlier due time of a delayed one, or for `seconds`.

        Returns:
            Whether to look at the queues now. False if a claim has delivered the message.
        """
        for source in sources:
            await self._hear_of_delays(source.queue)
            for list_key in source.lists:
                if list_key not in self._waits:
                    waiting = self._wait_for(list_key, claim())
                    self._waits[list_key] = background(waiting, name="celeriac-arrivals")
        timer = asyncio.get_running_loop().call_later(seconds, self._ring)
        try:
            await self._news.wait()
        finally:
            timer.cancel()
        self._news.clear()
        look, self._look = self._look, False
        return look

    async def aclose(self) -> None:
        """Stop all waits."""
        for task in (*self._waits.values(), *self._recovering):
            task.cancel()
        await self._listener.aclose()

    def _ring(self, *, look: bool = True) -> None:
        self._look = self._look or look
        self._news.set()

    async def _hear_of_delays(self, queue: str) -> None:
        if queue not in self._heard:
            self._heard.add(queue)
            await self._listener.subscribe(keys.delayed(queue), lambda _: self._ring())

    async def _wait_for(self, list_key: str, claim: Claim) -> None:
        wire = self._wires.setdefault(list_key, Wire(self._client))
        look, is_sent = True, False
        try:
            async with asyncio.timeout(HOLD_S + _GRACE_S):
                await wire.connect()
                is_sent = True
                taken = await wire.run_after(wait_for(list_key, HOLD_S), claim.call)
            if taken is not None:
                claim.deliver(taken)
                look = False
        except (TimeoutError, RedisError):
            if is_sent:
                self._recover(claim)
            await asyncio.sleep(RETRY_PAUSE_S)
        finally:
            del self._waits[list_key]
            self._ring(look=look)

    def _recover(self, claim: Claim) -> None:
        recovering = background(claim.recover(self._pipeline), name="celeriac-recovery")
        self._recovering.add(recovering)
        recovering.add_done_callback(self._recovering.discard)
