"""A handle on an enqueued job."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

from celeriac.client.client import JobClient
from celeriac.core.records import JobEvent, JobRecord
from celeriac.core.spec import JobSpec

R = TypeVar("R")


class JobHandle(Generic[R]):
    """A handle that watches and controls one job. It costs nothing until used. `Job.handle` makes one from an id."""

    __slots__ = ("_client", "_spec", "id")

    def __init__(self, client: JobClient, spec: JobSpec, job_id: str) -> None:
        self.id = job_id
        self._client = client
        self._spec = spec

    async def result(self, timeout: float | None = None) -> R:
        """Wait for the job's result, at most `timeout` seconds.

        Raises:
            ResultTimeout: the job did not end in time. It continues.
            JobFailed, JobCancelled: the job ended without a result.
            UnknownJob: the job's record has expired.
        """
        return self._spec.load_result(await self._client.result(self.id, timeout))

    async def status(self) -> JobRecord:
        """Return the job's current record: state, progress, attempt, error."""
        return await self._client.get(self.id)

    async def cancel(self) -> JobRecord:
        """Cancel the job. If a worker runs it, ask that worker to stop it.

        Raises:
            WrongState: the job has ended already.
        """
        return await self._client.cancel(self.id)

    async def events(self, after: str = "0-0") -> AsyncGenerator[JobEvent]:
        """Yield the job's events after the event id `after`, live, until it ends."""
        async for event in self._client.events(self.id, after):
            if event is not None:
                yield event

    def __repr__(self) -> str:
        return f"<JobHandle {self._spec.name} {self.id}>"
