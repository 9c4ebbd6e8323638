"""The event loop of one worker process: a thread in which its `async def` jobs, and all our asyncio, run."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

try:
    from uvloop import new_event_loop
except ImportError:  # not built for this platform
    from asyncio import new_event_loop

log = logging.getLogger("celeriac.engine")

T = TypeVar("T")


class JobLoop:
    """One event loop in one daemon thread, started on first use, and anew in a process that was forked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop of this process."""
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop, self._pid = new_event_loop(), os.getpid()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name="celeriac-jobs", daemon=True)
                self._thread.start()
            return self._loop

    @property
    def is_current(self) -> bool:
        """Whether the code that asks runs in the loop's thread."""
        return threading.current_thread() is self._thread

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run `coroutine` on the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def call_soon(self, function: Callable[..., Any], *args: Any) -> None:
        """Call `function` on the loop's thread."""
        self.loop.call_soon_threadsafe(function, *args)


@functools.cache
def job_loop() -> JobLoop:
    """The loop that everything in this process shares, so that jobs can share what is bound to a loop."""
    return JobLoop()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    while True:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):  # of a task that a job has left behind
            log.exception("a task of a job raised what ends an event loop; it goes on")
        else:
            return
