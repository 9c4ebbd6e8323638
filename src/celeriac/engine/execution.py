"""Runs one attempt of a typed job, and tells Celery how it ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from celery.exceptions import Ignore, Reject

from celeriac.client.client import JobClient
from celeriac.core.context import JobContext, JobSuspended
from celeriac.core.envelope import Delivery, EnvelopeWriter
from celeriac.core.errors import JobInterrupted
from celeriac.core.spec import Call, JobSpec
from celeriac.engine.cancellation import CancellationWatch
from celeriac.engine.loop import JobLoop
from celeriac.engine.progress import ProgressReporter
from celeriac.engine.runs import ActiveRuns, AsyncRun, Run, ThreadRun
from celeriac.store.jobs import FanOut

if TYPE_CHECKING:
    from celeriac.engine.task import JobTask

log = logging.getLogger("celeriac.engine")

#: Seconds for which a retry is held while the broker is absent, before the message itself goes back.
_RETRY_PATIENCE = 120.0


class Executor:
    """Executes jobs in this worker process. Celery gives it one attempt at a time for each of its pool's slots."""

    def __init__(self, client: JobClient) -> None:
        self._client = client
        self._loop = JobLoop()
        self._runs = ActiveRuns()
        self._progress = ProgressReporter(self._loop, client)
        self._cancellations = CancellationWatch(self._loop, client, self._runs)
        self._envelopes = EnvelopeWriter()

    def execute(self, task: JobTask, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run one attempt: validate, run within limits, and translate its end into Celery's terms.

        Raises:
            Ignore: it was cancelled, or waits for its children; all that is to be recorded has been.
            celery.exceptions.Retry: it failed and is to be tried again.
            Exception: it failed for good.
        """
        spec, request = task.spec, task.request
        self._cancellations.ensure_started()
        try:
            arguments = spec.validate(args, kwargs)
            run = self._start(spec, arguments, self._context(task, args, kwargs))
            self._runs.add(request.id, request.parent_id, run)
            return spec.dump_result(run.complete())
        except JobSuspended:
            raise Ignore from None
        except (CancelledError, JobInterrupted) as stop:
            self._end_cancelled(task, stop)
        except Exception as error:
            self._end_failed(task, error)
        finally:
            self._runs.remove(request.id)
            self._progress.flush()

    def _start(self, spec: JobSpec, arguments: dict[str, Any], context: JobContext) -> Run:
        if spec.is_async:
            return AsyncRun(spec.call(arguments, context), spec.options.timeout, self._loop)
        return ThreadRun(lambda: spec.call(arguments, context), spec.options.timeout, self._loop)

    def _context(self, task: JobTask, args: Sequence[Any], kwargs: dict[str, Any]) -> JobContext:
        spec, request = task.spec, task.request
        job_id = request.id

        async def spawn(calls: list[Call[Any]]) -> None:
            resume = Delivery(
                queue=(request.delivery_info or {}).get("routing_key") or "",
                parent_id=request.parent_id,
                root_id=request.root_id,
                retries=request.retries,
                timeout=task.time_limit,
            )
            message = self._envelopes.write(spec.name, job_id, spec.encode(args, kwargs), resume)
            parent = FanOut(job_id, resume.queue, message)
            if not await self._client.fan_out(parent, calls, root_id=request.root_id or job_id):
                raise JobInterrupted(f"job {job_id} was cancelled")

        return JobContext(
            id=job_id,
            task=spec.name,
            attempt=request.retries + 1,
            attempts=spec.options.retry.attempts,
            parent_id=request.parent_id,
            children=getattr(request, "celeriac_children", None),
            report=self._progress.report,
            spawn=spawn,
            cancel_requested=lambda: self._runs.is_cancelled(job_id),
        )

    def _end_cancelled(self, task: JobTask, stop: BaseException) -> NoReturn:
        if not self._runs.is_cancelled(task.request.id) and not isinstance(stop, JobInterrupted):
            # The job awaited something that was cancelled; nobody asked for the job itself to be.
            self._end_failed(task, RuntimeError("the job was ended by a CancelledError of its own"))
        task.backend.mark_as_revoked(task.request.id, "cancelled", request=task.request)
        task.send_event("task-revoked", terminated=True, signum=None, expired=False)
        raise Ignore from None

    def _end_failed(self, task: JobTask, error: Exception) -> NoReturn:
        request = task.request
        delay = task.spec.options.retry.delay_after(error, request.retries + 1)
        if delay is None:
            raise error
        request.celeriac_delay_until = datetime.now(UTC) + timedelta(seconds=delay)
        give_up = time.monotonic() + _RETRY_PATIENCE
        while True:
            try:
                task.retry(exc=error, countdown=delay, max_retries=task.spec.options.retry.attempts)
            except Reject as refused:  # the retry could not be published
                if time.monotonic() >= give_up:
                    raise Reject(refused.reason, requeue=True) from error
                log.warning("the broker is absent; the retry of job %s is held", request.id)
                time.sleep(0.5)
