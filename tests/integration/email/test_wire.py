"""Reading replies: those that were seen before, and those that come late or never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest

from celeriac.families.email.wire import Disconnected, Reply, Wire


@asynccontextmanager
async def connected() -> AsyncGenerator[tuple[Wire, asyncio.StreamWriter]]:
    """Both ends of a connection."""
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(writer)
        with suppress(ConnectionError):
            await reader.read()  # until the client leaves
        writer.close()
        left.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        wire = await Wire.connect("127.0.0.1", server.sockets[0].getsockname()[1], tls=None, seconds=20)
        try:
            yield wire, await accepted
        finally:
            wire.abort()
            await left.wait()


async def test_a_line_that_was_read_before_means_the_same_again_and_can_end_a_longer_reply() -> None:
    async with connected() as (wire, server):
        said = "250 OK\r\n250 OK\r\n250-first\r\n250 OK\r\n250 OK\r\n"
        server.write(said.encode() + b"".join(b"251 %d\r\n" % number for number in range(40)) + b"250 OK\r\n")
        replies = [await wire.reply(20) for _ in range(45)]
        assert replies[:4] == [
            Reply(250, ("OK",)),
            Reply(250, ("OK",)),
            Reply(250, ("first", "OK")),
            Reply(250, ("OK",)),
        ]
        assert replies[4:44] == [Reply(251, (str(number),)) for number in range(40)]
        assert replies[44] == Reply(250, ("OK",))
        assert not wire.has_unread


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_replies_are_read_however_they_are_cut(pieces: int) -> None:
    said = b"250-one\r\n250 two\r\n354 go on\r\n250 two\r\n"
    async with connected() as (wire, server):
        for start in range(0, len(said), pieces):
            wire.data_received(said[start : start + pieces])
        assert [wire.ready() for _ in range(3)] == [
            Reply(250, ("one", "two")),
            Reply(354, ("go on",)),
            Reply(250, ("two",)),
        ]
        assert wire.ready() is None
        assert not server.is_closing()


async def test_a_short_wait_after_a_long_one_is_short() -> None:
    async with connected() as (wire, server):
        server.write(b"250 OK\r\n")
        await wire.reply(600)
        async with asyncio.timeout(20):
            with pytest.raises(Disconnected, match=r"said nothing for 0\.05 s"):
                await wire.reply(0.05)
