"""What the result backend does with the outcome of a task: with a job record, or without.

An application of ours keeps records, which tell the runs of a job apart. A plain one keeps results alone; what tells
its runs apart is the receipt under which a worker holds the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from celery import states as celery_states

from celeriac.core.records import Failure
from celeriac.core.states import FROM_CELERY, JobState
from celeriac.engine import bridge
from celeriac.engine.aio import endings
from celeriac.store import keys, results
from celeriac.store.connection import BlockingClient
from celeriac.store.deliveries import Result
from celeriac.store.jobs import Transition, transition
from celeriac.store.script import run_blocking

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp
    from celeriac.engine.backend import ResultBackend

#: Seconds for which a finished job's outcome is held while the broker is absent, before the worker gives up on it.
OUTCOME_PATIENCE = 120.0


@dataclass(slots=True)
class Report:
    """What became of a task, as Celery tells the result backend.

    Attributes:
        task_id: its id.
        state: Celery's, or one that the user made up.
        request: of the run that reports; None if nobody knows.
        outcome: to be stored at Celery's key; empty if nobody wants it.
        error: why it failed, if it did.
    """

    task_id: str
    state: str
    request: Any
    outcome: bytes
    error: Failure | None


class Outcomes(Protocol):
    """Keeps what came of tasks."""

    def keep(self, report: Report) -> bool:
        """Store it; False if it came too late, because another run of the task counts."""
        ...

    def worker_of(self, task_id: str) -> str | None:
        """The worker that runs the task, for people; None if none does, or if that is not recorded."""
        ...


def outcomes_of(backend: ResultBackend) -> Outcomes:
    """How the backend's application keeps outcomes."""
    app = cast(Any, backend.app)
    return Recorded(backend, app) if getattr(app, "keeps_job_records", False) else Fenced(backend)


class Recorded:
    """Together with the job's record, in one step if results are kept on the broker, else before it."""

    def __init__(self, backend: ResultBackend, app: JobApp) -> None:
        self._backend = backend
        self._app = app

    def keep(self, report: Report) -> bool:
        outcome, users_own_state = report.outcome, report.state not in FROM_CELERY
        if outcome and (users_own_state or self._app.results_are_separate):
            self._backend.set(self._backend.get_key_for_task(report.task_id), outcome)
            outcome = b""
        # `Task.retry` records that it is retrying in the same step as it publishes.
        recorded = report.state == celery_states.RETRY and getattr(report.request, "celeriac_retrying", False)
        return True if users_own_state or recorded else self._record(report, outcome)

    def worker_of(self, task_id: str) -> str | None:
        known = cast("list[bytes | None]", self._app.records.client.hmget(keys.record(task_id), "state", "worker"))
        running = known[0] == JobState.RUNNING.encode()
        return (known[1] or b"").decode() if running else None

    def _record(self, report: Report, outcome: bytes) -> bool:
        request, state = report.request, FROM_CELERY[report.state]
        comes_back = getattr(request, "celeriac_comes_back", False)
        if comes_back and state is JobState.FAILED:
            # Celery has the outcome of an attempt. For the job it is not the end.
            state = JobState.RETRYING
        # Celery also reports for requests that are none: of tasks that it does not know, it makes up a few fields.
        task: str | None = getattr(request, "task", None) or getattr(request, "name", None)
        change = Transition(
            job_id=report.task_id,
            state=state,
            parent_id=getattr(request, "parent_id", None),
            outcome=outcome,
            error=None if state is JobState.CANCELLED else report.error,
            run=getattr(request, "celeriac_run", None),
            # One that comes back is the same attempt again.
            attempt=None if request is None or comes_back else (getattr(request, "retries", None) or 0) + 1,
            task=task or "",
            retention_ms=self._app.failure_retention_ms if state is JobState.FAILED else self._app.retention_ms,
        )
        delivery = endings.to_be_written(report.task_id)
        if delivery is not None and _is_written_at_the_end(report, delivery):
            if report.task_id == delivery.task_id:
                delivery.ending.kept = change
            else:  # a later task of its chain, which fails with it
                delivery.before.append(transition(change))
            return True
        return self._app.records.run(transition(change), patience=OUTCOME_PATIENCE)


class Fenced:
    """Alone, unless the message has been given to another worker since this run of its task began."""

    def __init__(self, backend: ResultBackend) -> None:
        self._backend = backend

    def keep(self, report: Report) -> bool:
        if not report.outcome or (self._may_have_succeeded(report) and bridge.blocking(self._has_succeeded, report)):
            return True
        delivery = endings.to_be_written(report.task_id)
        is_its_own = delivery is not None and report.task_id == delivery.task_id  # or of a later task of its chain
        if (
            delivery is not None
            and is_its_own
            and self._backend.is_on_broker
            and _is_written_at_the_end(report, delivery)
        ):
            delivery.ending.kept = Result(self._key(report), report.outcome, self._life(report) * 1000)
            return True
        return cast(bool, self._backend.ensure(self._store, (report,)))

    def worker_of(self, task_id: str) -> str | None:
        return None

    def _may_have_succeeded(self, report: Report) -> bool:
        """Whether another run could have stored a success, which stays; the first run's own needs no look."""
        info = getattr(report.request, "delivery_info", None) or {}
        return report.state != celery_states.SUCCESS or bool(info.get("redelivered"))

    def _has_succeeded(self, report: Report) -> bool:
        known = cast("dict[str, Any]", self._backend.get_task_meta(report.task_id, cache=False))
        return known["status"] == celery_states.SUCCESS

    def _store(self, report: Report) -> bool:
        backend, receipt = self._backend, _receipt_of(report.request)
        if not backend.is_on_broker:
            if is_overtaken(backend.app, report.request):
                return False
            receipt = ""
        call = results.keep(self._key(report), report.outcome, life=self._life(report), receipt=receipt)
        client = cast(BlockingClient, backend.client)
        if backend.is_on_broker:
            return endings.run(lambda: client, call)
        return bridge.blocking(run_blocking, client, call)

    def _key(self, report: Report) -> str:
        return cast(bytes, self._backend.get_key_for_task(report.task_id)).decode()

    def _life(self, report: Report) -> int:
        """For how long the outcome is kept, in seconds; 0 for ever."""
        failed = report.state == celery_states.FAILURE
        return int((self._backend.failure_expires if failed else self._backend.expires) or 0)


def is_overtaken(app: Any, request: Any) -> bool:
    """Whether the message of a task has been given to another worker since it began. Asks the broker."""
    receipt = _receipt_of(request)
    return bool(receipt) and bridge.blocking(_is_void, app, receipt)


def _is_void(app: Any, receipt: str) -> bool:
    with app.connection_or_acquire() as connection:
        return results.is_void(connection.default_channel.client, receipt)


def _is_written_at_the_end(report: Report, delivery: endings.Delivery) -> bool:
    """Whether an outcome may be stored in one step with the acknowledgement; what is counted in a chord is not."""
    if delivery.is_running:  # the function stores it, for those who look meanwhile
        return False
    return report.state in celery_states.READY_STATES and not getattr(report.request, "chord", None)


def _receipt_of(request: Any) -> str:
    """The receipt under which the worker that runs the task holds its message; empty if it has none."""
    tag = str((getattr(request, "properties", None) or {}).get("delivery_tag") or "")
    return tag if "/" in tag else ""
