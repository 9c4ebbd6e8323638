"""Threads for `def` tasks."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from celeriac.engine.aio.slots import Slots

_Work = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Threads(Slots):
    """Up to `limit` threads, each for one function at a time. All methods are for the event loop's thread.

    Outcomes come back to the loop many at a time: an executor of the standard library wakes it for each by itself,
    which costs more than a short task.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        super().__init__(loop, limit)
        self._work: SimpleQueue[_Work] = SimpleQueue()
        self._started = 0
        self._outcomes: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._lock = threading.Lock()
        self._waking = False

    def run(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Have `function` called in a thread that was reserved, which is released when it returns."""
        future = self._loop.create_future()
        self._work.put((function, future))
        if self._started < self.limit - self.free:
            self._started += 1
            threading.Thread(target=self._serve, name=f"celeriac-def-{self._started}", daemon=True).start()
        return future

    def _serve(self) -> None:
        while True:
            function, future = self._work.get()
            try:
                self._hand_over(future, function(), None)
            except StopIteration as error:  # which no future takes, and no coroutine may raise
                self._hand_over(future, None, RuntimeError(f"the function raised {error!r}"))
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
            self.release()
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
