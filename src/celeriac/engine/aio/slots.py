"""Room for a limited number of things at a time."""

from __future__ import annotations

import asyncio
from collections import deque


class NoSlot(Exception):
    """None became free in time."""


class Slots:
    """Up to `limit` of something that tasks take turns with. All methods are for the event loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self.limit = limit
        self.free = limit
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._waiting)

    async def reserve(self, *, patience: float | None = None) -> None:
        """Wait for one, for `patience` seconds at most; it is kept until `release`.

        Raises:
            NoSlot: it took too long. Of many that wait the last to come is told so first.
        """
        if self.free:
            self.free -= 1
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(turn)
        timer = None if patience is None else self._loop.call_later(patience, self._turn_all_away)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release()  # it was given one and told to stop at the same time
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def release(self) -> None:
        """Give it to who waits for one."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1

    def _turn_all_away(self) -> None:
        while self._waiting:
            turn = self._waiting.pop()
            if not turn.done():
                turn.set_exception(NoSlot())
