"""The class of jobs: functions that can also be enqueued, with their types."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from celeriac.client.client import JobClient
from celeriac.client.handle import JobHandle
from celeriac.client.options import NO_OPTIONS, EnqueueOptions
from celeriac.core.context import JobContext
from celeriac.core.spec import Call, JobSpec

P = ParamSpec("P")
R = TypeVar("R")

#: Methods of Celery's tasks that jobs lack, because publishing with them would block the event loop.
_OF_TASKS = frozenset(
    {*("delay", "apply_async", "apply", "s", "si", "signature", "subtask"), *("map", "starmap", "chunks", "retry")}
)
#: Calls that are validated before the event loop may do other work: some 2 ms.
_IN_A_ROW = 1000


class JobDecorator(Protocol):
    """The decorator that `app.job(...)` returns. The first two forms differ in whether the function is awaitable."""

    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]], /) -> Job[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Job[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], R], /) -> Job[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Job[P, R]: ...


class Job(Generic[P, R]):
    """A function decorated with `@app.job`.

    Attributes:
        spec: its name, types and options.
    """

    def __init__(
        self,
        spec: JobSpec,
        client: Callable[[], JobClient],
        celery_task: Callable[[], Any],
        options: EnqueueOptions = NO_OPTIONS,
    ) -> None:
        self.spec = spec
        self._client = client
        self._celery_task = celery_task
        self._options = options

    @property
    def task(self) -> Any:
        """The Celery task, for `.delay()`, `.apply_async()`, `.s()` and canvas. Finalizes the application."""
        return self._celery_task()

    @property
    def name(self) -> str:
        """The task name."""
        return self.spec.name

    @property
    def function(self) -> Callable[..., Any]:
        """The decorated function itself."""
        return self.spec.function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the function right here: no queue, no validation, no retries. Await the call of an `async def` job.

        If the function takes a `JobContext` and gets none, this passes one that drops its progress.
        """
        wanted = self.spec.context_parameter
        given: tuple[Any, ...] = args
        if wanted is None or wanted in kwargs or any(isinstance(value, JobContext) for value in given):
            return self.spec.function(*args, **kwargs)
        bound = self.spec.signature.bind(*args, **kwargs)
        attempts = self.spec.options.retry.attempts
        return self.spec.call(dict(bound.arguments), JobContext(task=self.name, attempts=attempts))

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Validate the arguments and hand the job to the broker.

        Raises:
            InvalidArguments: they do not fit the signature. Nothing was sent.
            IdempotencyConflict: the key given to `options()` belongs to another request.
            BrokerUnavailable: the broker did not confirm in time.
        """
        return self.handle(await self._client().enqueue(self.call(*args, **kwargs), self._options))

    async def enqueue_many(
        self, calls: Iterable[Call[R] | Mapping[str, Any]], *, job_ids: Sequence[str] | None = None
    ) -> list[JobHandle[R]]:
        """Hand many jobs to the broker, one round trip per 250.

        Make `calls` with `call()`, which the type checker checks, or give mappings of arguments. This validates all
        before it sends the first. `job_ids` chooses an id for each call. A job that exists already is left as it is, so
        the same calls with the same ids can be sent again. Raises as `enqueue` does.
        """
        ready: list[Call[R]] = []
        for number, call in enumerate(calls, start=1):
            ready.append(call if isinstance(call, Call) else Call(self.spec, self.spec.encode((), call)))
            if number % _IN_A_ROW == 0:
                await asyncio.sleep(0)
        foreign = {call.spec.name for call in ready} - {self.name}
        if foreign:
            raise ValueError(f"calls of another job, {', '.join(sorted(foreign))}, given to {self.name}")
        accepted = await self._client().enqueue_many(ready, self._options, job_ids=job_ids)
        return [self.handle(job_id) for job_id in accepted]

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """Validate arguments, to enqueue them later. Raises `InvalidArguments`."""
        return Call(self.spec, self.spec.encode(args, kwargs))

    def options(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        delay: float | timedelta | None = None,
        at: datetime | None = None,
        idempotency_key: str | None = None,
        idempotency_life: float | timedelta | None = None,
        job_id: str | None = None,
    ) -> Job[P, R]:
        """Return the same job with other options: `await welcome.options(delay=60).enqueue(user_id=7)`.

        Args:
            queue: a queue in place of the job's own.
            priority: 0 to 9, higher first, in place of the job's own.
            delay: seconds, or a timedelta, before the job may run.
            at: the earliest time to run it (aware); excludes `delay`.
            idempotency_key: the same key with the same request yields the same job.
            idempotency_life: seconds, or a timedelta, for which the key is kept: 24 hours by default.
            job_id: the id to use instead of a random one.

        Raises:
            ValueError: an option is wrong, or contradicts another.
        """
        given = {"queue": queue, "priority": priority, "delay": delay, "at": at}
        given |= {"idempotency_key": idempotency_key, "idempotency_life": idempotency_life, "job_id": job_id}
        changed = {name: value for name, value in given.items() if value is not None}
        options = dataclasses.replace(self._options, **cast(Any, changed))
        options.due()  # raises here, where the user wrote a contradiction
        return Job(self.spec, self._client, self._celery_task, options)

    def handle(self, job_id: str) -> JobHandle[R]:
        """Return a handle on a job that was enqueued before."""
        return JobHandle(self._client(), self.spec, job_id)

    if not TYPE_CHECKING:  # a type checker shall report a missing attribute

        def __getattr__(self, name: str) -> Any:
            if name not in _OF_TASKS:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            raise AttributeError(
                f"a job has no {name!r}: enqueue it with `await job.enqueue(...)`; without an event loop, or for "
                f"canvas, use its Celery task: `job.task.{name}`",
                name=name,
                obj=self,
            )

    def __repr__(self) -> str:
        return f"<Job {self.name}>"
