"""Turns calls into jobs, and sends them to the broker."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

from celeriac.client.connections import ConnectionsPerLoop
from celeriac.client.options import NO_OPTIONS, EnqueueOptions, check_chosen, check_id
from celeriac.client.outbox import BATCH_JOBS, batches
from celeriac.core.envelope import Envelope, EnvelopeWriter, MessageOptions
from celeriac.core.errors import IdempotencyConflict, JobExists, UnknownJob
from celeriac.core.ids import new_id, new_ids
from celeriac.core.records import JobRecord
from celeriac.core.routing import Routing, to_celery
from celeriac.core.spec import Call, JobSpec
from celeriac.store.jobs.enqueueing import (
    Accepted,
    FanOut,
    Idempotency,
    JobKind,
    NewJob,
    enqueue,
    fingerprint,
    new_record,
)

#: Most children of one job. The server accepts them in one step, during which it serves nobody else.
MAX_CHILDREN = 10_000
#: Templates in the cache, which keeps those of common jobs in use.
_TEMPLATES = 256


@dataclass(frozen=True, slots=True)
class Template:
    """The part that several jobs share. Only ids and arguments are written for each."""

    kind: JobKind
    envelope: Envelope

    def job(self, job_id: str, tag: str, arguments: bytes) -> NewJob:
        """Make a job. `tag` is its message's own id. A new job's id may serve, since no other message has it."""
        return NewJob(self.kind, job_id, self.envelope.write(job_id, tag, arguments), arguments)


class Enqueuer:
    """Hands jobs to the broker. `routing` is asked once, at the first job."""

    def __init__(self, connections: ConnectionsPerLoop, routing: Callable[[], Routing]) -> None:
        self.connections = connections
        self._find_routing = routing
        self._envelopes = EnvelopeWriter()
        self._common_template = lru_cache(maxsize=_TEMPLATES)(self._make_template)

    async def enqueue(self, call: Call[Any], options: EnqueueOptions) -> str:
        """Accept one job and return its id. Raises as `JobClient.enqueue` says."""
        job = self.new_job(call, options)
        accepted = await self._accept(job, call, options)
        return accepted.detail if accepted.verdict == "repeated" else job.id

    async def submit(self, call: Call[Any], options: EnqueueOptions) -> JobRecord:
        """Accept one job and return its record. Raises as `JobClient.submit` says."""
        job = self.new_job(call, options)
        accepted = await self._accept(job, call, options)
        if accepted.verdict != "repeated":
            return new_record(job, accepted.at_ms)
        if accepted.record is None:
            raise UnknownJob(accepted.detail)
        return accepted.record

    async def _accept(self, job: NewJob, call: Call[Any], options: EnqueueOptions) -> Accepted:
        if options.idempotency_key is None and options.job_id is None:
            return await self.connections.current().outbox.put(job)
        idempotency = None
        if options.idempotency_key is not None:
            request = options.fingerprint or fingerprint(call.spec.name, call.arguments)
            idempotency = Idempotency(options.idempotency_key, request, options.idempotency_life_ms)
        accepted = await self.connections.run(
            enqueue([job], idempotency=idempotency, is_id_chosen=options.job_id is not None)
        )
        if accepted.verdict == "conflict":
            raise IdempotencyConflict(
                f"the idempotency key was used before, with another request, for job {accepted.detail}; "
                "use a new key for a new request"
            )
        if accepted.verdict == "exists":
            raise JobExists(job.id)
        return accepted

    async def enqueue_many(
        self, calls: Sequence[Call[Any]], options: EnqueueOptions, chosen: Sequence[str] | None = None
    ) -> list[str]:
        """Accept many jobs, and return their ids in order. Raises as `JobClient.enqueue_many` says."""
        if options.idempotency_key is not None or options.job_id is not None:
            raise ValueError("an idempotency key or a job id stands for one job: enqueue it by itself")
        check_chosen(calls, chosen)
        job_ids: list[str] = []
        for batch in batches(self._new_jobs(calls, options, chosen)):
            await self.connections.run(enqueue(batch))
            job_ids += [job.id for job in batch]
        return job_ids

    async def fan_out(self, parent: FanOut, calls: Sequence[Call[Any]], root_id: str) -> bool:
        """Accept the children of a running job, all or none. False if the parent may no longer go on.

        Raises:
            ValueError: there are too many for one step.
        """
        if len(calls) > MAX_CHILDREN:
            raise ValueError(f"{len(calls)} children: fan out to {MAX_CHILDREN} at most, and give each more to do")
        jobs = self._new_jobs(calls, NO_OPTIONS, None, parent_id=parent.parent_id, root_id=root_id)
        accepted = await self.connections.run(enqueue(list(jobs), fan_out=parent))
        return accepted.verdict == "accepted"

    def list_key(self, options: MessageOptions) -> str:
        """Return the list of its queue for a message."""
        return self._routing.list_key(options.queue, options.celery_priority)

    def new_job(self, call: Call[Any], options: EnqueueOptions) -> NewJob:
        """Make a job that the broker has not accepted yet.

        Raises:
            ValueError: the options choose an invalid id.
        """
        template = self._template(call.spec, options, options.due())
        if options.job_id is None:
            job_id = new_id()
            return template.job(job_id, job_id, call.arguments)
        check_id(options.job_id)
        return template.job(options.job_id, new_id(), call.arguments)

    def _new_jobs(
        self, calls: Sequence[Call[Any]], options: EnqueueOptions, chosen: Sequence[str] | None, **family: str
    ) -> Generator[NewJob]:
        templates: dict[int, Template] = {}
        due = options.due()
        for start in range(0, len(calls), BATCH_JOBS):
            some = calls[start : start + BATCH_JOBS]
            tags = new_ids(len(some))
            own = tags if chosen is None else chosen[start : start + BATCH_JOBS]
            for call, job_id, tag in zip(some, own, tags, strict=True):
                template = templates.get(id(call.spec))
                if template is None:
                    template = templates[id(call.spec)] = self._template(call.spec, options, due, **family)
                yield template.job(job_id, tag, call.arguments)

    def _template(self, spec: JobSpec, options: EnqueueOptions, due: datetime | None, **family: str) -> Template:
        own = spec.options
        queue = options.queue or own.queue or self._routing.default_queue
        priority = own.priority if options.priority is None else options.priority
        make = self._make_template if due or family else self._common_template
        return make(spec.name, queue, priority, own.hard_limit, due, **family)

    def _make_template(
        self,
        task: str,
        queue: str,
        priority: int | None,
        hard_limit: float | None,
        due: datetime | None,
        parent_id: str | None = None,
        root_id: str | None = None,
    ) -> Template:
        celery_priority = self._routing.default_priority if priority is None else to_celery(priority)
        options = MessageOptions(
            queue=queue,
            parent_id=parent_id,
            root_id=root_id,
            eta=due,
            timeout=hard_limit,
            celery_priority=celery_priority,
        )
        kind = JobKind(
            task=task,
            queue=queue,
            list_key=self.list_key(options),
            priority=priority,
            delay_until=due,
            parent_id=parent_id,
        )
        return Template(kind, self._envelopes.envelope(task, options))

    @cached_property
    def _routing(self) -> Routing:
        return self._find_routing()
