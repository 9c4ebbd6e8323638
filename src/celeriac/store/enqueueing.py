"""How jobs are accepted, as script calls: their records, and the messages that make workers run them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from celeriac.core.clock import now_ms, to_ms
from celeriac.core.states import JobState, sources_of
from celeriac.store import keys, payloads
from celeriac.store.jobs import OPEN_LIFE_MS, joined
from celeriac.store.script import Script, ScriptCall

IDEMPOTENCY_LIFE_MS = 86_400_000

_ENQUEUE = Script("enqueue")
_REQUEUE = Script("requeue")
_PUBLISH = Script("publish")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job that is to be accepted: its record, and the message that makes a worker run it."""

    id: str
    task: str
    queue: str
    message: bytes
    arguments: bytes
    delay_until: datetime | None = None
    parent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's key, and a fingerprint of what the caller asks for under it."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class FanOut:
    """The job that enqueues children and waits for them, and the message that runs it again afterwards."""

    parent_id: str
    run: int
    queue: str
    resume: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """The reply to an enqueue: `outcome` as `enqueue.lua` lists them, and the id or state that goes with it."""

    outcome: str
    detail: str


def fingerprint(task: str, arguments: bytes) -> str:
    """What makes two requests the same request."""
    return hashlib.sha256(task.encode() + b"\0" + arguments).hexdigest()


def enqueue(
    jobs: Sequence[NewJob], *, idempotency: Idempotency | None = None, fan_out: FanOut | None = None
) -> ScriptCall[Accepted]:
    """Accept `jobs`, all or none. `idempotency` is for a single job."""
    now = now_ms()
    script_keys = [
        keys.JOB_INDEX,
        keys.idempotency(idempotency.key) if idempotency else keys.JOB_INDEX,
        keys.record(fan_out.parent_id) if fan_out else keys.JOB_INDEX,
    ]
    args: list[str | bytes | int] = [
        now,
        max(_open_life(job, now) for job in jobs),
        OPEN_LIFE_MS,
        idempotency.fingerprint if idempotency else "",
        IDEMPOTENCY_LIFE_MS,
        fan_out.resume if fan_out else "",
        keys.queue(fan_out.queue) if fan_out else "",
        fan_out.run if fan_out else "",
        payloads.state_event(JobState.SCHEDULED),
    ]
    for job in jobs:
        fields = _new_fields(job, now)
        due = "" if job.delay_until is None else to_ms(job.delay_until)
        script_keys += (keys.record(job.id), keys.events(job.id), keys.queue(job.queue), keys.delayed(job.queue))
        args += (job.id, job.message, due, len(fields) // 2, *fields)
    return ScriptCall(_ENQUEUE, script_keys, args, lambda reply: Accepted(reply[0].decode(), reply[1].decode()))


def publish(job: NewJob) -> ScriptCall[bool]:
    """Record a job whose message Celery itself publishes."""
    now = now_ms()
    event = payloads.state_event(JobState.SCHEDULED) if job.delay_until else ""
    args = [now, _open_life(job, now), job.id, event, OPEN_LIFE_MS, *_new_fields(job, now)]
    return ScriptCall(_PUBLISH, [keys.record(job.id), keys.JOB_INDEX, keys.events(job.id)], args, bool)


def requeue(job: NewJob) -> ScriptCall[str]:
    """Put a job that ended without success back into its queue; replies `unknown`, `queued` or its state."""
    sources = joined(s for s in sources_of(JobState.QUEUED, manual=True) if s.finished)
    args = [now_ms(), OPEN_LIFE_MS, sources, payloads.state_event(JobState.QUEUED), job.message]
    script_keys = [keys.record(job.id), keys.events(job.id), keys.result(job.id), keys.queue(job.queue)]
    return ScriptCall(_REQUEUE, script_keys, args, bytes.decode)


def _new_fields(job: NewJob, now: int) -> list[str | bytes | int]:
    state = JobState.SCHEDULED if job.delay_until else JobState.QUEUED
    fields: list[str | bytes | int] = ["state", state.value, "task", job.task, "queue", job.queue]
    fields += ("created", now, "updated", now)
    if job.arguments:
        fields += ("arguments", job.arguments)
    if job.delay_until is not None:
        fields += ("delay_until", to_ms(job.delay_until))
    if job.parent_id is not None:
        fields += ("parent", job.parent_id)
    return fields


def _open_life(job: NewJob, now: int) -> int:
    return OPEN_LIFE_MS + max(0, to_ms(job.delay_until) - now if job.delay_until else 0)
