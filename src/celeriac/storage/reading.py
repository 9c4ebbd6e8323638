"""Reads a file of this machine on an event loop.

obstore reads a local file in pieces of 8 KiB, each in a thread: a gigabyte took eight seconds of CPU time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

PIECE_BYTES = 1_048_576


async def read_file(path: Path, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
    """Yield the bytes from `start` up to and without `end`. A file that is deleted meanwhile is read to its end.

    Raises:
        FileNotFoundError: there is no file at `path`.
    """
    file = await _opened(path)
    try:
        while size := PIECE_BYTES if end is None else min(PIECE_BYTES, end - start):
            # It moves no position: a read that nobody awaits any more may outlive the descriptor.
            if not (piece := await asyncio.to_thread(os.pread, file, size, start)):
                return
            start += len(piece)
            yield piece
    finally:
        os.close(file)


async def _opened(path: Path) -> int:
    """Open the file. The thread goes on when this is cancelled, and then nobody else would close what it opens."""
    opening = asyncio.ensure_future(asyncio.to_thread(os.open, path, os.O_RDONLY | os.O_CLOEXEC))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise


def _close(opened: asyncio.Future[int]) -> None:
    if not opened.cancelled() and opened.exception() is None:
        os.close(opened.result())
