"""Bounds how long a connection waits for a reply. `asyncio.timeout` costs more than all else of reading one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Patience:
    """The patience of one connection. One timer serves many waits: where it fires too early, it is set again."""

    def __init__(self, give_up: Callable[[str], object]) -> None:
        self._give_up = give_up
        self._seconds = 0.0
        self._until: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Wait for so long from now on, and then give up."""
        self._seconds, self._until = seconds, loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._until:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = loop.call_at(self._until, self._fire, loop)

    def end(self, *, for_good: bool = False) -> None:
        """Wait no longer; `for_good`: never again, so the timer is not needed."""
        self._until = None
        if for_good and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._until is None:
            return
        if loop.time() < self._until:
            self._timer = loop.call_at(self._until, self._fire, loop)
        else:
            self._give_up(f"Timed out: the server said nothing for {self._seconds:g} s")
