"""Keeps each endpoint from delaying the others: a lane for each, with a slot for each request that it may have at once.

Slots are shared by all workers (`app.limits`). A lane that has one hands it from delivery to delivery. Who would wait
for long does not wait here, where it would take up room in the worker: it is told when to come back.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from celeriac.core.background import background

#: How many deliveries may wait in all lanes together, which is half of a worker's slots, and for how long.
_MOST_IN_LINE, _PATIENCE_S = 500, 10.0
#: Who would wait longer than that does not begin to, unless the line is short.
_WORTHWHILE_S, _SHORT_LINE = 2.0, 20
#: What a request is thought to take before there was one.
_GUESS_S = 0.02
#: Who is told to come back comes back in this time, at the soonest and at the latest.
_SOON_S, _LATE_S = 0.5, 60.0
_SHORTEST_PAUSE_S = 0.01
#: Slots that a process asks the broker for at the same time. The broker's time limit runs for each of them: on a busy
#: machine it would run out for most of 500, and to come back costs more than to deliver.
_MOST_ASKED = 16


class Busy(Exception):
    """The endpoint takes no more for now. Come back after `seconds`."""

    def __init__(self, seconds: float, why: str) -> None:
        self.seconds = seconds
        self.why = why
        super().__init__(why)


class Slot(Protocol):
    """A slot that was taken."""

    @property
    def is_fresh(self) -> bool:
        """Whether it surely lasts for another request."""
        ...

    async def release(self) -> None:
        """Let others have it."""
        ...


@dataclass(frozen=True, slots=True)
class NoSlot:
    """There is none now. It is worth while to ask again after `seconds`."""

    seconds: float


class Slots(Protocol):
    """Where lanes take their slots."""

    async def take(self, endpoint_id: str, *, concurrency: int, rate: float | None) -> Slot | NoSlot:
        """Take one of so many slots of an endpoint."""
        ...


@dataclass(slots=True)
class _Lane:
    """The deliveries of this process to one endpoint.

    Attributes:
        held: slots that this process has, or is asking for.
        waiting: who waits for one of them.
        mean_s: how long a request takes, of late.
    """

    held: int = 0
    waiting: deque[asyncio.Future[Slot | None]] = field(default_factory=deque[asyncio.Future[Slot | None]])
    mean_s: float = _GUESS_S


class Lanes:
    """The lanes of one process."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._lanes: dict[str, _Lane] = {}
        self._in_line = 0
        self._asking = asyncio.Semaphore(_MOST_ASKED)

    @asynccontextmanager
    async def slot(self, endpoint_id: str, *, concurrency: int, rate: float | None) -> AsyncGenerator[None]:
        """Have a slot of the endpoint inside the block.

        Raises:
            Busy: there is none for a while.
        """
        lane = self._lanes.setdefault(endpoint_id, _Lane())
        try:
            slot = await self._enter(lane, endpoint_id, concurrency, rate)
        except BaseException:
            self._forget_if_idle(endpoint_id, lane)
            raise
        began = time.monotonic()
        try:
            yield
        finally:
            lane.mean_s += 0.1 * (time.monotonic() - began - lane.mean_s)
            self._leave(lane, slot, may_pass_on=rate is None and lane.held <= concurrency)
            self._forget_if_idle(endpoint_id, lane)

    async def _enter(self, lane: _Lane, endpoint_id: str, concurrency: int, rate: float | None) -> Slot:
        while lane.held >= concurrency:
            if (handed := await self._wait(lane, concurrency)) is not None:
                return handed
        waited = 0.0
        while isinstance(slot := await self._take(lane, endpoint_id, concurrency, rate), NoSlot):
            if rate is None and lane.held:
                if (handed := await self._wait(lane, lane.held)) is not None:
                    return handed
            elif waited + slot.seconds <= _PATIENCE_S and self._in_line < _MOST_IN_LINE:
                waited += await self._pause(max(_SHORTEST_PAUSE_S, slot.seconds))
            else:
                raise Busy(_spread(slot.seconds), "other requests have all slots of the endpoint")
        return slot

    async def _pause(self, seconds: float) -> float:
        self._in_line += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._in_line -= 1
        return seconds

    async def _take(self, lane: _Lane, endpoint_id: str, concurrency: int, rate: float | None) -> Slot | NoSlot:
        lane.held += 1
        slot: Slot | NoSlot = NoSlot(0)
        try:
            async with self._asking:
                slot = await self._slots.take(endpoint_id, concurrency=concurrency, rate=rate)
        finally:
            if isinstance(slot, NoSlot):
                self._give_up_one(lane)
        return slot

    async def _wait(self, lane: _Lane, slots: int) -> Slot | None:
        """Wait for a slot of this process, or (None) for the moment to ask for one."""
        expected = lane.mean_s * (len(lane.waiting) + 1) / slots
        is_long = expected > _WORTHWHILE_S and len(lane.waiting) >= _SHORT_LINE
        if is_long or self._in_line >= _MOST_IN_LINE:
            raise Busy(_spread(expected), "the endpoint has as many requests as it may have at a time")
        future: asyncio.Future[Slot | None] = asyncio.get_running_loop().create_future()
        lane.waiting.append(future)
        self._in_line += 1
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await future
        except (TimeoutError, asyncio.CancelledError) as error:
            if future.done() and not future.cancelled():  # it was handed over at the same moment
                self._leave(lane, future.result(), may_pass_on=True)
            if isinstance(error, TimeoutError):
                raise Busy(_spread(lane.mean_s), "the endpoint answers slowly") from None
            raise
        finally:
            self._in_line -= 1

    def _leave(self, lane: _Lane, slot: Slot | None, *, may_pass_on: bool) -> None:
        """Hand the slot to who waits, or let go of it and have who waits ask for one."""
        if slot is not None and may_pass_on and slot.is_fresh and self._wake(lane, slot):
            return
        if slot is not None:
            background(slot.release(), name="celeriac-webhooks-slot")
            self._give_up_one(lane)
        else:
            self._wake(lane, None)

    def _give_up_one(self, lane: _Lane) -> None:
        lane.held -= 1
        self._wake(lane, None)

    def _wake(self, lane: _Lane, slot: Slot | None) -> bool:
        while lane.waiting:
            future = lane.waiting.popleft()
            if not future.done():
                future.set_result(slot)
                return True
        return False

    def _forget_if_idle(self, endpoint_id: str, lane: _Lane) -> None:
        if not lane.held and not lane.waiting:
            self._lanes.pop(endpoint_id, None)


def _spread(seconds: float) -> float:
    """Spread those that come back, so that they do not all come at once."""
    return min(_LATE_S, max(_SOON_S, seconds)) * random.uniform(1.0, 1.5)  # noqa: S311 (spreading, not secrecy)
