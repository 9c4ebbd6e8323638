"""Runs the isolated jobs of a worker in a limited number of processes."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from celeriac.core.context import JobContext, JobSuspended
from celeriac.core.cores import available_cores
from celeriac.core.errors import JobTimedOut
from celeriac.core.spec import Call, JobSpec
from celeriac.engine.aio import execution
from celeriac.engine.aio.slots import Slots
from celeriac.engine.isolation import wire
from celeriac.engine.isolation.errors import revived
from celeriac.engine.isolation.process import JobProcess
from celeriac.engine.loop import job_loop

#: How long a job waits for a process before it goes back to its queue, where other workers may have room.
_PATIENCE_S = 0.5

_cores: int | None = None


def limit(cores: int) -> None:
    """Set how many processes this worker may have. Default: one for each core that it may use."""
    global _cores
    _cores = cores


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolatedCall:
    """A job to run in a process of its own.

    Attributes:
        app: the import address of its application.
        specs: the application's job specifications, by name.
        spec: the specification of the job.
        arguments: the job's arguments, a JSON object.
        context: the context of the attempt.
    """

    app: str
    specs: Mapping[str, JobSpec]
    spec: JobSpec
    arguments: bytes
    context: JobContext

    def request(self) -> wire.Message:
        """Make the message that asks the process to run the job."""
        job = self.context
        return {
            "task": self.spec.name,
            "module": self.spec.function.__module__,
            "arguments": self.arguments.decode(),
            "job": {
                "id": job.id,
                "attempt": job.attempt,
                "attempts": job.attempts,
                "redelivered": job.redelivered,
                "parent_id": job.parent_id,
                "children": asdict(job.children) if job.children else None,
            },
        }


class Processes:
    """Up to one process for each core, started on demand and kept. Use it in the event loop's thread only."""

    def __init__(self) -> None:
        self.slots = Slots(job_loop().loop, _cores or available_cores(), patience=_PATIENCE_S)
        self._idle: defaultdict[str, list[JobProcess]] = defaultdict(list)

    async def run(self, call: IsolatedCall) -> Any:
        """Run a job to its end, and return its result in JSON types. A cancellation kills its process.

        Raises:
            RaisedElsewhere: the job raised an error, which this one stands for.
            JobTimedOut: the job took too long, and its process was killed.
            JobCrashed: the process ended before the job.
            JobSuspended: the job waits for its children, which are enqueued.
            ConfigurationError: the process does not find the job.
        """
        if not execution.take_slot(self.slots):
            await self.slots.reserve()
        try:
            ended = await self._run(call)
        finally:
            self.slots.release()
        if ended["kind"] == "error":
            raise revived(ended)
        if ended["kind"] == "children":
            await call.context.spawn([Call(call.specs[name], args.encode()) for name, args in ended["calls"]])
            raise JobSuspended
        return ended["value"]

    async def _run(self, call: IsolatedCall) -> wire.Message:
        process = self._take_idle(call.app) or await JobProcess.start(call.app)
        try:
            ended = await _within_limit(process, call)
        except BaseException:
            await process.kill()
            raise
        self._idle[call.app].append(process)
        return ended

    def _take_idle(self, app: str) -> JobProcess | None:
        """Take the idle process that was used last, so that the memory of the others can be swapped out."""
        idle = self._idle[app]
        while idle:
            process = idle.pop()
            if not process.has_ended:
                return process
        return None


async def _within_limit(process: JobProcess, call: IsolatedCall) -> wire.Message:
    timeout = call.spec.options.timeout
    limit = asyncio.timeout(timeout)
    try:
        async with limit:
            return await process.run(call.request(), call.context.report)
    except TimeoutError:
        if limit.expired():
            raise JobTimedOut(f"exceeded its time limit of {timeout:g} s; its process was killed") from None
        raise


_processes: dict[int, Processes] = {}


def processes() -> Processes:
    """Return the processes of this worker process. A forked worker process starts with none."""
    pid = os.getpid()
    if pid not in _processes:
        _processes.clear()
        _processes[pid] = Processes()
    return _processes[pid]
