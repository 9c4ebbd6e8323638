"""Isolates the runs of tasks from each other in Celery's own pools: contexts, stacks, and errors around a task."""

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
    """Celery's `ExceptionInfo`, which also bears an exception whose own methods raise when it is formatted."""

    def __init__(self, exc_info: Any = None, internal: bool = False) -> None:
        exc_info = exc_info or sys.exc_info()
        try:
            super().__init__(exc_info, internal)
        except BaseException:
            ErrorInfo.__init__(cast(Any, self), exc_info[1], internal=internal)


def install() -> None:
    """Make each pool process that starts from now on prepare its tasks. Safe to call again."""
    celery_trace.ExceptionInfo = BearingInfo
    worker_process_init.connect(_prepare_all, dispatch_uid="celeriac.runs_apart")


def prepare(task: Any, hostname: str | None) -> None:
    """Make each run of the task have a context of its own, and an outcome, whatever it raises."""
    contain(task)
    task.backend = awaited(task.backend)
    if task.request_stack is not None and private.can_go_by_context(task.request_stack):
        stacks.go_by_context(task.request_stack)
    traced = celery_trace.build_tracer(task.name, task, task.app.loader, hostname, app=task.app)
    task.__trace__ = _apart(task, traced)


def prepare_stacks() -> None:
    """Keep Celery's current task in a context variable, so that threads and loops of a run also find it."""
    if private.can_go_by_context(private.task_stack):
        stacks.go_by_context(private.task_stack)


def _prepare_all(sender: Any = None, **_: Any) -> None:
    if sender is None:  # a process of Celeriac's own. Celery's pool passes the worker's name
        return
    prepare_stacks()
    for task in cast(Any, current_app).tasks.values():
        prepare(task, sender)


def _apart(task: Any, traced: Any) -> Any:
    """Wrap Celery's tracer of a task to run in a copy of the process's first context.

    Context variables that a task, a hook or a handler sets are gone after the run. In Celery they stay in the thread,
    and the next task finds them.
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
    """Fail a task after an error around it, in a hook, a handler or storing; return what Celery's tracer returns.

    If the error left the tracer, Celery's threads pool would never release the message, and its solo pool would take
    no further ones.
    """
    info = celery_trace.TraceInfo(_FAILURE, failure)
    try:
        raise failure
    except Reject:
        shown = BearingInfo()
    except Exception:
        try:
            shown = info.handle_error_state(task, context)
        except BaseException as error:  # a handler of the failure signal, or storing, raised as well
            if ends_the_process(error):
                raise
            log.exception("the failure of task %s[%s] may not be recorded", task.name, context.id)
            if isinstance(error, Exception) and (unstored := _unstored(task, context, failure)):
                return _failed(task, context, unstored)
            shown = BearingInfo()
    return celery_trace.trace_ok_t(shown, info, 0.0, None)


def _unstored(task: Any, context: Any, failure: Exception) -> NotStored | None:
    """Store the failure without any callbacks. Return why that is impossible, or None if it was stored."""
    store_result = not get_actual_ignore_result(task, context) or task.store_errors_even_if_ignored
    try:
        task.backend.mark_as_failure(
            context.id, failure, request=context, store_result=store_result, call_errbacks=False
        )
    except Exception as error:
        return error if isinstance(error, NotStored) else NotStored.because_of(error)
    return None
