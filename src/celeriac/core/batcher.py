"""Gathers items while others are on their way, to send many together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from celeriac.core.background import background

T = TypeVar("T")


class Batcher(Generic[T]):
    """Collects items while one batch is on its way, and sends them as the next. No item waits for others to join it.

    `send` gets `most` items at most, in the order in which they came. It must not raise.
    """

    def __init__(self, send: Callable[[list[T]], Awaitable[None]], *, most: int, name: str) -> None:
        self._send = send
        self._most = most
        self._name = name
        self._waiting: deque[T] = deque()
        self._sending: asyncio.Task[None] | None = None

    def put(self, item: T) -> None:
        """Have the item sent."""
        self._waiting.append(item)
        if self._sending is None:
            self._sending = background(self._send_all(), name=self._name)

    async def idle(self) -> None:
        """Wait until everything is sent."""
        while self._sending is not None:
            await asyncio.wait([self._sending])

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                await self._send([self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))])
        finally:
            self._sending = None
