"""Script calls that change accepted jobs. `store/jobs/enqueueing.py` accepts them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import orjson

from celeriac.core.clock import now_ms
from celeriac.core.records import Failure, JobRecord, Progress, parse_record
from celeriac.core.states import FINISHED, JobState, sources_of
from celeriac.store import keys
from celeriac.store.jobs import payloads
from celeriac.store.scripts.script import Argument, Script, ScriptCall

#: Life of the record of a job that has not ended, counted from its last change (and beyond its delay).
OPEN_LIFE_MS = 30 * 86_400_000
_RECORDS, _EVENTS, _RESULTS = keys.record(""), keys.events(""), keys.result("")


class Shared(NamedTuple):
    """The first arguments of scripts for many jobs: the time, the life of open records, and prefixes of keys."""

    now_ms: int
    open_life_ms: int
    records: str
    events: str
    results: str


class TransitionRow(NamedTuple):
    """A transition, in the form that `change` in `_lib.lua` reads."""

    id: str
    parent_id: str
    state: str
    sources: str
    run: int | str
    attempt: int | str
    task: str
    event: bytes
    outcome: bytes
    failure: bytes
    life_ms: int
    is_end: str


class _Cancel(NamedTuple):
    now_ms: int
    life_ms: int
    id: str
    records: str
    cancelled_event: bytes
    outcome: bytes
    request_event: bytes
    channel: str
    ends: str


class _Retry(NamedTuple):
    now_ms: int
    life_ms: int
    attempt: int
    next_attempt: int
    reported_run: int | str
    message: bytes
    due_ms: int | str
    failure: bytes
    event: bytes
    outcome: bytes
    records: str


class _Progress(NamedTuple):
    now_ms: int
    life_ms: int
    progress: bytes


_TRANSITION = Script("transition", Shared, {"transition": TransitionRow}, when_full=True)
_CANCEL = Script("cancel", _Cancel)
_RETRY = Script("retry", _Retry, when_full=True)
_PROGRESS = Script("progress", _Progress)


@dataclass(frozen=True, slots=True)
class Publication:
    """A message to publish to `list_key`, a list of `queue`: at once, or at `due_ms` (since the epoch) if given."""

    queue: str
    list_key: str
    message: bytes
    due_ms: int | None


@dataclass(slots=True, kw_only=True)
class Transition:
    """A job's move to another state, with its outcome.

    Attributes:
        job_id: the job.
        state: the new state.
        parent_id: the job that fanned out to it.
        run: the run that reports this. If given, the report counts unless a later run has begun.
        attempt: the number of the attempt.
        task: the task's name, for a job without a record.
        outcome: the outcome to store, in Celery's format; empty if it is not wanted.
        error: the error of a failed job.
        retention_ms: life of the record of a job that has ended.
    """

    job_id: str
    state: JobState
    parent_id: str | None = None
    run: int | None = None
    attempt: int | None = None
    task: str = ""
    outcome: bytes = b""
    error: Failure | None = None
    retention_ms: int

    def row(self) -> tuple[Argument, ...]:
        """Return the fields of `TransitionRow`, in its order. A named tuple would cost 1 µs for each job."""
        state, error = self.state, self.error
        return (
            self.job_id,
            self.parent_id or "",
            state.value,
            _sources(state),
            "" if self.run is None else self.run,
            "" if self.attempt is None else self.attempt,
            self.task,
            _event_of(state) if error is None else payloads.state_event(state, error=error),
            self.outcome,
            b"" if error is None else payloads.failure(error),
            self.retention_ms if state.finished else OPEN_LIFE_MS,
            "1" if state.finished else "0",
        )


def transition(change: Transition) -> ScriptCall[bool]:
    """Move a job to another state. Reply False if its state does not allow that, or another run of it counts."""
    args = [*shared(), *change.row()]
    return ScriptCall(_TRANSITION, [keys.JOB_INDEX], args, lambda reply: reply == b"moved")


def shared() -> Shared:
    """Make the arguments that all jobs of a call share, for a call that is made now."""
    return Shared(now_ms=now_ms(), open_life_ms=OPEN_LIFE_MS, records=_RECORDS, events=_EVENTS, results=_RESULTS)


def open_life_ms(now: int, due_ms: int | None) -> int:
    """Return the life of an open record in ms. It begins when the job is due."""
    return OPEN_LIFE_MS + max(0, (due_ms or now) - now)


@cache
def _sources(state: JobState) -> str:
    return joined(sources_of(state))


@cache
def _event_of(state: JobState) -> bytes:
    return payloads.state_event(state)


@dataclass(frozen=True, slots=True)
class Steered:
    """The result of an order to a job: a `verdict` that the script lists, and the current record, if any."""

    verdict: str
    record: JobRecord | None

    @classmethod
    def parse(cls, job_id: str, reply: list[bytes]) -> Steered:
        """Read the reply of `cancel.lua` and `requeue.lua`."""
        return cls(reply[0].decode(), record_in(job_id, reply[1:]))


def record_in(job_id: str, reply: list[bytes]) -> JobRecord | None:
    """Read the record that a script replies as field, value, ... Return None if there is none."""
    fields = dict(zip(reply[::2], reply[1::2], strict=True))
    return parse_record(job_id, fields) if b"state" in fields else None


def cancel(job_id: str, *, outcome: bytes, retention_ms: int) -> ScriptCall[Steered]:
    """Cancel a job. The verdict is `unknown`, `cancelled`, `requested`, or the state of a job that has ended.

    The script stores `outcome` for Celery's clients. It is empty if another server keeps the results.
    """
    args = _Cancel(
        now_ms=now_ms(),
        life_ms=retention_ms,
        id=job_id,
        records=_RECORDS,
        cancelled_event=payloads.state_event(JobState.CANCELLED),
        outcome=outcome,
        request_event=payloads.state_event(JobState.RUNNING, cancel_requested=True),
        channel=keys.CANCEL_CHANNEL,
        ends=joined(FINISHED),
    )
    script_keys = [keys.record(job_id), keys.events(job_id), keys.result(job_id)]
    return ScriptCall(_CANCEL, script_keys, args, lambda reply: Steered.parse(job_id, reply))


def retry(
    publication: Publication,
    job_id: str,
    *,
    attempt: int,
    run: int | None,
    error: Failure,
    outcome: bytes,
    counts: bool = True,
) -> ScriptCall[str]:
    """Publish the next attempt of a job whose `attempt` failed, and record that it is retrying, in one step.

    If it does not count, `attempt` is made again. Reply `published`, or the reason why not (see `retry.lua`).
    """
    now, due = now_ms(), publication.due_ms
    args = _Retry(
        now_ms=now,
        life_ms=open_life_ms(now, due),
        attempt=attempt,
        next_attempt=attempt + counts,
        reported_run="" if run is None else run,
        message=publication.message,
        due_ms="" if due is None else due,
        failure=payloads.failure(error),
        event=payloads.state_event(JobState.RETRYING, error=error, attempt=attempt, delay_until=due),
        outcome=outcome,
        records=_RECORDS,
    )
    queue_keys = [publication.list_key, keys.delayed(publication.queue)]
    script_keys = [keys.record(job_id), keys.events(job_id), keys.result(job_id), *queue_keys]
    return ScriptCall(_RETRY, script_keys, args, bytes.decode)


def progress(job_id: str, value: Progress) -> ScriptCall[bool]:
    """Record the progress of a running job."""
    shown = orjson.dumps({"done": value.done, "total": value.total, "message": value.message})
    args = _Progress(now_ms=now_ms(), life_ms=OPEN_LIFE_MS, progress=shown)
    return ScriptCall(_PROGRESS, [keys.record(job_id), keys.events(job_id)], args, bool)


def joined(states: Iterable[JobState]) -> str:
    """Join states in the form that scripts read."""
    return ",".join(sorted(state.value for state in states))
