"""What is done to jobs that were accepted, as script calls. Accepting them: `store/enqueueing.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from celeriac.core.clock import now_ms
from celeriac.core.context import Children
from celeriac.core.records import Failure, Progress
from celeriac.core.states import FINISHED, JobState, sources_of
from celeriac.store import keys, payloads
from celeriac.store.script import Script, ScriptCall

#: Life of the record of a job that has not ended, counted from its last change (and beyond its delay).
OPEN_LIFE_MS = 30 * 86_400_000
#: How often the worker that runs a job may vanish before the job is given up: it may well be the cause.
LOST_RUNS = 5
LOST = Failure("WorkerLost", f"its worker vanished {LOST_RUNS} times while it ran the job")
_LOST_ERROR = payloads.failure(LOST)
_LOST_EVENT = payloads.state_event(JobState.DEAD, error=LOST)
_CANCELLED_EVENT = payloads.state_event(JobState.CANCELLED)

_BEGIN = Script("begin", when_full=True)
_TRANSITION = Script("transition", when_full=True)
_CANCEL = Script("cancel")
_RETRY = Script("retry", when_full=True)
_PROGRESS = Script("progress")


@dataclass(frozen=True, slots=True)
class Publication:
    """A message on its way: `list_key` is the list of `queue` it goes to, at `due_ms` (since the epoch) if given."""

    queue: str
    list_key: str
    message: bytes
    due_ms: int | None


@dataclass(frozen=True, slots=True)
class Permit:
    """Whether a worker may run a job: `verdict` is run, stale, cancelled or dead (`begin.lua` says when).

    `run` numbers the runs of the job; what a run reports counts as long as there is no later one.
    """

    verdict: str
    run: int = 0
    children: Children | None = None


def begin(
    job_id: str,
    *,
    task: str,
    queue: str,
    parent_id: str | None,
    attempt: int,
    worker: str,
    receipt: str,
    outcomes: Mapping[str, bytes],
    retention_ms: int,
) -> ScriptCall[Permit]:
    """Ask whether a job may run now, and record that it does.

    Args:
        receipt: under which its message is held; empty where none is.
        outcomes: what to store for Celery's clients, by verdict; empty where results are kept elsewhere.
    """
    args: list[str | bytes | int] = [
        now_ms(),
        OPEN_LIFE_MS,
        retention_ms,
        attempt,
        worker,
        job_id,
        parent_id or "",
        payloads.state_event(JobState.RUNNING, attempt=attempt),
        outcomes.get("run", b""),
        _CANCELLED_EVENT,
        outcomes.get("cancelled", b""),
        task,
        queue,
        receipt,
        keys.held(""),
        LOST_RUNS,
        _LOST_ERROR,
        _LOST_EVENT,
        outcomes.get("dead", b""),
    ]
    return ScriptCall(_BEGIN, [*_job_keys(job_id, parent_id), keys.JOB_INDEX], args, _parse_permit)


def transition(
    job_id: str,
    state: JobState,
    *,
    parent_id: str | None = None,
    outcome: bytes = b"",
    error: Failure | None = None,
    run: int | None = None,
    attempt: int | None = None,
    fields: dict[str, str | bytes | int] | None = None,
    retention_ms: int,
) -> ScriptCall[bool]:
    """Move a job to `state` with its `outcome` (in Celery's format).

    True if the state it was in allowed that, and no later run than `run` (if given) has begun.
    """
    extra: dict[str, str | bytes | int] = dict(fields or {})
    if error is not None:
        extra["error"] = payloads.failure(error)
    args: list[str | bytes | int] = [
        now_ms(),
        retention_ms if state.finished else OPEN_LIFE_MS,
        state.value,
        joined(sources_of(state)),
        "1" if state.finished else "0",
        job_id,
        parent_id or "",
        payloads.state_event(state, error=error),
        outcome,
        "" if run is None else run,
        "" if attempt is None else attempt,
        OPEN_LIFE_MS,
    ]
    for name, value in (extra or {"state": state.value}).items():
        args += (name, value)
    script_keys = [*_job_keys(job_id, parent_id), keys.JOB_INDEX]
    return ScriptCall(_TRANSITION, script_keys, args, lambda reply: reply[0] == b"moved")


def cancel(job_id: str, parent_id: str | None, *, outcome: bytes, retention_ms: int) -> ScriptCall[str]:
    """Cancel a job; replies `unknown`, `cancelled`, `requested`, or the state of a job that has ended.

    `outcome` is stored for Celery's clients; empty where results are kept elsewhere.
    """
    args: list[str | bytes | int] = [
        now_ms(),
        retention_ms,
        job_id,
        parent_id or "",
        payloads.state_event(JobState.CANCELLED),
        outcome,
        payloads.state_event(JobState.RUNNING, cancel_requested=True),
        keys.CANCEL_CHANNEL,
        joined(FINISHED),
    ]
    return ScriptCall(_CANCEL, _job_keys(job_id, parent_id), args, bytes.decode)


def retry(
    publication: Publication, job_id: str, *, attempt: int, run: int | None, error: Failure, outcome: bytes
) -> ScriptCall[str]:
    """Publish the next attempt of a job whose `attempt` failed, and record that it is retrying, in one step.

    Replies `published`, or why it was not: see `retry.lua`.
    """
    due = publication.due_ms
    event = payloads.state_event(JobState.RETRYING, error=error, attempt=attempt, delay_until=due)
    args = [now_ms(), OPEN_LIFE_MS, attempt, "" if run is None else run]
    args += [publication.message, "" if due is None else due, payloads.failure(error), event, outcome]
    queue_keys = [publication.list_key, keys.delayed(publication.queue)]
    script_keys = [keys.record(job_id), keys.events(job_id), keys.result(job_id), *queue_keys]
    return ScriptCall(_RETRY, script_keys, args, bytes.decode)


def progress(job_id: str, value: Progress) -> ScriptCall[bool]:
    """Record how far a running job is."""
    shown = orjson.dumps({"done": value.done, "total": value.total, "message": value.message})
    return ScriptCall(_PROGRESS, [keys.record(job_id), keys.events(job_id)], [now_ms(), OPEN_LIFE_MS, shown], bool)


def _job_keys(job_id: str, parent_id: str | None) -> list[str]:
    return [keys.record(job_id), keys.events(job_id), keys.result(job_id), keys.record(parent_id or job_id)]


def _parse_permit(reply: list[Any]) -> Permit:
    verdict = reply[0].decode()
    if verdict != "run":
        return Permit(verdict)
    run, children = reply[1], reply[2:6]
    return Permit(verdict, run, Children(*children) if children[0] >= 0 else None)


def joined(states: Iterable[JobState]) -> str:
    """States as the scripts take them."""
    return ",".join(sorted(state.value for state in states))
