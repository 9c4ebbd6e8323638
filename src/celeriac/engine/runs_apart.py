"""Each run of a task apart from all others, in the pools that Celery's own tracer serves."""

from __future__ import annotations

import logging
import sys
from contextvars import copy_context
from typing import Any, cast

from billiard.einfo import ExceptionInfo
from celery import current_app
from celery.app import trace as celery_trace
from celery.app.task import Context, get_actual_ignore_result
from celery.exceptions import Reject
from celery.signals import worker_process_init

from celeriac.engine import private
from celeriac.engine.aio import stacks
from celeriac.engine.aio.failures import ErrorInfo
from celeriac.engine.containment import as_exception, contain, ends_the_process
from celeriac.engine.elsewhere import awaited
from celeriac.engine.unstored import NotStored

log = logging.getLogger("celeriac.engine")

_FAILURE = "FAILURE"


class BearingInfo(ExceptionInfo):
    """Celery's, also of an exception whose class raises where it is looked at, as Python's formatter does."""

    def __init__(self, exc_info: Any = None, internal: bool = False) -> None:
        exc_info = exc_info or sys.exc_info()
        try:
            super().__init__(exc_info, internal)
        except BaseException:
            ErrorInfo.__init__(cast(Any, self), exc_info[1], internal=internal)


def install() -> None:
    """Have the processes that a pool starts from here on prepare their tasks. Safe to call again."""
    celery_trace.ExceptionInfo = BearingInfo
    worker_process_init.connect(_prepare_all, dispatch_uid="celeriac.runs_apart")


def prepare(task: Any, hostname: str | None) -> None:
    """Give each run of the task a context of its own, and an end, whatever leaves it."""
    contain(task)
    task.backend = awaited(task.backend)
    if task.request_stack is not None and private.can_go_by_context(task.request_stack):
        stacks.go_by_context(task.request_stack)
    traced = celery_trace.build_tracer(task.name, task, task.app.loader, hostname, app=task.app)
    task.__trace__ = _apart(task, traced)


def prepare_stacks() -> None:
    """Have the current task go by context, so that threads and event loops which a run hands its context to know it."""
    if private.can_go_by_context(private.task_stack):
        stacks.go_by_context(private.task_stack)


def _prepare_all(sender: Any = None, **_: Any) -> None:
    if sender is None:  # of ours; Celery says which worker's pool it is
        return
    prepare_stacks()
    for task in cast(Any, current_app).tasks.values():
        prepare(task, sender)


def _apart(task: Any, traced: Any) -> Any:
    """Celery's tracer of a task, with a copy of the context in which the process was set up.

    Context variables that a task, a hook or a handler sets end with the run: the next one finds what the process
    started with. In Celery they stay in the thread, for whatever task comes next.
    """

    def run_apart(*args: Any) -> Any:
        stacks.begin()
        return traced(*args)

    def trace(task_id: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        try:
            return copy_context().run(run_apart, task_id, args, kwargs, request)
        except BaseException as error:
            if ends_the_process(error):
                raise
            failure = as_exception(error)
        context = Context(request or {}, id=task_id, args=args, kwargs=kwargs, called_directly=False)
        return _failed(task, context, failure)

    return trace


def _failed(task: Any, context: Any, failure: Exception) -> Any:
    """The outcome, as its tracer returns one, of a task that something around it made fail: a hook, a handler, storing.

    Whatever that is, Celery's threads would keep the message, and its solo pool would stop taking any.
    """
    info = celery_trace.TraceInfo(_FAILURE, failure)
    try:
        raise failure
    except Reject:
        shown = BearingInfo()
    except Exception:
        try:
            shown = info.handle_error_state(task, context)
        except BaseException as error:  # the handler of that signal, too, or storing
            if ends_the_process(error):
                raise
            log.exception("the failure of task %s[%s] may not be recorded", task.name, context.id)
            if isinstance(error, Exception) and (unstored := _unstored(task, context, failure)):
                return _failed(task, context, unstored)
            shown = BearingInfo()
    return celery_trace.trace_ok_t(shown, info, 0.0, None)


def _unstored(task: Any, context: Any, failure: Exception) -> NotStored | None:
    """Store a failure, and nothing else; why that cannot be done, if so."""
    store_result = not get_actual_ignore_result(task, context) or task.store_errors_even_if_ignored
    try:
        task.backend.mark_as_failure(
            context.id, failure, request=context, store_result=store_result, call_errbacks=False
        )
    except Exception as error:
        return error if isinstance(error, NotStored) else NotStored.because_of(error)
    return None
