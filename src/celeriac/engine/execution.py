"""Runs one attempt of a typed job, and tells Celery how it ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, NoReturn

from celery.exceptions import Ignore, Reject, Retry
from kombu.exceptions import OperationalError
from kombu.utils.json import dumps

from celeriac.core import codec
from celeriac.core.context import JobContext, JobSuspended, report_to_nobody
from celeriac.core.envelope import Canvas, EnvelopeWriter, MessageOptions
from celeriac.core.errors import BrokerUnavailable, JobInterrupted, RetryAfter, RunLater
from celeriac.core.spec import Call
from celeriac.core.timing import PATIENT_RETRY_PAUSE_S
from celeriac.engine import bridge
from celeriac.engine.aio import execution
from celeriac.engine.attempts import ActiveAttempts, Attempt
from celeriac.engine.cancellation import CancellationWatch
from celeriac.engine.isolation.errors import RaisedElsewhere
from celeriac.engine.isolation.processes import IsolatedCall
from celeriac.engine.isolation.run import IsolatedRun
from celeriac.engine.loop import job_loop
from celeriac.engine.markup import validated
from celeriac.engine.progress import ProgressReporter
from celeriac.engine.runs import AsyncRun, Run, ThreadRun
from celeriac.engine.worker_client import WorkerClient
from celeriac.store.jobs.enqueueing import FanOut
from celeriac.store.redis.connection import is_absence

if TYPE_CHECKING:
    from celeriac.engine.task import JobTask

log = logging.getLogger("celeriac.engine")

#: How long a retry or a fan-out is tried again while the broker is absent.
_PATIENCE_S = 120.0


class Executor:
    """Executes jobs in this worker process: for each slot of its pool, Celery hands it one attempt at a time.

    `execute` blocks the calling thread and serves Celery's own pools. `perform` serves the asyncio worker. Both
    validate the arguments, run the function, publish the last progress, and turn the end into Celery's terms.
    """

    def __init__(self, client: WorkerClient) -> None:
        self._client = client
        self._loop = job_loop()
        self._attempts = ActiveAttempts()
        self._progress = ProgressReporter(self._loop, client)
        self._cancellations = CancellationWatch(self._loop, client, self._attempts)
        self._envelopes = EnvelopeWriter()

    def execute(self, task: JobTask, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run one attempt, and translate its end into Celery's terms.

        Raises:
            Ignore: the job was cancelled or waits for its children. Its record says so already.
            celery.exceptions.Retry: the attempt failed, and the next one is published.
            Exception: the job failed for good.
        """
        attempt = Attempt.of(task.request)
        try:
            return self._run_blocking(task, attempt, args, kwargs)
        except (JobSuspended, JobInterrupted, Exception) as error:
            self._end(task, attempt, error)

    async def perform(self, task: JobTask, request: Any) -> Any:
        """Do what `execute` does, on the event loop of the asyncio worker."""
        attempt = Attempt.of(request)
        try:
            return await self._run_on_loop(task, attempt, request)
        except (JobSuspended, JobInterrupted, Exception) as error:
            if isinstance(error, RunLater) and not attempt.cancelled:
                execution.put_off_if_possible(error)
            return await bridge.call(self._end, task, attempt, error)

    async def _run_on_loop(self, task: JobTask, attempt: Attempt, request: Any) -> Any:
        arguments = validated(task.spec, request.args, request.kwargs)
        self._cancellations.ensure_started()
        run = self._make_run(task, attempt, arguments, awaited=True)
        try:
            with self._attempts.going_on(attempt, run):
                returned = await run.complete_on_loop()
            if iscoroutine(returned):
                run = self._run_of_returned(task, attempt, returned, awaited=True)
                with self._attempts.going_on(attempt, run):
                    returned = await run.complete_on_loop()
        finally:
            await self._progress.flushed()  # before the end is recorded: an ended job reports no progress
        return task.spec.dump_result(returned)

    def _run_blocking(self, task: JobTask, attempt: Attempt, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        arguments = validated(task.spec, args, kwargs)
        if attempt.in_worker:
            self._cancellations.ensure_started()
        run = self._make_run_or_isolate(task, attempt, arguments)
        try:
            with self._attempts.going_on(attempt, run):
                returned = run.complete()
            if iscoroutine(returned):
                run = self._run_of_returned(task, attempt, returned)
                with self._attempts.going_on(attempt, run):
                    returned = run.complete()
        finally:
            self._progress.flush()  # before the end is recorded: an ended job reports no progress
        return returned if isinstance(run, IsolatedRun) else task.spec.dump_result(returned)

    def _make_run_or_isolate(self, task: JobTask, attempt: Attempt, arguments: dict[str, Any]) -> Run:
        if task.spec.options.isolate and attempt.in_worker:
            encoded = task.spec.encode_validated(arguments)
            return IsolatedRun(_isolated(task, encoded, self._context(task, attempt, encoded)), self._loop)
        return self._make_run(task, attempt, arguments)

    def _make_run(
        self, task: JobTask, attempt: Attempt, arguments: dict[str, Any], *, awaited: bool = False
    ) -> AsyncRun | ThreadRun:
        spec, context = task.spec, None
        if spec.context_parameter is not None:
            context = self._context(task, attempt, spec.encode_validated(arguments))
        if spec.is_async:
            return AsyncRun(spec.call(arguments, context), spec.options.timeout, self._loop, awaited=awaited)
        return ThreadRun(lambda: spec.call(arguments, context), spec.options.timeout)

    def _run_of_returned(
        self, task: JobTask, attempt: Attempt, coroutine: Coroutine[Any, Any, Any], *, awaited: bool = False
    ) -> AsyncRun:
        """Make a run of the coroutine that a `def` job returned: a plain decorator may hide an `async def`."""
        run = AsyncRun(coroutine, task.spec.options.timeout, self._loop, awaited=awaited)
        if attempt.cancelled:  # while the function was returning
            run.cancel()
        return run

    def _context(self, task: JobTask, attempt: Attempt, arguments: bytes) -> JobContext:
        """Make the job's context. `arguments` go into the message that resumes the job after its children."""
        resume = MessageOptions(
            queue=attempt.queue,
            parent_id=attempt.parent_id,
            root_id=attempt.root_id,
            retries=attempt.number - 1,
            timeout=task.time_limit,
            celery_priority=attempt.celery_priority,
            canvas=_canvas_of(task.request),
        )

        async def spawn(calls: list[Call[Any]]) -> None:
            if not attempt.in_worker:
                raise RuntimeError(f"job {task.spec.name!r} fans out, which only works in a worker: enqueue it")
            message = self._envelopes.write(task.spec.name, attempt.job_id, arguments, resume)
            parent = FanOut(attempt.job_id, attempt.run or 0, self._client.list_key(resume), message)
            if not await self._fan_out(parent, calls, attempt.root_id):
                raise JobInterrupted(f"job {attempt.job_id} was cancelled, or another worker runs it now")

        return JobContext(
            id=attempt.job_id,
            task=task.spec.name,
            attempt=attempt.number,
            attempts=task.spec.options.retry.attempts,
            parent_id=attempt.parent_id,
            redelivered=attempt.redelivered,
            children=getattr(task.request, "celeriac_children", None),
            report=self._progress.report if attempt.in_worker else report_to_nobody,
            spawn=spawn,
            cancel_requested=lambda: attempt.cancelled,
            open_artifact=task.app.open_artifact,
        )

    async def _fan_out(self, parent: FanOut, calls: list[Call[Any]], root_id: str) -> bool:
        """Enqueue the children, again while the broker is absent. That is safe, because each is accepted only once."""
        give_up = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return await self._client.fan_out(parent, calls, root_id=root_id)
            except BrokerUnavailable:
                if time.monotonic() >= give_up:
                    raise
                log.warning("the broker is absent; the children of job %s wait for it", parent.parent_id)
                await asyncio.sleep(PATIENT_RETRY_PAUSE_S)

    def _end(self, task: JobTask, attempt: Attempt, error: BaseException) -> NoReturn:
        if isinstance(error, JobSuspended):
            task.request.celeriac_settled = True
            raise Ignore from None
        if attempt.cancelled or not isinstance(error, Exception):  # a job told to stop may answer with any error
            self._end_cancelled(task)
        if isinstance(error, Ignore | Retry):
            error = task.end_of_run(error, task.request)
        if isinstance(error, Ignore):
            raise error
        self._end_failed(task, attempt, error)

    def _end_cancelled(self, task: JobTask) -> NoReturn:
        task.request.celeriac_settled = True
        task.backend.mark_as_revoked(task.request.id, "cancelled", request=task.request)
        task.send_event("task-revoked", terminated=True, signum=None, expired=False)
        task.tell_cancelled(task.request.id)
        raise Ignore from None

    def _end_failed(self, task: JobTask, attempt: Attempt, error: Exception) -> NoReturn:
        policy = task.spec.options.retry
        is_elsewhere = isinstance(error, RaisedElsewhere)
        delay = error.retry_in if is_elsewhere else policy.delay_after(error, attempt.number)
        if delay is None:
            raise error
        if isinstance(error, RetryAfter | RunLater):  # wishes, no faults: to format where they were raised is slow
            error.__traceback__ = None
        give_up = time.monotonic() + _PATIENCE_S
        while True:
            try:
                task.retry(exc=error, countdown=delay, max_retries=policy.attempts)
            except Reject as refused:  # the retry could not be published
                if not _is_outage(refused.reason):
                    log.error("the retry of job %s cannot be published: %r", attempt.job_id, refused.reason)
                    raise error from None
                if time.monotonic() >= give_up:
                    raise Reject(refused.reason, requeue=True) from error
                log.warning("the broker is absent; the retry of job %s waits for it", attempt.job_id)
                bridge.blocking(time.sleep, PATIENT_RETRY_PAUSE_S)


def _is_outage(reason: object) -> bool:
    """Return whether the broker is absent, which is temporary. A fault in the message itself is not."""
    return isinstance(reason, BrokerUnavailable | OperationalError) or (
        isinstance(reason, Exception) and is_absence(reason)
    )


def _isolated(task: JobTask, arguments: bytes, context: JobContext) -> IsolatedCall:
    app = task.app
    return IsolatedCall(app=app.import_address, specs=app.specs, spec=task.spec, arguments=arguments, context=context)


def _canvas_of(request: Any) -> Canvas:
    return Canvas(
        callbacks=_in_json_types(request.callbacks),
        errbacks=_in_json_types(request.errbacks),
        chain=_in_json_types(request.chain),
        chord=_in_json_types(request.chord),
        group=request.group,
        group_index=request.group_index,
    )


def _in_json_types(canvas: Any) -> Any:
    """Turn a part of a message into plain JSON types. Kombu's decoder has made objects such as `datetime` of some."""
    return codec.loads(dumps(canvas)) if canvas else canvas
