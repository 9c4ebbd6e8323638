"""Keeps each endpoint from delaying the others: a lane for each, with a slot for each request that it may have at once.

Slots are shared by all workers (`app.limits`). A lane that has one hands it from delivery to delivery. Who would wait
for long does not wait here, where it would take up room in the worker: it is told when to come back.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from celeriac.core.background import background
from celeriac.core.errors import BrokerUnavailable

#: How long a delivery waits in line at most.
_PATIENCE_S = 10.0
#: A lane is slow if its requests take this long, and who comes would wait for that long; or if none has ended for so
#: long. So few wait in it, and all slow lanes together have half of the worker at most.
_SLOW_S, _LONG_WAIT_S, _STALLED_S = 0.5, 2.0, 2.0
_SHORT_LINE = 20
_LOOK_EVERY_S = 0.5
#: What a request is thought to take before there was one.
_GUESS_S = 0.02
#: Who is told to come back comes back in this time, at the soonest and at the latest.
_SOON_S, _LATE_S = 0.5, 60.0
_SHORTEST_PAUSE_S = 0.01
#: How long a process that has had a slot for long leaves it to others.
_YIELD_S = 0.06


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


@dataclass(slots=True, eq=False)
class _Waiter:
    """A delivery in line. It is handed a slot."""

    since: float
    handed: asyncio.Future[Slot]


@dataclass(slots=True)
class _Lane:
    """The deliveries of this process to one endpoint.

    Attributes:
        most: how many slots it may have.
        rate: requests a second; None: no limit. With a limit, a slot is for one request.
        held: slots that this process has.
        asks: whether somebody asks for another one.
        waiting: who waits for one of them.
        mean_s: how long a request takes, of late.
        moved_at: when a slot was last had or left, or when the lane began.
        looks: whether somebody looks after those who wait.
    """

    endpoint_id: str
    most: int = 1
    rate: float | None = None
    held: int = 0
    asks: bool = False
    waiting: deque[_Waiter] = field(default_factory=deque[_Waiter])
    mean_s: float = _GUESS_S
    moved_at: float = field(default_factory=time.monotonic)
    looks: bool = False

    def wait_of_next(self) -> float:
        """Return the seconds for which who comes now would wait."""
        place = len(self.waiting) + 1
        return max(self.mean_s * place / self.most, place / self.rate if self.rate else 0.0)

    def is_slow(self, now: float) -> bool:
        """Whether who comes now had better not wait."""
        is_slow = self.mean_s > _SLOW_S or self.rate is not None
        return (is_slow and self.wait_of_next() > _LONG_WAIT_S) or now - self.moved_at > _STALLED_S


class Lanes:
    """The lanes of one process.

    Args:
        slots: where they take their slots.
        room: returns how many jobs the process runs at a time. Those who wait take up room, too.
    """

    def __init__(self, slots: Slots, room: Callable[[], int]) -> None:
        self._slots = slots
        self._room = room
        self._lanes: dict[str, _Lane] = {}
        self._in_line = 0

    @asynccontextmanager
    async def slot(self, endpoint_id: str, *, concurrency: int, rate: float | None) -> AsyncGenerator[bool]:
        """Have a slot of the endpoint inside the block. It gets whether it was waited for.

        Raises:
            Busy: there is none for a while.
        """
        lane = self._lanes.get(endpoint_id)
        if lane is None:
            lane = self._lanes[endpoint_id] = _Lane(endpoint_id)
        lane.most, lane.rate = concurrency, rate
        try:
            slot, has_waited = await self._enter(lane)
        except BaseException:
            self._forget_if_idle(lane)
            raise
        began = time.monotonic()
        try:
            yield has_waited
        finally:
            lane.moved_at = time.monotonic()
            lane.mean_s += 0.1 * (lane.moved_at - began - lane.mean_s)
            self._leave(lane, slot)
            self._forget_if_idle(lane)

    async def _enter(self, lane: _Lane) -> tuple[Slot, bool]:
        if lane.waiting or lane.asks or lane.held >= lane.most:
            return await self._wait(lane), True
        slot: Slot | NoSlot = NoSlot(_SOON_S)
        try:
            slot = await self._ask(lane)
        finally:
            pause = slot.seconds if isinstance(slot, NoSlot) else 0.0
            self._ask_for_waiters(lane, pause)
        return (await self._wait(lane, pause), True) if isinstance(slot, NoSlot) else (slot, False)

    async def _ask(self, lane: _Lane) -> Slot | NoSlot:
        lane.asks = True
        try:
            slot = await self._slots.take(lane.endpoint_id, concurrency=lane.most, rate=lane.rate)
        finally:
            lane.asks = False
        if not isinstance(slot, NoSlot):
            lane.held += 1
            lane.moved_at = time.monotonic()
        return slot

    def _ask_for_waiters(self, lane: _Lane, pause: float) -> None:
        """Ask for slots for those who wait, after a pause. One asks for all: to ask by turns would cost more."""
        if lane.waiting and not lane.asks and lane.held < lane.most:
            lane.asks = True
            background(self._keep_asking(lane, pause), name="celeriac-webhooks-lane")

    async def _keep_asking(self, lane: _Lane, pause: float) -> None:
        try:
            while lane.waiting and lane.held < lane.most and pause <= _LONG_WAIT_S:
                if pause:
                    await asyncio.sleep(max(_SHORTEST_PAUSE_S, pause))
                slot = await self._ask(lane)
                lane.asks = True
                if isinstance(slot, NoSlot):
                    pause = slot.seconds
                    continue
                pause = 0.0
                if not self._hand_over(lane, slot):
                    self._let_go(lane, slot)
            if pause > _LONG_WAIT_S:
                self._turn_away(lane, lambda: Busy(_spread(pause), "the endpoint has had all that it may have for now"))
        except Exception as error:
            why = str(error)
            self._turn_away(lane, lambda: BrokerUnavailable(why))
        finally:
            lane.asks = False
            self._forget_if_idle(lane)

    async def _wait(self, lane: _Lane, pause: float = 0.0) -> Slot:
        """Wait for a slot.

        Raises:
            Busy: that would take too long, or did.
        """
        now, room, expected = time.monotonic(), self._room(), lane.wait_of_next()
        is_slow = lane.is_slow(now)
        if self._in_line >= (room // 2 if is_slow else room - 1) or (is_slow and len(lane.waiting) >= _SHORT_LINE):
            raise Busy(_spread(expected), "the endpoint has as many requests as it may have at a time")
        waiter = _Waiter(now, asyncio.get_running_loop().create_future())
        lane.waiting.append(waiter)
        self._in_line += 1
        self._ask_for_waiters(lane, pause)
        self._look_after(lane)
        try:
            return await waiter.handed
        except asyncio.CancelledError:
            handed = waiter.handed
            if handed.done() and not handed.cancelled() and handed.exception() is None:  # at the same moment
                self._leave(lane, handed.result())
            raise
        finally:
            self._in_line -= 1

    def _look_after(self, lane: _Lane) -> None:
        """Look from time to time whether those who wait had better leave."""
        if not lane.looks:
            lane.looks = True
            asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look, lane)

    def _look(self, lane: _Lane) -> None:
        lane.looks, now = False, time.monotonic()
        most = _SHORT_LINE if now - lane.moved_at > _STALLED_S else len(lane.waiting)
        impatient = sum(now - waiter.since > _PATIENCE_S for waiter in lane.waiting)
        self._turn_away(lane, lambda: Busy(_spread(lane.mean_s), "the endpoint answers slowly"), impatient, most)
        if lane.waiting:
            self._look_after(lane)

    def _turn_away(
        self, lane: _Lane, error: Callable[[], Exception], first: int | None = None, most: int | None = None
    ) -> None:
        """Turn the `first` who wait away, and those behind the place `most`; by default all."""
        waiting = list(lane.waiting)
        kept = waiting[first:most] if first is not None else []
        lane.waiting = deque(kept)
        for waiter in waiting[:first] + (waiting[most:] if most is not None else []):
            if not waiter.handed.done():
                waiter.handed.set_exception(error())

    def _leave(self, lane: _Lane, slot: Slot) -> None:
        """Hand the slot to who waits, or let go of it."""
        may_pass_on = lane.rate is None and lane.held <= lane.most
        if may_pass_on and slot.is_fresh and self._hand_over(lane, slot):
            return
        self._let_go(lane, slot)
        # Another process may have waited for a slot that was ours for long.
        self._ask_for_waiters(lane, _YIELD_S if may_pass_on else 0.0)

    def _hand_over(self, lane: _Lane, slot: Slot) -> bool:
        while lane.waiting:
            waiter = lane.waiting.popleft()
            if not waiter.handed.done():
                waiter.handed.set_result(slot)
                return True
        return False

    def _let_go(self, lane: _Lane, slot: Slot) -> None:
        background(slot.release(), name="celeriac-webhooks-slot")
        lane.held -= 1

    def _forget_if_idle(self, lane: _Lane) -> None:
        if not lane.held and not lane.waiting and not lane.asks:
            self._lanes.pop(lane.endpoint_id, None)


def _spread(seconds: float) -> float:
    """Spread those that come back, so that they do not all come at once."""
    return min(_LATE_S, max(_SOON_S, seconds)) * random.uniform(1.0, 1.5)  # noqa: S311 (spreading, not secrecy)
