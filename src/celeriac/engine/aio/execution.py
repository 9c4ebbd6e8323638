"""One run of a task in the asyncio worker."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from typing import Any, NamedTuple

from billiard.einfo import ExceptionInfo
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.core.errors import JobAborted
from celeriac.core.interrupt import Interruptible
from celeriac.engine import bridge
from celeriac.engine.aio import stacks
from celeriac.engine.aio.limits import HardLimitPassed, Limited
from celeriac.engine.aio.slots import NoSlot, Slots
from celeriac.engine.aio.threads import Threads
from celeriac.engine.aio.wrappers import awaiting

log = logging.getLogger("celeriac.engine")

_current: ContextVar[Execution | None] = ContextVar("celeriac_execution", default=None)


#: Whether it failed; what it returned as text, or an `ExceptionInfo`; for how long it ran (s).
Outcome = tuple[Any, Any, Any]


class Callbacks(NamedTuple):
    """How Celery's request hears of what becomes of it (celery/worker/request.py)."""

    accepted: Callable[[int, float], None]
    done: Callable[[Any], None]
    failed: Callable[[Any], None]
    timed_out: Callable[[bool, float], None]
    postponed: Callable[[], None] | None = None


class Execution:
    """Has a task traced, calls its function, within Celery's time limits, and tells the request how it ended.

    `trace` does what Celery does around a task, and replies the outcome in Celery's form: whether it failed, what it
    returned, or how it failed, and for how long it ran (s).
    """

    def __init__(
        self,
        trace: Callable[[Execution], Awaitable[Outcome]],
        callbacks: Callbacks,
        threads: Threads,
        *,
        loop: asyncio.AbstractEventLoop,
        soft_limit: float | None,
        hard_limit: float | None,
        slots: Slots | None = None,
    ) -> None:
        self._trace = trace
        self._callbacks = callbacks
        self._threads = threads
        self._soft_limit = soft_limit
        self._hard_limit = hard_limit
        self._loop = loop
        self._task: asyncio.Task[None] | None = None
        self._slots = slots
        self._has_slot = False
        self._in_thread: Interruptible | None = None
        self._terminated = False

    def start(self) -> asyncio.Task[None]:
        """Begin; the task that is returned ends when all is said and done. It never fails."""
        self._task = self._loop.create_task(self._run())
        return self._task

    def terminate(self, signum: int | None = None) -> None:
        """Stop it, soon, wherever it is. From any thread; Celery calls it for `revoke(terminate=True)`."""
        self._terminated = True
        self.abandon()

    def abandon(self) -> None:
        """Stop it, soon, and record nothing: the worker ends, and the message goes back to its queue."""
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self._in_thread is not None:
            self._in_thread.interrupt(JobAborted)
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        stacks.begin()
        _current.set(self)
        try:
            if self._slots is not None:
                await self._slots.reserve(may_leave=True)
                self._has_slot = True
            self._callbacks.accepted(os.getpid(), time.monotonic())
            outcome = await self._trace(self)
            if outcome[0]:
                await bridge.call(self._callbacks.done, outcome)
            else:
                self._callbacks.done(outcome)
        except NoSlot:
            if self._callbacks.postponed is not None:
                self._callbacks.postponed()
        except HardLimitPassed:
            await bridge.call(self._callbacks.timed_out, False, self._hard_limit)
        except asyncio.CancelledError:
            if not self._terminated:
                raise
        except Exception:
            log.exception("Celery's tracer failed")
            await bridge.call(self._callbacks.failed, ExceptionInfo())
        finally:
            self._task = None  # it holds a context, which holds this: garbage that only a collector would find
            if self._slots is not None and self._has_slot:
                self._slots.release()

    def take_slot(self, slots: Slots) -> bool:
        """Whether one of these has been reserved for it; if so, whoever asks releases it."""
        has_slot = self._has_slot and self._slots is slots
        if has_slot:
            self._has_slot = False
        return has_slot

    async def call(self, function: Callable[[], Any], *, is_async: bool) -> Any:
        """Call the task's function: `async def` on the loop, any other in a thread."""
        try:
            returned = function() if is_async else await self._call_in_thread(function)
            return await self._await(returned) if inspect.iscoroutine(returned) else returned
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            raise JobAborted(f"the task raised {error!r}") from error
        except asyncio.CancelledError as error:
            if self._task is None or self._task.cancelling():
                raise
            # Nobody asked it to stop: of something it awaited, say, and nothing would ever become of its message.
            raise JobAborted(f"the task raised {error!r}") from error

    async def _await(self, coroutine: Any) -> Any:
        if not self._soft_limit and not self._hard_limit:
            return await coroutine
        return await Limited(coroutine, self._soft_limit, self._hard_limit, self._on_soft_limit)

    async def _call_in_thread(self, function: Callable[[], Any]) -> Any:
        if not self.take_slot(self._threads):  # which is released when the function returns, however long that takes
            await self._threads.reserve()
        work = self._in_thread = Interruptible()
        context = copy_context()
        future = self._threads.run(lambda: work.run(lambda: context.run(function)))
        timers: list[asyncio.TimerHandle] = []
        if self._soft_limit:
            timers.append(self._loop.call_later(self._soft_limit, self._interrupt_thread, work))
        if self._hard_limit:
            timers.append(self._loop.call_later(self._hard_limit, _give_up, future))
        try:
            return await future
        finally:
            self._in_thread = None
            for timer in timers:
                timer.cancel()

    def _interrupt_thread(self, work: Interruptible) -> None:
        self._on_soft_limit()
        work.interrupt(SoftTimeLimitExceeded)

    def _on_soft_limit(self) -> None:
        self._callbacks.timed_out(True, self._soft_limit or 0.0)


async def await_in_thread(function: Callable[[], Any]) -> Any:
    """Call `function`, of the task that the tracer runs, in a thread."""
    execution = _current.get()
    assert execution is not None, "no task is run here"
    return await execution.call(function, is_async=False)


def take_slot(slots: Slots) -> bool:
    """Whether one of these has been reserved for the task that runs here; if so, whoever asks releases it."""
    execution = _current.get()
    return execution is not None and execution.take_slot(slots)


def adapt(task: Any) -> None:
    """Make the tracer call this task's function through the running execution.

    Celery wraps the function of a task with `autoretry_for` once more; what is adapted is the function itself.
    """
    name = "_orig_run" if hasattr(task, "_orig_run") else "run"
    function = getattr(task, name)
    if hasattr(function, "celeriac_adapted") or getattr(task, "celeriac_bridged", False):
        return
    function = awaiting(function)
    on_loop = inspect.iscoroutinefunction(function)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        execution = _current.get() if bridge.can_wait() else None
        if execution is None:  # called by other code than the tracer: an ordinary call
            return function(*args, **kwargs)
        return bridge.wait(execution.call(functools.partial(function, *args, **kwargs), is_async=on_loop))

    run.celeriac_adapted = function  # type: ignore[attr-defined]
    setattr(task, name, run)


def adapted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The task's own function, of one that `adapt` has put in its place."""
    return getattr(function, "celeriac_adapted", function)


def is_async(task: Any) -> bool:
    """Whether the task's own function, below all that wraps it, is `async def`."""
    spec = getattr(task, "spec", None)
    if spec is not None:
        return bool(spec.is_async)
    return inspect.iscoroutinefunction(adapted(getattr(task, "_orig_run", task.run)))


def is_isolated(task: Any) -> bool:
    """Whether the task's function runs in a process of its own."""
    spec = getattr(task, "spec", None)
    return spec is not None and bool(spec.options.isolate)


def _give_up(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(HardLimitPassed())
