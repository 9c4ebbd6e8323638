"""The process for isolated jobs: loads the worker's application, and runs one job after another."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextvars import copy_context
from importlib import import_module
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from celery.signals import worker_process_init

from celeriac.core import codec
from celeriac.core.context import Children, JobContext, JobSuspended
from celeriac.core.records import Progress
from celeriac.core.spec import Call, JobSpec
from celeriac.engine import job_logs, process_hooks
from celeriac.engine.isolation import errors, wire
from celeriac.engine.loop import job_loop
from celeriac.engine.progress import ProgressReporter
from celeriac.engine.runs import AsyncRun, Run, ThreadRun

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp


class _Unfit(Exception):
    """The application or the job cannot be loaded in this process."""


class _Worker:
    """The connection to the worker: standard input and output, which are taken away from the jobs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # uvloop leaks copies of both, which forks would keep open
        self._input, self._output = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)  # what a job prints goes to the worker's log
        os.register_at_fork(after_in_child=self._close)

    def read(self) -> wire.Message | None:
        return wire.read(self._input)

    def tell(self, message: wire.Message) -> None:
        rest = memoryview(wire.frame(message))
        with self._lock:
            while rest:
                rest = rest[self._output.write(rest) :]

    async def report_progress(self, job_id: str, progress: Progress) -> None:
        """Send progress to the worker, whose client publishes it. Stands in for `JobClient` here."""
        fields = {"done": progress.done, "total": progress.total, "message": progress.message}
        self.tell({"kind": "progress", "job_id": job_id, **fields})

    def _close(self) -> None:
        """Close the pipes in a process that a job forked. Their end tells the worker that this process has ended."""
        self._input.close()
        self._output.close()


class _Jobs:
    """Runs the jobs of an application in this process's main thread."""

    def __init__(self, app: JobApp, worker: _Worker) -> None:
        self._app = app
        self._progress = ProgressReporter(job_loop(), worker)

    def run(self, request: wire.Message) -> wire.Message:
        """Run one job, and return the message about its end."""
        try:
            spec = self._spec(request["task"], request["module"])
        except _Unfit as error:
            return {"kind": "unfit", "message": str(error)}
        calls: list[Call[Any]] = []
        try:
            value = self._value(spec, request, calls)
            return {"kind": "result", "value": value}
        except JobSuspended:
            return {"kind": "children", "calls": [[call.spec.name, call.arguments.decode()] for call in calls]}
        except BaseException as error:
            retry_in = spec.options.retry.delay_after(error, request["job"]["attempt"])
            return {"kind": "error", **errors.told(error, retry_in)}
        finally:
            self._progress.flush()

    def _value(self, spec: JobSpec, request: wire.Message, calls: list[Call[Any]]) -> Any:
        async def spawn(children: list[Call[Any]]) -> None:
            calls.extend(children)  # the worker enqueues them after `JobSuspended`

        job, counts = request["job"], request["job"].pop("children")
        context = JobContext(
            **job,
            task=spec.name,
            children=Children(**counts) if counts else None,
            report=self._progress.report,
            spawn=spawn,
            cancel_requested=lambda: False,  # a cancellation kills this process
            open_artifact=self._app.open_artifact,
        )
        arguments = spec.validate_sent((), codec.loads(request["arguments"]))
        with job_logs.running(context.id, context.task, context.attempt):
            returned = _started(spec, arguments, context).complete()
            if iscoroutine(returned):  # a plain decorator hid an `async def`
                returned = AsyncRun(returned, None, job_loop()).complete()
        return spec.dump_result(returned)

    def _spec(self, name: str, module: str) -> JobSpec:
        if name not in self._app.specs:
            _imported(module)  # the function's module, which the application's module may not import
        if name not in self._app.specs:
            raise _Unfit(
                f"job {name!r} cannot be isolated: a new process imports the application, and finds no such job; "
                "register it when its module is imported"
            )
        return self._app.specs[name]


def _started(spec: JobSpec, arguments: dict[str, Any], context: JobContext) -> Run:
    if spec.is_async:
        return AsyncRun(spec.call(arguments, context), None, job_loop())
    return ThreadRun(lambda: spec.call(arguments, context), None)


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except Exception as error:  # whatever the user's module raises
        raise _Unfit(f"an isolated job's process cannot import {module!r}: {error!r}") from error


def _loaded(setup: wire.Message) -> JobApp:
    sys.path[:] = setup["path"]
    module, _, attribute = setup["app"].partition(":")
    app = getattr(_imported(module), attribute, None)
    if app is None:
        raise _Unfit(f"an isolated job's process imported {module!r}, and found no {attribute!r} in it")
    app.log.setup(loglevel=setup["log_level"], redirect_stdouts=False)
    worker_process_init.send(sender=None)
    return app


def main(parent: int) -> None:
    """Run jobs until the worker, whose process id is `parent`, has ended."""
    process_hooks.die_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Some supervisors signal each process of a service. Ignore it: the worker decides, and kills this process.
        signal.signal(number, lambda _number, _frame: None)
    worker = _Worker()
    setup = worker.read()
    if setup is None:
        return
    try:
        jobs = _Jobs(_loaded(setup), worker)
    except _Unfit as error:
        worker.tell({"kind": "unfit", "message": str(error)})
        return
    worker.tell({"kind": "ready"})
    while (request := worker.read()) is not None:
        worker.tell(copy_context().run(jobs.run, request))  # a context for each job, so that variables do not leak
