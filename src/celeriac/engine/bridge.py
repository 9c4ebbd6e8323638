"""Lets Celery's synchronous code wait on an event loop without blocking it.

Celery's tracer, request and canvas call the task, the result backend and the publisher, and expect them to be done on
return. In the asyncio worker such code runs in a greenlet. Where it has to wait, the greenlet hands an awaitable to the
coroutine that started it, and is suspended until the awaitable is done. So everything that Celery does around a task
(retries, links, chains, chords, signals, hooks) remains Celery's own code, in Celery's order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from greenlet import getcurrent, greenlet

T = TypeVar("T")


class _Call(greenlet):
    """One synchronous call that may wait. It shares the context variables of the coroutine that started it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        starter = getcurrent()
        super().__init__(function, starter)
        self.gr_context = starter.gr_context
        self.waited = 0.0


def can_wait() -> bool:
    """Return whether the caller runs inside `call`, and so may `wait`."""
    return isinstance(getcurrent(), _Call)


def wait(awaitable: Awaitable[T]) -> T:
    """Suspend the calling code until `awaitable` is done, and return its value or raise its error.

    Use it only where `can_wait()` is true.
    """
    running = getcurrent()
    assert isinstance(running, _Call), "nothing awaits here"
    started = time.monotonic()
    try:
        return cast(Any, running.parent).switch(awaitable)
    finally:
        running.waited += time.monotonic() - started


def waited() -> float:
    """Return how long the calling code was suspended in `wait` so far (s)."""
    running = getcurrent()
    return running.waited if isinstance(running, _Call) else 0.0


def blocking(function: Callable[..., T], *args: Any) -> T:
    """Call a function that blocks. Where the caller may `wait`, the call runs in a thread."""
    return wait(asyncio.to_thread(function, *args)) if can_wait() else function(*args)


async def call(function: Callable[..., T], *args: Any) -> T:
    """Call `function(*args)`, which may `wait` inside, and return its value."""
    running = _Call(function)
    result: Any = running.switch(*args)
    while not running.dead:
        try:
            outcome = await result
        except BaseException as error:
            result = running.throw(type(error), error, error.__traceback__)
        else:
            result = running.switch(outcome)
    return result
