"""Jobs that last, as typed ones and as tasks of a plain application on Celeriac's settings.

Workers find the application as `tests.support.lasting`; LASTING says which one, LASTING_URL its broker and
LASTING_LEASE its lease.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from celery import Celery
from pydantic import SecretStr

from celeriac import Celeriac, JobContext, Settings, celery_settings
from tests.support.contract_jobs import Trace

Kind = Literal["typed", "plain"]
#: Sends a job to a queue, and returns its id: `await send("nap", 1.5, queue="typed")`.
Send = Callable[..., Awaitable[str]]


class Lasting:
    """What the jobs do; each tells which process began, ended or was stopped."""

    def __init__(self, url: str) -> None:
        self._trace = Trace(url)

    async def hold(self, job_id: str, gate: str) -> int:
        """Wait for the gate, and return the process it ran in."""
        self._tell(job_id, "start")
        try:
            while not self._trace.is_open(gate):
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            self._tell(job_id, "cancelled")
            raise
        self._tell(job_id, "end")
        return os.getpid()

    async def nap(self, job_id: str, seconds: float) -> int:
        self._tell(job_id, "start")
        await asyncio.sleep(seconds)
        return os.getpid()

    async def block(self, job_id: str, gate: str) -> int:
        """Keep the event loop to itself until the gate is open."""
        self._tell(job_id, "start")
        while not self._trace.is_open(gate):
            time.sleep(0.001)
        return os.getpid()

    async def compute(self, job_id: str, seconds: float) -> int:
        """Keep the event loop, and a core, to itself."""
        self._tell(job_id, "start")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            hash("something")
        return os.getpid()

    async def stall(self, job_id: str, seconds: float) -> int:
        """Keep the event loop to itself, and no core."""
        self._tell(job_id, "start")
        time.sleep(seconds)
        return os.getpid()

    def _tell(self, job_id: str, word: str) -> None:
        self._trace.add(job_id, f"{word} {os.getpid()}")


def typed(url: str, lease: float) -> tuple[Celeriac, Send]:
    """The application with typed jobs."""
    app, bodies = Celeriac("lasting", settings=Settings(broker_url=SecretStr(url), lease=lease)), Lasting(url)

    @app.job(name="hold")
    async def hold(job: JobContext, gate: str) -> int:
        return await bodies.hold(job.id, gate)

    @app.job(name="nap")
    async def nap(job: JobContext, seconds: float) -> int:
        return await bodies.nap(job.id, seconds)

    @app.job(name="block")
    async def block(job: JobContext, gate: str) -> int:
        return await bodies.block(job.id, gate)

    @app.job(name="compute")
    async def compute(job: JobContext, seconds: float) -> int:
        return await bodies.compute(job.id, seconds)

    @app.job(name="stall")
    async def stall(job: JobContext, seconds: float) -> int:
        return await bodies.stall(job.id, seconds)

    jobs: dict[str, Any] = {"hold": hold, "nap": nap, "block": block, "compute": compute, "stall": stall}

    async def send(name: str, *arguments: Any, queue: str) -> str:
        return (await jobs[name].options(queue=queue).enqueue(*arguments)).id

    return app, send


def plain(url: str, lease: float) -> tuple[Celery, Send]:
    """The application that knows nothing of Celeriac but its settings."""
    app, bodies = Celery("lasting", set_as_current=False), Lasting(url)
    app.conf.update(celery_settings(url, lease=lease))

    @app.task(name="hold", bind=True, shared=False)
    async def hold(self: Any, gate: str) -> int:
        return await bodies.hold(self.request.id, gate)

    @app.task(name="nap", bind=True, shared=False)
    async def nap(self: Any, seconds: float) -> int:
        return await bodies.nap(self.request.id, seconds)

    @app.task(name="block", bind=True, shared=False)
    async def block(self: Any, gate: str) -> int:
        return await bodies.block(self.request.id, gate)

    @app.task(name="compute", bind=True, shared=False)
    async def compute(self: Any, seconds: float) -> int:
        return await bodies.compute(self.request.id, seconds)

    @app.task(name="stall", bind=True, shared=False)
    async def stall(self: Any, seconds: float) -> int:
        return await bodies.stall(self.request.id, seconds)

    async def send(name: str, *arguments: Any, queue: str) -> str:
        return app.tasks[name].apply_async(arguments, queue=queue).id

    return app, send


def create(kind: str, url: str, lease: float) -> tuple[Celery, Send]:
    """The application of that kind, and how to send its jobs."""
    return typed(url, lease) if kind == "typed" else plain(url, lease)


if "LASTING" in os.environ:
    app, _ = create(os.environ["LASTING"], os.environ["LASTING_URL"], float(os.environ["LASTING_LEASE"]))
