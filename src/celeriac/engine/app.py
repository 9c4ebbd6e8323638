"""The application: a `celery.Celery` with typed jobs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast, overload

from celery.local import PromiseProxy
from celery.result import AsyncResult
from celery.utils import uuid

from celeriac.client.client import JobClient
from celeriac.client.connections import ConnectionsPerLoop
from celeriac.client.enqueuer import Enqueuer
from celeriac.client.job import Job, JobDecorator
from celeriac.client.limits import Limits, NoLimits
from celeriac.core import extras
from celeriac.core.checks import check_sendable, due_at
from celeriac.core.context import JobContext
from celeriac.core.errors import InvalidArguments, InvalidJobDefinition
from celeriac.core.job_options import JobOptions
from celeriac.core.retry import NO_RETRY, Retry
from celeriac.core.routing import from_celery, to_celery
from celeriac.core.spec import Call, JobSpec
from celeriac.engine import process_hooks, runs_apart
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
from celeriac.engine.worker_client import WorkerClient
from celeriac.settings import Settings, load_settings
from celeriac.store.jobs import enqueueing

if TYPE_CHECKING:
    from celeriac.core.artifact import ArtifactFile
    from celeriac.storage.storage import Storage

P = ParamSpec("P")
R = TypeVar("R")


class JobApp(ConfiguredApp):
    """Celery with typed jobs, job records and settings that are safe on Redis.

    Takes the arguments of `celery.Celery`. Any setting that is made in one of Celery's ways overrides its own defaults
    (`engine/defaults.py`). As in Celery, making an application or registering jobs does not read the configuration yet.
    """

    task_cls = "celeriac.engine.task:Task"
    amqp_cls = "celeriac.engine.transport:AMQP"
    control_cls = "celeriac.engine.control:Control"
    #: Plain Celery applications do not have this attribute, and keep results only (`engine/outcomes.py`).
    keeps_job_records = True
    #: How many jobs this process runs at a time, for a job that decides whether to wait: 1 but in an asyncio worker.
    job_slots = 1

    def __init__(self, main: str | None = None, *, settings: Settings | None = None, **options: Any) -> None:
        self.specs: dict[str, JobSpec] = {}
        #: Replaces the client, for tests.
        self.stand_in: JobClient | None = None
        super().__init__(main, settings or load_settings(), **options)
        # A `redis://` backend that the application's own settings name then writes job records too.
        self.loader.override_backends = dict.fromkeys(("redis", "rediss"), RESULT_BACKEND)
        process_hooks.install()  # also here, because spawned pool processes have no consumer that would do it
        runs_apart.install()

    @property
    def client(self) -> JobClient:
        """The asyncio client, for any event loop of this process. With `task_always_eager`, it runs jobs itself."""
        if self.stand_in is not None:
            return self.stand_in
        return self._eager_jobs if self.is_always_eager else self.broker_client

    @cached_property
    def broker_client(self) -> JobClient:
        """The client that always talks to the broker."""
        return JobClient(self._enqueuer, specs=self.specs, retention_ms=lambda: self.retention_ms)

    @property
    def limits(self) -> Limits:
        """Limits over all processes of this broker. With `task_always_eager`, everything is granted."""
        in_process = self.stand_in is not None or self.is_always_eager
        return NoLimits() if in_process else Limits(self._enqueuer.connections)

    @cached_property
    def _enqueuer(self) -> Enqueuer:
        timeout = self.settings.broker_timeout
        connections = ConnectionsPerLoop(lambda: self.broker_address, lambda: self.results_address, timeout)
        return Enqueuer(connections, lambda: routing_of(self))

    @cached_property
    def _eager_jobs(self) -> JobClient:
        return InProcessJobs(
            self.specs,
            default_queue=lambda: str(self.conf.task_default_queue),
            propagates=lambda: bool(self.conf.task_eager_propagates),
            open_artifact=self.open_artifact,
        )

    @cached_property
    def records(self) -> Records:
        """Writes job records, for code without an event loop."""
        return Records(lambda: self.broker_address)

    @cached_property
    def storage(self) -> Storage:
        """The files of this application's jobs and callers. It connects when it is first used.

        Raises:
            NotInstalled: the extra `celeriac[storage]` is not installed.
        """
        extras.require_extra("storage", "keeping files")
        from celeriac.storage.storage import Storage

        return Storage(self.settings)

    def open_artifact(self, job_id: str, name: str) -> ArtifactFile:
        """The file of that name which a job of this process writes."""
        extras.require_extra("storage", f"the artifact {name!r}")
        from celeriac.storage.writing import StoredFile

        return StoredFile(lambda: self.storage.artifacts, job_id, name)

    @cached_property
    def import_address(self) -> str:
        """`module:attribute`, from which another process can import this application. Raises `ConfigurationError`."""
        return address_of(self)

    @cached_property
    def executor(self) -> Executor:
        """Runs typed jobs in this process."""
        return Executor(WorkerClient(self._enqueuer))

    @asynccontextmanager
    async def lifespan(self, _: object) -> AsyncGenerator[None]:
        """Check what was declared, and close this application's connections when the API ends.

        api = FastAPI(lifespan=app.lifespan)
        """
        self.check_complete()
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
        on_cancelled: Callable[[str], Awaitable[object]] | None = None,
        log_result: bool = True,
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
        on_cancelled: Callable[[str], Awaitable[object]] | None = None,
        log_result: bool = True,
    ) -> Any:
        """Make a job of an `async def` or `def` function: `@app.job`, or `@app.job(retry=Retry(attempts=8))`.

        Arguments and result are validated against the annotations. The worker fills in a parameter that is annotated
        `JobContext`. Put it first: then type checkers know that callers of `enqueue` leave it out.

        Args:
            name: the task's name. Default: module and function, as Celery names tasks.
            queue: the queue of the job's messages. Default: the application's.
            priority: 0 to 9, higher first. Default: that of Celery's own tasks, which go first.
            retry: what to do after a failed attempt. Default: nothing.
            timeout: how long one attempt may take, in seconds. Default: no limit.
            exposed: whether callers of the job API may submit it.
            isolate: run it in a process of its own, which is killed when the job is cancelled or takes too long.
            on_cancelled: called with the job's id when it has been cancelled: by the API, say, or by its worker if that
                ran it. A job that runs hears of it itself before. It may be called twice.
            log_result: whether the worker's log and Celery's events have what it returned. Not if people are in it.

        Raises:
            InvalidJobDefinition: the function cannot be a job.
            ConfigurationError: an option is wrong.
        """
        options = JobOptions(
            queue=queue,
            priority=priority,
            retry=retry,
            timeout=timeout,
            exposed=exposed,
            isolate=isolate,
            on_cancelled=on_cancelled,
            log_result=log_result,
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
        timezone: str | None = None,
        queue: str | None = None,
    ) -> None:
        """Make beat enqueue `call` at an interval or by a cron expression.

        The expression is in the time zone of that name. Default: the application's, which is UTC unless its
        configuration has `timezone`.

            app.schedule("nightly", clean_up.call(days=30), cron="15 3 * * *")

        Raises:
            ConfigurationError: neither or both of `every` and `cron` are given, or one cannot be read.
        """
        self.add_schedule(name, beat_entry(name, call, every=every, cron=cron, queue=queue, timezone=timezone))

    def addresses_changed(self) -> None:
        """Forget all connections and addresses of the broker and the result store. For tests."""
        for name in ("broker_client", "_enqueuer", "records", "executor", "results_are_separate"):
            vars(self).pop(name, None)
        own = cast(Any, self)
        own._backend_cache, own._local.backend, own._pool, own.amqp._producer_pool = None, None, None, None

    def close(self) -> None:
        """Close the blocking connections of this application as well. `client.aclose()` closes the others."""
        self.records.close()
        backend = cast(Any, self)._backend_cache
        if isinstance(backend, ResultBackend):
            backend.close()
        super().close()

    def send_task(  # pyright: ignore[reportIncompatibleMethodOverride] (all of Celery's options pass through)
        self, name: str, args: Any = None, kwargs: Any = None, **options: Any
    ) -> AsyncResult:
        """Publish a task as Celery does, and record its job, so that the API knows its id.

        Raises:
            InvalidMessage: a worker could not read the message, because `eta` is not a time in ISO 8601, for example.
                Nothing was published.
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
        # The record of a typed job shows its arguments, for a later retry. Those of plain tasks may be anything.
        arguments = b"" if spec is None else _arguments_of(spec, args, kwargs)
        with watched(job_id) as published:
            result = super().send_task(name, args, kwargs, **options)
        recording = enqueueing.publish(enqueueing.NewJob(_kind_of(name, published), job_id, b"", arguments))
        delivery = endings.to_be_written()
        if delivery is None:
            self.records.try_run(recording)
        else:  # written with the acknowledgement, as the message is
            delivery.before.append(recording)
        return result

    def _get_backend(self) -> ResultBackend:
        """Return the configured result backend. If it is not Celeriac's, return one of Celeriac's that copies to it."""
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
            "resultrepr_maxsize": JobTask.resultrepr_maxsize if options.log_result else 1,
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "__wrapped__": function,
        }
        task: Any = type(function.__name__, (JobTask,), members)()
        if options.priority is not None:  # on the instance: Celery deprecates it on the class
            task.priority = to_celery(options.priority)
        if self.finalized:
            self.register_task(task)
        else:  # as Celery's own decorator does: registering reads the configuration, which may still change
            self._pending.append(PromiseProxy(self.register_task, (task,)))
        self.specs[task_name] = spec
        return Job(spec, lambda: self.client, lambda: cast(Any, self.tasks)[task_name])


def _kind_of(task: str, published: Published) -> enqueueing.JobKind:
    """Return what to record of a published job. Raise nothing, because the message has been sent already."""
    priority = published.properties.get("priority")
    return enqueueing.JobKind(
        task=task,
        queue=published.queue,
        list_key="",
        priority=from_celery(priority) if isinstance(priority, int) else None,
        delay_until=due_at(published.headers),
    )


def _arguments_of(spec: JobSpec, args: Any, kwargs: Any) -> bytes:
    """Return the arguments of a job for its record, or nothing if they are invalid. The worker then fails the job."""
    try:
        return spec.encode_validated(validated(spec, args or (), kwargs or {}))
    except InvalidArguments:
        return b""


def _apply_options(own: JobOptions, given: dict[str, Any]) -> None:
    """Apply a typed job's own options where the caller of Celery's publisher gives none."""
    if own.queue and not given.keys() & {"queue", "exchange", "routing_key"}:
        given["queue"] = own.queue
    if own.priority is not None and given.get("priority") is None:
        given["priority"] = to_celery(own.priority)
