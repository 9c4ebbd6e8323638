"""The states of a job, and the only table of the transitions between them.

docs/reference/job-states.md explains them to users, with a diagram.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """The state of a job. An id that was never enqueued has none."""

    SCHEDULED = "scheduled"
    """Celeriac has accepted the job, and will queue it at a later time."""
    QUEUED = "queued"
    """The job waits in its queue for a worker."""
    RUNNING = "running"
    """A worker holds the job, or the job waits for children to which it has fanned out."""
    RETRYING = "retrying"
    """An attempt failed, and the next one waits for its delay."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"
    """The job ended without an outcome of its own: no worker could read its message, for example."""

    @property
    def finished(self) -> bool:
        """Whether the job has ended. Only a manual retry leads out of such a state."""
        return self in FINISHED


_S = JobState

FINISHED = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.DEAD})

#: From each state, the states to which a job may move. Delivery is at least once, so a running job may start again
#: (`running → running`). A worker may report a step although the step before was not reported.
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    _S.SCHEDULED: frozenset({_S.QUEUED, _S.RUNNING, _S.CANCELLED, _S.FAILED, _S.DEAD}),
    _S.QUEUED: frozenset({_S.RUNNING, _S.RETRYING, _S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.DEAD}),
    _S.RUNNING: frozenset({_S.RUNNING, _S.QUEUED, _S.RETRYING, _S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.DEAD}),
    _S.RETRYING: frozenset({_S.QUEUED, _S.RUNNING, _S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.DEAD}),
    # A manual retry puts a finished job back into its queue; success is final.
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset({_S.QUEUED}),
    _S.CANCELLED: frozenset({_S.QUEUED}),
    _S.DEAD: frozenset({_S.QUEUED}),
}

#: Celery's name of each state, which Flower shows.
CELERY_STATES: dict[JobState, str] = {
    _S.SCHEDULED: "PENDING",
    _S.QUEUED: "PENDING",
    _S.RUNNING: "STARTED",
    _S.RETRYING: "RETRY",
    _S.SUCCEEDED: "SUCCESS",
    _S.FAILED: "FAILURE",
    _S.CANCELLED: "REVOKED",
    _S.DEAD: "FAILURE",
}

#: The job's state for each state that Celery stores.
FROM_CELERY: dict[str, JobState] = {
    "STARTED": _S.RUNNING,
    "RETRY": _S.RETRYING,
    "SUCCESS": _S.SUCCEEDED,
    "FAILURE": _S.FAILED,
    "REVOKED": _S.CANCELLED,
}


def sources_of(state: JobState, *, manual: bool = False) -> frozenset[JobState]:
    """Return the states from which a job may move to `state`. Only `manual` moves leave a finished state."""
    return frozenset(s for s, targets in TRANSITIONS.items() if state in targets and (manual or not s.finished))
