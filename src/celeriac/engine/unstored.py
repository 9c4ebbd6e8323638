"""Tries for a while to store an outcome, and then has the message become a dead letter.

Celery acknowledges a message even if its tracer failed to store the outcome. The outcome would be lost, and the job's
record would say for ever that it runs.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable
from typing import Any, TypeVar

from celery.exceptions import BackendStoreError, Reject
from kombu.exceptions import EncodeError

from celeriac.core.errors import OutcomeNotStored
from celeriac.core.printable import message_of, one_line
from celeriac.core.records import Failure
from celeriac.core.states import JobState
from celeriac.core.timing import PATIENT_RETRY_PAUSE_S
from celeriac.engine import bridge
from celeriac.store.jobs import payloads
from celeriac.store.jobs.transitions import Transition

log = logging.getLogger("celeriac.engine")

T = TypeVar("T")

#: How long storing is tried again, after the result backend's own retries.
_PATIENCE_S = 10.0
#: Faults of the outcome itself, where another try is useless. A failure may be stored in its place.
_LASTING = (EncodeError, BackendStoreError, pickle.PickleError, TypeError, ValueError, AttributeError, RecursionError)
#: The most characters shown of an error.
_SHOWN = 1000


class NotStored(Reject):
    """The outcome cannot be stored. Celery's tracer hands a `Reject` on, so that the message is rejected."""

    @classmethod
    def because_of(cls, error: BaseException) -> NotStored:
        return cls(f"its outcome cannot be stored: {_told(error)}")


def insist(store: Callable[[], T], task_id: str) -> T:
    """Store an outcome with `store`, and try again for 10 s while the backend fails.

    Raises:
        NotStored: the backend failed all the time.
        Exception: the outcome itself cannot be stored, whatever the backend.
    """
    give_up, is_told = time.monotonic() + _PATIENCE_S, False
    while True:
        try:
            return store()
        except (Reject, *_LASTING):
            raise
        except Exception as error:
            if time.monotonic() >= give_up:
                raise NotStored.because_of(error) from error
            if not is_told:
                log.warning("the outcome of task %s cannot be stored yet: %s; trying again", task_id, _told(error))
            is_told = True
        bridge.blocking(time.sleep, PATIENT_RETRY_PAUSE_S)


def failed(app: Any, request: Any, cause: str) -> Transition | None:
    """Return the failure to record for a job whose outcome cannot be stored; None where jobs have no records."""
    if not getattr(app, "keeps_job_records", False):
        return None
    error = Failure(OutcomeNotStored.__name__, cause)
    return Transition(
        job_id=request.id,
        state=JobState.FAILED,
        parent_id=request.parent_id,
        task=request.task.name,
        outcome=b"" if app.results_are_separate else payloads.failed_outcome(request.id, error),
        error=error,
        retention_ms=app.failure_retention_ms,
    )


def _told(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {message_of(error, _SHOWN)}")
