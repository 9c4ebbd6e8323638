"""Keeps Celery's current task and current request apart for each job, where many jobs share a thread.

Celery keeps both on stacks, one per thread. Here a context variable selects the stack instead. Coroutines, the asyncio
tasks they start, and threads that are given the context inherit it.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from celery.utils.threads import get_ident

from celeriac.core.errors import ConfigurationError
from celeriac.engine import private

_running: ContextVar[object | None] = ContextVar("celeriac_running", default=None)


def begin() -> None:
    """Give this context, and all that are copied from it, new empty stacks for one job."""
    _running.set(object())


def go_by_context(*stacks: Any) -> None:
    """Make Celery's stacks go by context instead of by thread.

    Raises:
        ConfigurationError: `USE_FAST_LOCALS` is set, and its kind of stack can only go by thread.
    """
    for stack in stacks:
        if not private.can_go_by_context(stack):
            raise ConfigurationError(
                "USE_FAST_LOCALS: with it Celery cannot tell jobs in one thread apart; unset it, or use --pool=prefork"
            )
        stack.__ident_func__ = _identity


class Stack:
    """One of Celery's stacks, with quick ways to set and remove a job's first entry.

    Celery's `push` and `pop` look for existing entries first, which takes a tenth of the time of a short job.
    """

    def __init__(self, stack: Any) -> None:
        self._entries = private.entries_of(stack)

    def enter(self, entry: Any) -> None:
        """Push the running job's first entry."""
        self._entries[_running.get()] = {"stack": [entry]}

    def leave(self) -> None:
        """Remove the running job's stack, at its end."""
        self._entries.pop(_running.get(), None)


def _identity() -> object:
    running = _running.get()
    return get_ident() if running is None else running
