"""Encodes the JSON that scripts store and publish: events, errors, and outcomes in Celery's format."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Any

import orjson

from celeriac.core.records import Failure
from celeriac.core.states import CELERY_STATES, JobState


def state_event(state: JobState, *, error: Failure | None = None, **more: Any) -> bytes:
    """Encode the data of a state event."""
    data: dict[str, Any] = {"state": state.value, **more}
    if error is not None:
        data["error"] = {"type": error.type, "message": error.message}
    return orjson.dumps(data)


def failure(error: Failure) -> bytes:
    """Encode the field `error` of a record."""
    return orjson.dumps({"type": error.type, "message": error.message, "traceback": error.traceback})


def cancelled_outcome(job_id: str) -> bytes:
    """Encode the outcome that makes `AsyncResult.get()` raise `TaskRevokedError`."""
    return _outcome(cancelled_outcome_of_many(), job_id)


def lost_outcome(job_id: str, message: str) -> bytes:
    """Encode the outcome that makes `AsyncResult.get()` raise `WorkerLostError` with that message."""
    return _outcome(lost_outcome_of_many(message), job_id)


def failed_outcome(job_id: str, error: Failure) -> bytes:
    """Encode the outcome that makes `AsyncResult.get()` raise one of our own errors."""
    meta = _meta(JobState.FAILED, error.type, error.message, "celeriac.core.errors")
    return _outcome(orjson.dumps(meta)[:-1] + _date(), job_id)


def cancelled_outcome_of_many() -> bytes:
    """Encode the beginning of outcomes of jobs cancelled now. Append the id as JSON and a brace to complete one."""
    return _head(JobState.CANCELLED, "TaskRevokedError", "cancelled", "celery.exceptions") + _date()


def lost_outcome_of_many(message: str) -> bytes:
    """Encode the beginning of outcomes of jobs given up because their workers were lost. Complete it as above."""
    return _head(JobState.DEAD, "WorkerLostError", message, "billiard.exceptions") + _date()


def _outcome(begun: bytes, job_id: str) -> bytes:
    return begun + orjson.dumps(job_id) + b"}"


def _date() -> bytes:
    return b',"date_done":' + orjson.dumps(datetime.now(UTC).isoformat()) + b',"task_id":'


@functools.cache
def _head(state: JobState, error: str, message: str, module: str) -> bytes:
    return orjson.dumps(_meta(state, error, message, module))[:-1]


def _meta(state: JobState, error: str, message: str, module: str) -> dict[str, Any]:
    result = {"exc_type": error, "exc_message": [message], "exc_module": module}
    return {"status": CELERY_STATES[state], "result": result, "traceback": None, "children": []}
