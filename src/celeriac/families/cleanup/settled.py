"""Awaits transactions to their ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def settled(writing: Coroutine[Any, Any, T]) -> T:
    """Await a transaction to its end even if we are cancelled: half of one cannot be told from a whole one."""
    task = asyncio.ensure_future(writing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # somebody has looked at it
        raise
