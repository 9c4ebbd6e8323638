"""Waiting for a condition, with a deadline and never with a bare sleep."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

#: Longer than anything takes on a busy machine; a test that passes never waits for it.
DEADLINE = 120.0
_EVERY = 0.01


async def eventually(look: Callable[[], T | Awaitable[T]], what: str = "", *, within: float = DEADLINE) -> T:
    """Call `look` until it returns something true, and return that; fail after `within` seconds."""
    give_up = time.monotonic() + within
    while True:
        found = look()
        seen = await found if inspect.isawaitable(found) else found
        if seen:
            return seen
        assert time.monotonic() < give_up, f"not within {within:g} s: {what or inspect.getsource(look).strip()}"
        await asyncio.sleep(_EVERY)


def wait_until(look: Callable[[], T], what: str, *, within: float = DEADLINE) -> T:
    """The same for code without an event loop."""
    give_up = time.monotonic() + within
    while not (seen := look()):
        assert time.monotonic() < give_up, f"not within {within:g} s: {what}"
        time.sleep(_EVERY)
    return seen
