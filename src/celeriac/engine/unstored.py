"""Outcomes that cannot be stored: storing is tried again for a while, and then the message becomes a dead letter.

Celery acknowledges a message whose task it could not trace to the end. What came of the task would be lost with it, and
the record of its job would say for ever that it runs.
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
from celeriac.engine import bridge
from celeriac.store import payloads
from celeriac.store.jobs import Transition

log = logging.getLogger("celeriac.engine")

T = TypeVar("T")

#: Seconds for which storing is tried again, beyond what a result backend does by itself, and between two tries.
_PATIENCE, _PAUSE = 10.0, 0.5
#: Faults of the outcome: the next try would fail alike, but another outcome, that the task has failed, may be stored.
_LASTING = (EncodeError, BackendStoreError, pickle.PickleError, TypeError, ValueError, AttributeError, RecursionError)
#: Characters of an error that are told.
_SHOWN = 1000


class NotStored(Reject):
    """What Celery's tracer hands on as it is: the task's message is rejected, and nothing more is stored."""

    @classmethod
    def because_of(cls, error: BaseException) -> NotStored:
        return cls(f"what came of it cannot be stored: {_told(error)}")


def insist(store: Callable[[], T], task_id: str) -> T:
    """Store an outcome with `store`, which is called again for some seconds while the backend cannot.

    Raises:
        NotStored: it could not.
        Exception: the outcome is at fault, and no storage could take it.
    """
    give_up, is_told = time.monotonic() + _PATIENCE, False
    while True:
        try:
            return store()
        except (Reject, *_LASTING):
            raise
        except Exception as error:
            if time.monotonic() >= give_up:
                raise NotStored.because_of(error) from error
            if not is_told:
                log.warning("what came of task %s cannot be stored yet: %s", task_id, _told(error))
            is_told = True
        bridge.blocking(time.sleep, _PAUSE)


def failed(app: Any, request: Any, cause: str) -> Transition | None:
    """How the job of a request ends whose outcome cannot be stored; None where jobs have no records."""
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
