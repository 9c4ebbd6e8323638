"""Takes as many messages from the queues as the worker has room for, and delivers them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from kombu.utils.scheduling import round_robin_cycle

from celeriac.core.clock import now_ms
from celeriac.core.inbound import Arrival, read
from celeriac.engine.aio.arrivals import HOLD_S, Arrivals, Claim
from celeriac.engine.lease import Lease
from celeriac.store.messages.deliveries import put_back, put_off
from celeriac.store.messages.taking import Source, Taken, take
from celeriac.store.redis.connection import Client
from celeriac.store.redis.pipeline import Pipeline
from celeriac.store.scripts.script import ScriptCall

log = logging.getLogger("celeriac.engine")

#: How long an idle worker waits for news of a queue before it looks at the queue itself.
_WAIT_S = 1.0
#: The most messages taken in one script call, during which the server can do nothing else.
_BATCH = 250
#: Turns of the event loop that a delivered task needs until it has asked for its permit to run.
_TURNS = 4
#: How late the server may answer a claim.
_LATE_MS = 1000
#: Pause before the next try after the server refused a call.
_PAUSE_S = 1.0


class Fetcher:
    """Takes messages until it is cancelled.

    `room` returns how many more messages to take. Set `changed` to have the fetcher ask it again. `is_full` returns
    whether no message can be delivered now. One that still arrives goes back to its queue.
    """

    def __init__(
        self,
        client: Client,
        pipeline: Pipeline,
        lease: Lease,
        *,
        room: Callable[[], int],
        is_full: Callable[[], bool],
        deliver: Callable[[str, str, Arrival, bool], None],
        shown: str = "",
        order: Any = None,
    ) -> None:
        """`shown` is the worker's name for people: with it, jobs begin as they are taken, and `deliver` is told which.

        `order` is the cycle of kombu's `queue_order_strategy`: which queue comes first. Default: each in turn."""
        self.changed = asyncio.Event()
        self._arrivals = Arrivals(client, pipeline)
        self._pipeline = pipeline
        self._lease = lease
        self._room = room
        self._is_full = is_full
        self._deliver = deliver
        self._shown = shown
        self._sources: dict[str, Source] = {}
        self._unheld: set[str] = set()  # queues without acknowledgement: nobody holds their messages
        self._order = round_robin_cycle() if order is None else order
        self._look_at = 0.0  # when to look at the queues next, on the monotonic clock (s)
        self._ahead_ms = 0  # how far the server's clock is ahead of ours

    def add(self, source: Source) -> None:
        """Start to take messages of a queue."""
        self._sources[source.queue] = source
        self._order.update(self._sources)
        if not source.held:
            self._unheld.add(source.queue)
        self._look_at = 0.0
        self.changed.set()

    def remove(self, queue: str) -> None:
        """Stop taking messages of a queue."""
        self._sources.pop(queue, None)
        self._order.update(self._sources)

    async def serve(self) -> None:
        """Take and deliver messages until cancelled."""
        while True:
            room = self._room() if self._sources else 0
            if room <= 0:
                self.changed.clear()
                await self.changed.wait()
                continue
            try:
                await self._take_or_wait(self._in_order(), min(room, _BATCH))
            except Exception:
                log.exception("messages cannot be taken; trying again")
                await asyncio.sleep(_PAUSE_S)

    async def aclose(self) -> None:
        """Stop waiting for messages."""
        await self._arrivals.aclose()

    async def _take_or_wait(self, sources: Sequence[Source], count: int) -> None:
        pause = self._look_at - time.monotonic()
        if pause > 0:
            if await self._arrivals.wait(sources, lambda: self._claim(sources), pause):
                self._look_at = 0.0
            else:
                await _others_first()
            return
        self._lease.keep()
        number = self._lease.reserve(count)
        taken = await self._pipeline.run(self._call(sources, number, count))
        self._receive(number, taken)
        if len(taken.messages) == count:
            self._look_at = 0.0  # there may be more

    def _in_order(self) -> list[Source]:
        """Return the queues in the order to serve them now. With `round_robin`, each call puts another one in front."""
        names = list(self._order.consume(len(self._sources)))
        self._order.rotate(names[0])
        return [self._sources[name] for name in names]

    def _claim(self, sources: Sequence[Source]) -> Claim:
        number = self._lease.reserve(1)
        # A worker cannot claim what it would not hold: the hold tells the server that the worker is busy.
        is_held = all(source.held for source in sources)
        until = now_ms() + self._ahead_ms + HOLD_S * 1000 + _LATE_MS
        return Claim(
            lambda until: self._call(sources, number, 1, until),
            lambda taken: self._receive(number, taken),
            until=until if is_held else 0,
        )

    def _call(self, sources: Sequence[Source], number: int, count: int, until: int | None = None) -> ScriptCall[Taken]:
        """Make a call that takes up to `count` messages under the receipts from `number` on. With `until`, a claim."""
        hold = self._lease.hold
        return take(
            sources,
            worker=hold.worker,
            receipt=self._lease.receipt(number),
            count=count,
            lease_ms=hold.lease_ms,
            claim_until_ms=until,
            shown=self._shown,
        )

    def _receive(self, number: int, taken: Taken) -> None:
        """Deliver the messages of one `take` call. Their receipts count from `number`."""
        self._look_at = time.monotonic() + (_WAIT_S if taken.next_due is None else min(_WAIT_S, taken.next_due))
        self._ahead_ms = taken.now_ms - now_ms()
        for offset, ((queue, message), begun) in enumerate(zip(taken.messages, taken.begun, strict=True)):
            self._receive_one(self._lease.receipt(number + offset), queue, message, bool(begun), taken.now_ms)

    def _receive_one(self, receipt: str, queue: str, message: bytes, has_begun: bool, server_ms: int) -> None:
        # Since the call was sent, the queue may have been removed, or a claim may have used up the room.
        is_wanted = queue in self._sources and not self._is_full()
        if not is_wanted and queue not in self._unheld:
            self._pipeline.submit(put_back(self._lease.worker, receipt, "first", has_begun=has_begun))
            return
        arrival = read(message, receipt)
        if arrival.due_ms is None or arrival.due_ms <= server_ms:
            self._deliver(receipt, queue, arrival, has_begun)
        else:  # from a stock Celery producer, which puts messages with an ETA into the queue itself
            call = put_off(self._lease.worker, receipt, queue, arrival.due_ms, has_begun=has_begun)
            self._pipeline.submit(call)


async def _others_first() -> None:
    """Let the delivered tasks send their calls for permits first, so that these go out in one batch."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
