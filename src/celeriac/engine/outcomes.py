"""Stores the outcome of a task for the result backend, and refuses one that comes from an outdated run.

A Celeriac application keeps job records, and the record's run number tells the runs apart. A plain Celery application
keeps results only. There, the receipt under which the worker holds the message tells the runs apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from celery import states as celery_states

from celeriac.core.records import Failure
from celeriac.core.states import FROM_CELERY, JobState
from celeriac.engine import bridge
from celeriac.engine.aio import endings
from celeriac.store.jobs import results
from celeriac.store.jobs.transitions import Transition, transition
from celeriac.store.messages.deliveries import PlainResult
from celeriac.store.redis.connection import BlockingClient
from celeriac.store.redis.runner import run_blocking

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp
    from celeriac.engine.backend import ResultBackend

#: How long a worker tries to store the outcome of a finished job while the broker is absent.
OUTCOME_PATIENCE_S = 120.0


@dataclass(slots=True)
class Report:
    """The outcome of a task, as Celery tells it to the result backend.

    Attributes:
        task_id: id of the task.
        state: a state of Celery's, or a custom one of the user's.
        request: Celery's request of the run that reports. None if it is unknown.
        outcome: the encoded result for Celery's key. Empty if the result is ignored.
        error: why the task failed, if it did.
    """

    task_id: str
    state: str
    request: Any
    outcome: bytes
    error: Failure | None


class Outcomes(Protocol):
    """Stores the outcomes of tasks."""

    def keep(self, report: Report) -> bool:
        """Store the outcome. False if it was refused, because another run of the task has replaced this one."""
        ...

    def worker_of(self, task_id: str) -> str | None:
        """Return the name of the worker that runs the task, for people, or None if it is unknown or does not exist."""
        ...


def outcomes_of(backend: ResultBackend) -> Outcomes:
    """Choose how outcomes are stored for the backend's application."""
    app = cast(Any, backend.app)
    return Recorded(backend, app) if getattr(app, "keeps_job_records", False) else Fenced(backend)


class Recorded:
    """Stores outcomes with job records: in one step if results live on the broker, else the outcome first."""

    def __init__(self, backend: ResultBackend, app: JobApp) -> None:
        self._backend = backend
        self._app = app

    def keep(self, report: Report) -> bool:
        outcome, users_own_state = report.outcome, report.state not in FROM_CELERY
        if outcome and (users_own_state or self._app.results_are_separate):
            self._backend.set(self._backend.get_key_for_task(report.task_id), outcome)
            outcome = b""
        # `Task.retry` has recorded the retry in the step that published it.
        recorded = report.state == celery_states.RETRY and getattr(report.request, "celeriac_retrying", False)
        return True if users_own_state or recorded else self._record(report, outcome)

    def worker_of(self, task_id: str) -> str | None:
        return results.worker_of(self._app.records.client, task_id)

    def _record(self, report: Report, outcome: bytes) -> bool:
        request, state = report.request, FROM_CELERY[report.state]
        comes_back = getattr(request, "celeriac_comes_back", False)
        if comes_back and state is JobState.FAILED:
            # Celery reports the end of an attempt. The job itself goes on with the message that comes back.
            state = JobState.RETRYING
        # For a task that it does not know, Celery passes a makeshift request with only a few fields.
        task: str | None = getattr(request, "task", None) or getattr(request, "name", None)
        change = Transition(
            job_id=report.task_id,
            state=state,
            parent_id=getattr(request, "parent_id", None),
            outcome=outcome,
            error=None if state is JobState.CANCELLED else report.error,
            run=getattr(request, "celeriac_run", None),
            # A message that comes back repeats the same attempt, so the number does not change.
            attempt=None if request is None or comes_back else (getattr(request, "retries", None) or 0) + 1,
            task=task or "",
            retention_ms=self._app.failure_retention_ms if state is JobState.FAILED else self._app.retention_ms,
        )
        delivery = endings.to_be_written(report.task_id)
        if delivery is not None and _is_written_at_the_end(report, delivery):
            if report.task_id == delivery.task_id:
                delivery.ending.end = change
            else:  # a later task of the same chain, which fails together with this one
                delivery.before.append(transition(change))
            return True
        return self._app.records.run(transition(change), patience=OUTCOME_PATIENCE_S)


class Fenced:
    """Stores outcomes without job records. Refuses one after the message was given to another worker."""

    def __init__(self, backend: ResultBackend) -> None:
        self._backend = backend

    def keep(self, report: Report) -> bool:
        if not report.outcome or (self._may_have_succeeded(report) and bridge.blocking(self._has_succeeded, report)):
            return True
        delivery = endings.to_be_written(report.task_id)
        is_its_own = delivery is not None and report.task_id == delivery.task_id  # not of a later task of its chain
        if (
            delivery is not None
            and is_its_own
            and self._backend.is_on_broker
            and _is_written_at_the_end(report, delivery)
        ):
            delivery.ending.end = PlainResult(self._key(report), report.outcome, self._life(report) * 1000)
            return True
        return cast(bool, self._backend.ensure(self._store, (report,)))

    def worker_of(self, task_id: str) -> str | None:
        return None

    def _may_have_succeeded(self, report: Report) -> bool:
        """Return whether another run may have stored a success, which must stay. The first run need not check."""
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
        call = results.store_plain_result(self._key(report), report.outcome, life_s=self._life(report), receipt=receipt)
        client = cast(BlockingClient, backend.client)
        if backend.is_on_broker:
            return endings.run(lambda: client, call)
        return bridge.blocking(run_blocking, client, call)

    def _key(self, report: Report) -> str:
        return cast(bytes, self._backend.get_key_for_task(report.task_id)).decode()

    def _life(self, report: Report) -> int:
        """Return how long the outcome is kept (s). 0 means for ever."""
        failed = report.state == celery_states.FAILURE
        return int((self._backend.failure_expires if failed else self._backend.expires) or 0)


def is_overtaken(app: Any, request: Any) -> bool:
    """Ask the broker whether the task's message was given to another worker since the task began."""
    receipt = _receipt_of(request)
    return bool(receipt) and bridge.blocking(_is_void, app, receipt)


def _is_void(app: Any, receipt: str) -> bool:
    with app.connection_or_acquire() as connection, connection.default_channel.conn_or_acquire() as client:
        return results.is_void(client, receipt)


def _is_written_at_the_end(report: Report, delivery: endings.Delivery) -> bool:
    """Return whether the outcome may be stored together with the acknowledgement. A part of a chord may not."""
    if delivery.is_running:  # the function itself stores a state, and readers expect to see it at once
        return False
    return report.state in celery_states.READY_STATES and not getattr(report.request, "chord", None)


def _receipt_of(request: Any) -> str:
    """Return the receipt under which the worker holds the task's message; empty if there is none."""
    tag = str((getattr(request, "properties", None) or {}).get("delivery_tag") or "")
    return tag if "/" in tag else ""
