"""Threads for `def` tasks."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

_Work = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class NoThread(Exception):
    """No thread became free in time."""


class Threads:
    """Up to `limit` threads, each for one function at a time. All methods are for the event loop's thread.

    Outcomes come back to the loop many at a time: an executor of the standard library wakes it for each by itself,
    which costs more than a short task.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self.limit = limit
        self.free = limit
        self._loop = loop
        self._work: SimpleQueue[_Work] = SimpleQueue()
        self._started = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._outcomes: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._lock = threading.Lock()
        self._waking = False

    @property
    def waiting(self) -> int:
        """How many wait for a thread."""
        return len(self._waiting)

    async def reserve(self, *, patience: float | None = None) -> None:
        """Wait for a thread, for `patience` seconds at most; it is kept until `release`, or for the next `run`.

        Raises:
            NoThread: it took too long. Of many that wait the last to come is told so first.
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
                self.release()  # it was given a thread and told to stop at the same time
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def release(self) -> None:
        """Give the thread to who waits for it."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1

    def run(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Have `function` called in a thread that was reserved, which is released when it returns."""
        future = self._loop.create_future()
        self._work.put((function, future))
        if self._started < self.limit - self.free:
            self._started += 1
            threading.Thread(target=self._serve, name=f"celeriac-def-{self._started}", daemon=True).start()
        return future

    def _turn_all_away(self) -> None:
        while self._waiting:
            turn = self._waiting.pop()
            if not turn.done():
                turn.set_exception(NoThread())

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
            self.release()
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
