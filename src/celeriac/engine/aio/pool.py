"""The asyncio worker's pool, for Celery's setting `worker_pool`."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.concurrency.base import BasePool
from celery.worker import state as worker_state
from kombu.serialization import loads, prepare_accept_content

from celeriac.engine import bridge, private, process, start_check
from celeriac.engine.aio import endings, stacks
from celeriac.engine.aio.execution import Callbacks, Execution, Outcome, adapt, is_async
from celeriac.engine.aio.intake import Intake
from celeriac.engine.aio.slots import Slots
from celeriac.engine.aio.threads import Threads
from celeriac.engine.aio.tracer import Tracer
from celeriac.engine.elsewhere import awaited
from celeriac.engine.isolation.processes import processes
from celeriac.engine.loop import job_loop
from celeriac.engine.recycling import Recycling

#: Tasks in flight, and threads for `def` tasks among them, unless a number is asked for.
CONCURRENCY = 1000
THREADS = 8
#: New objects after which Python looks for garbage in cycles; a thousand jobs in flight make that many in no time.
_GARBAGE = 20_000


class Pool(BasePool):
    """Runs what Celery's worker hands it on the event loop of this process, which has a thread of its own.

    Celery's main thread stays free for remote control, heartbeats and shutdown, whatever the tasks do to the loop.
    """

    limit: int
    app: Any
    body_can_be_buffer = True
    signal_safe = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.app is not None:
            start_check.check_consumer(self.app.conf.worker_consumer)
        self.loop = job_loop().loop
        self.threads = Threads(self.loop, min(THREADS, self.limit))
        # Of the command line, for tasks that have none of their own.
        self.soft_limit: float | None = self.options.get("soft_timeout")
        self.hard_limit: float | None = self.options.get("timeout")
        self.threads.gives_way = False  # unless there are tasks that need no thread
        self.processes = processes()
        self.intake: Intake | None = None  # made by the consumer, which knows the broker
        self.recycling: Recycling | None = None  # the same
        self.tracers: dict[str, Tracer] = {}  # as well; without those of tasks that only Celery's own tracer can run
        self._executions: dict[asyncio.Task[None], Execution] = {}
        self._called_later: set[Callable[[], None]] = set()
        self._all_done = threading.Event()
        self._all_done.set()

    def on_start(self) -> None:
        stacks.go_by_context(private.task_stack)
        signals.worker_process_init.send(sender=None)
        # What is there now stays: looking through it again and again would cost more than all the short jobs.
        gc.collect()
        gc.freeze()
        process.give_back_memory()
        gc.set_threshold(_GARBAGE, 10, 10)

    def on_apply(  # pyright: ignore[reportIncompatibleMethodOverride] (Celery's returns what its pools return)
        self,
        target: Any,
        args: Any = None,
        kwargs: Any = None,
        callback: Any = None,
        accept_callback: Any = None,
        timeout_callback: Any = None,
        error_callback: Any = None,
        soft_timeout: float | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> Execution:
        callbacks = Callbacks(accept_callback, callback, error_callback, timeout_callback)

        async def trace(execution: Execution) -> Outcome:
            name, _, request, *body = args
            tracer = self.tracers.get(name)
            if tracer is None:
                return await bridge.call(target, *args)
            return await tracer.trace(self._decoded(request, *body), execution)

        execution = Execution(
            trace,
            callbacks,
            self.threads,
            loop=self.loop,
            soft_limit=soft_timeout or self.soft_limit,
            hard_limit=timeout or self.hard_limit,
        )
        self.start_soon(execution)
        return execution

    def _decoded(self, request: dict[str, Any], body: Any, content_type: Any, encoding: Any) -> dict[str, Any]:
        """The request with what its message carries, as Celery's `trace_task_ret` makes it."""
        if content_type:
            accept = prepare_accept_content(self.app.conf.accept_content)
            body = loads(body, content_type, encoding, accept=accept)
        task_args, task_kwargs, embedded = body
        return {**request, "args": task_args, "kwargs": task_kwargs, "is_eager": False, **(embedded or {})}

    def start_soon(self, execution: Execution) -> None:
        """Have an execution begin. From any thread."""
        delivery = endings.current.get()
        if delivery is not None:
            delivery.abandon = execution.abandon
        if job_loop().is_current:
            self._start(execution)
        else:
            self.loop.call_soon_threadsafe(self._start, execution)

    @property
    def capacity(self) -> int:
        """How many messages may be held now."""
        return self.limit if self.recycling is None else min(self.limit, self.recycling.may_hold)

    def slots_of(self, tracer: Tracer) -> Slots | None:
        """What a task takes one of before it begins."""
        if tracer.is_isolated:
            return self.processes.slots
        return self.threads if tracer.needs_thread else None

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Have `function`, which may block, called once in a while, however often it is asked for. From any thread."""
        if function not in self._called_later:
            self._called_later.add(function)
            self.loop.call_soon_threadsafe(self.loop.call_later, seconds, self._call, function)

    def _call(self, function: Callable[[], None]) -> None:
        self._called_later.discard(function)
        self.loop.run_in_executor(None, function)

    def prepare(self, task: Any) -> None:
        """Make a task fit for this pool; done for all before the first message is taken."""
        if task.request_stack is not None:
            stacks.go_by_context(task.request_stack)
        adapt(task)
        task.backend = awaited(task.backend)
        if is_async(task):
            self.threads.gives_way = True

    def on_close(self) -> None:
        """Start nothing more."""
        if self.intake is not None:
            self.intake.close()

    def on_stop(self) -> None:
        """Wait for what runs (a warm shutdown), or for its being stopped: Celery calls it in a cold shutdown, too."""
        if worker_state.should_terminate:
            self.on_close()
            self.on_terminate()
        while not self._all_done.wait(1.0):  # in steps, so that signals are handled meanwhile
            pass
        if self.intake is not None:
            asyncio.run_coroutine_threadsafe(self.intake.written(), self.loop).result()

    def on_terminate(self) -> None:
        """Stop what runs; its messages go back to their queues (a cold shutdown)."""
        self.loop.call_soon_threadsafe(self._abandon_all)  # after what the loop is about to start

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """Nothing: Celery asks the execution itself next."""

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "processes": [os.getpid()], "threads": self.threads.limit, "timeouts": ()}

    def _start(self, execution: Execution) -> None:
        if not self._executions:
            self._all_done.clear()
        task = execution.start()
        self._executions[task] = execution
        task.add_done_callback(self._on_done)

    def _abandon_all(self) -> None:
        for execution in self._executions.values():
            execution.abandon()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        del self._executions[task]
        if not self._executions:
            self._all_done.set()


def _default_concurrency(instance: Any, conf: Any, options: dict[str, Any], **_: Any) -> None:
    if options.get("pool") is Pool and not options.get("concurrency"):
        conf.worker_concurrency = conf.worker_concurrency or CONCURRENCY


signals.celeryd_init.connect(_default_concurrency, dispatch_uid="celeriac.concurrency", weak=False)
