"""The application: a `celery.Celery` that also knows typed jobs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cached_property
from typing import Any, Concatenate, ParamSpec, TypeVar, cast, overload

from celery.local import PromiseProxy
from celery.result import AsyncResult
from celery.utils import uuid

from celeriac.client.client import JobClient
from celeriac.client.job import Job, JobDecorator
from celeriac.core.checks import check_sendable, due_at
from celeriac.core.context import JobContext
from celeriac.core.errors import InvalidArguments, InvalidJobDefinition
from celeriac.core.retry import NO_RETRY, Retry
from celeriac.core.routing import from_celery, to_celery
from celeriac.core.spec import Call, JobOptions, JobSpec
from celeriac.engine import process, runs_apart
from celeriac.engine.adoption import RESULT_BACKEND, routing_of
from celeriac.engine.aio import endings
from celeriac.engine.backend import ResultBackend
from celeriac.engine.configuration import ConfiguredApp
from celeriac.engine.elsewhere import CopyingBackend
from celeriac.engine.execution import Executor
from celeriac.engine.in_process import InProcessJobs
from celeriac.engine.isolation.address import address_of
from celeriac.engine.markup import in_json_types, validated
from celeriac.engine.publication import Published, watched
from celeriac.engine.records import Records
from celeriac.engine.schedules import beat_entry
from celeriac.engine.task import JobTask, Task
from celeriac.settings import Settings, load_settings
from celeriac.store import enqueueing

P = ParamSpec("P")
R = TypeVar("R")


class JobApp(ConfiguredApp):
    """Celery with typed jobs, job records and settings that are safe on Redis.

    Takes what `celery.Celery` takes; its own defaults (`engine/defaults.py`) give way to any setting made in one of
    Celery's ways. Like it, it reads its configuration when that is first asked for, and not to be made or to have jobs.
    """

    task_cls = "celeriac.engine.task:Task"
    amqp_cls = "celeriac.engine.transport:AMQP"
    control_cls = "celeriac.engine.control:Control"
    #: Where plain applications keep no more than results (`engine/outcomes.py`).
    keeps_job_records = True

    def __init__(self, main: str | None = None, *, settings: Settings | None = None, **options: Any) -> None:
        self.specs: dict[str, JobSpec] = {}
        #: Takes the place of the client, in tests say.
        self.stand_in: JobClient | None = None
        super().__init__(main, settings or load_settings(), **options)
        # A `redis://` backend that an application names for itself writes job records too.
        self.loader.override_backends = dict.fromkeys(("redis", "rediss"), RESULT_BACKEND)
        process.install()  # here as well as in the consumer, for pool processes that are spawned and not forked
        runs_apart.install()

    @property
    def client(self) -> JobClient:
        """The asyncio client, for any event loop of this process; with `task_always_eager`, it runs jobs itself."""
        if self.stand_in is not None:
            return self.stand_in
        return self._eager_jobs if self.is_always_eager else self.broker_client

    @cached_property
    def broker_client(self) -> JobClient:
        """The client that talks to the broker, whatever `client` is. For workers."""
        return JobClient(
            broker_url=lambda: self.broker_address,
            results_url=lambda: self.results_address,
            routing=lambda: routing_of(self),
            specs=self.specs,
            timeout=self.settings.broker_timeout,
            retention_ms=lambda: self.retention_ms,
        )

    @cached_property
    def _eager_jobs(self) -> JobClient:
        return InProcessJobs(
            self.specs,
            default_queue=lambda: str(self.conf.task_default_queue),
            propagates=lambda: bool(self.conf.task_eager_propagates),
        )

    @cached_property
    def records(self) -> Records:
        """Job records for code without an event loop."""
        return Records(lambda: self.broker_address)

    @cached_property
    def import_address(self) -> str:
        """`module:attribute`, where another process finds this application. Raises `ConfigurationError`."""
        return address_of(self)

    @cached_property
    def executor(self) -> Executor:
        """Runs typed jobs in this process."""
        return Executor(self.broker_client)

    @asynccontextmanager
    async def lifespan(self, _: object) -> AsyncGenerator[None]:
        """For `FastAPI(lifespan=app.lifespan)`: closes this application's connections when the API ends."""
        try:
            yield
        finally:
            await self.broker_client.aclose()

    @overload
    def job(self, function: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]], /) -> Job[P, R]: ...
    @overload
    def job(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Job[P, R]: ...
    @overload
    def job(self, function: Callable[Concatenate[JobContext, P], R], /) -> Job[P, R]: ...
    @overload
    def job(self, function: Callable[P, R], /) -> Job[P, R]: ...
    @overload
    def job(
        self,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        retry: Retry = NO_RETRY,
        timeout: float | None = None,
        exposed: bool = True,
        isolate: bool = False,
    ) -> JobDecorator: ...

    def job(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        retry: Retry = NO_RETRY,
        timeout: float | None = None,
        exposed: bool = True,
        isolate: bool = False,
    ) -> Any:
        """Make a job of a function, `async def` or `def`: `@app.job`, or `@app.job(retry=Retry(attempts=8))`.

        Arguments and result are validated by their annotations. A parameter annotated `JobContext` is filled in
        by the worker; put it first, and type checkers know that enqueuers do not give it.

        Args:
            name: the task's name; by default module and function, as Celery names tasks.
            queue: the queue it goes to; by default the application's.
            priority: 0 to 9, higher first; by default as Celery's own tasks, which is first.
            retry: what happens after a failed attempt; by default nothing.
            timeout: seconds one attempt may take; by default without limit.
            exposed: whether the job API lets its callers submit it.
            isolate: whether it runs in a process of its own, which is killed when it is cancelled or takes too long.

        Raises:
            InvalidJobDefinition: the function cannot be a job.
            ConfigurationError: an option is wrong.
        """
        options = JobOptions(
            queue=queue, priority=priority, retry=retry, timeout=timeout, exposed=exposed, isolate=isolate
        )

        def register(decorated: Callable[..., Any]) -> Job[..., Any]:
            return self._register(decorated, name, options)

        return register if function is None else register(function)

    def schedule(
        self,
        name: str,
        call: Call[Any],
        *,
        every: float | timedelta | None = None,
        cron: str | None = None,
        queue: str | None = None,
    ) -> None:
        """Have beat enqueue `call` at an interval or by a cron expression (UTC unless `timezone` is set).

            app.schedule("nightly", clean_up.call(days=30), cron="15 3 * * *")

        Raises:
            ConfigurationError: neither or both of `every` and `cron` are given, or one cannot be read.
        """
        self.add_schedule(name, beat_entry(name, call, every=every, cron=cron, queue=queue))

    def addresses_changed(self) -> None:
        """Forget all connections, and what was read of where the broker and the results are. For tests."""
        for name in ("broker_client", "records", "executor", "results_are_separate"):
            vars(self).pop(name, None)
        own = cast(Any, self)
        own._backend_cache, own._local.backend, own._pool, own.amqp._producer_pool = None, None, None, None

    def close(self) -> None:
        """Close the blocking connections of this application, too; `client.aclose()` closes the others."""
        self.records.close()
        backend = cast(Any, self)._backend_cache
        if isinstance(backend, ResultBackend):
            backend.close()
        super().close()

    def send_task(  # pyright: ignore[reportIncompatibleMethodOverride] (all of Celery's options pass through)
        self, name: str, args: Any = None, kwargs: Any = None, **options: Any
    ) -> AsyncResult:
        """Publish as Celery does, and record the job, so that its id is known. What is wrong is raised before.

        Raises:
            InvalidMessage: a worker could not read the message: `eta` or `expires` is no time in ISO 8601, say.
        """
        given = options.get("task_id")
        job_id = options["task_id"] = str(given or uuid())
        check_sendable(name, job_id, options)
        spec = self.specs.get(name)
        if spec is not None:
            _apply_options(spec.options, options)
            args, kwargs = in_json_types(args), in_json_types(kwargs)
        if options.get("retries"):
            return super().send_task(name, args, kwargs, **options)
        if given and isinstance(running := self.current_worker_task, Task) and running.request.id == job_id:
            running.hand_on()
        # Typed jobs can be shown and run again; what plain tasks take is Celery's and the user's business.
        arguments = b"" if spec is None else _arguments_of(spec, args, kwargs)
        with watched(job_id) as published:
            result = super().send_task(name, args, kwargs, **options)
        recording = enqueueing.publish(enqueueing.NewJob(_kind_of(name, published), job_id, b"", arguments))
        delivery = endings.to_be_written()
        if delivery is None:
            self.records.try_run(recording)
        else:  # as the message is
            delivery.before.append(recording)
        return result

    def _get_backend(self) -> ResultBackend:
        """The result backend that the application is configured with; beside one that is not ours, ours."""
        configured: Any = super()._get_backend()
        return configured if isinstance(configured, ResultBackend) else CopyingBackend(app=self, elsewhere=configured)

    def _register(self, function: Callable[..., Any], name: str | None, options: JobOptions) -> Job[..., Any]:
        task_name = name or str(self.gen_task_name(function.__name__, function.__module__))
        if task_name in self.specs:
            raise InvalidJobDefinition(f"two jobs are named {task_name!r}; give one of them another `name`")
        spec = JobSpec(task_name, function, options)
        members = {
            "name": task_name,
            "spec": spec,
            "time_limit": options.hard_limit,
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "__wrapped__": function,
        }
        task: Any = type(function.__name__, (JobTask,), members)()
        if options.priority is not None:  # on the instance: Celery deprecates it on the class
            task.priority = to_celery(options.priority)
        if self.finalized:
            self.register_task(task)
        else:  # when the application is finalized, as with Celery's own decorator: until then it can be configured
            self._pending.append(PromiseProxy(self.register_task, (task,)))
        self.specs[task_name] = spec
        return Job(spec, lambda: self.client, lambda: cast(Any, self.tasks)[task_name])


def _kind_of(task: str, published: Published) -> enqueueing.JobKind:
    """What the record of a job says that has been published. Raises nothing: it is too late for that."""
    priority = published.properties.get("priority")
    return enqueueing.JobKind(
        task=task,
        queue=published.queue,
        list_key="",
        priority=from_celery(priority) if isinstance(priority, int) else None,
        delay_until=due_at(published.headers),
    )


def _arguments_of(spec: JobSpec, args: Any, kwargs: Any) -> bytes:
    """The arguments of a job as its record shows them; empty if they do not fit, which its worker will say."""
    try:
        return spec.encode_validated(validated(spec, args or (), kwargs or {}))
    except InvalidArguments:
        return b""


def _apply_options(own: JobOptions, given: dict[str, Any]) -> None:
    """Have a typed job's own options apply to what Celery publishes, where its caller says nothing else."""
    if own.queue and not given.keys() & {"queue", "exchange", "routing_key"}:
        given["queue"] = own.queue
    if own.priority is not None and given.get("priority") is None:
        given["priority"] = to_celery(own.priority)
