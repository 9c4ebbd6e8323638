"""Celery's tracer for the asyncio worker: all that Celery does around a task, without blocking the event loop."""

from __future__ import annotations

import functools
import inspect
import itertools
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import Task, signals
from celery import states as celery_states
from celery.app import trace as celery_trace
from celery.app.task import Context, get_actual_ignore_result
from celery.canvas import group, maybe_signature
from celery.exceptions import Ignore, Reject, Retry
from celery.utils.saferepr import saferepr

from celeriac.core.printable import frames_of
from celeriac.engine import bridge, private
from celeriac.engine.aio import endings, handlers
from celeriac.engine.aio.execution import Execution, Outcome, adapted, is_async, is_isolated
from celeriac.engine.aio.failures import ErrorInfo, TraceInfo
from celeriac.engine.aio.following import producer_of
from celeriac.engine.aio.handlers import hook_of, on_the_loop, owner_of, receivers_of, warn_if_long
from celeriac.engine.aio.stacks import Stack
from celeriac.engine.containment import as_exception, end_of_run

log = logging.getLogger("celery.app.trace")

#: States after which Celery calls `after_return`. A task that is retried, ignored or rejected has no such call.
_OVER = frozenset({celery_states.SUCCESS, celery_states.FAILURE})


class Tracer:
    """Runs one task as Celery's tracer does (celery/app/trace.py, `build_tracer`), without blocking the event loop.

    Quick steps are done inline. Slow ones (the user's hooks, errors, chords) go across the bridge, through Celery's
    own code. The user's handlers around a `def` task run in the task's thread.
    """

    def __init__(self, task: Any) -> None:
        self.task = task
        self._backend = task.backend
        self._loader = task.app.loader
        self._tasks, self._requests = Stack(private.task_stack), Stack(task.request_stack)
        self._before_start = task.before_start if _overrides(task, "before_start") else None
        # Celeriac's own task classes have `begin` and `perform`, which are awaited without the bridge.
        self._begins = "begin" in vars(owner_of(task, "before_start"))
        self._is_awaited = getattr(task, "is_awaited", False)
        self._on_success = task.on_success if _overrides(task, "on_success") else None
        self._after_return = task.after_return if _overrides(task, "after_return") else None
        # A function that Celery, the user or Celeriac has wrapped is called across the bridge.
        is_bridged = getattr(task, "celeriac_bridged", False)
        wrapped = hasattr(task, "_orig_run") or _overrides(task, "__call__") or is_bridged
        self._function = None if wrapped else adapted(task.run)
        self._is_async = inspect.iscoroutinefunction(self._function)
        self.is_isolated = is_isolated(task)
        self._is_def = not is_async(task)
        self.needs_thread = not self.is_isolated and self._is_def
        self._is_whole = self._is_def and not is_bridged  # the function and all its wrappers run in one thread
        self._has_hooks = handlers.has_hooks(task)

    async def trace(self, request: dict[str, Any], execution: Execution) -> Outcome:
        """Run the task to its end, and store its outcome."""
        task, context = self.task, _context(request)
        run = _TaskRun(context.id, context.args, context.kwargs, context, time.monotonic())
        if self._is_def and (self._has_hooks or handlers.has_receivers()):
            await execution.open_thread()
        self._tasks.enter(task)
        self._requests.enter(context)
        try:
            try:
                if signals.task_prerun.receivers:
                    await self._send_signal(execution, signals.task_prerun, task=task, **run.named)
                self._loader.on_task_init(run.id, task)
                if task.track_started and not get_actual_ignore_result(task, context):
                    await bridge.call(self._mark_as_started, run)
                await self._begin(execution, run)
                run.value = await self._perform(execution, context)
                if context.callbacks or context.chain:
                    await bridge.call(self._publish_next, run)
                await self._store(run)
                run.state = celery_states.SUCCESS
            except BaseException as error:
                if execution.is_stop(error):
                    raise
                await execution.settle()
                return await execution.aside(self._fail, run, _without_first_frame(error))
            return await self._succeed(execution, run)
        finally:
            await self._leave(execution, run)

    async def _leave(self, execution: Execution, run: _TaskRun) -> None:
        try:
            if self._after_return is not None and run.state in _OVER:
                await execution.aside(self._call_hook, self._after_return, run.state, run.value, *run.call, None)
            if signals.task_postrun.receivers:
                facts = {"task": self.task, "retval": run.value, "state": run.state, **run.named}
                thread = execution.thread
                if thread is not None and thread.is_busy:  # a function that cannot be stopped: signal when it ends
                    thread.run(functools.partial(signals.task_postrun.send, sender=self.task, **facts))
                else:
                    await self._send_signal(execution, signals.task_postrun, **facts)
        finally:
            self._requests.leave()
            self._tasks.leave()
            self._loader.on_process_cleanup()

    async def _send_signal(self, execution: Execution, signal: Any, **facts: Any) -> None:
        """Send a signal: in the task's thread if it has one, else on the event loop."""
        if execution.thread is not None:
            await execution.aside(functools.partial(signal.send, sender=self.task, **facts))
            return
        started = time.monotonic()
        try:
            signal.send(sender=self.task, **facts)
        finally:
            warn_if_long(time.monotonic() - started, receivers_of(signal))

    def _mark_as_started(self, run: _TaskRun) -> None:
        meta = {"pid": os.getpid(), "hostname": run.context.hostname}
        self._backend.store_result(run.id, meta, celery_states.STARTED, request=run.context)

    async def _begin(self, execution: Execution, run: _TaskRun) -> None:
        delivery = endings.current.get()
        if self._begins and delivery is not None:
            await self.task.begin(run.context, delivery.permit)
        elif self._before_start is not None:
            if delivery is not None:
                delivery.has_begun = False  # it may do so by itself, and runs from here on
            await execution.aside(self._call_timed, self._before_start, *run.call)

    async def _perform(self, execution: Execution, context: Any) -> Any:
        if self._is_awaited:
            return await self.task.perform(context)
        function = functools.partial(self._function or self.task, *context.args, **context.kwargs)
        delivery = endings.current.get()
        if delivery is None:
            return await self._call(execution, function)
        delivery.is_running = True
        try:
            return await self._call(execution, function)
        finally:
            delivery.is_running = False

    async def _call(self, execution: Execution, function: Callable[[], Any]) -> Any:
        if self._function is None and not self._is_whole:
            returned = await bridge.call(function)
            is_call_async = inspect.iscoroutine(returned)  # `__call__` of the user's class is `async def`
            return await execution.call(lambda: returned, is_async=True) if is_call_async else returned
        return await execution.call(function, is_async=self._is_async)

    def _publish_next(self, run: _TaskRun) -> None:
        """Publish the task's links and the next step of its chain. The acknowledgement's script writes them."""
        app, context = self.task.app, run.context
        inherits = app.conf.task_inherit_parent_priority
        options: dict[str, Any] = {
            "parent_id": run.id,
            "root_id": context.root_id or run.id,
            "priority": context.delivery_info.get("priority") if inherits else None,
            "producer": producer_of(app),
        }
        linked: list[Any] = [maybe_signature(callback, app=app) for callback in context.callbacks or ()]
        groups = [signature for signature in linked if isinstance(signature, group)]
        others = [signature for signature in linked if not isinstance(signature, group)]
        # Several links are sent as one group, as Celery does, so that they become the task's children at once.
        for signature in [*groups, *(others if len(linked) == 1 else [group(others, app=app)] if others else [])]:
            signature.apply_async((run.value,), **options)
        if context.chain:
            step: Any = maybe_signature(context.chain[-1], app=app)
            step.apply_async((run.value,), chain=context.chain[:-1], **options)

    async def _store(self, run: _TaskRun) -> None:
        backend, context = self._backend, run.context
        wanted = not get_actual_ignore_result(self.task, context)
        if context.delivery_info["redelivered"] or not backend.is_quick:
            await bridge.call(backend.mark_as_done, run.id, run.value, context, wanted)
        elif context.chord:
            await bridge.call(backend.mark_as_done_soon, run.id, run.value, context, wanted)
        else:
            backend.mark_as_done_soon(run.id, run.value, context, wanted)

    async def _succeed(self, execution: Execution, run: _TaskRun) -> Outcome:
        runtime, shown = time.monotonic() - run.started, self._show(run.value)
        if self._on_success is not None:
            await execution.aside(self._call_hook, self._on_success, run.value, *run.call)
        if signals.task_success.receivers:
            await self._send_signal(execution, signals.task_success, result=run.value, runtime=runtime)
        if log.isEnabledFor(logging.INFO):
            facts = {
                "id": run.id,
                "name": run.context.shadow or self.task.name,
                "return_value": shown,
                "runtime": runtime,
                "args": run.context.get("argsrepr") or saferepr(run.args),
                "kwargs": run.context.get("kwargsrepr") or saferepr(run.kwargs),
            }
            celery_trace.info(celery_trace.LOG_SUCCESS, facts)
        return (0, shown, runtime)

    def _fail(self, run: _TaskRun, error: BaseException) -> Outcome:
        """Turn what the task raised into its outcome. Celery's handlers expect an exception in `sys.exc_info`."""
        try:
            raise end_of_run(self.task, run.context, as_exception(error))
        except Reject as rejection:
            error, run.state, failure = rejection, celery_states.REJECTED, ErrorInfo(rejection, internal=True)
            TraceInfo(run.state, error).handle_reject(self.task, run.context)
        except Ignore as ignored:
            error, run.state, failure = ignored, celery_states.IGNORED, ErrorInfo(ignored, internal=True)
            TraceInfo(run.state, error).handle_ignore(self.task, run.context)
        except Retry as retry:
            error, run.state = retry, celery_states.RETRY
            info = TraceInfo(run.state, error)
            failure = self._handle(info, run, "on_retry", signals.task_retry, call_errbacks=False)
        except Exception as failed:
            error, run.state = failed, celery_states.FAILURE
            failure = self._handle(TraceInfo(run.state, error), run, "on_failure", signals.task_failure)
        run.value = error
        return (1, failure, time.monotonic() - run.started)

    def _handle(self, info: Any, run: _TaskRun, hook: str, signal: Any, **options: Any) -> Any:
        if not bridge.can_wait():
            return info.handle_error_state(self.task, run.context, **options)
        names = itertools.chain(hook_of(self.task, hook), receivers_of(signal))
        return on_the_loop(names, info.handle_error_state, self.task, run.context, **options)

    def _call_timed(self, hook: Callable[..., Any], *args: Any) -> None:
        if bridge.can_wait():
            on_the_loop(hook_of(self.task, hook.__name__), hook, *args)
        else:
            hook(*args)

    def _call_hook(self, hook: Callable[..., Any], *args: Any) -> None:
        """Call a hook after the outcome is stored. An error in it is logged, and changes nothing."""
        try:
            self._call_timed(hook, *args)
        except (Reject, MemoryError):
            raise
        except BaseException:
            log.exception("Task %s: %s raised", self.task.name, hook.__name__)

    def _show(self, value: Any) -> str:
        return repr(value) if type(value) in _SHORT else saferepr(value, self.task.resultrepr_maxsize)


#: The fields of a request without custom headers.
_KNOWN = frozenset(vars(Context)) | {"lang", "task", "argsrepr", "kwargsrepr", "compression"}
#: Types whose `repr` is always short, so that `saferepr` is not needed.
_SHORT = (type(None), bool, int, float)


@dataclass(slots=True)
class _TaskRun:
    """One run of a task, with the facts that hooks and signals receive."""

    id: str
    args: Any
    kwargs: Any
    context: Any
    started: float
    state: str | None = None
    value: Any = None

    @property
    def call(self) -> tuple[str, Any, Any]:
        return self.id, self.args, self.kwargs

    @property
    def named(self) -> dict[str, Any]:
        return {"task_id": self.id, "args": self.args, "kwargs": self.kwargs}


def _context(request: dict[str, Any]) -> Any:
    """Return the request as the task sees it. Celery's own way is taken for custom headers only, because it is slow."""
    if not request.keys() <= _KNOWN:
        return Context(request, called_directly=False)
    context = Context.__new__(Context)
    context.update(request, called_directly=False)
    return context


def _without_first_frame(error: BaseException) -> BaseException:
    """Return the error without the traceback's first frame, which belongs to the coroutine that awaits `_fail`.

    Celery clears all frames of the traceback. Clearing the frame of a suspended coroutine would end it.
    """
    frames = frames_of(error)
    return BaseException.with_traceback(error, frames.tb_next if frames is not None else None)


def _overrides(task: Any, name: str) -> bool:
    """Return whether a class of the user's overrides the method of Celery's `Task`."""
    return owner_of(task, name) is not Task
