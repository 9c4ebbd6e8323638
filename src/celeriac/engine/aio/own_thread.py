"""Reserves one thread for everything around one task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any

from celeriac.engine.aio.threads import Threads, for_a_future

_Work = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class OwnThread:
    """One of the threads for `def` tasks, kept until `close`: signals, hooks and the function of one task share it.

    Code that keeps something per thread, such as a database connection, finds it in all of them. Use the methods in
    the event loop's thread only. Reserve a slot of `threads` first. It is released after the last call has returned.
    """

    def __init__(self, threads: Threads, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._context = copy_context()
        self._pending = 0
        threads.run(self._serve)

    @property
    def is_busy(self) -> bool:
        """Whether a call is running or waiting."""
        return self._pending > 0

    def run(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Call `function` in the thread, after all earlier calls."""
        future = self._loop.create_future()
        self._pending += 1
        self._work.put((function, future))
        return future

    def close(self) -> None:
        """Release the thread after all calls have returned."""
        self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            function, future = work
            outcome = for_a_future(lambda function=function: self._context.run(function))
            self._loop.call_soon_threadsafe(self._settle, future, *outcome)
            del work, function, future, outcome

    def _settle(self, future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        self._pending -= 1
        if future.done():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
