"""Script calls that accept jobs: they write their records, and the messages that make workers run them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import orjson

from celeriac.core.clock import now_ms, to_ms
from celeriac.core.ids import new_id
from celeriac.core.records import JobRecord, parse_record
from celeriac.core.states import JobState, sources_of
from celeriac.store import keys
from celeriac.store.jobs import payloads
from celeriac.store.jobs.transitions import OPEN_LIFE_MS, Steered, joined, open_life_ms, record_in
from celeriac.store.scripts.script import Argument, Script, ScriptCall

_SCHEDULED = payloads.state_event(JobState.SCHEDULED).decode()
_RECORDS, _EVENTS = keys.record(""), keys.events("")


class _Enqueue(NamedTuple):
    now_ms: int
    life_ms: int
    records: str
    events: str
    scheduled_event: str
    request: bytes
    resume: bytes
    kind_count: int


class _Kind(NamedTuple):
    due_ms: int | str
    field_count: int


class _Job(NamedTuple):
    number: int
    id: str
    arguments: bytes
    message: bytes


class _Requeue(NamedTuple):
    now_ms: int
    life_ms: int
    sources: str
    event: bytes
    message: bytes


class _Publish(NamedTuple):
    now_ms: int
    life_ms: int
    id: str
    event: str
    index_life_ms: int


_ENQUEUE = Script("enqueue", _Enqueue, {"kind": _Kind, "job": _Job})
_REQUEUE = Script("requeue", _Requeue)
_PUBLISH = Script("publish", _Publish)


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """The properties that several new jobs share.

    Attributes:
        list_key: the list of `queue` for their messages, which follows from their priority.
        priority: 0 to 9, higher first; None: the application's default.
    """

    task: str
    queue: str
    list_key: str
    priority: int | None = None
    delay_until: datetime | None = None
    parent_id: str | None = None

    @property
    def fields(self) -> list[str]:
        """The fields of a record, except its times and `arguments`."""
        fields = ["state", (JobState.SCHEDULED if self.delay_until else JobState.QUEUED).value]
        fields += ("task", self.task, "queue", self.queue)
        if self.delay_until is not None:
            fields += ("delay_until", str(to_ms(self.delay_until)))
        if self.parent_id is not None:
            fields += ("parent", self.parent_id)
        if self.priority is not None:
            fields += ("priority", str(self.priority))
        return fields

    @cached_property
    def description(self) -> tuple[str | int, ...]:
        """The form that `enqueue.lua` reads."""
        due = to_ms(self.delay_until) if self.delay_until else ""
        return (*_Kind(due_ms=due, field_count=len(self.fields)), *self.fields)


class NewJob(NamedTuple):
    """A job to accept: its record, and the message that makes a worker run it."""

    kind: JobKind
    id: str
    message: bytes
    arguments: bytes


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's key, a fingerprint of the request under it, and for how long it is kept."""

    key: str
    fingerprint: str
    life_ms: int


@dataclass(frozen=True, slots=True)
class FanOut:
    """A job that enqueues children and waits for them. The message `resume` runs it again, from the list `list_key`."""

    parent_id: str
    run: int
    list_key: str
    resume: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """The reply to an enqueue.

    Attributes:
        verdict: a verdict that `enqueue.lua` lists.
        detail: the id or state that belongs to it.
        at_ms: the time of the call, which is the creation time of accepted jobs.
        record: the record of the earlier job, if the request is a repetition.
    """

    verdict: str
    detail: str
    at_ms: int
    record: JobRecord | None = None


def fingerprint(task: str, arguments: bytes) -> str:
    """Make a fingerprint, which is equal for equal requests."""
    return hashlib.sha256(task.encode() + b"\0" + arguments).hexdigest()


def enqueue(
    jobs: Sequence[NewJob],
    *,
    idempotency: Idempotency | None = None,
    fan_out: FanOut | None = None,
    is_id_chosen: bool = False,
) -> ScriptCall[Accepted]:
    """Accept `jobs`, all or none. `idempotency` is for a single job.

    With `is_id_chosen`, others may choose the same id for a single job: only the first of such calls is accepted.
    """
    kinds = {id(job.kind): job.kind for job in jobs}
    script_keys = [
        keys.JOB_INDEX,
        keys.idempotency(idempotency.key) if idempotency else keys.JOB_INDEX,
        keys.record(fan_out.parent_id) if fan_out else keys.JOB_INDEX,
    ]
    for kind in kinds.values():
        script_keys += (kind.list_key, keys.delayed(kind.queue))
    resume = fan_out.resume if fan_out else b""
    now = now_ms()
    args: list[Argument] = [
        *_Enqueue(
            now_ms=now,
            life_ms=OPEN_LIFE_MS,
            records=_RECORDS,
            events=_EVENTS,
            scheduled_event=_SCHEDULED,
            request=_request(idempotency, fan_out, new_id() if is_id_chosen else None),
            resume=resume,
            kind_count=len(kinds),
        )
    ]
    for kind in kinds.values():
        args += kind.description
    numbers = {of: number for number, of in enumerate(kinds, start=1)}
    for job in jobs:
        # These are the fields of `_Job`. A named tuple would cost half of this loop.
        args += (numbers[id(job.kind)], job.id, job.arguments, job.message)

    def parse(reply: list[bytes]) -> Accepted:
        verdict, detail = reply[0].decode(), reply[1].decode()
        return Accepted(verdict, detail, now, record_in(detail, reply[2:]) if verdict == "repeated" else None)

    return ScriptCall(_ENQUEUE, script_keys, args, parse)


def new_record(job: NewJob, created_ms: int) -> JobRecord:
    """Make the record that `enqueue.lua` has just written for an accepted job."""
    written = [*job.kind.fields, "created", str(created_ms)]
    fields = {name.encode(): value.encode() for name, value in zip(written[::2], written[1::2], strict=True)}
    return parse_record(job.id, {**fields, b"arguments": job.arguments})


def _request(idempotency: Idempotency | None, fan_out: FanOut | None, call: str | None) -> bytes:
    """Encode the rarely used options as JSON; empty if there are none."""
    asked: dict[str, Any] = {}
    if idempotency is not None:
        asked["idempotency"] = {"fingerprint": idempotency.fingerprint, "life_ms": idempotency.life_ms}
    if call is not None:
        asked["call"] = call
    if fan_out is not None:
        asked["fan_out"] = {"run": str(fan_out.run), "resume_queue": fan_out.list_key}
    return orjson.dumps(asked) if asked else b""


def publish(job: NewJob) -> ScriptCall[bool]:
    """Record a job whose message Celery itself publishes."""
    now, kind = now_ms(), job.kind
    event = _SCHEDULED if kind.delay_until else ""
    life = open_life_ms(now, to_ms(kind.delay_until) if kind.delay_until else None)
    args: list[Argument] = [*_Publish(now_ms=now, life_ms=life, id=job.id, event=event, index_life_ms=OPEN_LIFE_MS)]
    args += (*kind.fields, "created", now, "updated", now)
    if job.arguments:
        args += ("arguments", job.arguments)
    return ScriptCall(_PUBLISH, [keys.record(job.id), keys.JOB_INDEX, keys.events(job.id)], args, bool)


def requeue(job: NewJob) -> ScriptCall[Steered]:
    """Put a job that ended without success back into its queue. The verdict is `unknown`, `queued` or its state."""
    sources = joined(s for s in sources_of(JobState.QUEUED, manual=True) if s.finished)
    event = payloads.state_event(JobState.QUEUED)
    args = _Requeue(now_ms=now_ms(), life_ms=OPEN_LIFE_MS, sources=sources, event=event, message=job.message)
    script_keys = [keys.record(job.id), keys.events(job.id), keys.result(job.id), job.kind.list_key]
    return ScriptCall(_REQUEUE, script_keys, args, lambda reply: Steered.parse(job.id, reply))
