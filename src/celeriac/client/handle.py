"""A job that was enqueued, seen by whoever enqueued it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

from celeriac.client.client import JobClient
from celeriac.core.records import JobEvent, JobRecord
from celeriac.core.spec import JobSpec

R = TypeVar("R")


class JobHandle(Generic[R]):
    """Watches and steers one job. Costs nothing until used, and may be made from an id at any time."""

    __slots__ = ("_client", "_spec", "id")

    def __init__(self, client: JobClient, spec: JobSpec, job_id: str) -> None:
        self.id = job_id
        self._client = client
        self._spec = spec

    async def result(self, timeout: float | None = None) -> R:
        """Wait for the job's result, at most `timeout` seconds.

        Raises:
            ResultTimeout: it did not end in time; it goes on.
            JobFailed, JobCancelled: it ended without a result.
            UnknownJob: its record has expired.
        """
        return self._spec.load_result(await self._client.result(self.id, timeout))

    async def status(self) -> JobRecord:
        """What is known of the job now: state, progress, attempt, error."""
        return await self._client.get(self.id)

    async def cancel(self) -> JobRecord:
        """Cancel the job: at once if no worker runs it, else its worker is asked to.

        Raises:
            WrongState: it has ended already.
        """
        return await self._client.cancel(self.id)

    async def events(self, after: str = "0-0") -> AsyncGenerator[JobEvent]:
        """The job's events after the event id `after`, live, until it ends."""
        async for event in self._client.events(self.id, after):
            if event is not None:
                yield event

    def __repr__(self) -> str:
        return f"<JobHandle {self._spec.name} {self.id}>"
