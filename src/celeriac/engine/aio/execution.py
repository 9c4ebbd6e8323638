"""Runs one task in the asyncio worker: its function, its time limits, and the reports to Celery's request."""

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

from celery.exceptions import SoftTimeLimitExceeded

from celeriac.core.background import background
from celeriac.core.context import JobSuspended
from celeriac.core.errors import JobAborted, JobInterrupted, RunLater
from celeriac.core.interrupt import Interruptible
from celeriac.engine import bridge
from celeriac.engine.aio import endings, stacks
from celeriac.engine.aio.failures import ErrorInfo
from celeriac.engine.aio.limits import HardLimitPassed, Limited
from celeriac.engine.aio.own_thread import OwnThread
from celeriac.engine.aio.slots import NoSlot, Slots
from celeriac.engine.aio.threads import Threads
from celeriac.engine.aio.wrappers import awaiting, awaiting_each
from celeriac.engine.containment import (
    aborted,
    as_exception,
    raise_if_harmful,
    take_back_cancellations,
)
from celeriac.engine.tracebacks import format_error

log = logging.getLogger("celeriac.engine")

#: Celery's tasks that call another task once for each item. `chunks` are groups of `starmap`.
_MAPS = frozenset({"celery.map", "celery.starmap"})

_current: ContextVar[Execution | None] = ContextVar("celeriac_execution", default=None)


#: What Celery's tracer returns: whether the task failed; its result as text, or an `ExceptionInfo`; its runtime (s).
Outcome = tuple[Any, Any, Any]


class PutOff(BaseException):
    """Ends the run of a task whose message is given back until later."""

    def __init__(self, wish: RunLater) -> None:
        self.wish = wish
        super().__init__()


class Callbacks(NamedTuple):
    """The callbacks of Celery's request, called as its task goes on (celery/worker/request.py)."""

    accepted: Callable[[int, float], None]
    done: Callable[[Any], None]
    failed: Callable[[Any], None]
    timed_out: Callable[[bool, float], None]
    postponed: Callable[[], None] | None = None
    put_off: Callable[[RunLater], None] | None = None


class Execution:
    """One execution of a task: traces it, calls its function within Celery's time limits, reports the end.

    `trace` does what Celery does around a task, calls back `call` for the function, and returns the outcome.
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
        self._own_thread: OwnThread | None = None
        self._is_stopping = False
        self._terminated = False

    def start(self) -> asyncio.Task[None]:
        """Begin. The returned asyncio task ends after the outcome is reported. It never fails, but may be cancelled."""
        self._task = background(self._run())
        return self._task

    def terminate(self, signum: int | None = None) -> None:
        """Stop the task soon, wherever it is. Safe from any thread. Celery calls it for `revoke(terminate=True)`."""
        self._terminated = True
        self.abandon()

    def abandon(self) -> None:
        """Stop the task soon and record nothing. The worker is ending, and the message goes back to its queue."""
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._is_stopping = True
        if self._in_thread is not None:
            self._in_thread.interrupt(JobAborted)
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        stacks.begin()
        _current.set(self)
        try:
            if self._slots is not None:
                delivery = endings.current.get()
                if delivery is not None and not self._slots.free:
                    delivery.may_run = False  # its job may be cancelled while it waits
                await self._slots.reserve(may_leave=True)
                self._has_slot = True
            self._callbacks.accepted(os.getpid(), time.monotonic())
            outcome = await self._trace(self)
            if outcome[0]:  # Celery's own code reports a failure, and may wait for the broker
                await self.aside(self._callbacks.done, outcome)
            else:
                self._callbacks.done(outcome)
        except NoSlot:
            if self._callbacks.postponed is not None:
                self._callbacks.postponed()
        except PutOff as put_off:
            assert self._callbacks.put_off is not None, "it was raised because this is possible"
            self._callbacks.put_off(put_off.wish)
        except HardLimitPassed:
            await self.aside(self._callbacks.timed_out, False, self._hard_limit)
        except BaseException as error:
            if not self._is_stopping or not isinstance(error, asyncio.CancelledError):
                await self._fail_outside_tracer(error)
            elif not self._terminated:  # abandoned: this asyncio task ends as cancelled, and reports nothing
                raise
        finally:
            self._task = None  # breaks a reference cycle (task, context, self), so that no collector has to find it
            if self._own_thread is not None:
                self._own_thread.close()
            if self._slots is not None and self._has_slot:
                self._slots.release()

    async def _fail_outside_tracer(self, error: BaseException) -> None:
        """Fail the task after an error that got past the tracer, so that it does not hold its message for ever."""
        try:
            raise_if_harmful(error)
            failure = as_exception(error)
        except JobAborted as stand_in:
            failure = stand_in
        log.error("what surrounds a task failed: %r", failure, exc_info=failure)
        await self.settle()
        try:
            await self.aside(self._callbacks.failed, ErrorInfo(failure))
        except BaseException as unrecorded:
            if self.is_stop(unrecorded):
                raise
            log.error("the failure of a task cannot be recorded: %s", format_error(unrecorded))

    def take_slot(self, slots: Slots) -> bool:
        """Hand the slot that was reserved for this task to the caller, who releases it. False if there is none."""
        has_slot = self._has_slot and self._slots is slots
        if has_slot:
            self._has_slot = False
        return has_slot

    async def call(self, function: Callable[[], Any], *, is_async: bool) -> Any:
        """Call the task's function: an `async def` on the loop, any other in a thread.

        Raises:
            JobAborted: the function raised something that is no `Exception`, and that no time limit or worker sent.
        """
        try:
            returned = function() if is_async else await self._call_in_thread(function)
            return await self._await_within_limits(returned) if inspect.iscoroutine(returned) else returned
        except Exception as error:
            raise_if_harmful(error)
            raise
        except BaseException as error:
            if isinstance(error, JobInterrupted | JobSuspended) or self.is_stop(error):
                raise
            raise aborted(error) from error
        finally:
            if self._task is not None and self._task.cancelling():
                await self.settle()

    @property
    def is_stopping(self) -> bool:
        """Whether the task was told to stop."""
        return self._is_stopping

    def put_off_if_possible(self, wish: RunLater) -> None:
        """End the task, which wants to be run later, without an outcome. Do nothing if only Celery's retry can."""
        if self._callbacks.put_off is not None:
            raise PutOff(wish)

    def is_stop(self, error: BaseException) -> bool:
        """Return whether a time limit or the worker raised `error` to end the task, and not the task itself."""
        if isinstance(error, asyncio.CancelledError):
            return self._is_stopping
        return isinstance(error, HardLimitPassed | PutOff)

    async def settle(self) -> None:
        """Take back cancellations that the job's own code requested. What follows its function must not be hit."""
        task = self._task
        if task is None or self._is_stopping:
            return
        await take_back_cancellations(task)
        if self._is_stopping:
            raise asyncio.CancelledError

    async def open_thread(self) -> None:
        """Give the task a thread of its own: the function and all later `aside` calls run there."""
        if not self.take_slot(self._threads):
            await self._threads.reserve()
        self._own_thread = OwnThread(self._threads, self._loop)

    @property
    def thread(self) -> OwnThread | None:
        """The thread of the task's own, if `open_thread` gave it one."""
        return self._own_thread

    async def aside(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a hook or callback around the task: in the task's own thread if it has one, else on the loop."""
        if self._own_thread is None:
            return await bridge.call(function, *args)
        if self._own_thread.is_busy:  # a function that could not be stopped still occupies it
            return await asyncio.to_thread(function, *args)
        return await self._own_thread.run(functools.partial(function, *args))

    async def _await_within_limits(self, coroutine: Any) -> Any:
        if not self._soft_limit and not self._hard_limit:
            return await coroutine
        return await Limited(coroutine, self._soft_limit, self._hard_limit, self._on_soft_limit)

    async def _call_in_thread(self, function: Callable[[], Any]) -> Any:
        work = Interruptible()
        if self._own_thread is not None:
            future = self._own_thread.run(lambda: work.run(function))
        else:
            if not self.take_slot(self._threads):
                await self._threads.reserve()  # `Threads.run` releases it when the function returns, however late
            context = copy_context()
            future = self._threads.run(lambda: work.run(lambda: context.run(function)))
        self._in_thread = work
        timers: list[asyncio.TimerHandle] = []
        if self._soft_limit:
            timers.append(self._loop.call_later(self._soft_limit, self._interrupt_thread, work))
        if self._hard_limit:
            timers.append(self._loop.call_later(self._hard_limit, _pass_hard_limit, future))
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
    """Call `function`, which belongs to the task that runs here, in a thread."""
    execution = _current.get()
    assert execution is not None, "no task is run here"
    return await execution.call(function, is_async=False)


def put_off_if_possible(wish: RunLater) -> None:
    """End the task that runs here, which wants to be run later. Do nothing if only Celery's retry can do that."""
    current = _current.get()
    if current is not None:
        current.put_off_if_possible(wish)


def is_asked_to_stop() -> bool:
    """Return whether the worker told the current task to stop. Outside a worker, return whether it was cancelled."""
    execution, task = _current.get(), asyncio.current_task()
    return execution.is_stopping if execution is not None else bool(task and task.cancelling())


async def settle() -> None:
    """Take back cancellations that the code of the task that runs here requested."""
    execution = _current.get()
    if execution is not None:
        await execution.settle()


def take_slot(slots: Slots) -> bool:
    """Hand the slot reserved for the task that runs here to the caller, who releases it. False if there is none."""
    execution = _current.get()
    return execution is not None and execution.take_slot(slots)


def adapt(task: Any) -> None:
    """Make the tracer call this task's function through the running execution.

    With `autoretry_for`, Celery wraps the function and keeps it as `_orig_run`. The inner function is adapted then.
    """
    name = "_orig_run" if hasattr(task, "_orig_run") else "run"
    function = getattr(task, name)
    if hasattr(function, "celeriac_adapted") or getattr(task, "celeriac_bridged", False):
        return
    function = awaiting_each(function) if task.name in _MAPS else awaiting(function)
    on_loop = inspect.iscoroutinefunction(function)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        execution = _current.get() if bridge.can_wait() else None
        if execution is None:  # not called by the tracer: an ordinary call
            return function(*args, **kwargs)
        return bridge.wait(execution.call(functools.partial(function, *args, **kwargs), is_async=on_loop))

    run.celeriac_adapted = function  # type: ignore[attr-defined]
    setattr(task, name, run)


def adapted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Undo `adapt`: the task's own function behind the one that replaced it."""
    return getattr(function, "celeriac_adapted", function)


def is_async(task: Any) -> bool:
    """Return whether the task's own function, inside all its wrappers, is `async def`."""
    spec = getattr(task, "spec", None)
    if spec is not None:
        return bool(spec.is_async)
    return inspect.iscoroutinefunction(adapted(getattr(task, "_orig_run", task.run)))


def is_isolated(task: Any) -> bool:
    """Return whether the task's function runs in a process of its own."""
    spec = getattr(task, "spec", None)
    return spec is not None and bool(spec.options.isolate)


def _pass_hard_limit(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(HardLimitPassed())
