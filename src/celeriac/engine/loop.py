"""The event loop of a worker process: one thread runs its `async def` jobs and all of Celeriac's asyncio code."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from os import _exit as end_at_once  # public, by the documentation of Python
from typing import Any, TypeVar

from celeriac.core.background import background_of, share

try:
    from uvloop import new_event_loop
except ImportError:  # not built for this platform
    from asyncio import new_event_loop

log = logging.getLogger("celeriac.engine")

T = TypeVar("T")

#: Exit code of a worker that a job has broken (EX_SOFTWARE of sysexits.h).
BROKEN = 70


class JobLoop:
    """One event loop in one daemon thread, started on first use. A forked process starts its own."""

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
                loop = new_event_loop()
                share(loop)
                thread = threading.Thread(target=_serve, args=(loop,), name="celeriac-jobs", daemon=True)
                thread.start()
                # Known only from now on: until its start, a thread looks to the guard like one that has died.
                self._loop, self._thread, self._pid = loop, thread, os.getpid()
            return self._loop

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in the loop's thread."""
        return threading.current_thread() is self._thread

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run `coroutine` on the loop, as a task that `asyncio.all_tasks()` in a job never lists."""
        return background_of(self.loop, coroutine)

    @property
    def has_ended(self) -> bool:
        """Whether the loop's thread was started, and has died."""
        return self._pid == os.getpid() and self._thread is not None and not self._thread.is_alive()

    def call_soon(self, function: Callable[..., Any], *args: Any) -> None:
        """Call `function` on the loop's thread."""
        self.loop.call_soon_threadsafe(function, *args)


@functools.cache
def job_loop() -> JobLoop:
    """Return the loop that this process shares, so that jobs can share objects that are bound to a loop."""
    return JobLoop()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop for ever, and start it again if a job stops it, because all jobs share it."""
    asyncio.set_event_loop(loop)
    while not loop.is_closed():
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):  # from an asyncio task that a job left behind
            log.exception("an asyncio task of a job raised an error that ends an event loop; the loop goes on")
        except BaseException:
            log.critical(
                "the event loop of all jobs has failed, because a job broke it; this process ends", exc_info=True
            )
            end_at_once(BROKEN)
        else:
            log.error("a job stopped the event loop that it shares with others; the loop goes on")
    log.critical("a job closed the event loop of all jobs; this process ends, and its jobs run again")
    end_at_once(BROKEN)
