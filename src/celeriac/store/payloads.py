"""What the scripts store and publish as JSON: events, errors, and outcomes in Celery's format."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Any

import orjson

from celeriac.core.records import Failure
from celeriac.core.states import CELERY_STATES, JobState


def state_event(state: JobState, *, error: Failure | None = None, **more: Any) -> bytes:
    """The data of the event that tells of a state."""
    data: dict[str, Any] = {"state": state.value, **more}
    if error is not None:
        data["error"] = {"type": error.type, "message": error.message}
    return orjson.dumps(data)


def failure(error: Failure) -> bytes:
    """The field `error` of a record."""
    return orjson.dumps({"type": error.type, "message": error.message, "traceback": error.traceback})


def outcomes_of_beginning(job_id: str, worker: str, lost: str) -> dict[str, bytes]:
    """What Celery's clients see of a job that a worker was about to run, by the broker's verdict.

    That it runs; or `TaskRevokedError`; or `WorkerLostError` with the message `lost`.
    """
    error = _celery_error("WorkerLostError", lost, "billiard.exceptions")
    return {
        "run": _outcome(job_id, JobState.RUNNING, {"hostname": worker}),
        "cancelled": cancelled_outcome(job_id),
        "dead": _outcome(job_id, JobState.DEAD, error),
    }


def cancelled_outcome(job_id: str) -> bytes:
    """What makes `AsyncResult.get()` raise `TaskRevokedError`."""
    return _outcome(job_id, JobState.CANCELLED, _celery_error("TaskRevokedError", "cancelled", "celery.exceptions"))


def _outcome(job_id: str, state: JobState, result: Any) -> bytes:
    date = datetime.now(UTC).isoformat() if state.finished else None
    head = _head_of_outcome(state, orjson.dumps(result))
    return head + b',"date_done":' + orjson.dumps(date) + b',"task_id":' + orjson.dumps(job_id) + b"}"


@functools.lru_cache(maxsize=64)
def _head_of_outcome(state: JobState, result: bytes) -> bytes:
    """What the outcomes of many jobs have in common."""
    meta: dict[str, Any] = {
        "status": CELERY_STATES[state],
        "result": orjson.Fragment(result),
        "traceback": None,
        "children": [],
    }
    return orjson.dumps(meta)[:-1]


def _celery_error(name: str, message: str, module: str) -> dict[str, Any]:
    return {"exc_type": name, "exc_message": [message], "exc_module": module}
