"""Handles an exception of a task in the asyncio worker, as Celery does, with a traceback of bounded length.

In Celery's own pools, the exception is made picklable, and its traceback is formatted in full. Here the exception never
leaves the process, so hooks and signals get the very object that the task raised.
"""

from __future__ import annotations

from typing import Any

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback, Traceback
from celery import signals
from celery.app import trace as celery_trace

from celeriac.core.printable import frames_of, message_of
from celeriac.core.records import MESSAGE_LIMIT
from celeriac.engine.tracebacks import format_error


class ErrorInfo(ExceptionInfo):
    """Celery's `ExceptionInfo` with a traceback of bounded length."""

    def __init__(self, error: BaseException, *, internal: bool = False) -> None:
        self.type = type(error)
        self.tb = None if (frames := frames_of(error)) is None else Traceback(frames)
        self.traceback = format_error(error)
        self.internal = internal
        self.exception = ExceptionWithTraceback(error, self.traceback)


class TraceInfo(celery_trace.TraceInfo):
    """Celery's `TraceInfo`, which makes no picklable copy of the exception."""

    retval: Any

    def handle_reject(self, task: Any, req: Any, **_: Any) -> None:
        self._log_error(task, req, ErrorInfo(self.retval))

    def handle_ignore(self, task: Any, req: Any, **_: Any) -> None:
        self._log_error(task, req, ErrorInfo(self.retval))

    def handle_retry(self, task: Any, req: Any, store_errors: bool = True, **_: Any) -> ErrorInfo:
        reason, info = self.retval, ErrorInfo(self.retval)
        if store_errors:
            task.backend.mark_as_retry(req.id, reason.exc, info.traceback, request=req)
        task.on_retry(reason.exc, req.id, req.args, req.kwargs, info)
        signals.task_retry.send(sender=task, request=req, reason=reason, einfo=info)
        name = celery_trace.get_task_name(req, task.name)
        facts = {"id": req.id, "name": name, "exc": message_of(reason, MESSAGE_LIMIT)}
        celery_trace.info(celery_trace.LOG_RETRY, facts)
        celery_trace.traceback_clear(info.exception)
        return info

    def handle_failure(self, task: Any, req: Any, store_errors: bool = True, call_errbacks: bool = True) -> ErrorInfo:
        error, info = self.retval, ErrorInfo(self.retval)
        task.backend.mark_as_failure(
            req.id, error, info.traceback, request=req, store_result=store_errors, call_errbacks=call_errbacks
        )
        task.on_failure(error, req.id, req.args, req.kwargs, info)
        signals.task_failure.send(
            sender=task,
            task_id=req.id,
            exception=error,
            args=req.args,
            kwargs=req.kwargs,
            traceback=frames_of(error),
            einfo=info,
        )
        self._log_error(task, req, info)
        celery_trace.traceback_clear(error)
        return info
