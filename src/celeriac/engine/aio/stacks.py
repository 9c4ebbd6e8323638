"""Which task and which request are the current ones, in each coroutine.

Celery keeps both on stacks, one for each thread. Here many jobs share a thread, so the stacks go by what is running
instead: a context variable, which coroutines, the tasks they start and threads that are handed the context inherit.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from celery.utils.threads import get_ident

from celeriac.core.errors import ConfigurationError
from celeriac.engine import private

_running: ContextVar[object | None] = ContextVar("celeriac_running", default=None)


def begin() -> None:
    """From here on, in this context and those copied from it, the stacks are those of one new job."""
    _running.set(object())


def go_by_context(*stacks: Any) -> None:
    """Make Celery's stacks go by the running job.

    Raises:
        ConfigurationError: they are of the kind that can only go by thread.
    """
    for stack in stacks:
        if not private.can_go_by_context(stack):
            raise ConfigurationError(
                "USE_FAST_LOCALS: with it Celery cannot tell jobs in one thread apart; unset it, or use --pool=prefork"
            )
        stack.__ident_func__ = _identity


class Stack:
    """One of Celery's stacks, at whose bottom the running job's own entry lies.

    The same as its `push` and `pop`, which take a tenth of the time of a short job: they look for what is there first.
    """

    def __init__(self, stack: Any) -> None:
        self._entries = private.entries_of(stack)

    def enter(self, entry: Any) -> None:
        """Have `entry` there for the running job, which has none yet."""
        self._entries[_running.get()] = {"stack": [entry]}

    def leave(self) -> None:
        """The running job ends."""
        self._entries.pop(_running.get(), None)


def _identity() -> object:
    running = _running.get()
    return get_ident() if running is None else running
