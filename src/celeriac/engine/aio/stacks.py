"""Which task and which request are the current ones, in each coroutine.

Celery keeps both on stacks, one for each thread. Here many jobs share a thread, so the stacks go by what is running
instead: a context variable, which coroutines, the tasks they start and threads that are handed the context inherit.
"""

from __future__ import annotations

from contextvars import ContextVar
from threading import get_ident
from typing import Any

_running: ContextVar[object | None] = ContextVar("celeriac_running", default=None)


def begin() -> None:
    """From here on, in this context and those copied from it, the stacks are those of one new job."""
    _running.set(object())


def go_by_context(*stacks: Any) -> None:
    """Make Celery's stacks go by the running job."""
    for stack in stacks:
        stack.__ident_func__ = _identity


def _identity() -> object:
    running = _running.get()
    return get_ident() if running is None else running
