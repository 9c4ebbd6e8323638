"""The processes that a worker has for isolated jobs."""

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

#: Seconds for which a job waits for a process, at least if its turn is far, before other workers may have it.
_PATIENCE = 0.5

_cores: int | None = None


def limit(cores: int) -> None:
    """Have one process for each of so many cores; by default for each that this worker may use."""
    global _cores
    _cores = cores


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolatedCall:
    """A job that is to run in a process of its own.

    Attributes:
        app: the address of its application.
        specs: the application's jobs by name.
        spec: the job's.
        arguments: a JSON object.
        context: of the attempt.
    """

    app: str
    specs: Mapping[str, JobSpec]
    spec: JobSpec
    arguments: bytes
    context: JobContext

    def request(self) -> wire.Message:
        """What its process is told."""
        job = self.context
        return {
            "task": self.spec.name,
            "module": self.spec.function.__module__,
            "arguments": self.arguments.decode(),
            "job": {
                "id": job.id,
                "attempt": job.attempt,
                "attempts": job.attempts,
                "parent_id": job.parent_id,
                "children": asdict(job.children) if job.children else None,
            },
        }


class Processes:
    """Up to one process for each core, started when they are needed, and kept. For the event loop's thread."""

    def __init__(self) -> None:
        self.slots = Slots(job_loop().loop, _cores or available_cores(), patience=_PATIENCE)
        self._idle: defaultdict[str, list[JobProcess]] = defaultdict(list)

    async def run(self, call: IsolatedCall) -> Any:
        """Run a job to its end, and return its result in JSON types. A cancellation kills its process.

        Raises:
            RaisedElsewhere: the error that stands for the one that the job raised.
            JobTimedOut: it took too long; its process was killed.
            JobCrashed: its process ended before it.
            JobSuspended: it waits for its children, which are enqueued.
            ConfigurationError: its process cannot find it.
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
        """One that has been used before; the last one, so that what few jobs need stays in memory."""
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
    """Those of this process, which does not share them with one it was forked from."""
    pid = os.getpid()
    if pid not in _processes:
        _processes.clear()
        _processes[pid] = Processes()
    return _processes[pid]
