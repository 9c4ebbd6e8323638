"""Keeps exceptions of a task's function and hooks from breaking the worker."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from typing import Any

from billiard.process import current_process
from celery import Task
from celery.exceptions import Ignore, Retry, WorkerShutdown, WorkerTerminate
from greenlet import GreenletExit

from celeriac.core.errors import JobAborted
from celeriac.core.printable import frames_of, name_of, repr_of
from celeriac.core.records import MESSAGE_LIMIT

#: Exceptions by which Celery or its pool ends the worker while a task runs.
_ENDS_THE_WORKER = (WorkerShutdown, WorkerTerminate, GreenletExit)
#: The methods that Celery calls around a task's function.
_HOOKS = ("before_start", "on_success", "on_failure", "on_retry", "after_return")

#: All that code which reports a failure does with an exception.
_LOOKS: tuple[Callable[[Any], object], ...] = (
    str,
    repr,
    lambda error: error == error,
    lambda error: isinstance(error, Warning),
    lambda error: error.__reduce_ex__(2),  # a prefork process pickles it for its parent
    *map(attrgetter, ("args", "__dict__", "__traceback__", "__cause__", "__context__", "__notes__", "exceptions")),
    *(lambda error, name=name: getattr(type(error), name) for name in ("__name__", "__qualname__", "__module__")),
)


def aborted(error: BaseException) -> JobAborted:
    """Make the failure that stands for an error that is no `Exception`."""
    return JobAborted(f"the job raised {repr_of(error, MESSAGE_LIMIT)}")


def as_exception(error: BaseException) -> Exception:
    """Return the exception that a task fails with after it raised `error`."""
    if isinstance(error, Exception):
        return error
    failure = aborted(error)
    failure.__cause__ = error
    return failure


def raise_if_harmful(error: BaseException) -> None:
    """Try all that Celery, log formatters and handlers do with an exception, and replace one that would harm them.

    Raises:
        JobAborted: one of its methods raises something that is no `Exception`, such as SystemExit, which no caller
            expects. It has the frames of `error`, and no reference to it.
    """
    for look in _LOOKS:
        try:
            with suppress(Exception):  # all callers cope with an `Exception`
                look(error)
        except BaseException:
            failure = JobAborted(f"the job raised a {name_of(error)}, which cannot be looked at")
            raise failure.with_traceback(frames_of(error)) from None


def end_of_run(task: Any, request: Any, error: Exception) -> Exception:
    """Let the task record the end of a run that raised `Ignore` or `Retry`, for which Celery's tracers record none.

    Returns:
        What the run ends with: `error`, or a failure that replaces it.
    """
    record_end = getattr(task, "end_of_run", None) if isinstance(error, Ignore | Retry) else None
    return error if record_end is None else record_end(error, request)


async def take_back_cancellations(task: asyncio.Task[Any]) -> None:
    """Make the current asyncio task go on after the job's own code has cancelled it."""
    if not task.cancelling():
        return
    while task.uncancel():
        pass
    with suppress(asyncio.CancelledError):  # before Python 3.13, a pending cancellation is still delivered
        await asyncio.sleep(0)


def contain(task: Any) -> None:
    """Make a task of Celery's own pools fail with whatever its function or one of its hooks raises.

    Celery takes an error that is no `Exception` for the end of the process, and runs the task again, or loses it. Only
    errors that really end the process pass. Functions of typed jobs are not wrapped, because `runs.py` contains them.
    """
    if not getattr(task, "celeriac_bridged", False):
        _contain(task, "run")
    for hook in _HOOKS:
        if getattr(type(task), hook) is not getattr(Task, hook):
            _contain(task, hook)


def _contain(task: Any, name: str) -> None:
    function = getattr(task, name)
    if hasattr(function, "celeriac_contained"):
        return

    @functools.wraps(function)
    def contained(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise_if_harmful(error)
            if (ending := end_of_run(task, task.request, error)) is not error:
                raise ending from error
            raise
        except BaseException as error:
            if task.request.called_directly or ends_the_process(error):
                raise
            raise aborted(error) from error

    contained.celeriac_contained = True  # type: ignore[attr-defined]
    setattr(task, name, contained)


def ends_the_process(error: BaseException) -> bool:
    """Return whether Celery's own pools must see the error, because it ends a prefork process or the worker."""
    if isinstance(error, SystemExit | KeyboardInterrupt) and current_process().name != "MainProcess":
        return True
    return isinstance(error, _ENDS_THE_WORKER)
