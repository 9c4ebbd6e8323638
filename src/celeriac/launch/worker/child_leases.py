"""Renews the leases of worker processes in their parent.

A worker also renews its lease from its own thread. That thread stands still while a job holds the interpreter's lock (a
long computation in C, for example), or while the process is stopped. The parent continues. So a worker keeps its lease
as long as its process exists. When the process ends, its jobs are back in their queues at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from celeriac.core.errors import BrokerUnavailable
from celeriac.engine.identity import has_ended, pid_of
from celeriac.settings import Settings, is_broker_url
from celeriac.store.messages.worker_leases import extend, reclaim, workers
from celeriac.store.redis.connection import Client, connect, deadline
from celeriac.store.redis.errors import SERVER_ERRORS
from celeriac.store.redis.runner import run

#: Time between two renewals; for a short lease, a part of it.
_LOOK_EVERY_S = 1.0
_PARTS = 4


class ChildLeases:
    """A keeper of the leases of child processes, on any brokers."""

    def __init__(self, settings: Settings) -> None:
        self._lease_ms = int(settings.lease * 1000)
        self._every_s = min(_LOOK_EVERY_S, settings.lease / _PARTS)
        self._timeout_s = settings.broker_timeout
        self._say: Callable[[str], None] = lambda _text: None
        self._brokers: dict[int, str] = {}  # URL, by the pid of a living child
        self._bereaved: set[str] = set()  # URLs of brokers with children that have ended since the last look
        self._clients: dict[str, Client] = {}
        self._away: set[str] = set()  # URLs of brokers that did not answer
        self._due = asyncio.Event()
        self._closing = False

    def hold(self, pid: int, url: str) -> None:
        """Renew the lease of a process on this broker, as soon as it has one. Ignore brokers without leases."""
        if is_broker_url(url):
            self._brokers[pid] = url
            self._due.set()

    def end(self, pid: int) -> None:
        """Bring back the messages of a process that has ended."""
        if (url := self._brokers.pop(pid, None)) is not None:
            self._bereaved.add(url)
            self._due.set()

    @contextlib.asynccontextmanager
    async def kept(self, say: Callable[[str], None]) -> AsyncGenerator[None]:
        """Keep the leases during an `async with` block. At its end, bring back the remaining messages."""
        self._say = say
        keeping = asyncio.create_task(self._keep(), name="leases")
        try:
            yield
        finally:
            self._closing = True
            self._due.set()
            await keeping
            await self._look_at_all()
            for client in self._clients.values():
                await client.aclose()

    async def _keep(self) -> None:
        while not self._closing:
            self._due.clear()
            await self._look_at_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._due.wait()

    async def _look_at_all(self) -> None:
        await asyncio.gather(*map(self._look_at, {*self._brokers.values(), *self._bereaved}))

    async def _look_at(self, url: str) -> None:
        bereaved = url in self._bereaved
        self._bereaved.discard(url)  # before the look, which may miss a child that ends meanwhile
        try:
            async with deadline(self._timeout_s):
                await self._look(self._client(url))
        except (BrokerUnavailable, ValueError, *SERVER_ERRORS) as error:  # the next look may succeed
            if bereaved:
                self._bereaved.add(url)
            cause = error if isinstance(error, BrokerUnavailable) else type(error).__name__  # without any part of a URL
            self._note(url, away=True, said=f"the workers' leases cannot be renewed from here: {cause}; trying again")
        else:
            self._note(url, away=False, said="the workers' leases are renewed from here again")

    def _note(self, url: str, *, away: bool, said: str) -> None:
        if away != (url in self._away):
            self._say(said)
        (self._away.add if away else self._away.discard)(url)

    async def _look(self, client: Client) -> None:
        """Renew the leases of living children, and bring back the messages of all ended workers of this machine."""
        names = await workers(client)
        living = [name for name in names if pid_of(name) in self._brokers]
        ended = [name for name in names if has_ended(name)]
        if living:
            await run(client, extend(living, self._lease_ms))
        if ended:
            for name, count in (await run(client, reclaim(ended, lease_ms=self._lease_ms))).items():
                what = "message" if count == 1 else "messages"
                self._say(f"brought back {count} {what} that worker {name} held when it ended")

    def _client(self, url: str) -> Client:
        if url not in self._clients:
            self._clients[url] = connect(url, timeout=self._timeout_s, max_connections=1)
        return self._clients[url]
