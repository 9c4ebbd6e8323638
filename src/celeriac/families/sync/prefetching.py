"""Reads the next page of a source while the last one is written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from celeriac.families.sync.pages import Page

#: Pages that are read ahead. One is enough to keep both sides busy, and bounds the memory.
_AHEAD = 1


async def prefetched(pages: AsyncGenerator[Page]) -> AsyncGenerator[Page]:
    """Yield pages in their order. Close this generator: that closes the other one, with its connections."""
    queue: asyncio.Queue[Page | BaseException | None] = asyncio.Queue(_AHEAD)

    async def read() -> None:
        try:
            async with contextlib.aclosing(pages):
                async for page in pages:
                    await queue.put(page)
            await queue.put(None)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # it belongs to whoever reads
            await queue.put(error)

    reader = asyncio.create_task(read(), name="celeriac-sync-read")
    try:
        while (found := await queue.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader
