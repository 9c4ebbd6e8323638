"""The pool of the asyncio worker, for Celery's setting `worker_pool`."""

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

from celeriac.engine import bridge, private, process_hooks
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
from celeriac.engine.start import start_check

#: Without `--concurrency`: how many tasks run at a time, and how many of these may be `def` tasks, in threads.
CONCURRENCY = 1000
THREADS = 8
#: After how many new objects Python collects garbage. A thousand jobs in flight pass its default all the time.
_GARBAGE = 20_000


class Pool(BasePool):
    """Runs tasks on the job loop of this process, which has a thread of its own.

    Celery's main thread stays free for remote control, heartbeats and shutdown, even if a task blocks the loop.
    """

    limit: int
    app: Any
    body_can_be_buffer = True
    signal_safe = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.app is not None:
            start_check.check_consumer(self.app.conf.worker_consumer)
            self.app.job_slots = self.limit
        self.loop = job_loop().loop
        self.threads = Threads(self.loop, min(THREADS, self.limit))
        # From the command line, for tasks without limits of their own.
        self.soft_limit: float | None = self.options.get("soft_timeout")
        self.hard_limit: float | None = self.options.get("timeout")
        self.threads.gives_way = False  # `prepare` sets it if there are tasks that need no thread
        self.processes = processes()
        # The consumer fills in these three, because it knows the broker.
        self.intake: Intake | None = None
        self.recycling: Recycling | None = None
        self.tracers: dict[str, Tracer] = {}  # without tasks that only Celery's own tracer can run
        self._executions: dict[asyncio.Task[None], Execution] = {}
        self._called_later: set[Callable[[], None]] = set()
        self._all_done = threading.Event()
        self._all_done.set()

    def on_start(self) -> None:
        stacks.go_by_context(private.task_stack)
        signals.worker_process_init.send(sender=None)
        # All objects of the application stay alive. Scanning them in each collection would cost more than short jobs.
        gc.collect()
        gc.freeze()
        process_hooks.give_back_memory()
        gc.set_threshold(_GARBAGE, 10, 10)

    def on_apply(  # pyright: ignore[reportIncompatibleMethodOverride] (Celery's pools return other types)
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
        """Return the request with the decoded arguments of its message, as Celery's `trace_task_ret` makes it."""
        if content_type:
            accept = prepare_accept_content(self.app.conf.accept_content)
            body = loads(body, content_type, encoding, accept=accept)
        task_args, task_kwargs, embedded = body
        return {**request, "args": task_args, "kwargs": task_kwargs, "is_eager": False, **(embedded or {})}

    def start_soon(self, execution: Execution) -> None:
        """Start an execution. Safe from any thread."""
        delivery = endings.current.get()
        if delivery is not None:
            delivery.abandon = execution.abandon
        if job_loop().is_current:
            self._start(execution)
        else:
            self.loop.call_soon_threadsafe(self._start, execution)

    @property
    def capacity(self) -> int:
        """How many messages the worker may hold now."""
        return self.limit if self.recycling is None else min(self.limit, self.recycling.may_hold)

    def slots_of(self, tracer: Tracer) -> Slots | None:
        """Return the slots of which a task needs one before it begins: processes, threads, or none."""
        if tracer.is_isolated:
            return self.processes.slots
        return self.threads if tracer.needs_thread else None

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Call `function` in `seconds`, in a thread. Further requests until then are merged. Safe from any thread."""
        if function not in self._called_later:
            self._called_later.add(function)
            self.loop.call_soon_threadsafe(self.loop.call_later, seconds, self._call, function)

    def _call(self, function: Callable[[], None]) -> None:
        self._called_later.discard(function)
        self.loop.run_in_executor(None, function)

    def prepare(self, task: Any) -> None:
        """Adapt a task to this pool. Done for all tasks before the first message is taken."""
        if task.request_stack is not None:
            stacks.go_by_context(task.request_stack)
        adapt(task)
        task.backend = awaited(task.backend)
        if is_async(task):
            self.threads.gives_way = True

    def on_close(self) -> None:
        """Stop taking messages."""
        if self.intake is not None:
            self.intake.close()

    def on_stop(self) -> None:
        """Wait for the running tasks. In a cold shutdown, which Celery also ends with this call, stop them first."""
        if worker_state.should_terminate:
            self.on_close()
            self.on_terminate()
        while not self._all_done.wait(1.0):  # in steps, so that Python can handle signals in between
            pass
        if self.intake is not None:
            asyncio.run_coroutine_threadsafe(self.intake.written(), self.loop).result()

    def on_terminate(self) -> None:
        """Stop the running tasks, whose messages go back to their queues (a cold shutdown)."""
        self.loop.call_soon_threadsafe(self._abandon_all)  # runs after executions that were handed to the loop before

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """Do nothing: Celery calls `terminate` of the execution next."""

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
