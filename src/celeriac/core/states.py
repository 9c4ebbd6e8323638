"""The states of a job, and the one table of the moves between them.

Documented for users, with the diagram, in docs/reference/job-states.md.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is in its life. An id that was never enqueued has no state: it is unknown."""

    SCHEDULED = "scheduled"
    """Accepted, to be queued at a later time."""
    QUEUED = "queued"
    """In its queue, waiting for a worker."""
    RUNNING = "running"
    """A worker holds it; also while it waits for the children it has fanned out to."""
    RETRYING = "retrying"
    """An attempt failed; the next one waits for its delay."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"
    """Given up without an outcome of its own, such as a message that no worker can read."""

    @property
    def finished(self) -> bool:
        """Whether the job has reached an end (from which only a manual retry leads back)."""
        return self in FINISHED


_S = JobState

FINISHED = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.DEAD})

#: From each state, the states a job may move to. Delivery is at least once, so a job that runs may be seen
#: to start again (`running → running`), and a worker may report a step whose predecessor it did not report.
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

#: How Celery, and so Flower, names each state.
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

#: What a state stored by Celery means for the job.
FROM_CELERY: dict[str, JobState] = {
    "STARTED": _S.RUNNING,
    "RETRY": _S.RETRYING,
    "SUCCESS": _S.SUCCEEDED,
    "FAILURE": _S.FAILED,
    "REVOKED": _S.CANCELLED,
}


def sources_of(state: JobState, *, manual: bool = False) -> frozenset[JobState]:
    """The states from which a job may move to `state`; out of a finished one only with `manual`."""
    return frozenset(s for s, targets in TRANSITIONS.items() if state in targets and (manual or not s.finished))
