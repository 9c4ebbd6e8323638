"""Reads the next chunk while the one before is archived and deleted. Its own delete compares it, as any other."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from celeriac.families.cleanup.reading import Row


class ReadAhead:
    """At most one chunk that is being read, or was."""

    def __init__(self) -> None:
        self._position = ""
        self._reading: asyncio.Task[Sequence[Row]] | None = None

    def start(self, position: str, reading: Coroutine[Any, Any, Sequence[Row]]) -> None:
        """Begin to read the rows after a position."""
        self._position, self._reading = position, asyncio.ensure_future(reading)

    async def take(self, position: str | None) -> Sequence[Row] | None:
        """Return the rows after that position; None if others were read, or none."""
        reading, self._reading = self._reading, None
        if reading is None:
            return None
        rows = await reading
        return rows if self._position == position else None

    async def settle(self) -> None:
        """Wait until nothing is being read. What has failed is told to whoever takes it."""
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def drop(self) -> None:
        """Wait as well, and forget the rows."""
        await self.settle()
        if self._reading is not None and not self._reading.cancelled():
            self._reading.exception()  # somebody has looked at it
        self._reading = None
