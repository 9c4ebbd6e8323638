"""Takes messages from their queues, as many as there is room for, and delivers them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from celeriac.engine.aio.arrivals import Arrivals
from celeriac.engine.lease import Lease
from celeriac.engine.messages import read
from celeriac.store import keys
from celeriac.store.connection import Client
from celeriac.store.deliveries import Source, Taken, bury, put_off, take
from celeriac.store.pipeline import Pipeline

log = logging.getLogger("celeriac.engine")

#: Seconds an idle worker waits at most before it looks for itself.
_WAIT = 1.0
#: Messages that are taken in one step at most: the server does nothing else meanwhile.
_BATCH = 250
#: Seconds between two attempts if the server refuses.
_PAUSE = 1.0


class Fetcher:
    """Takes messages for as long as it is wanted: `room` says how many more it may, and `changed` that to ask again."""

    def __init__(
        self,
        client: Client,
        pipeline: Pipeline,
        lease: Lease,
        *,
        room: Callable[[], int],
        deliver: Callable[[str, str, dict[str, Any]], None],
    ) -> None:
        self.changed = asyncio.Event()
        self._arrivals = Arrivals(client)
        self._pipeline = pipeline
        self._lease = lease
        self._room = room
        self._deliver = deliver
        self._sources: dict[str, Source] = {}
        self._turn = 0

    def add(self, source: Source) -> None:
        """Take messages of that queue, too."""
        self._sources[source.queue] = source
        self.changed.set()

    def remove(self, queue: str) -> None:
        """Take no more messages of that queue."""
        self._sources.pop(queue, None)

    async def serve(self) -> None:
        """Take and deliver, for ever."""
        while True:
            room = self._room() if self._sources else 0
            if room <= 0:
                self.changed.clear()
                await self.changed.wait()
                continue
            try:
                await self._take_or_wait(self._in_turn(), min(room, _BATCH))
            except Exception:
                log.exception("messages cannot be taken; trying again")
                await asyncio.sleep(_PAUSE)

    async def aclose(self) -> None:
        """Wait no more for messages."""
        await self._arrivals.aclose()

    async def _take_or_wait(self, sources: Sequence[Source], count: int) -> None:
        taken = await self._take(sources, count)
        if not taken.messages:
            await self._arrivals.wait(sources, _WAIT if taken.next_due is None else min(_WAIT, taken.next_due))

    def _in_turn(self) -> list[Source]:
        """The queues, each time with another one in front."""
        sources = list(self._sources.values())
        self._turn = (self._turn + 1) % len(sources)
        return sources[self._turn :] + sources[: self._turn]

    async def _take(self, sources: Sequence[Source], count: int) -> Taken:
        """Take and deliver up to `count` messages."""
        self._lease.keep()
        number = self._lease.reserve(count)
        holder = self._lease.holder
        receipt = self._lease.receipt(number)
        call = take(sources, worker=holder.worker, receipt=receipt, count=count, lease_ms=holder.lease_ms)
        taken = await self._pipeline.run(call)
        for offset, (queue, message) in enumerate(taken.messages):
            self._receive(self._lease.receipt(number + offset), queue, message, taken.now_ms)
        return taken

    def _receive(self, receipt: str, queue: str, message: bytes, now_ms: int) -> None:
        try:
            payload, due = read(message, receipt)
        except (ValueError, TypeError, KeyError, AttributeError):
            log.exception("a message from queue %r cannot be read; it is kept in %s", queue, keys.UNREADABLE)
            self._pipeline.submit(bury(self._lease.worker, receipt))
            return
        if due is None or due <= now_ms:
            try:
                self._deliver(receipt, queue, payload)
            except Exception:
                log.exception("a message from queue %r cannot be handled; it is kept in %s", queue, keys.UNREADABLE)
                self._pipeline.submit(bury(self._lease.worker, receipt))
        else:  # published by one who does not know of our delayed ones
            self._pipeline.submit(put_off(self._lease.worker, receipt, queue, due))
