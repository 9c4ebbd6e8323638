"""Runs typed jobs in the caller's event loop, without a broker: for `task_always_eager`, and for tests.

A job cannot tell the difference from a worker. Arguments and results go through JSON and are validated, retries follow
the policy, children run before their parent goes on, and a `def` job runs in a thread. Only waiting takes no time: a
delayed job or a retry moves the clock of the records instead.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celeriac.client.client import JobClient
from celeriac.client.options import NO_OPTIONS, EnqueueOptions, check_chosen, check_id
from celeriac.client.waiting import raise_unless_succeeded
from celeriac.core import codec
from celeriac.core.artifact import ArtifactFile
from celeriac.core.errors import (
    IdempotencyConflict,
    JobExists,
    JobFailed,
    ResultTimeout,
    UnknownJob,
    UnknownTask,
    WrongState,
)
from celeriac.core.ids import new_id
from celeriac.core.records import JobEvent, JobRecord
from celeriac.core.spec import Call, JobSpec
from celeriac.core.states import JobState
from celeriac.engine.in_process_files import MemoryFile
from celeriac.engine.in_process_runner import InProcessRunner, VirtualClock
from celeriac.engine.ran_job import RanJob, place
from celeriac.store.jobs.enqueueing import fingerprint

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp


class InProcessJobs(JobClient):
    """A client that runs jobs itself. Each job has ended when `enqueue` returns.

    Args:
        specs: the application's job specifications, by name.
        default_queue: returns the queue of jobs that name none.
        propagates: returns whether `enqueue` raises the error of its job.
        open_artifact: opens a file of a job, by the job's id and the file's name. Default: files stay in memory.
        keep: how many jobs to remember.
    """

    def __init__(
        self,
        specs: Mapping[str, JobSpec],
        *,
        default_queue: Callable[[], str],
        propagates: Callable[[], bool] = lambda: False,
        open_artifact: Callable[[str, str], ArtifactFile] | None = None,
        keep: int = 1000,
    ) -> None:
        self._specs = specs
        self._default_queue = default_queue
        self._propagates = propagates
        self._keep = keep
        self._jobs: dict[str, RanJob] = {}
        self._by_key: dict[str, RanJob] = {}
        self._clock = VirtualClock()
        self._runner = InProcessRunner(
            self._clock,
            accept=lambda call, parent_id: self._accept(call, NO_OPTIONS, parent_id),
            find=self._jobs.get,
            open_artifact=open_artifact or self._open_in_memory,
        )

    @property
    def all(self) -> list[RanJob]:
        """All jobs, in the order in which they were enqueued."""
        return list(self._jobs.values())

    @property
    def now(self) -> datetime:
        """The time of the records: the system's time plus all waits that were skipped."""
        return self._clock.now

    def of(self, job_id: str) -> RanJob:
        """Return the job with that id. Raises `UnknownJob`."""
        if job_id not in self._jobs:
            raise UnknownJob(job_id)
        return self._jobs[job_id]

    def _open_in_memory(self, job_id: str, name: str) -> ArtifactFile:
        return MemoryFile(self._jobs[job_id].artifacts, job_id, name)

    async def enqueue(self, call: Call[Any], options: EnqueueOptions = NO_OPTIONS) -> str:
        request = options.fingerprint or fingerprint(call.spec.name, call.arguments)
        if options.idempotency_key is not None and (known := self._by_key.get(options.idempotency_key)):
            if known.request != request:
                raise IdempotencyConflict(
                    f"the idempotency key was used before, with another request, for job {known.record.id}; "
                    "use a new key for a new request"
                )
            return known.record.id
        if options.job_id is not None:
            check_id(options.job_id)
        if options.job_id in self._jobs:
            raise JobExists(str(options.job_id))
        job = self._accept(call, options)
        if options.idempotency_key is not None:
            job.key, job.request = options.idempotency_key, request
            self._by_key[options.idempotency_key] = job
        await self._execute(job)
        self._propagate(job)
        return job.record.id

    async def submit(self, call: Call[Any], options: EnqueueOptions = NO_OPTIONS) -> JobRecord:
        return await self.get(await self.enqueue(call, options))

    async def enqueue_many(
        self, calls: Sequence[Call[Any]], options: EnqueueOptions = NO_OPTIONS, *, job_ids: Sequence[str] | None = None
    ) -> list[str]:
        if options.idempotency_key is not None or options.job_id is not None:
            raise ValueError("an idempotency key or a job id stands for one job: enqueue it by itself")
        check_chosen(calls, job_ids)
        chosen: Sequence[str | None] = job_ids or [None] * len(calls)
        jobs = [
            self._accept(call, replace(options, job_id=job_id))
            for call, job_id in zip(calls, chosen, strict=True)
            if job_id not in self._jobs
        ]
        for job in jobs:
            await self._execute(job)
        for job in jobs:
            self._propagate(job)
        return list(job_ids) if job_ids else [job.record.id for job in jobs]

    async def get(self, job_id: str) -> JobRecord:
        return self.of(job_id).record

    async def page(
        self, *, cursor: str | None = None, limit: int = 50, matches: Callable[[JobRecord], bool] = lambda _: True
    ) -> tuple[list[JobRecord], str | None]:
        newest_first = [job.record for job in reversed(self.all) if matches(job.record)]
        start = int(cursor.partition("_")[0]) if cursor else 0
        shown = newest_first[start : start + limit]
        end = start + len(shown)
        return shown, f"{end}_{shown[-1].id}" if end < len(newest_first) else None

    async def outcome(self, job_id: str) -> Any:
        job = self.of(job_id)
        try:
            raise_unless_succeeded(job.record)
        except JobFailed as failed:
            raise failed from job.error
        return job.result

    async def wait(self, job_id: str, timeout: float | None = None) -> JobRecord:
        job = self.of(job_id)
        try:
            async with asyncio.timeout(timeout):
                await job.ended.wait()
        except TimeoutError:
            raise ResultTimeout(f"job {job_id} did not end within {timeout:g} s; it goes on") from None
        return job.record

    async def result(self, job_id: str, timeout: float | None = None) -> Any:
        await self.wait(job_id, timeout)
        return await self.outcome(job_id)

    async def events(self, job_id: str, after: str = "0-0") -> AsyncGenerator[JobEvent | None]:
        await self.wait(job_id)
        for event in self.of(job_id).events:
            if place(event.id) > place(after):
                yield event

    async def has_events(self, job_id: str, after: str) -> bool:
        return any(place(event.id) > place(after) for event in self.of(job_id).events)

    async def cancel(self, job_id: str) -> JobRecord:
        job = self.of(job_id)
        if job.record.state.finished and job.record.state is not JobState.CANCELLED:
            raise WrongState(f"job {job_id} has {job.record.state} already and cannot be cancelled")
        if not job.record.state.finished:
            job.record = replace(job.record, cancel_requested=True)
            if job.run is not None:
                job.run.cancel()
        return job.record

    async def retry(self, job_id: str) -> JobRecord:
        job = self.of(job_id)
        state = job.record.state
        if not state.finished or state is JobState.SUCCEEDED:
            raise WrongState(f"job {job_id} is {state}; only a failed, dead or cancelled job can be retried")
        if job.record.task not in self._specs:
            raise UnknownTask(job.record.task)
        job.ended.clear()
        job.record = replace(job.record, cancel_requested=False, finished_at=None)
        self._runner.move(job, JobState.QUEUED)
        await self._execute(job)
        self._propagate(job)
        return job.record

    async def ping(self) -> None:
        """Do nothing, because there is no broker."""

    async def aclose(self) -> None:
        """Do nothing, because there are no connections."""

    def _accept(self, call: Call[Any], options: EnqueueOptions, parent_id: str | None = None) -> RanJob:
        own, due, now = call.spec.options, options.due(), self.now
        record = JobRecord(
            id=options.job_id or new_id(),
            task=call.spec.name,
            queue=options.queue or own.queue or self._default_queue(),
            state=JobState.SCHEDULED if due else JobState.QUEUED,
            created_at=now,
            updated_at=now,
            arguments=codec.loads(call.arguments),
            delay_until=due,
            parent_id=parent_id,
            priority=own.priority if options.priority is None else options.priority,
        )
        job = self._jobs[record.id] = RanJob(record=record, call=call)
        job.tell("state", {"state": record.state.value})
        if len(self._jobs) > self._keep:
            self._forget_oldest()
        return job

    def _forget_oldest(self) -> None:
        oldest = next((job for job in self._jobs.values() if job.record.state.finished), None)
        if oldest is not None:
            del self._jobs[oldest.record.id]
            if oldest.key is not None:
                self._by_key.pop(oldest.key, None)

    async def _execute(self, job: RanJob) -> None:
        """Run the job to its end, and skip its delay."""
        if job.record.delay_until is not None:
            self._clock.skip_to(job.record.delay_until)
        await self._runner.run_to_end(job)

    def _propagate(self, job: RanJob) -> None:
        """Raise the job's error, if this client propagates errors."""
        if job.error is not None and self._propagates():
            raise job.error


@contextmanager
def in_process(app: JobApp) -> Generator[InProcessJobs]:
    """Run the application's jobs inside the `with` block, where they are enqueued. The fixture `celeriac_jobs` uses it.

    Celery's own tasks, and `job.task.delay()`, run eagerly as with `task_always_eager`.
    """
    jobs = InProcessJobs(app.specs, default_queue=lambda: str(app.conf.task_default_queue), keep=sys.maxsize)
    before, eager = app.stand_in, bool(app.conf.task_always_eager)
    app.stand_in, app.conf.task_always_eager = jobs, True
    try:
        yield jobs
    finally:
        app.stand_in, app.conf.task_always_eager = before, eager
