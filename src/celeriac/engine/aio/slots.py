"""Room for a limited number of things at a time, and what becomes of those for which there is none."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from celeriac.core.clock import now_ms

#: Milliseconds before one that was turned away tries again, and at most between two that do: each try costs a little.
_PAUSE, _EACH = 250.0, 10.0
#: Seconds in which who waits had better have its turn.
_MOMENT = 0.03


class NoSlot(Exception):
    """None became free in time."""


class _Turn(NamedTuple):
    given: asyncio.Future[None]
    may_leave: bool


class Slots:
    """Up to `limit` of something that tasks take turns with. All methods are for the event loop's thread.

    `patience` is the seconds after which those that wait are told that others may have room for them. `gives_way` says
    whether what is turned away lets others go first, or stays the first of its queue.
    """

    gives_way = True

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int, *, patience: float = 0.25) -> None:
        self.limit = limit
        self._patience = patience
        self.free = limit
        self._loop = loop
        self._turns: deque[_Turn] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._served = 0
        self._served_before = 0
        self._last_comeback = 0.0

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._turns)

    @property
    def room_to_wait(self) -> int:
        """How many more tasks may wait: as many as there are slots, or as get one within a moment if that is more.

        Returns 0 until half of that room is free, because fetching a few messages at a time costs more.
        """
        limit = max(self.limit, int(self._served_before * _MOMENT / self._patience))
        room = limit - len(self._turns)
        return room if 2 * room >= limit else 0

    async def reserve(self, *, may_leave: bool = False) -> None:
        """Wait for one; it is kept until `release`.

        Raises:
            NoSlot: who may leave had better do so, for its turn will not come soon.
        """
        if self.free:
            self.free -= 1
            return
        turn = _Turn(self._loop.create_future(), may_leave)
        self._turns.append(turn)
        if may_leave and self._timer is None:
            self._served = 0
            self._timer = self._loop.call_later(self._patience, self._turn_away)
        try:
            await turn.given
        except asyncio.CancelledError:
            if turn.given.done() and not turn.given.cancelled() and turn.given.exception() is None:
                self.release()  # it was given one and told to stop at the same time
            raise

    def release(self) -> None:
        """Give it to who waits for one."""
        while self._turns:
            turn = self._turns.popleft()
            if not turn.given.done():
                turn.given.set_result(None)
                self._served += 1
                return
        self.free += 1

    def comeback(self) -> int:
        """When one that was turned away should try again, in ms since the epoch: twice as many do as can be served."""
        pause = min(_EACH, self._patience * 1000 / 2 / max(1, self._served_before))
        self._last_comeback = max(now_ms() + _PAUSE, self._last_comeback + pause)
        return int(self._last_comeback)

    def _turn_away(self) -> None:
        """Tell who may leave to do so, the last to come first; as many stay as have had their turn meanwhile."""
        self._served_before, self._served = self._served, 0
        may_leave = [turn for turn in self._turns if turn.may_leave and not turn.given.done()]
        for turn in reversed(may_leave[self._served_before :]):
            turn.given.set_exception(NoSlot())
        self._turns = deque(turn for turn in self._turns if not turn.given.done())
        stays = any(turn.may_leave for turn in self._turns)
        self._timer = self._loop.call_later(self._patience, self._turn_away) if stays else None
