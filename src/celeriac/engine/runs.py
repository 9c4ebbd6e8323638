"""Attempts that are being made in this process, and how each is stopped."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Protocol

from celeriac.core.errors import JobInterrupted, JobTimedOut
from celeriac.core.interrupt import Interruptible
from celeriac.engine.loop import JobLoop


class TimeUp(BaseException):
    """Raised inside a `def` job whose time limit has passed; becomes `JobTimedOut` where the job ends."""


class Run(Protocol):
    """One attempt, and the means to stop it from another thread."""

    def complete(self) -> Any:
        """Run the job's function to its end in the calling thread's time, and return what it returns."""
        ...

    def cancel(self) -> None:
        """Stop the function, soon. Safe to call at any time, more than once, from any thread."""
        ...


class AsyncRun:
    """An `async def` job: a task on the process's event loop, awaited by Celery's thread."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None, loop: JobLoop) -> None:
        self._coroutine = coroutine
        self._timeout = timeout
        self._future: Future[Any] | None = None
        self._loop = loop

    def complete(self) -> Any:
        self._future = self._loop.submit(self._within_limit())
        try:
            return self._future.result()
        except BaseException:  # of the job, or aimed at this thread: a time limit of Celery's, a cold shutdown
            self._future.cancel()
            raise

    def cancel(self) -> None:
        if self._future is not None:
            self._future.cancel()

    async def _within_limit(self) -> Any:
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                return await self._coroutine
        except TimeoutError:
            if limit.expired():
                raise JobTimedOut(f"exceeded its time limit of {self._timeout:g} s") from None
            raise


class ThreadRun:
    """A `def` job: runs in Celery's thread, and is interrupted between two of its bytecodes.

    In a process's main thread (the prefork and solo pools) a signal also wakes it from a sleep or a wait; in another
    thread (the threads pool) a call into C has to return first.
    """

    def __init__(self, function: Callable[[], Any], timeout: float | None, loop: JobLoop) -> None:
        self._function = function
        self._timeout = timeout
        self._loop = loop
        self._work = Interruptible()
        self._in_main_thread = False

    def complete(self) -> Any:
        self._in_main_thread = _accept_wake_up()
        timer = self._start_timer()
        try:
            return self._work.run(self._function)
        except TimeUp:
            raise JobTimedOut(f"exceeded its time limit of {self._timeout:g} s") from None
        finally:
            if timer is not None:
                timer.cancel()

    def cancel(self) -> None:
        self._interrupt(JobInterrupted)

    def _start_timer(self) -> threading.Timer | None:
        if self._timeout is None:
            return None
        timer = threading.Timer(self._timeout, self._interrupt, [TimeUp])
        timer.daemon = True
        timer.start()
        return timer

    def _interrupt(self, reason: type[BaseException]) -> None:
        if self._work.interrupt(reason) and self._in_main_thread:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR2)


def _accept_wake_up() -> bool:
    """Whether this is the main thread; there, give SIGUSR2 a handler (by default it would end the process).

    The handler does nothing. It makes a blocking call return to Python, where the pending exception is raised.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    if signal.getsignal(signal.SIGUSR2) in (signal.SIG_DFL, None):
        signal.signal(signal.SIGUSR2, lambda _number, _frame: None)
    return True


class ActiveRuns:
    """The attempts of this process by job id; hears of cancellations, and looks for those it may have missed."""

    #: Seconds between two looks at the records of the jobs that run.
    LOOK_EVERY = 1.0

    def __init__(self) -> None:
        self._runs: dict[str, tuple[Run, str | None]] = {}
        self._cancelled: set[str] = set()

    def add(self, job_id: str, parent_id: str | None, run: Run) -> None:
        self._runs[job_id] = (run, parent_id)

    def remove(self, job_id: str) -> None:
        self._runs.pop(job_id, None)
        self._cancelled.discard(job_id)

    def is_cancelled(self, job_id: str) -> bool:
        """Whether this attempt was told to stop."""
        return job_id in self._cancelled

    def ids(self) -> list[str]:
        """Of the jobs that run here, and of their parents."""
        runs = list(self._runs.items())
        return [job_id for job_id, _ in runs] + [parent for _, (_, parent) in runs if parent]

    def cancel(self, asked: str) -> None:
        """Stop the job with that id, and the children of a job with that id."""
        for job_id, (run, parent_id) in list(self._runs.items()):
            if asked in (job_id, parent_id) and job_id not in self._cancelled:
                self._cancelled.add(job_id)
                run.cancel()
