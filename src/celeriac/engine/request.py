"""Celery's request of a task, which also says why its message is rejected, and gives up after too many lost runs."""

from __future__ import annotations

import logging
from typing import Any, Literal, cast

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery import signals
from celery.exceptions import Ignore, Reject, Retry
from celery.worker import request as celery_request
from celery.worker import state as worker_state
from celery.worker.state import task_ready

from celeriac.core.printable import shortened
from celeriac.core.records import MESSAGE_LIMIT, TRACEBACK_LIMIT
from celeriac.engine.causes import Cause, note
from celeriac.engine.containment import aborted
from celeriac.engine.unstored import NotStored, failed
from celeriac.store.jobs.beginnings import LOST, LOST_RUNS
from celeriac.store.jobs.transitions import transition

log = logging.getLogger("celeriac.engine")

#: The class below, as Celery names classes.
REQUEST = f"{__name__}:Request"


#: Exceptions after which Celery does the right thing by itself.
_ENDS_OTHERWISE = (Reject, Ignore, Retry, Terminated, WorkerLostError, TimeLimitExceeded, SystemExit, KeyboardInterrupt)
_EVENT_LIMITS = (("exception", MESSAGE_LIMIT), ("traceback", TRACEBACK_LIMIT))


class Request(celery_request.Request):
    """Celery's request with Celeriac's handling of failures, for `Task.Request`."""

    _given_up = False
    _has_timed_out = False

    def __init__(self, message: Any, *args: Any, **options: Any) -> None:
        super().__init__(message, *args, **options)
        if not getattr(message, "has_markup", True):  # decoded here, because Celery would later decode kombu's marks
            self._body, self._content_type, self._content_encoding = message.payload, None, None

    def revoked(self) -> bool:
        """Return whether the task must not run. Celery asks right before it starts the task."""
        if not self._given_up and self._is_lost_cause():
            self._given_up = True
            self._give_up()
        return self._given_up or super().revoked()

    def on_failure(self, exc_info: Any, *args: Any, return_ok: bool = False, **options: Any) -> Any:
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, NotStored):
            return self._keep(error)
        self._has_timed_out = isinstance(error, TimeLimitExceeded)
        if self._has_timed_out and not return_ok:
            # The pool's process reports first. The pool then calls `on_timeout`, which stores and acknowledges.
            return None
        if not self.acknowledged:
            lost = self._has_timed_out or isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt)
            note(self._receipt, Cause.of(error.reason if isinstance(error, Reject) else error, lost=lost))
        if isinstance(error, MemoryError):  # Celery would end the worker, and leave the message unacknowledged
            exc_info.exception = aborted(error)
        try:
            if not return_ok and not isinstance(error, _ENDS_OTHERWISE):
                return_ok = self._fail(error, exc_info)
            return super().on_failure(exc_info, *args, return_ok=return_ok, **options)
        except NotStored as unstored:
            return self._keep(unstored)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Handle a time limit that passed. Without `acks_on_timeout`, the task is failed, and still runs again."""
        if not soft and not worker_state.should_terminate and not self.acknowledged:
            self._has_timed_out = True
            self._context.celeriac_comes_back = self._comes_back
            note(self._receipt, Cause.of(TimeLimitExceeded(timeout), lost=True))
        try:
            super().on_timeout(soft, timeout)
        except NotStored as unstored:
            self._keep(unstored)

    def reject(self, requeue: bool = False) -> None:
        """Give the message back, or make a dead letter of it. A task that timed out too often becomes one as well."""
        super().reject(requeue and (self._comes_back or not self._has_timed_out))

    def _fail(self, error: BaseException, exc_info: Any) -> Literal[True]:
        """Fail the task after an error that its tracer did not handle. Celery would acknowledge the message first."""
        try:
            self.task.backend.mark_as_failure(
                self.id, error, exc_info.traceback, request=self._context, store_result=self.store_errors
            )
        except Exception as unstored:
            raise NotStored.because_of(unstored) from unstored
        return True

    def _keep(self, unstored: NotStored) -> None:
        """Make a dead letter of the message, and fail its job, because its outcome cannot be stored."""
        task_ready(self)
        cause = str(unstored.reason)
        log.error("Task %s[%s]: %s", self.name, self.id, cause)
        end = failed(self.app, self, cause)
        note(self._receipt, Cause.of(cause, end=end))
        if not self.acknowledged:
            self.reject(requeue=False)
        elif end is not None:
            cast(Any, self.app).records.try_run(transition(end))
        self.send_event("task-failed", exception=cause, traceback="")

    @property
    def _comes_back(self) -> bool:
        """Whether the task runs again after a timeout."""
        return self.task.acks_late and not self.task.acks_on_timeout and self._losses + 1 < LOST_RUNS

    @property
    def _losses(self) -> int:
        """How often the message came back because a run was lost or timed out."""
        return (self.message.delivery_info or {}).get("celeriac_losses", 0)

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 (its name in Celery)
        """Send an event as Celery does, with error texts of the same bounded length as in a job's record."""
        if "exception" in fields:
            for name, limit in _EVENT_LIMITS:
                if isinstance(text := fields.get(name), str):
                    fields[name] = shortened(text, limit)
        super().send_event(type, **fields)

    @property
    def _receipt(self) -> str:
        return str(self.message.delivery_tag)

    def _is_lost_cause(self) -> bool:
        """Return whether workers vanished with it too often. Where jobs have records, `begin` decides that instead."""
        if getattr(self.app, "keeps_job_records", False):
            return False
        return self._losses >= LOST_RUNS

    def _give_up(self) -> None:
        """Fail the task without running it, so that nobody waits for it, and make a dead letter of its message."""
        try:
            raise WorkerLostError(LOST.message)
        except WorkerLostError as lost:
            error, einfo = lost, ExceptionInfo()
        task_ready(self)
        self.task.backend.mark_as_failure(self.id, error, request=self._context, store_result=self.store_errors)
        note(self._receipt, Cause(LOST.message))
        self.reject(requeue=False)
        self.send_event("task-failed", exception=repr(error), traceback="")
        signals.task_failure.send(
            sender=self.task,
            task_id=self.id,
            exception=error,
            args=self.args,
            kwargs=self.kwargs,
            traceback=error.__traceback__,
            einfo=einfo,
        )
