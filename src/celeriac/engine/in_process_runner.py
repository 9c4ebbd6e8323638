"""Runs a job in process: its attempts, its children, and a clock that skips waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from inspect import iscoroutine
from typing import Any

from celeriac.core import codec
from celeriac.core.artifact import ArtifactFile
from celeriac.core.context import Children, JobContext, JobSuspended
from celeriac.core.errors import JobInterrupted
from celeriac.core.records import Failure, Progress
from celeriac.core.spec import Call
from celeriac.core.states import JobState
from celeriac.engine import job_logs
from celeriac.engine.isolation.errors import is_attempt
from celeriac.engine.loop import JobLoop
from celeriac.engine.ran_job import RanJob
from celeriac.engine.runs import AsyncRun, ThreadRun
from celeriac.engine.tracebacks import format_error


class _CallersLoop(JobLoop):
    """The caller's running event loop, in place of a worker's."""

    def __init__(self) -> None:
        super().__init__()
        self._callers = asyncio.get_running_loop()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._callers


class VirtualClock:
    """The time of the records: the system's time plus all waits that were skipped."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def skip_to(self, due: datetime) -> None:
        """Move the clock to `due`, unless that is past."""
        self._ahead += max(timedelta(), due - self.now)


class InProcessRunner:
    """Runs jobs, one at a time, each to its end.

    Args:
        clock: the clock that each wait moves.
        open_artifact: opens a file of a job, by the job's id and the file's name.
        accept: makes the job of a call that another job fanned out to. Takes the call and the parent's id.
        find: returns the job of an id, or None. Called from any thread.
    """

    def __init__(
        self,
        clock: VirtualClock,
        *,
        accept: Callable[[Call[Any], str], RanJob],
        find: Callable[[str], RanJob | None],
        open_artifact: Callable[[str, str], ArtifactFile],
    ) -> None:
        self._clock = clock
        self._accept = accept
        self._find = find
        self._open_artifact = open_artifact

    async def run_to_end(self, job: RanJob) -> None:
        """Run the job until it is finished. `job.error` has the error of its last attempt."""
        job.error = None
        try:
            await self._attempts(job)
        except asyncio.CancelledError:  # the caller of `enqueue` was cancelled
            if not job.record.state.finished:
                self.move(job, JobState.CANCELLED)
            raise
        finally:
            job.run = None
            job.ended.set()

    def move(self, job: RanJob, state: JobState, **changes: Any) -> None:
        """Record a new state of the job."""
        changed = replace(job.record, state=state, updated_at=self._clock.now, **changes)
        if state is JobState.RUNNING and changed.started_at is None:
            changed = replace(changed, started_at=changed.updated_at)
        if state.finished:
            changed = replace(changed, finished_at=changed.updated_at)
        job.record = changed
        more = {"attempt": changed.attempt} if state is JobState.RUNNING else {}
        job.tell("state", {"state": state.value, **more})

    async def _attempts(self, job: RanJob) -> None:
        attempt, ended, policy = 1, None, job.call.spec.options.retry
        while not job.record.cancel_requested:
            self.move(job, JobState.RUNNING, attempt=attempt, delay_until=None, error=None)
            calls: list[Call[Any]] = []
            try:
                job.result = await self._attempt(job, attempt, ended, calls)
            except JobSuspended:
                ended = await self._run_children(job, calls)
            except JobInterrupted:
                return self.move(job, JobState.CANCELLED)
            except Exception as error:
                if job.record.cancel_requested:  # a job told to stop may answer with any error
                    return self.move(job, JobState.CANCELLED)
                failure = Failure.of(error, format_error(error))
                delay = policy.delay_after(error, attempt)
                if delay is None:
                    job.error = error
                    return self.move(job, JobState.FAILED, error=failure)
                job.retry_delays.append(delay)
                due = self._clock.now + timedelta(seconds=delay)
                self.move(job, JobState.RETRYING, error=failure, delay_until=due)
                self._clock.skip_to(due)
                attempt += is_attempt(error)
            else:
                return self.move(job, JobState.SUCCEEDED)
        return self.move(job, JobState.CANCELLED)

    async def _attempt(self, job: RanJob, attempt: int, ended: Children | None, calls: list[Call[Any]]) -> Any:
        """Make one attempt, and return its result as JSON types."""
        spec = job.call.spec
        arguments = spec.validate_sent((), codec.loads(job.call.arguments))

        async def spawn(children: list[Call[Any]]) -> None:
            calls.extend(children)

        context = JobContext(
            id=job.record.id,
            task=spec.name,
            attempt=attempt,
            attempts=spec.options.retry.attempts,
            parent_id=job.record.parent_id,
            children=ended,
            report=self._report,
            spawn=spawn,
            cancel_requested=lambda: job.record.cancel_requested,
            open_artifact=self._open_artifact,
        )
        with job_logs.running(context.id, context.task, context.attempt):
            if spec.is_async:
                returned = await self._on_loop(job, spec.call(arguments, context))
            else:
                returned = await self._in_thread(job, lambda: spec.call(arguments, context))
            if iscoroutine(returned):  # a plain decorator hid an `async def`
                returned = await self._on_loop(job, returned)
        return codec.loads(codec.dumps(spec.dump_result(returned)))

    async def _on_loop(self, job: RanJob, coroutine: Coroutine[Any, Any, Any]) -> Any:
        run = AsyncRun(coroutine, job.call.spec.options.timeout, _CallersLoop(), awaited=True)
        return await self._run(job, run, run.complete_on_loop())

    async def _in_thread(self, job: RanJob, function: Callable[[], Any]) -> Any:
        run = ThreadRun(function, job.call.spec.options.timeout)
        return await self._run(job, run, asyncio.to_thread(run.complete))

    async def _run(self, job: RanJob, run: AsyncRun | ThreadRun, work: Coroutine[Any, Any, Any]) -> Any:
        job.run = run
        if job.record.cancel_requested:
            run.cancel()
        try:
            return await asyncio.create_task(work)  # a task of its own keeps the job's context variables from leaking
        except asyncio.CancelledError:
            run.cancel()
            raise

    async def _run_children(self, job: RanJob, calls: list[Call[Any]]) -> Children:
        children = [self._accept(call, job.record.id) for call in calls]
        job.children += children
        for child in children:
            await self.run_to_end(child)
        states = [child.record.state for child in children]
        succeeded, cancelled = states.count(JobState.SUCCEEDED), states.count(JobState.CANCELLED)
        failed = len(states) - succeeded - cancelled
        counts = {"total": len(states), "open": 0, "succeeded": succeeded, "failed": failed, "cancelled": cancelled}
        job.record = replace(job.record, children=counts)
        return Children(total=len(states), succeeded=succeeded, failed=failed, cancelled=cancelled)

    def _report(self, job_id: str, progress: Progress) -> None:
        """Take a progress report of the job with that id, from any thread."""
        if (job := self._find(job_id)) is not None:
            job.progress.append(progress)
            job.record = replace(job.record, progress=progress)
            job.tell("progress", {"done": progress.done, "total": progress.total, "message": progress.message})
