"""A receiver of webhooks that does as little as can be, and counts. `GET /counts` answers what it has counted.

A path that begins with `/dead` takes requests and never answers, and `/warm` is for a first one. A body says when its
event was sent, as `"sent":` and nanoseconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import sys
import time
from base64 import b64decode, b64encode
from collections import Counter
from typing import cast

import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_ID = re.compile(rb"webhook-id: (\S+)", re.IGNORECASE)
_SIGNED = re.compile(rb"webhook-(timestamp|signature): ([^\r]+)", re.IGNORECASE)
_SENT = re.compile(rb'"sent": ?(\d+)')
#: To verify each signature would take as long as the rest of this: so it verifies one in so many.
_VERIFIED_EACH = 20


class Sink:
    """What has come."""

    def __init__(self, secret: str) -> None:
        self.key = b64decode(secret.removeprefix("whsec_"))
        self.messages: Counter[tuple[bytes, bytes]] = Counter()
        self.waits_ms: list[float] = []
        self.unsigned = self.dead = self.warm = 0
        self.first = self.last = 0.0

    def take(self, path: bytes, head: bytes, body: bytes) -> bytes:
        """Count one request, and return the answer."""
        if path == b"/counts":
            counts = json.dumps(self.counts()).encode()
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(counts), counts)
        if path.startswith(b"/dead"):
            self.dead += 1
            return b""
        if path == b"/warm":
            self.warm += 1
            return _ANSWER
        now = time.monotonic()
        found = _ID.search(head)
        self.messages[path, found[1] if found else b""] += 1
        sent = _SENT.search(body)
        if sent:
            self.first = self.first or int(sent[1]) / 1e9
            self.waits_ms.append(1000 * (now - int(sent[1]) / 1e9))
        self.last = now
        if len(self.waits_ms) % _VERIFIED_EACH == 0:
            self.unsigned += not self._is_signed(found[1] if found else b"", head, body)
        return _ANSWER

    def _is_signed(self, message_id: bytes, head: bytes, body: bytes) -> bool:
        given = {name.lower(): value for name, value in _SIGNED.findall(head)}
        signed = b"%b.%b.%b" % (message_id, given.get(b"timestamp", b""), body)
        return b"v1," + b64encode(hmac.digest(self.key, signed, "sha256")) in given.get(b"signature", b"").split()

    def counts(self) -> dict[str, float]:
        """Say what has come."""
        waits = sorted(self.waits_ms)
        return {
            "messages": len(self.messages),
            "requests": sum(self.messages.values()),
            "unsigned": self.unsigned,
            "dead": self.dead,
            "warm": self.warm,
            "seconds": self.last - self.first,
            "p50": waits[len(waits) // 2] if waits else 0.0,
            "p95": waits[len(waits) * 95 // 100] if waits else 0.0,
        }


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        self._data += data
        while True:
            end = self._data.find(b"\r\n\r\n") + 4
            if end < 4:
                return
            head = self._data[:end]
            length = _LENGTH.search(head)
            whole = end + (int(length[1]) if length else 0)
            if len(self._data) < whole:
                return
            body, self._data = self._data[end:whole], self._data[whole:]
            self._transport.write(self._sink.take(head.split(b" ", 2)[1], head, body))


async def main() -> None:
    sink = Sink(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(sink), "127.0.0.1", 0, backlog=4096, reuse_address=True
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
