"""Probes: how the supervisor finds out that a child is ready."""

from __future__ import annotations

import asyncio
import contextlib
import re

from celeriac.core.errors import StartRefused
from celeriac.launch.supervision.report_pipe import ReportPipe

_TIMEOUT_S = 2.0


class Probe:
    """Asks one run of a child repeatedly whether it is ready."""

    #: Time between two attempts.
    interval_s = 0.05

    def observe(self, line: str) -> None:
        """Take notice of a line the child has printed."""

    async def ready(self) -> bool:
        """Return whether the child is ready now. Never raises; takes 2 seconds at most."""
        raise NotImplementedError

    #: What the child tells by itself.
    report: ReportPipe | None = None

    async def refusal(self) -> StartRefused | None:
        """Return why the child has ended, if it reported that. Call this when it has ended."""
        return None if self.report is None else await self.report.refusal()


class LogProbe(Probe):
    """Ready when a printed line matches."""

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)
        self._seen = False

    def observe(self, line: str) -> None:
        self._seen = self._seen or self._pattern.search(line) is not None

    async def ready(self) -> bool:
        return self._seen


class HttpProbe(Probe):
    """Ready when `GET path` is answered with a status below `below`."""

    def __init__(self, host: str, port: int, path: str, *, below: int = 300) -> None:
        self._address = (reachable_host(host), port)
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        self._below = below

    async def ready(self) -> bool:
        match (await exchange(*self._address, self._request)).split(maxsplit=2):
            case [protocol, status, *_] if protocol.startswith(b"HTTP/") and status.isdigit():
                return int(status) < self._below
            case _:
                return False


class ValkeyProbe(Probe):
    """Ready when the server takes the password and answers PING, so not while it loads its files."""

    interval_s = 0.01

    def __init__(self, port: int, password: str) -> None:
        self._port = port
        self._request = f"AUTH {password}\r\nPING\r\n".encode()

    async def ready(self) -> bool:
        return await exchange("127.0.0.1", self._port, self._request, lines=2) == b"+OK\r\n+PONG\r\n"


async def exchange(host: str, port: int, request: bytes, *, lines: int = 1) -> bytes:
    """Send `request` and return the first lines of the reply, or less when the other side does not answer."""
    reply = b""
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                for _ in range(lines):
                    reply += await reader.readline()
            finally:
                writer.close()
    return reply


def reachable_host(host: str) -> str:
    """Return the address under which a server that listens on `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host.strip("[]"))  # noqa: S104


async def wait_until_ready(probe: Probe) -> None:
    """Return when the probe says yes. Waits without end if it never does."""
    while True:
        if await probe.ready():
            return
        await asyncio.sleep(probe.interval_s)
