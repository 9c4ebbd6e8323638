"""Runs the function of a job once, and stops it: on an event loop (`AsyncRun`) or in a thread (`ThreadRun`)."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Protocol

from billiard.common import terminate_handler_fired
from celery.exceptions import WorkerShutdown, WorkerTerminate

from celeriac.core.context import JobSuspended
from celeriac.core.errors import JobInterrupted, JobTimedOut
from celeriac.core.interrupt import Interruptible
from celeriac.engine import bridge
from celeriac.engine.aio import execution
from celeriac.engine.containment import aborted, raise_if_harmful, take_back_cancellations
from celeriac.engine.loop import JobLoop


class TimeUp(BaseException):
    """Raised inside a `def` job when its time limit passes. Becomes `JobTimedOut` outside the job's function."""


class Run(Protocol):
    """One run of a job's function, which another thread can stop."""

    def complete(self) -> Any:
        """Run the job's function to its end, and return what it returns.

        Raises:
            JobInterrupted: the job was cancelled.
            JobTimedOut: the function exceeded its time limit.
            JobAborted: the function raised something that would end its process or its event loop.
            Exception: whatever else the function raised.
        """
        ...

    def cancel(self) -> None:
        """Stop the function soon. Safe to call at any time, repeatedly, and from any thread."""
        ...


class AsyncRun:
    """An `async def` job: an asyncio task on the event loop of the process.

    The asyncio worker awaits `complete_on_loop` itself. In other pools the run starts at once, and Celery's thread
    waits for it in `complete`.
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], timeout: float | None, loop: JobLoop, *, awaited: bool = False
    ) -> None:
        self._coroutine = coroutine
        self._timeout = timeout
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self._is_awaited = awaited or bridge.can_wait()  # set before `submit`, which may run `complete_on_loop` at once
        self._future: Future[Any] | None = None if self._is_awaited else loop.submit(self.complete_on_loop())

    def complete(self) -> Any:
        try:
            return bridge.wait(self.complete_on_loop()) if self._future is None else self._future.result()
        except BaseException:  # the job's own, or one sent to this thread: Celery's time limit, a cold shutdown
            self.cancel()
            raise

    def cancel(self) -> None:
        self._cancelled = True
        self._loop.call_soon(self._cancel_task)

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def complete_on_loop(self) -> Any:
        """Run on the event loop. A caller that is on the loop, and passed `awaited`, awaits this directly."""
        self._task = asyncio.current_task()
        try:
            if self._cancelled:
                self._coroutine.close()
                raise JobInterrupted("cancelled before it began")
            return await self._within_limit()
        except asyncio.CancelledError as error:
            if self._cancelled:
                raise JobInterrupted("cancelled") from None
            if self._is_awaited and execution.is_asked_to_stop():
                raise  # the worker, or Celery, ends the task
            raise aborted(error) from error
        except (Exception, JobInterrupted, JobSuspended) as error:
            raise_if_harmful(error)
            raise
        except BaseException as error:
            raise aborted(error) from error
        finally:
            task, self._task = self._task, None  # from here on, `cancel` would hit the code that records the end
            if task is not None and task.cancelling():
                await (execution.settle() if self._is_awaited else take_back_cancellations(task))

    async def _within_limit(self) -> Any:
        if self._timeout is None:
            return await self._coroutine
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                return await self._coroutine
        except TimeoutError:
            if limit.expired():
                raise JobTimedOut(f"exceeded its time limit of {self._timeout:g} s") from None
            raise


class ThreadRun:
    """A `def` job: runs in the calling thread, and is interrupted between two bytecodes.

    In the main thread of a process (prefork and solo pools), a signal also wakes it from a sleep or another blocking
    call. In any other thread, a call into C has to return first.
    """

    def __init__(self, function: Callable[[], Any], timeout: float | None) -> None:
        self._function = function
        self._timeout = timeout
        self._work = Interruptible()
        self._in_main_thread = False
        self._cancelled = False

    def complete(self) -> Any:
        self._in_main_thread = _accept_wake_up()
        timer = None if self._timeout is None else threading.Timer(self._timeout, self._interrupt, [TimeUp])
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            return self._run_and_translate()
        finally:
            if timer is not None:
                timer.cancel()

    async def complete_on_loop(self) -> Any:
        """Do what `complete` does in a thread of the asyncio worker, for a caller on its event loop."""
        loop = asyncio.get_running_loop()
        timer = None if self._timeout is None else loop.call_later(self._timeout, self._interrupt, TimeUp)
        try:
            return await execution.await_in_thread(self._run_and_translate)
        finally:
            if timer is not None:
                timer.cancel()

    def _run_and_translate(self) -> Any:
        try:
            return self._work.run(self._call_unless_cancelled)
        except TimeUp:
            raise JobTimedOut(f"exceeded its time limit of {self._timeout:g} s") from None
        except (Exception, JobInterrupted, JobSuspended) as error:
            raise_if_harmful(error)
            raise
        except BaseException as error:
            if isinstance(error, WorkerShutdown | WorkerTerminate) or terminate_handler_fired():
                raise  # the worker itself ends
            raise aborted(error) from error

    def cancel(self) -> None:
        self._cancelled = True
        self._interrupt(JobInterrupted)

    def _call_unless_cancelled(self) -> Any:
        if self._cancelled:
            raise JobInterrupted("cancelled before it began")
        return self._function()

    def _interrupt(self, reason: type[BaseException]) -> None:
        if self._work.interrupt(reason) and self._in_main_thread:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR2)


def _accept_wake_up() -> bool:
    """Return whether this is the main thread. If it is, give SIGUSR2 a handler, since by default it ends the process.

    The handler does nothing. Calling it makes a blocking call return to Python, which raises the pending exception.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    if signal.getsignal(signal.SIGUSR2) in (signal.SIG_DFL, None):
        signal.signal(signal.SIGUSR2, lambda _number, _frame: None)
    return True
