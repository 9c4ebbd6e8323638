"""The asyncio client: all operations on jobs from outside a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from celeriac.client.cancelling import tell_cancelled
from celeriac.client.enqueuer import Enqueuer
from celeriac.client.options import NO_OPTIONS, EnqueueOptions
from celeriac.client.waiting import POLL_S, Waiter
from celeriac.core.errors import (
    BrokerUnavailable,
    UnknownJob,
    UnknownTask,
    WrongState,
)
from celeriac.core.ids import is_valid_id
from celeriac.core.records import JobEvent, JobRecord
from celeriac.core.spec import Call, JobSpec
from celeriac.core.states import JobState
from celeriac.store import keys
from celeriac.store.jobs import enqueueing, events, payloads, reader, results
from celeriac.store.jobs import transitions as store
from celeriac.store.redis import server
from celeriac.store.redis.connection import deadline

#: The id before the first event, and that of the first event of a job that was not scheduled, which is not stored.
_START = "0-0"
_QUEUED = JobEvent("0-1", "state", {"state": JobState.QUEUED.value})


class JobClient:
    """A client of the broker for one application. It connects separately in each event loop that uses it."""

    def __init__(
        self,
        enqueuer: Enqueuer,
        *,
        specs: Mapping[str, JobSpec],
        retention_ms: Callable[[], int],
    ) -> None:
        self._enqueuer = enqueuer
        self._connections = enqueuer.connections
        self._waiter = Waiter(self._connections, self.get)
        self._specs = specs
        self._retention_ms = retention_ms

    async def enqueue(self, call: Call[Any], options: EnqueueOptions = NO_OPTIONS) -> str:
        """Accept one job and return its id.

        Raises:
            IdempotencyConflict: the key was used before for another request.
            JobExists: another job has the id that the options choose.
            BrokerUnavailable: the broker did not confirm in time.
        """
        return await self._enqueuer.enqueue(call, options)

    async def submit(self, call: Call[Any], options: EnqueueOptions = NO_OPTIONS) -> JobRecord:
        """Accept one job and return its record, or that of the job to which the idempotency key belongs.

        Raises:
            UnknownJob: the idempotency key belongs to a job whose record has expired.
            IdempotencyConflict, JobExists, BrokerUnavailable: as `enqueue`.
        """
        return await self._enqueuer.submit(call, options)

    async def enqueue_many(
        self, calls: Sequence[Call[Any]], options: EnqueueOptions = NO_OPTIONS, *, job_ids: Sequence[str] | None = None
    ) -> list[str]:
        """Accept many jobs, one round trip per 250, and return their ids in order.

        `job_ids` chooses an id for each. A job that exists already is left as it is.

        Raises:
            ValueError: an id is invalid, or there are more or fewer ids than calls.
            BrokerUnavailable: the broker did not confirm in time; earlier batches may have been accepted.
        """
        return await self._enqueuer.enqueue_many(calls, options, job_ids)

    async def get(self, job_id: str) -> JobRecord:
        """Return the job's record.

        Raises:
            UnknownJob: no such job, or its record has expired.
        """
        if not is_valid_id(job_id):
            raise UnknownJob(job_id)
        async with deadline(self._connections.timeout):
            record = await reader.get_record(self._connections.current().broker, job_id)
        if record is None:
            raise UnknownJob(job_id)
        return record

    async def page(
        self, *, cursor: str | None = None, limit: int = 50, matches: Callable[[JobRecord], bool] = lambda _: True
    ) -> tuple[list[JobRecord], str | None]:
        """A page of jobs, newest first, and the next page's cursor. A page may be short while there are more."""
        async with deadline(self._connections.timeout):
            broker = self._connections.current().broker
            return await reader.list_records(broker, cursor=cursor, limit=limit, matches=matches)

    async def outcome(self, job_id: str) -> Any:
        """Return the stored result of a job, as JSON types.

        Raises:
            UnknownJob: no such job, or its result has expired.
            WrongState: the job has not ended yet.
            JobFailed, JobCancelled: the job ended without a result.
        """
        return await self._waiter.outcome_of(await self.get(job_id))

    async def wait(self, job_id: str, timeout: float | None = None) -> JobRecord:
        """Wait until the job has ended, and return its record. Keep waiting while the broker is absent.

        Raises:
            ResultTimeout: the job did not end within `timeout` seconds.
            UnknownJob: no such job.
        """
        return await self._waiter.record(job_id, timeout)

    async def result(self, job_id: str, timeout: float | None = None) -> Any:
        """Wait for the job's result, as JSON types. Raises as `wait` and `outcome` do."""
        return await self._waiter.result(job_id, timeout)

    async def events(self, job_id: str, after: str = _START) -> AsyncGenerator[JobEvent | None]:
        """Yield the job's events after the event id `after`, live, until it ends. Yield None after some silence.

        Raises:
            UnknownJob: no such job.
        """
        await self.get(job_id)
        changed = asyncio.Event()
        async with self._listening(job_id, changed):
            while True:
                changed.clear()
                batch, over = await self._look_for_events(job_id, after)
                if after == _START and not (batch and batch[0].data.get("state") == JobState.SCHEDULED):
                    batch.insert(0, _QUEUED)
                for event in batch:
                    after = event.id
                    yield event
                if over and not batch and not changed.is_set():
                    return
                if not batch and not await _within(POLL_S, changed):
                    yield None

    async def has_events(self, job_id: str, after: str) -> bool:
        """Whether an event came after the event id `after`."""
        async with deadline(self._connections.timeout):
            return bool(await events.read_events(self._connections.current().broker, job_id, after))

    async def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job. If a worker runs it, ask that worker to stop it.

        Raises:
            UnknownJob: no such job.
            WrongState: the job has ended already. (Cancelling a cancelled job is not an error.)
        """
        if not is_valid_id(job_id):
            raise UnknownJob(job_id)
        outcome, connections = payloads.cancelled_outcome(job_id), self._connections.current()
        stored_with_it = outcome if connections.share_a_server else b""
        steered = await self._connections.run(
            store.cancel(job_id, outcome=stored_with_it, retention_ms=self._retention_ms())
        )
        if steered.verdict == "cancelled" and not connections.share_a_server:
            async with deadline(self._connections.timeout):
                await results.put_outcome(connections.results, job_id, outcome, self._retention_ms())
        if steered.record is None:
            raise UnknownJob(job_id)
        if steered.verdict not in ("requested", "cancelled"):
            raise WrongState(f"job {job_id} has {steered.verdict} already and cannot be cancelled")
        if steered.verdict == "cancelled":
            await tell_cancelled(self._specs.get(steered.record.task), job_id)
        return steered.record

    async def forget(self, job_id: str) -> None:
        """Take a job out of the list, and let what is left of it go within an hour. For jobs of our own."""
        async with deadline(self._connections.timeout):
            await reader.forget(self._connections.current().broker, job_id)

    async def retry(self, job_id: str) -> JobRecord:
        """Run a failed, dead or cancelled job again, with the same id and arguments. Attempts count from 1 again.

        Raises:
            UnknownJob: no such job.
            UnknownTask: this application has no such job.
            WrongState: the job has not ended, or it succeeded.
        """
        record = await self.get(job_id)
        spec = self._specs.get(record.task)
        if spec is None or record.arguments is None:
            raise UnknownTask(record.task)
        call = Call[Any](spec, spec.encode((), record.arguments))
        options = EnqueueOptions(queue=record.queue or None, priority=record.priority, job_id=job_id)
        job = self._enqueuer.new_job(call, options)
        connections = self._connections.current()
        if record.state.finished and record.state is not JobState.SUCCEEDED and not connections.share_a_server:
            async with deadline(self._connections.timeout):
                await results.drop_outcome(connections.results, job_id)
        steered = await self._connections.run(enqueueing.requeue(job))
        if steered.record is None:
            raise UnknownJob(job_id)
        if steered.verdict != "queued":
            state = steered.verdict
            raise WrongState(f"job {job_id} is {state}; only a failed, dead or cancelled job can be retried")
        return steered.record

    async def ping(self) -> None:
        """Raise `BrokerUnavailable` unless the broker answers in time."""
        async with deadline(self._connections.timeout):
            await server.ping(self._connections.current().broker)

    async def aclose(self) -> None:
        """Close the running loop's connections. Safe to call twice."""
        await self._connections.aclose()

    async def _look_for_events(self, job_id: str, after: str) -> tuple[list[JobEvent], bool]:
        """Return the events after `after`, and whether none can follow. During an outage, return no events."""
        try:
            # Read the state first: a later read cannot miss an event that came before an end.
            over = (await self.get(job_id)).state.finished
            async with deadline(self._connections.timeout):
                return await events.read_events(self._connections.current().broker, job_id, after), over
        except BrokerUnavailable:
            return [], False
        except UnknownJob:
            return [], True

    def _listening(self, job_id: str, changed: asyncio.Event) -> AbstractAsyncContextManager[None]:
        listener = self._connections.current().listener
        return listener.subscribed(keys.events(job_id), lambda _: changed.set())


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for `event`, at most `seconds`. Return whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
