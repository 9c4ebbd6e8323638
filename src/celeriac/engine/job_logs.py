"""Which job a line of the log was written in: for formats of users', and for the worker's own log.

It is found out when a line is written, by a filter on handlers. Nothing is done for jobs that log nothing, and a
`LogRecord` of whoever has an `extra` of the same name keeps that. (A record factory would clash with it.)
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

#: Lines of these name the job themselves, if it is one job's.
_NAME_JOBS = frozenset({"celery", "celeriac", "kombu"})
#: The format of the worker's log, and that of lines written in jobs, where nothing else is set.
_FORMAT = NAMESPACES["worker"]["log_format"].default
_FORMAT_IN_JOBS = NAMESPACES["worker"]["task_log_format"].default


class RunningJob(NamedTuple):
    """One attempt at a job."""

    task_id: str
    task_name: str
    attempt: int


#: What stands in lines that no job has written.
NO_JOB = RunningJob("-", "-", 0)

_running: ContextVar[RunningJob | None] = ContextVar("celeriac_running_job", default=None)


@contextmanager
def running(task_id: str, task_name: str, attempt: int) -> Generator[None]:
    """While inside, and in what is started there with its context, lines are this job's.

    For jobs that run where Celery has no current task: in an isolated job's process, or in a test's own.
    """
    token = _running.set(RunningJob(task_id, task_name, attempt))
    try:
        yield
    finally:
        _running.reset(token)


def running_job() -> RunningJob:
    """The job that the calling code is part of; `NO_JOB` if there is none."""
    task: Any = current_task
    request: Any = task.request if task else None
    if request is not None and request.id:
        return RunningJob(request.id, task.name, (request.retries or 0) + 1)
    return _running.get() or NO_JOB


class JobLogFilter(logging.Filter):
    """Gives each record `task_id`, `task_name` and `attempt` of the job that writes it; `-`, `-` and 0 outside of jobs.

    Put it on handlers: filters of loggers do not see what loggers below them write. What `extra` has already stays.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass."""
        has = record.__dict__
        if not ("task_id" in has and "task_name" in has and "attempt" in has):
            for name, value in running_job()._asdict().items():
                has.setdefault(name, value)
        return True


class JobFormatter(ColorFormatter):
    """The format of the worker's log; and that of lines which users' code has written in a job."""

    def __init__(self, plain: ColorFormatter) -> None:
        super().__init__(plain._fmt, use_color=plain.use_color)
        self.datefmt = plain.datefmt
        self._in_jobs = ColorFormatter(_FORMAT_IN_JOBS, use_color=plain.use_color)
        self._in_jobs.datefmt = plain.datefmt

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        if getattr(record, "task_id", NO_JOB.task_id) == NO_JOB.task_id or record.name.split(".")[0] in _NAME_JOBS:
            return super().format(record)
        return self._in_jobs.format(record)


def install() -> None:
    """Have what Celery has set up as this process's log name jobs. Safe to call more than once.

    Handlers of a user's own are left alone, and so is the format if the application sets one.
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
