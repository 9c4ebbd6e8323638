"""Runs Celeriac's own tasks on an event loop that it shares with jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

#: The event loop that runs jobs, if this process is a worker.
_shared: asyncio.AbstractEventLoop | None = None


def share(loop: asyncio.AbstractEventLoop) -> None:
    """Declare that jobs run on `loop`, beside the tasks that `background` starts there."""
    global _shared
    _shared = loop


def background(coroutine: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
    """Run `coroutine` as a task that jobs do not find in `asyncio.all_tasks()`.

    A job that cleans up may cancel all tasks listed there. That would end the tasks that take messages and write
    results, and other jobs. On a loop without jobs the task is listed, so that `asyncio.run` cancels it. A job may
    have set the loop's task factory, so this does not use it.
    """
    task = asyncio.Task(coroutine, loop=asyncio.get_running_loop(), name=name)
    if task.get_loop() is _shared:
        # As asyncio documents for extensions (docs.python.org/3/library/asyncio-extending.html).
        asyncio._unregister_task(task)  # type: ignore[attr-defined]
    return task


def background_of(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Run `coroutine` as such a task of `loop`, from another thread.

    `asyncio.run_coroutine_threadsafe` would list it until its first step. A job that cancels all tasks at that moment
    would keep it from running at all.
    """
    outcome: Future[T] = Future()
    loop.call_soon_threadsafe(_start, coroutine, outcome)
    return outcome


def _start(coroutine: Coroutine[Any, Any, T], outcome: Future[T]) -> None:
    asyncio.futures._chain_future(background(coroutine), outcome)  # type: ignore[attr-defined]  # as asyncio does
