"""The Celery task classes: `Task` for all tasks of a Celeriac application, `JobTask` for typed jobs."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from celery import Task as CeleryTask
from celery import states as celery_states
from celery.app.task import get_actual_ignore_result
from celery.exceptions import Ignore, Reject
from celery.exceptions import Retry as CeleryRetry

from celeriac.client.cancelling import tell_cancelled
from celeriac.core.errors import BrokerUnavailable, JobAborted
from celeriac.core.records import Failure
from celeriac.core.spec import JobSpec
from celeriac.core.states import JobState
from celeriac.engine import bridge
from celeriac.engine.isolation.errors import is_attempt
from celeriac.engine.loop import job_loop
from celeriac.engine.publication import stored_by
from celeriac.engine.tracebacks import format_error
from celeriac.engine.transport import is_receipt
from celeriac.store.jobs import transitions as store
from celeriac.store.jobs.beginnings import LOST, Beginning, Permit, begin
from celeriac.store.redis.errors import ResponseError
from celeriac.store.scripts.script import ScriptCall

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp
    from celeriac.engine.backend import ResultBackend

#: How long a worker waits for an absent broker's permit before it gives the message back.
PERMIT_PATIENCE_S = 30.0


class Task(CeleryTask):  # pyright: ignore[reportMissingTypeArgument]
    """A Celery task that is recorded as a job, and that does not run after its job was cancelled."""

    abstract = True
    app: JobApp
    backend: ResultBackend  # pyright: ignore[reportIncompatibleMethodOverride]

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Ask the broker for the permit to run, which records the job as running in the same step.

        Raises:
            Ignore: the job was cancelled, has ended, is at a later attempt, or another worker runs it.
            Reject: the broker stayed absent, and the message goes back to its queue.
        """
        request = self.request
        if not _is_recorded(request):
            return
        try:
            (permit,) = self.app.records.run(begin([self._beginning(request)]), patience=PERMIT_PATIENCE_S)
        except BrokerUnavailable as error:
            raise Reject(str(error), requeue=True) from error
        self._obey(permit, request)

    async def begin(self, request: Any, ask: Callable[[Callable[[], Beginning]], Awaitable[Permit]]) -> None:
        """Do what `before_start` does, in the asyncio worker. `ask` waits as long as the broker is absent."""
        if not _is_recorded(request):
            return
        permit = await ask(lambda: self._beginning(request))
        if permit.verdict == "run":
            self._obey(permit, request)
        else:
            await bridge.call(self._obey, permit, request)

    def retry(self, *args: Any, exc: BaseException | None = None, **options: Any) -> Any:
        """Publish the next attempt as Celery does. The script that publishes it also records the retry."""
        request = self.request
        if request.called_directly or request.is_eager:
            return super().retry(*args, exc=exc, **options)
        cause = exc or sys.exc_info()[1]
        attempt, counts = request.retries + 1, is_attempt(cause)
        shown = format_error(cause) if cause else None
        error = Failure.of(cause, shown) if cause else Failure("Retry", "the task asked to be run again")
        result = self.backend.prepare_exception(cause) if cause else None
        outcome = b""  # a result backend off the broker stores the outcome by itself
        if not self.app.results_are_separate:
            outcome = self.backend.outcome(request.id, result, celery_states.RETRY, traceback=shown, request=request)

        def storing(publication: store.Publication) -> ScriptCall[str]:
            request.celeriac_retrying = True
            run: int | None = getattr(request, "celeriac_run", None)
            return store.retry(
                publication, request.id, attempt=attempt, run=run, error=error, outcome=outcome, counts=counts
            )

        request.retries -= not counts  # Celery adds 1
        try:
            with stored_by(storing, job_id=request.id):
                return super().retry(*args, exc=exc, **options)
        finally:
            request.retries += not counts

    def on_replace(self, sig: Any) -> Any:
        """Hand the job on to its replacement, which is one message or a canvas, and replace as Celery does."""
        self.hand_on()
        return super().on_replace(sig)

    def hand_on(self) -> None:
        """Record the job as queued again. Another message with its id follows, and starts with attempt 1.

        Raises:
            BrokerUnavailable: the broker did not record it.
        """
        request = self.request
        run: int | None = getattr(request, "celeriac_run", None)
        if run is None or getattr(request, "celeriac_settled", False):
            return
        retention_ms = self.app.retention_ms
        queued = store.Transition(job_id=request.id, state=JobState.QUEUED, run=run, retention_ms=retention_ms)
        self.app.records.run(store.transition(queued), patience=0)
        request.celeriac_settled = True

    def end_of_run(self, error: Ignore | CeleryRetry, request: Any) -> Exception:
        """Record the end of a run that raised `Ignore` or `Retry`, because Celery's tracers record none for these.

        `Ignore` means success, unless another end is recorded already. A `Retry` that was raised without a call of
        `self.retry()` has published no message, so it becomes a failure.

        Returns:
            What the run ends with: `error`, or the failure that replaces it.
        """
        if getattr(request, "celeriac_run", None) is None:
            return error
        if isinstance(error, Ignore):
            if not getattr(request, "celeriac_settled", False):
                request.celeriac_settled = True
                self._mark_as_ignored(request)
            return error
        if getattr(request, "celeriac_retrying", False):
            return error
        failure = JobAborted("it raised Retry without publishing a retry: call self.retry()")
        failure.__cause__ = error
        return failure

    def tell_cancelled(self, job_id: str) -> None:
        """Tell the application that the job was cancelled, if its job asks for that."""
        return

    def _mark_as_ignored(self, request: Any) -> None:
        self.backend.mark_as_ignored(request)

    def _beginning(self, request: Any) -> Beginning:
        return Beginning(
            job_id=request.id,
            task=str(self.name),
            queue=(request.delivery_info or {}).get("routing_key") or "",
            parent_id=request.parent_id,
            attempt=request.retries + 1,
            worker=request.hostname or "",
            # With early acknowledgement the worker does not hold the message any more.
            receipt=_receipt(request) if self.acks_late else "",
            retention_ms=self.app.retention_ms,
            wants_outcome=not self.app.results_are_separate and not get_actual_ignore_result(self, request),
        )

    def _obey(self, permit: Permit | ResponseError, request: Any) -> None:
        if isinstance(permit, ResponseError):
            raise permit
        if permit.verdict == "run":
            request.celeriac_run, request.celeriac_children = permit.run, permit.children
            return
        if permit.verdict in ("cancelled", "dead") and not get_actual_ignore_result(self, request):
            cancelled = permit.verdict == "cancelled"
            self.backend.tell_end(request.id, cancelled=cancelled, cause="cancelled" if cancelled else LOST.message)
        if permit.verdict == "cancelled":
            self.send_event("task-revoked", terminated=False, signum=None, expired=False)
            self.tell_cancelled(request.id)
        self.backend.repeat_chord_part(request)
        raise Ignore


class JobTask(Task):
    """The Celery task of a typed job. Its message is always acknowledged late, whatever the settings say."""

    abstract = True
    celeriac_bridged = True  # `run` waits across the bridge by itself, so `adapt` leaves it alone
    acks_late = acks_on_failure = acks_on_timeout = True
    reject_on_worker_lost = True
    spec: JobSpec

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run one attempt, blocking the calling thread."""
        return self.app.executor.execute(self, args, kwargs)

    @property
    def is_awaited(self) -> bool:
        """Whether the asyncio worker awaits `perform`. An isolated job goes through `run`, as in other pools."""
        return not self.spec.options.isolate

    async def perform(self, request: Any) -> Any:
        """Run one attempt on the event loop of the asyncio worker."""
        return await self.app.executor.perform(self, request)

    def tell_cancelled(self, job_id: str) -> None:
        """Call `on_cancelled` on the event loop of the jobs, and wait for it."""
        if self.spec.options.on_cancelled is None:
            return
        telling = tell_cancelled(self.spec, job_id)
        if bridge.can_wait():
            bridge.wait(telling)
        else:
            job_loop().submit(telling).result()

    def _mark_as_ignored(self, request: Any) -> None:
        is_wanted = not get_actual_ignore_result(self, request)
        self.backend.mark_as_done(request.id, None, request=request, store_result=is_wanted)


def _is_recorded(request: Any) -> bool:
    """Return whether a worker runs the request for a job. A broadcast has no job: each worker runs it."""
    return not request.called_directly and not request.is_eager and is_receipt(_receipt(request))


def _receipt(request: Any) -> str:
    return str(request.properties["delivery_tag"])
