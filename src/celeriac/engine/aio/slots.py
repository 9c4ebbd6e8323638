"""Limits how many tasks run at a time, and turns away those that would wait too long."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from celeriac.core.clock import now_ms

#: After how long a task that was turned away comes back, and the most time between two that come back.
_PAUSE_MS, _EACH_MS = 250.0, 10.0
#: How long a task should wait for a slot at most.
_MOMENT_S = 0.03


class NoSlot(Exception):
    """No slot became free in time."""


class _Turn(NamedTuple):
    given: asyncio.Future[None]
    may_leave: bool


class Slots:
    """`limit` slots that tasks take turns with. Use the methods in the event loop's thread only.

    After each `patience` seconds, tasks that would wait longer are turned away, since other workers may have room for
    them. `gives_way` says whether the messages of such tasks let others go first, or stay first in their queue.
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
        """How many tasks wait for a slot."""
        return len(self._turns)

    @property
    def room_to_wait(self) -> int:
        """How many more tasks may wait: as many as there are slots, or as get one within 0.03 s if that is more.

        Returns 0 until half of that room is free, because fetching a few messages at a time costs more.
        """
        limit = max(self.limit, int(self._served_before * _MOMENT_S / self._patience))
        room = limit - len(self._turns)
        return room if 2 * room >= limit else 0

    async def reserve(self, *, may_leave: bool = False) -> None:
        """Wait for a slot, and keep it until `release`.

        Raises:
            NoSlot: with `may_leave`, the turn would not come soon.
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
                self.release()  # it got a slot and was cancelled in the same turn of the loop
            raise

    def release(self) -> None:
        """Pass a slot on to the next task that waits, or free it."""
        while self._turns:
            turn = self._turns.popleft()
            if not turn.given.done():
                turn.given.set_result(None)
                self._served += 1
                return
        self.free += 1

    def comeback_ms(self) -> int:
        """Return when a task that was turned away should come back, in ms since the epoch.

        The times are spread such that twice as many tasks come back as were served lately.
        """
        pause = min(_EACH_MS, self._patience * 1000 / 2 / max(1, self._served_before))
        self._last_comeback = max(now_ms() + _PAUSE_MS, self._last_comeback + pause)
        return int(self._last_comeback)

    def _turn_away(self) -> None:
        """Turn away the tasks that came last. As many stay as got a slot since the last call."""
        self._served_before, self._served = self._served, 0
        may_leave = [turn for turn in self._turns if turn.may_leave and not turn.given.done()]
        for turn in reversed(may_leave[self._served_before :]):
            turn.given.set_exception(NoSlot())
        self._turns = deque(turn for turn in self._turns if not turn.given.done())
        stays = any(turn.may_leave for turn in self._turns)
        self._timer = self._loop.call_later(self._patience, self._turn_away) if stays else None
