"""The result backend: Celery's own on Redis, which writes the job record in the same step as the result."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from celery import states as celery_states
from celery.backends.redis import RedisBackend

from celeriac.core.records import Failure
from celeriac.core.states import FROM_CELERY, JobState
from celeriac.store import jobs as store

#: Seconds for which a finished job's outcome is held while the broker is absent, before the worker gives up on it.
OUTCOME_PATIENCE = 120.0


class ResultBackend(RedisBackend):
    """Stores outcomes at Celery's keys in Celery's format, so that `AsyncResult`, chords and Flower work unchanged.

    What it does otherwise: it records the job's state; a job that has ended is not overwritten by a late report;
    nothing is subscribed to while publishing, which costs stock Celery up to 19 s when the broker is absent.
    """

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Nothing: whoever waits for the result subscribes then."""

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = "SUCCESS"
    ) -> None:
        """Record success, also of a task whose result nobody wants."""
        super().mark_as_done(task_id, result, request=request, store_result=store_result, state=state)
        if not store_result or getattr(request, "ignore_result", False):
            self._record(task_id, state, request)

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: str | None = None, request: Any = None, **kwargs: Any
    ) -> Any:
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = task_id
        if state not in FROM_CELERY:
            self.set(self.get_key_for_task(task_id), self.encode(meta))
            return result
        outcome = self.encode(meta)
        outcome = outcome.encode() if isinstance(outcome, str) else outcome
        if cast(Any, self.app).results_are_separate:
            self.set(self.get_key_for_task(task_id), outcome)  # stored first, then recorded as the job's end
            outcome = b""
        error = _failure(result, traceback) if state in celery_states.EXCEPTION_STATES else None
        self._record(task_id, state, request, outcome=outcome, error=error)
        return result

    def _record(
        self, task_id: str, state: str, request: Any, *, outcome: bytes = b"", error: Failure | None = None
    ) -> None:
        app = cast(Any, self.app)
        job_state = FROM_CELERY[state]
        delay_until: datetime | None = getattr(request, "celeriac_delay_until", None)
        call = store.transition(
            task_id,
            job_state,
            parent_id=getattr(request, "parent_id", None),
            outcome=outcome,
            error=None if job_state is JobState.CANCELLED else error,
            delay_until=delay_until if job_state is JobState.RETRYING else None,
            fields={"task": request.task} if getattr(request, "task", None) else None,
            retention_ms=app.retention_ms,
        )
        app.records.run(call, patience=OUTCOME_PATIENCE)


def _failure(result: Any, traceback: str | None) -> Failure:
    """Read an exception as Celery's backend encodes it for JSON."""
    if not isinstance(result, dict):
        return Failure(type(result).__name__, str(result), traceback)
    encoded = cast("dict[str, Any]", result)
    message: Any = encoded.get("exc_message", "")
    if isinstance(message, list | tuple):
        parts = cast("list[Any]", message)
        message = str(parts[0]) if len(parts) == 1 else ", ".join(map(str, parts))
    return Failure(str(encoded.get("exc_type", "Exception")), str(message), traceback)
