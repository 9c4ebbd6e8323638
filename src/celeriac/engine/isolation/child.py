"""The process of isolated jobs: loads the application of its worker, and runs one job after another."""

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
from celeriac.engine import job_logs, process
from celeriac.engine.isolation import errors, wire
from celeriac.engine.loop import job_loop
from celeriac.engine.progress import ProgressReporter
from celeriac.engine.runs import AsyncRun, Run, ThreadRun

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp


class _Unfit(Exception):
    """The job cannot be run here."""


class _Worker:
    """The worker, as its process sees it: standard input and output, which are taken away from the jobs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # uvloop lets slip in copies of both, which forks would hold open
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
        """Take the place of the client, which is in the worker."""
        fields = {"done": progress.done, "total": progress.total, "message": progress.message}
        self.tell({"kind": "progress", "job_id": job_id, **fields})

    def _close(self) -> None:
        """A process that a job has forked must not hold open what tells the worker that the job has ended."""
        self._input.close()
        self._output.close()


class _Jobs:
    """Runs the jobs of an application in this process's main thread."""

    def __init__(self, app: JobApp, worker: _Worker) -> None:
        self._app = app
        self._progress = ProgressReporter(job_loop(), worker)

    def run(self, request: wire.Message) -> wire.Message:
        """Run one job, and return what is told of its end."""
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
            calls.extend(children)  # the worker enqueues them, once the job has left

        job, counts = request["job"], request["job"].pop("children")
        context = JobContext(
            **job,
            task=spec.name,
            children=Children(**counts) if counts else None,
            report=self._progress.report,
            spawn=spawn,
            cancel_requested=lambda: False,  # who cancels kills this process
        )
        arguments = spec.validate_sent((), codec.loads(request["arguments"]))
        with job_logs.running(context.id, context.task, context.attempt):
            returned = _started(spec, arguments, context).complete()
            if iscoroutine(returned):  # of an `async def` behind a decorator that is a plain function
                returned = AsyncRun(returned, None, job_loop()).complete()
        return spec.dump_result(returned)

    def _spec(self, name: str, module: str) -> JobSpec:
        if name not in self._app.specs:
            _imported(module)  # that of the function, which may be one that the application's does not import
        if name not in self._app.specs:
            raise _Unfit(
                f"job {name!r} cannot be isolated: the application has no such job once it is imported anew; "
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
    except Exception as error:  # whatever a stranger's module does
        raise _Unfit(f"an isolated job's process cannot import {module!r}: {error!r}") from error


def _loaded(setup: wire.Message) -> JobApp:
    sys.path[:] = setup["path"]
    module, _, attribute = setup["app"].partition(":")
    app = getattr(_imported(module), attribute, None)
    if app is None:
        raise _Unfit(f"an isolated job's process finds no {attribute!r} in {module!r} once that is imported anew")
    app.log.setup(loglevel=setup["log_level"], redirect_stdouts=False)
    worker_process_init.send(sender=None)
    return app


def main(parent: int) -> None:
    """Run jobs until the worker, whose process id is `parent`, has ended."""
    process.die_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Some supervisors signal each process of a service. It is for the worker to decide; it kills this one.
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
        worker.tell(copy_context().run(jobs.run, request))  # context variables that a job sets end with it
