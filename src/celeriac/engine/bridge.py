"""Lets Celery's own synchronous code wait on an event loop without blocking it.

Celery's tracer, its request and its canvas are functions that call the task, the result backend and the publisher, and
expect them to be done when they return. In the asyncio worker they run in a greenlet: where they have to wait, the
greenlet hands an awaitable to the coroutine that started it and is suspended until that has an outcome. So everything
that Celery does around a task (retries, links, chains, chords, signals, hooks) stays Celery's, in Celery's order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from greenlet import getcurrent, greenlet

T = TypeVar("T")


class _Call(greenlet):
    """One synchronous function that may wait; it shares the context variables of the coroutine that started it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        starter = getcurrent()
        super().__init__(function, starter)
        self.gr_context = starter.gr_context
        self.waited = 0.0


def can_wait() -> bool:
    """Whether the code that asks was started with `call`, and may `wait`."""
    return isinstance(getcurrent(), _Call)


def wait(awaitable: Awaitable[T]) -> T:
    """Suspend the synchronous code that asks until `awaitable` has an outcome; returns or raises that.

    Only where `can_wait()`.
    """
    running = getcurrent()
    assert isinstance(running, _Call), "nothing awaits here"
    started = time.monotonic()
    try:
        return cast(Any, running.parent).switch(awaitable)
    finally:
        running.waited += time.monotonic() - started


def waited() -> float:
    """The seconds for which the synchronous code that asks has been suspended by now."""
    running = getcurrent()
    return running.waited if isinstance(running, _Call) else 0.0


def blocking(function: Callable[..., T], *args: Any) -> T:
    """Call a function that blocks: in a thread where the code that asks may `wait`, else right here."""
    return wait(asyncio.to_thread(function, *args)) if can_wait() else function(*args)


async def call(function: Callable[..., T], *args: Any) -> T:
    """Call `function(*args)`, which may `wait`, and return what it returns."""
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
