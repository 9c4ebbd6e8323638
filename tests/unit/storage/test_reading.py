"""Reading a file of this machine on an event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

from celeriac.storage.reading import read_file
from tests.support.waiting import eventually


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def test_a_read_that_is_cancelled_while_it_opens_closes_what_it_opens(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")

    async def read() -> bytes:
        return b"".join([piece async for piece in read_file(path)])

    assert await read() == b"content"
    before = descriptors()
    for _ in range(100):
        reading = asyncio.create_task(read())
        await asyncio.sleep(0)  # it is opening
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()
    await eventually(lambda: descriptors() <= before, "what the threads have opened is closed")
