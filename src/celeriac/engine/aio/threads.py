"""Threads for `def` tasks."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

_Work = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Threads:
    """Runs functions in up to `limit` threads, and hands their outcomes to the event loop, many at a time.

    An executor of the standard library wakes the loop for each outcome by itself, which costs more than a short job.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self.limit = limit
        self._loop = loop
        self._work: SimpleQueue[_Work] = SimpleQueue()
        self._unsettled = 0
        self._started = 0
        self._outcomes: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._lock = threading.Lock()
        self._waking = False

    @property
    def waiting(self) -> int:
        """How many functions wait for a thread."""
        return max(0, self._unsettled - self.limit)

    def run(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Have `function` called in one of the threads, in the order of asking. From the loop's thread."""
        future = self._loop.create_future()
        self._unsettled += 1
        self._work.put((function, future))
        if self._started < min(self.limit, self._unsettled):
            self._started += 1
            threading.Thread(target=self._serve, name=f"celeriac-def-{self._started}", daemon=True).start()
        return future

    def _serve(self) -> None:
        while True:
            function, future = self._work.get()
            try:
                self._hand_over(future, function(), None)
            except BaseException as error:
                self._hand_over(future, None, error)
            del function, future

    def _hand_over(self, future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        with self._lock:
            self._outcomes.append((future, value, error))
            waking, self._waking = self._waking, True
        if not waking:
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        with self._lock:
            self._waking = False
            outcomes, self._outcomes = self._outcomes, deque()
        for future, value, error in outcomes:
            self._unsettled -= 1
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
