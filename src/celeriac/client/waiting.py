"""Waits for the end of jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from celeriac.client.connections import ConnectionsPerLoop
from celeriac.core import codec
from celeriac.core.errors import BrokerUnavailable, JobCancelled, JobFailed, ResultTimeout, UnknownJob, WrongState
from celeriac.core.records import JobRecord
from celeriac.core.states import JobState
from celeriac.store import keys
from celeriac.store.jobs import results
from celeriac.store.redis.connection import deadline

T = TypeVar("T")

#: Time after which a waiter reads the state itself, in case a notification was lost.
POLL_S = 1.0
_SUCCEEDED = "SUCCESS"  # Celery's word


class News:
    """The last message on a channel since the previous read."""

    def __init__(self) -> None:
        self._came = asyncio.Event()
        self._payload: bytes | None = None

    def hear(self, payload: bytes | None) -> None:
        """Note a message. The listener calls this; None says that messages may have been lost."""
        self._payload = payload or self._payload
        self._came.set()

    async def next(self) -> bytes | None:
        """Wait for a message. Return None if it is time to read the state itself."""
        timer = asyncio.get_running_loop().call_later(POLL_S, self._came.set)
        try:
            await self._came.wait()
        finally:
            timer.cancel()
        payload, self._payload = self._payload, None
        self._came.clear()
        return payload


class Waiter:
    """Waits for jobs to end. `get` looks up a job's record."""

    def __init__(self, connections: ConnectionsPerLoop, get: Callable[[str], Awaitable[JobRecord]]) -> None:
        self._connections = connections
        self._get = get

    async def record(self, job_id: str, timeout: float | None) -> JobRecord:
        """Wait for the job's end, and return its record. Raises as `JobClient.wait` says."""

        async def look(_: bytes | None) -> tuple[JobRecord] | None:
            record = await self._get(job_id)
            return (record,) if record.state.finished else None

        return await self._until(job_id, keys.events(job_id), look, timeout)

    async def result(self, job_id: str, timeout: float | None) -> Any:
        """Wait for the job's result, and return it as JSON types. Raises as `JobClient.result` says."""
        if not self._connections.current().share_a_server:
            return await self.outcome_of(await self.record(job_id, timeout))

        async def look(heard: bytes | None) -> tuple[Any] | None:
            outcome: dict[str, Any] = codec.loads(heard) if heard else {}
            if outcome.get("status") == _SUCCEEDED:  # stored together with the record, so no look at that is needed
                return (outcome["result"],)
            record = await self._get(job_id)
            return (await self.outcome_of(record),) if record.state.finished else None

        return await self._until(job_id, keys.result(job_id), look, timeout)

    async def outcome_of(self, record: JobRecord) -> Any:
        """Return the stored result of a job. Raises as `JobClient.outcome` says."""
        raise_unless_succeeded(record)
        async with deadline(self._connections.timeout):
            outcome = await results.get_outcome(self._connections.current().results, record.id)
        if outcome is None:
            raise UnknownJob(record.id)
        return outcome["result"]

    async def _until(
        self,
        job_id: str,
        channel: str,
        look: Callable[[bytes | None], Awaitable[tuple[T] | None]],
        timeout: float | None,
    ) -> T:
        """Return what `look` finds. Call it when listening has begun, and whenever a message comes."""
        news = News()
        try:
            async with asyncio.timeout(timeout), self._connections.current().listener.subscribed(channel, news.hear):
                while True:
                    heard = await news.next()
                    try:
                        found = await look(heard)
                    except BrokerUnavailable:
                        continue  # the job may continue without us; the next look shows
                    if found is not None:
                        return found[0]
        except TimeoutError:
            raise ResultTimeout(f"job {job_id} did not end within {timeout:g} s; it goes on") from None


def raise_unless_succeeded(record: JobRecord) -> None:
    """Say why a job has no result.

    Raises:
        JobFailed, JobCancelled: it ended without one.
        WrongState: it has not ended yet.
    """
    if record.state is JobState.CANCELLED:
        raise JobCancelled(record.id, "was cancelled")
    if record.state in (JobState.FAILED, JobState.DEAD):
        error = record.error
        raise JobFailed(record.id, f"failed: {error.type}: {error.message}" if error else "failed")
    if record.state is not JobState.SUCCEEDED:
        raise WrongState(f"job {record.id} is {record.state}; it has no result yet")
