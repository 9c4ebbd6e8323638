"""Finds and times the user's handlers around a task: receivers of Celery's signals, hooks of the task's class."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ReferenceType

from celery import Task, signals

from celeriac.engine import bridge

log = logging.getLogger("celeriac.engine")

#: Hooks that Celery calls while it runs a task.
_HOOKS = ("before_start", "on_success", "on_failure", "on_retry", "after_return")
#: How long a handler may block the event loop before a warning, and the time between two equal warnings.
_LONG_S = 0.1
_WARN_EVERY_S = 60.0

_last_warned: dict[str, float] = {}


def has_hooks(task: Any) -> bool:
    """Return whether the user's class has a hook, apart from Celeriac's `before_start`, which asks for the permit."""
    return any(owner_of(task, name) is not Task and not _is_ours(task, name) for name in _HOOKS)


def has_receivers() -> bool:
    """Return whether any signal that is sent around a task has a receiver."""
    return bool(  # written out without a loop, because it runs before each `def` task
        signals.task_prerun.receivers
        or signals.task_postrun.receivers
        or signals.task_success.receivers
        or signals.task_failure.receivers
        or signals.task_retry.receivers
    )


def owner_of(task: Any, name: str) -> type:
    """Return the class that defines the task's method of that name."""
    return next(cls for cls in type(task).__mro__ if name in vars(cls))


def on_the_loop(names: Iterator[str], function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `function` in the event loop's thread. Warn with `names` of the handlers if it blocks the loop for long."""
    started, waited = time.monotonic(), bridge.waited()
    try:
        return function(*args, **kwargs)
    finally:
        warn_if_long(time.monotonic() - started - (bridge.waited() - waited), names)


def warn_if_long(blocked: float, names: Iterator[str]) -> None:
    """Warn, with the names of the handlers, if `blocked` seconds of the event loop are too many."""
    if blocked > _LONG_S:
        _warn(", ".join(names), blocked)


def receivers_of(signal: Any) -> Iterator[str]:
    """Name the receivers of a signal."""
    for entry in signal.receivers:
        receiver = entry[1]() if isinstance(entry[1], ReferenceType) else entry[1]
        if receiver is not None:
            yield f"{signal.name} handler {_name_of(receiver)}"


def hook_of(task: Any, name: str) -> Iterator[str]:
    """Name a hook of the task's class, if the user wrote it."""
    owner = owner_of(task, name)
    if owner is not Task and not _is_ours(task, name):
        yield f"{owner.__module__}.{owner.__qualname__}.{name}"


def _warn(names: str, seconds: float) -> None:
    now = time.monotonic()
    if names and now - _last_warned.get(names, -_WARN_EVERY_S) >= _WARN_EVERY_S:
        _last_warned[names] = now
        log.warning(
            "%s blocked the event loop for %.1f s, and all jobs of this worker with it: hooks and signal handlers of "
            "an `async def` task run there; make the handler faster, or the task a plain `def`",
            names,
            seconds,
        )


def _is_ours(task: Any, name: str) -> bool:
    return owner_of(task, name).__module__.startswith("celeriac.engine.")


def _name_of(receiver: Any) -> str:
    function = getattr(receiver, "__wrapped__", receiver)
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
