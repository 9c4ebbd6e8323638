"""Runs `def` tasks in a limited number of threads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from celeriac.core.printable import repr_of
from celeriac.core.records import MESSAGE_LIMIT
from celeriac.engine.aio.slots import Slots
from celeriac.engine.containment import aborted

_Work = tuple[Callable[[], Any], "asyncio.Future[Any]"]

#: How long functions wait for the threads that are awake, before more threads are woken.
_PATIENCE_S = 0.001


class Threads(Slots):
    """Up to `limit` threads, each for one function at a time. Use the methods in the event loop's thread only.

    An executor of the standard library wakes a thread for each function, and the loop for each outcome. That costs
    more than a short task. Here one awake thread takes function after function, and more threads are woken only when
    functions have to wait. Outcomes return to the loop in batches.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        super().__init__(loop, limit)
        self._lock = threading.Lock()
        self._work: deque[_Work] = deque()
        self._outcomes: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._wake_ups: SimpleQueue[None] = SimpleQueue()
        self._started = 0
        self._awake = 0
        self._is_settling = False
        self._look: asyncio.TimerHandle | None = None

    def run(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Call `function` in a thread. The slot must be reserved, and is released when the function returns."""
        future = self._loop.create_future()
        with self._lock:
            self._work.append((function, future))
            has_company = self._awake > 0
        if not has_company:
            self._wake(1)
        elif self._look is None:
            self._look = self._loop.call_later(_PATIENCE_S, self._wake_others)
        return future

    def _wake_others(self) -> None:
        """Wake more threads, because the functions left have waited too long for those that are awake."""
        self._look = None
        self._wake(min(len(self._work), self.limit - self._awake))
        if self._work:
            self._look = self._loop.call_later(_PATIENCE_S, self._wake_others)

    def _wake(self, count: int) -> None:
        with self._lock:
            self._awake += count
        for _ in range(count):
            self._wake_ups.put(None)
        while self._started < self._awake:
            self._started += 1
            threading.Thread(target=self._serve, name=f"celeriac-def-{self._started}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._wake_ups.get()
            while (work := self._next()) is not None:
                self._call(*work)
                del work

    def _next(self) -> _Work | None:
        with self._lock:
            if self._work:
                return self._work.popleft()
            self._awake -= 1
            return None

    def _call(self, function: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self._hand_over(future, *for_a_future(function))

    def _hand_over(self, future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        with self._lock:
            self._outcomes.append((future, value, error))
            is_settling, self._is_settling = self._is_settling, True
        if not is_settling:
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        with self._lock:
            self._is_settling = False
            outcomes, self._outcomes = self._outcomes, deque()
        for future, value, error in outcomes:
            self.release()
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)


def for_a_future(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Call `function`, and return its value and its error in a form that a future accepts."""
    try:
        return function(), None
    except StopIteration as error:  # no future accepts it, and no coroutine may raise it
        return None, RuntimeError(f"the function raised {repr_of(error, MESSAGE_LIMIT)}")
    except GeneratorExit as error:  # it would close the coroutines that await the future
        return None, aborted(error)
    except BaseException as error:
        return None, error
