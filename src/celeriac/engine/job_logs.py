"""Adds the running job to log records, for the user's log formats and for the worker's own log.

A filter on handlers does it when a record is handled, so that jobs which log nothing cost nothing. A record whose
`extra` has a field of the same name keeps it, which a record factory would not allow.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from celery import current_task
from celery.app.defaults import NAMESPACES
from celery.utils.log import ColorFormatter

#: Loggers whose lines name the job themselves.
_NAME_JOBS = frozenset({"celery", "celeriac", "kombu"})
#: Celery's default formats of the worker's log, and of lines that jobs write.
_FORMAT = NAMESPACES["worker"]["log_format"].default
_FORMAT_IN_JOBS = NAMESPACES["worker"]["task_log_format"].default


class RunningJob(NamedTuple):
    """One attempt at a job."""

    task_id: str
    task_name: str
    attempt: int


#: Stands for the job in lines that no job wrote.
NO_JOB = RunningJob("-", "-", 0)

_running: ContextVar[RunningJob | None] = ContextVar("celeriac_running_job", default=None)


@contextmanager
def running(task_id: str, task_name: str, attempt: int) -> Generator[None]:
    """Assign the log lines of the `with` block, and of tasks and threads with its context, to this job.

    For jobs that run where Celery has no current task: in the process of an isolated job, or in a test.
    """
    token = _running.set(RunningJob(task_id, task_name, attempt))
    try:
        yield
    finally:
        _running.reset(token)


def running_job() -> RunningJob:
    """Return the job to which the calling code belongs, or `NO_JOB`."""
    task: Any = current_task
    request: Any = task.request if task else None
    if request is not None and request.id:
        return RunningJob(request.id, task.name, (request.retries or 0) + 1)
    return _running.get() or NO_JOB


class JobLogFilter(logging.Filter):
    """Gives each record `task_id`, `task_name` and `attempt` of the job that writes it: `-`, `-` and 0 outside jobs.

    Add it to handlers, because a logger's filter does not see records of its child loggers. Fields of `extra` stay.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields, and let every record pass."""
        has = record.__dict__
        if not ("task_id" in has and "task_name" in has and "attempt" in has):
            for name, value in running_job()._asdict().items():
                has.setdefault(name, value)
        return True


class JobFormatter(ColorFormatter):
    """The worker's log format, and Celery's task format for lines that the user's code writes in a job."""

    def __init__(self, plain: ColorFormatter) -> None:
        super().__init__(plain._fmt, use_color=plain.use_color)
        self.datefmt = plain.datefmt
        self._in_jobs = ColorFormatter(_FORMAT_IN_JOBS, use_color=plain.use_color)
        self._in_jobs.datefmt = plain.datefmt

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        if getattr(record, "task_id", NO_JOB.task_id) == NO_JOB.task_id or record.name.split(".")[0] in _NAME_JOBS:
            return super().format(record)
        return self._in_jobs.format(record)


def install() -> None:
    """Make the log handlers that Celery has set up in this process name jobs. Safe to call more than once.

    The user's own handlers, and a format that the application sets, stay unchanged.
    """
    for logger in (logging.getLogger(), logging.getLogger("celery.task")):
        for handler in logger.handlers:
            formatter = handler.formatter
            if not isinstance(formatter, ColorFormatter):
                continue
            if not any(isinstance(known, JobLogFilter) for known in handler.filters):
                handler.addFilter(JobLogFilter())
            if type(formatter) is ColorFormatter and formatter._fmt == _FORMAT:
                handler.setFormatter(JobFormatter(formatter))
