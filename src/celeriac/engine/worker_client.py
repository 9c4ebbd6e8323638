"""The asyncio client of a worker, for what it asks and tells the broker about the jobs that it runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from celeriac.client.enqueuer import Enqueuer
from celeriac.core.envelope import MessageOptions
from celeriac.core.records import Progress
from celeriac.core.spec import Call
from celeriac.store import keys
from celeriac.store.jobs import reader, transitions
from celeriac.store.jobs.enqueueing import FanOut
from celeriac.store.redis.connection import deadline
from celeriac.store.redis.listener import Callback


class WorkerClient:
    """Shares the connections of the application's `JobClient`. All methods may raise `BrokerUnavailable`."""

    def __init__(self, enqueuer: Enqueuer) -> None:
        self._enqueuer = enqueuer
        self._connections = enqueuer.connections

    async def fan_out(self, parent: FanOut, calls: Sequence[Call[Any]], *, root_id: str) -> bool:
        """Accept `calls` as children of a running job, all or none. Return False if the parent may not continue.

        Raises:
            ValueError: there are too many for one step.
        """
        return await self._enqueuer.fan_out(parent, calls, root_id)

    def list_key(self, options: MessageOptions) -> str:
        """Return the key of the list that a message goes to."""
        return self._enqueuer.list_key(options)

    async def report_progress(self, job_id: str, progress: Progress) -> None:
        """Record how far a running job is."""
        await self._connections.run(transitions.progress(job_id, progress))

    def cancellations(self, heard: Callback) -> AbstractAsyncContextManager[None]:
        """Call `heard` with the id of each job that shall be cancelled, during an `async with` block."""
        return self._connections.current().listener.subscribed(keys.CANCEL_CHANNEL, heard)

    async def standings(self, job_ids: list[str]) -> dict[str, reader.Standing]:
        """Return whether each job shall be cancelled, and which of its runs is the latest."""
        async with deadline(self._connections.timeout):
            return await reader.standings(self._connections.current().broker, job_ids)
