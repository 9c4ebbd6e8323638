"""Redis connections for each event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary

from celeriac.client.outbox import Outbox
from celeriac.client.together import Together
from celeriac.store.jobs.enqueueing import Accepted, NewJob, enqueue
from celeriac.store.redis.connection import Client, connect, deadline
from celeriac.store.redis.listener import Listener
from celeriac.store.redis.runner import run
from celeriac.store.redis.wire import Wire
from celeriac.store.scripts.script import ScriptCall

T = TypeVar("T")

#: Connections that enqueue single jobs. There are several, so that a dead one does not delay all until its deadline.
_WAYS = 4


@dataclass(frozen=True, slots=True)
class Connections:
    """The connections of one event loop.

    Attributes:
        results: the connection to the result store; equal to `broker` unless results have their own server.
    """

    broker: Client
    results: Client
    listener: Listener
    outbox: Outbox
    together: Together

    @property
    def share_a_server(self) -> bool:
        """Whether the broker is the result store, where results are stored together with records."""
        return self.results is self.broker

    async def aclose(self) -> None:
        await self.outbox.aclose()
        await self.together.aclose()
        await self.listener.aclose()
        await self.broker.aclose()
        if not self.share_a_server:
            await self.results.aclose()


class ConnectionsPerLoop:
    """Connections made on first use, one set for each event loop: a connection cannot be shared between loops.

    `timeout` is how many seconds one call may take.
    """

    def __init__(self, broker_url: Callable[[], str], results_url: Callable[[], str], timeout: float) -> None:
        self._broker_url = broker_url
        self._results_url = results_url
        self.timeout = timeout
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Connections] = WeakKeyDictionary()

    def current(self) -> Connections:
        """Return the running loop's connections."""
        loop = asyncio.get_running_loop()
        known = self._by_loop.get(loop)
        if known is None:
            known = self._by_loop[loop] = self._connect()
        return known

    async def run(self, call: ScriptCall[T]) -> T:
        """Run a script call on the broker.

        Raises:
            BrokerUnavailable: the broker did not answer in time.
        """
        async with deadline(self.timeout):
            return await run(self.current().broker, call)

    async def run_together(self, call: ScriptCall[T]) -> T:
        """Run a script call on the broker, over a connection that those of the same moment share.

        Raises:
            BrokerUnavailable: the broker did not answer in time.
        """
        return await self.current().together.run(call)

    async def aclose(self) -> None:
        """Close the running loop's connections. Safe to call twice."""
        known = self._by_loop.pop(asyncio.get_running_loop(), None)
        if known is not None:
            await known.aclose()

    def _connect(self) -> Connections:
        broker_url, results_url = self._broker_url(), self._results_url()
        broker = connect(broker_url, timeout=self.timeout)
        results = broker if results_url == broker_url else connect(results_url, timeout=self.timeout)
        outbox = Outbox([partial(self._send, Wire(broker)) for _ in range(_WAYS)], self.timeout)
        return Connections(broker, results, Listener(broker), outbox, Together(broker, self.timeout))

    async def _send(self, way: Wire, jobs: Sequence[NewJob]) -> Accepted:
        async with deadline(self.timeout):
            return await way.run(enqueue(jobs))
