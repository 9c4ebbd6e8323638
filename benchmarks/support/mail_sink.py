"""A mail server that does as little as it can: `python -m benchmarks.support.mail_sink`.

It prints its port, and takes mail until its input ends. Then it prints how many mails it took, and of how many
recipients.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import cast

import uvloop

_HELLO = b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 10000000\r\n"
_REPLIES = {b"EHLO": _HELLO, b"HELO": b"250 sink.test\r\n", b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}
_OK = b"250 OK\r\n"
_END = b"\r\n.\r\n"


class _Connection(asyncio.Protocol):
    def __init__(self, taken: Counter[bytes]) -> None:
        self._taken = taken
        self._unread = b""
        self._recipient = b""
        self._in_message = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"220 sink.test\r\n")

    def data_received(self, data: bytes) -> None:
        unread, replies = self._unread + data, list[bytes]()
        at = 0
        while True:
            end = unread.find(_END if self._in_message else b"\r\n", at)
            if end < 0:
                break
            if self._in_message:
                self._taken[self._recipient] += 1
                self._in_message, at = False, end + len(_END)
                replies.append(_OK)
                continue
            line, at = unread[at:end], end + 2
            command = line[:4].upper()
            if command == b"RCPT":
                self._recipient = line
            self._in_message = command == b"DATA"
            replies.append(_REPLIES.get(command, _OK))
        self._unread = unread[at:]
        if replies and self._transport is not None:
            self._transport.write(b"".join(replies))


async def _serve() -> None:
    taken = Counter[bytes]()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(taken), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(taken.total(), len(taken), flush=True)


if __name__ == "__main__":
    uvloop.run(_serve())
