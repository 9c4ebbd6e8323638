"""Asks for a worker whether the jobs of its messages may run, in one script call for many jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from celeriac.core.context import Children
from celeriac.core.records import Failure
from celeriac.core.states import JobState
from celeriac.store import keys
from celeriac.store.jobs import payloads
from celeriac.store.jobs.transitions import shared
from celeriac.store.scripts.script import Argument, Script, ScriptCall

#: The number of workers that may vanish while they run a job. Then the job is given up, since it may be the cause.
LOST_RUNS = 5
LOST = Failure("WorkerLost", f"its worker vanished {LOST_RUNS} times while it ran the job")
_LOST_ERROR = payloads.failure(LOST)
_LOST_EVENT = payloads.state_event(JobState.DEAD, error=LOST)
_CANCELLED_EVENT = payloads.state_event(JobState.CANCELLED)
_HELD = keys.held("")


class _Args(NamedTuple):
    now_ms: int
    open_life_ms: int
    records: str
    events_of: str
    results: str
    held: str
    cancelled_event: bytes
    dead_event: bytes
    dead_error: bytes
    cancelled_outcome: bytes
    dead_outcome: bytes
    most_lost: int


class _Job(NamedTuple):
    id: str
    parent_id: str
    task: str
    queue: str
    attempt: int
    worker: str
    receipt: str
    life_ms: int
    wanted: str


_BEGIN = Script("begin", _Args, {"job": _Job}, when_full=True)


@dataclass(slots=True, kw_only=True)
class Beginning:
    """A job that is about to run.

    Attributes:
        job_id: the job.
        task: the task's name.
        queue: the queue from which its message came.
        parent_id: the job that fanned out to it.
        attempt: the number of the attempt, from 1.
        worker: the worker's name, for people.
        receipt: the receipt under which its message is held; empty if none is.
        retention_ms: life of its record if it ends here.
        wants_outcome: whether the script stores the outcome for Celery's clients if the job ends here.
    """

    job_id: str
    task: str
    queue: str
    parent_id: str | None = None
    attempt: int = 1
    worker: str
    receipt: str
    retention_ms: int
    wants_outcome: bool = True


@dataclass(slots=True)
class Permit:
    """Whether a worker may run a job: `verdict` is run, stale, cancelled or dead (`begin.lua` says when).

    `run` numbers the runs of the job. The reports of a run count until a later run begins.
    """

    verdict: str
    run: int = 0
    children: Children | None = None


def begin(beginnings: Sequence[Beginning]) -> ScriptCall[list[Permit | ResponseError]]:
    """Ask whether these jobs may run now, and record that the permitted ones run.

    Reply a permit or an error for each, in order. The call may be sent again if the reply was lost.
    """
    now, open_life, records, events, results = shared()
    args: list[Argument] = [
        *_Args(
            now_ms=now,
            open_life_ms=open_life,
            records=records,
            events_of=events,
            results=results,
            held=_HELD,
            cancelled_event=_CANCELLED_EVENT,
            dead_event=_LOST_EVENT,
            dead_error=_LOST_ERROR,
            cancelled_outcome=payloads.cancelled_outcome_of_many(),
            dead_outcome=payloads.lost_outcome_of_many(LOST.message),
            most_lost=LOST_RUNS,
        )
    ]
    for job in beginnings:
        args += (  # the fields of `_Job`: a named tuple would cost 1 µs for each job
            job.job_id,
            job.parent_id or "",
            job.task,
            job.queue,
            job.attempt,
            job.worker,
            job.receipt,
            job.retention_ms,
            "1" if job.wants_outcome else "0",
        )
    return ScriptCall(_BEGIN, [keys.JOB_INDEX], args, lambda replies: [_permit(reply) for reply in replies])


def _permit(reply: Any) -> Permit | ResponseError:
    if isinstance(reply, ResponseError):
        return reply
    verdict = reply[0].decode()
    if verdict != "run":
        return Permit(verdict)
    run, children = reply[1], reply[2:6]
    return Permit(verdict, run, Children(*children) if children[0] >= 0 else None)
