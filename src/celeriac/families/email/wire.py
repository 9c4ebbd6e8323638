"""One connection that speaks SMTP: writes bytes, and reads replies (RFC 5321, 4.2). It gives them no meaning."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import NamedTuple, Self, cast

from celeriac.families.email.patience import Patience

#: Limits of one reply, against a server that never ends it. RFC 5321, 4.5.3.1.5 allows 512 octets in a line.
_MAX_LINE = 4096
_MAX_LINES = 200
#: Lines that a server has sent before, and that are read once: "250 2.1.5 Ok", for example.
_USUAL = 16


class Disconnected(Exception):
    """The connection is gone, or of no use any more. The message says why, for people."""


class Reply(NamedTuple):
    """A reply: its three digits, and its lines without them."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """Its words as one line. An enhanced code that every line repeats is there once."""
        first, *others = self.lines
        enhanced = first.partition(" ")[0]
        return " ".join((first, *(line.removeprefix(enhanced).lstrip() for line in others)))


class Wire(asyncio.Protocol):
    """A connection. Open it with `connect`."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._lines = list[str]()
        self._replies = deque[Reply]()
        self._usual: dict[bytes, Reply] = {}
        self._arrival: asyncio.Future[None] | None = None
        self._patience = Patience(self._broken)
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost: str | None = None

    @classmethod
    async def connect(cls, host: str, port: int, *, tls: ssl.SSLContext | None, seconds: float) -> Self:
        """Open a connection, with TLS from its beginning if a context is given.

        Raises:
            OSError: it cannot be opened. TimeoutError and ssl.SSLError are such errors.
        """
        wire = cls()
        name = host if tls is not None else None
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().create_connection(lambda: wire, host, port, ssl=tls, server_hostname=name)
        return wire

    @property
    def is_open(self) -> bool:
        """Whether the connection is open, as far as this side knows."""
        return self._lost is None

    @property
    def has_unread(self) -> bool:
        """Whether the server has sent more than was read. After all expected replies, that is unasked for."""
        return bool(self._replies or self._lines or self._unread)

    def write(self, data: bytes) -> None:
        """Send bytes, without waiting.

        Raises:
            Disconnected: the connection is gone.
        """
        if self._transport is None or self._lost is not None:
            raise Disconnected(self._lost or "not connected")
        self._transport.write(data)

    async def flush(self, seconds: float) -> None:
        """Wait until the system has taken most of what was written.

        Raises:
            Disconnected: the connection is gone, or it takes longer than `seconds`.
        """
        if self._writable.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await self._writable.wait()
        except TimeoutError:
            raise self._broken(f"Timed out: the server took no data for {seconds:g} s") from None

    def ready(self) -> Reply | None:
        """Return the next reply if it has come already."""
        return self._replies.popleft() if self._replies else None

    async def reply(self, seconds: float) -> Reply:
        """Return the next reply.

        Raises:
            Disconnected: the connection is gone, the server sent no SMTP, or nothing for so many seconds.
        """
        if not self._replies:
            loop = asyncio.get_running_loop()
            self._patience.begin(loop, seconds)
            try:
                while not self._replies:
                    if self._lost is not None:
                        raise Disconnected(self._lost)
                    self._arrival = loop.create_future()
                    await self._arrival
            finally:
                self._patience.end()
        return self._replies.popleft()

    async def start_tls(self, context: ssl.SSLContext, host: str, seconds: float) -> None:
        """Go on with TLS (RFC 3207). What came before it in the clear is never read as if it had come within.

        Raises:
            Disconnected: the server has sent something in the clear after its reply, or the connection is gone.
            OSError: the handshake failed. TimeoutError and ssl.SSLError are such errors.
        """
        if self._transport is None or self._lost is not None:
            raise Disconnected(self._lost or "not connected")
        if self.has_unread:
            raise self._broken("it sent more than a reply before TLS began, as an attacker would")
        upgraded = await asyncio.get_running_loop().start_tls(
            self._transport, self, context, server_hostname=host, ssl_handshake_timeout=seconds
        )
        if upgraded is None:
            raise Disconnected("the connection was lost during the TLS handshake")
        self._transport = upgraded

    def abort(self) -> None:
        """Close the connection at once."""
        self._broken("closed by us")

    # The hooks of asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Read lines."""
        *lines, rest = (self._unread + data if self._unread else data).split(b"\n")
        self._unread = rest
        for line in lines:
            known = self._usual.get(line)
            if known is not None and not self._lines:
                self._replies.append(known)
            else:
                self._read(line)
        if len(rest) > _MAX_LINE:
            self._broken("it sent a line without end")
        if self._replies:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell those that wait. Replies that came before can still be read."""
        self._lost = self._lost or (f"the connection broke: {exc}" if exc else "the server closed the connection")
        self._writable.set()
        self._patience.end(for_good=True)
        self._wake()

    def pause_writing(self) -> None:
        """Let `flush` wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let `flush` return."""
        self._writable.set()

    def _read(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        digits, mark, words = text[:3], text[3:4], text[4:]
        if not (digits.isascii() and digits.isdigit()) or mark not in ("", " ", "-"):
            self._broken(f"it sent what is no SMTP: {text[:80]!r}")
            return
        self._lines.append(words)
        if mark == "-":
            if len(self._lines) > _MAX_LINES:
                self._broken("it sent a reply without end")
            return
        reply = Reply(int(digits), tuple(self._lines))
        self._replies.append(reply)
        if len(self._lines) == 1 and len(self._usual) < _USUAL:
            self._usual[line] = reply
        self._lines = []

    def _broken(self, why: str) -> Disconnected:
        self._lost = self._lost or why
        if self._transport is not None:
            self._transport.abort()
        self._patience.end(for_good=True)
        self._wake()
        return Disconnected(self._lost)

    def _wake(self) -> None:
        arrival, self._arrival = self._arrival, None
        if arrival is not None and not arrival.done():
            arrival.set_result(None)
