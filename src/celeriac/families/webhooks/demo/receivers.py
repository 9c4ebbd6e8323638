"""Ten receivers for the demo, each at a path of one real HTTP server. They check signatures, and count."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import TracebackType
from typing import Self

from aiohttp import web

from celeriac.families.webhooks.errors import SignatureInvalid
from celeriac.families.webhooks.verifying import verify

SLOW, FLAKY, DEAD = "slow", "fails twice first", "dead"
NAMES = ("ada", "bob", "eve", "joe", "kim", "lea", "max", SLOW, FLAKY, DEAD)
_SLOW_S = 0.1
_FAILURES = 2


class Receivers:
    """The receivers. The dead one is a port at which nobody listens.

    Attributes:
        secrets: those with which each receiver verifies.
        taken: for each receiver, how often it has taken each message.
        unsigned: how many requests had no right signature.
    """

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.taken: dict[str, Counter[str]] = {name: Counter() for name in NAMES}
        self.unsigned = 0
        self._requests: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._dead_port = 0

    @property
    def duplicates(self) -> int:
        """How often a message was taken again."""
        return sum(counts.total() - len(counts) for counts in self.taken.values())

    def url(self, name: str) -> str:
        """Where a receiver listens, or does not."""
        if name == DEAD:
            return f"http://127.0.0.1:{self._dead_port}/dead"
        return f"http://127.0.0.1:{self._port}/{NAMES.index(name)}"

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_post("/{number}", self._receive)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        closed = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        self._dead_port = closed.sockets[0].getsockname()[1]
        closed.close()
        await closed.wait_closed()
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        name = NAMES[int(request.match_info["number"])]
        try:
            event = verify(await request.read(), request.headers, [self.secrets[name]])
        except SignatureInvalid:
            self.unsigned += 1
            return web.Response(status=401)
        if name == SLOW:
            await asyncio.sleep(_SLOW_S)
        self._requests[name] += 1
        if name == FLAKY and self._requests[name] <= _FAILURES:
            return web.Response(status=500)
        self.taken[name][event.id] += 1
        return web.Response(status=204)
