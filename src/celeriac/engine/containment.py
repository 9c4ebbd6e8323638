"""What may leave a task's function, and what of that would break the worker."""

from __future__ import annotations

import asyncio
import functools
import sys
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

#: What is Celery's, or its pool's, where it meets a task: the worker ends.
_ENDS_THE_WORKER = (WorkerShutdown, WorkerTerminate, GreenletExit)
#: What Celery calls around a task's function.
_HOOKS = ("before_start", "on_success", "on_failure", "on_retry", "after_return")
#: Calls that may be nested, at least: with much less, nothing of a worker works, and the limit is one for all threads.
LEAST_RECURSION = sys.getrecursionlimit()

#: How an exception is looked at.
_LOOKS: tuple[Callable[[Any], object], ...] = (
    str,
    repr,
    lambda error: error == error,
    lambda error: isinstance(error, Warning),
    lambda error: error.__reduce_ex__(2),  # as a process of prefork does that sends it to its parent
    *map(attrgetter, ("args", "__dict__", "__traceback__", "__cause__", "__context__", "__notes__", "exceptions")),
    *(lambda error, name=name: getattr(type(error), name) for name in ("__name__", "__qualname__", "__module__")),
)


def aborted(error: BaseException) -> JobAborted:
    """The failure that stands for an exception which is no `Exception`."""
    return JobAborted(f"the job raised {repr_of(error, MESSAGE_LIMIT)}")


def as_exception(error: BaseException) -> Exception:
    """What a task fails with that `error` has left."""
    if isinstance(error, Exception):
        return error
    failure = aborted(error)
    failure.__cause__ = error
    return failure


def shun(error: BaseException) -> None:
    """Look at `error` as all do who tell of a failure: Celery, formatters of logs, handlers.

    Raises:
        JobAborted: its class answers a look with what is no `Exception`, such as SystemExit, which nobody expects
            there. It has the frames of `error`, and no other trace of it.
    """
    for look in _LOOKS:
        try:
            with suppress(Exception):  # with which they all cope
                look(error)
        except BaseException:
            failure = JobAborted(f"the job raised a {name_of(error)}, which cannot be looked at")
            raise failure.with_traceback(frames_of(error)) from None


def end_of_run(task: Any, request: Any, error: Exception) -> Exception:
    """With what a run ends that has raised `error`: the task sees to what Celery's tracers record no end of."""
    see_to = getattr(task, "end_of_run", None) if isinstance(error, Ignore | Retry) else None
    return error if see_to is None else see_to(error, request)


async def take_back_cancellations(task: asyncio.Task[Any]) -> None:
    """Have the current task go on, though it was cancelled by what it has run."""
    if not task.cancelling():
        return
    while task.uncancel():
        pass
    with suppress(asyncio.CancelledError):  # before Python 3.13 one that is on its way arrives nevertheless
        await asyncio.sleep(0)


def restore_recursion_limit() -> None:
    """Take back a limit that a job has lowered."""
    if sys.getrecursionlimit() < LEAST_RECURSION:
        sys.setrecursionlimit(LEAST_RECURSION)


def reconnecting(loop: Callable[..., Any]) -> Callable[..., Any]:
    """Celery's main loop, which goes on like after a lost connection if a job lowers the recursion limit under it."""

    @functools.wraps(loop)
    def run(*args: Any) -> Any:
        try:
            return loop(*args)
        except RecursionError as error:
            cause = error
        while True:
            try:
                restore_recursion_limit()
                raise OSError("a job lowered the recursion limit of the whole process, which is set back") from cause
            except RecursionError:  # too deep to call anything, until another thread has set it back
                continue

    return run


def contain(task: Any) -> None:
    """Have a task of Celery's own pools fail with whatever leaves its function or one of its hooks.

    Celery takes what is no `Exception` for the end of the process, and runs the task again, or loses it. Only what
    means just that is left to it; and the function of typed jobs, which see to it themselves.
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
            shun(error)
            if (ending := end_of_run(task, task.request, error)) is not error:
                raise ending from error
            raise
        except BaseException as error:
            if task.request.called_directly or ends_the_process(error):
                raise
            raise aborted(error) from error
        finally:
            restore_recursion_limit()

    contained.celeriac_contained = True  # type: ignore[attr-defined]
    setattr(task, name, contained)


def ends_the_process(error: BaseException) -> bool:
    """Whether Celery's own pools are to see it: it is how a process of the pool `prefork` ends, or the worker."""
    if isinstance(error, SystemExit | KeyboardInterrupt) and current_process().name != "MainProcess":
        return True
    return isinstance(error, _ENDS_THE_WORKER)
