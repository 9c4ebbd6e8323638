"""Celeriac's own tasks on an event loop that it shares with jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: The event loop of this process's jobs, if it is a worker.
_shared: asyncio.AbstractEventLoop | None = None


def share(loop: asyncio.AbstractEventLoop) -> None:
    """Say that jobs run on `loop`, beside what `background` starts there."""
    global _shared
    _shared = loop


def background(coroutine: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
    """Run `coroutine` as a task that jobs do not find in `asyncio.all_tasks()`.

    Jobs that clean up cancel what is listed there: it would be what takes messages and writes results, and other jobs.
    On a loop without jobs it is listed, for `asyncio.run` to cancel. The loop's task factory, which a job may have
    set, is not asked.
    """
    task = asyncio.Task(coroutine, loop=asyncio.get_running_loop(), name=name)
    if task.get_loop() is _shared:
        _unlist(task)
    return task


async def unlisted(coroutine: Coroutine[Any, Any, T]) -> T:
    """Have the task that awaits this unlisted in the same way, from its first step on."""
    if asyncio.get_running_loop() is _shared:
        _unlist(asyncio.current_task())
    return await coroutine


def _unlist(task: asyncio.Task[Any] | None) -> None:
    """What asyncio documents for those who extend it (docs.python.org/3/library/asyncio-extending.html)."""
    asyncio._unregister_task(task)  # type: ignore[attr-defined]
