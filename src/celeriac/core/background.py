"""Celeriac's own tasks on an event loop that it shares with jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def background(coroutine: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
    """Run `coroutine` as a task that `asyncio.all_tasks()` does not list.

    Jobs cancel what that lists ("all but me", when they clean up): it would be what takes messages and writes
    results, and other jobs. asyncio documents the call for those who extend it (docs.python.org, asyncio-extending).
    """
    task = asyncio.create_task(coroutine, name=name)
    asyncio._unregister_task(task)  # type: ignore[attr-defined]
    return task
