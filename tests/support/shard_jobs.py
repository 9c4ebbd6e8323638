"""The jobs that the shards' tests run. Their application can name its broker itself, as one from Celery does."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import sys
import threading
from typing import Any

from celeriac import Celeriac, JobContext, Settings
from tests.support.contract_jobs import Trace

_opened: list[socket.socket] = []


class ShardJobs:
    """An application, and a trace of what ran in which process."""

    def __init__(self, app: Celeriac) -> None:
        self.app = app
        self.trace = trace = Trace(app.broker_address)

        def hold(job: JobContext, gate: str) -> int:
            trace.add(job.id, f"start {os.getpid()}")
            wait = ctypes.CDLL(None).usleep
            while not trace.is_open(gate):
                wait(5000)
            trace.add(job.id, "end")
            return os.getpid()

        self.hold = app.job(name="hold")(hold)

        async def wait(job: JobContext, gate: str) -> int:
            trace.add(job.id, f"start {os.getpid()}")
            while not trace.is_open(gate):
                await asyncio.sleep(0.02)
            trace.add(job.id, "end")
            return os.getpid()

        self.wait = app.job(name="wait")(wait)

        def seize(job: JobContext, seconds: int) -> int:
            """Hold the interpreter's lock, as a computation in C may, without the processor's time it would take."""
            trace.add(job.id, f"start {os.getpid()}")
            ctypes.PyDLL(None).sleep(seconds)
            trace.add(job.id, "end")
            return os.getpid()

        self.seize = app.job(name="seize")(seize)

        async def note(job: JobContext, number: int) -> int:
            trace.add(job.id, f"start {os.getpid()}")
            return number

        self.note = app.job(name="note")(note)

        async def packages() -> list[str]:
            return sorted({name.partition(".")[0] for name in sys.modules})

        self.packages = app.job(name="packages")(packages)

        async def where() -> int:
            return os.getpid()

        self.where = app.job(name="where")(where)

    def starts(self, job_id: str) -> list[int]:
        """The processes in which the job was started."""
        return [int(word.split()[1]) for word in self.trace.of(job_id) if word.startswith("start ")]


def create(settings: Settings) -> ShardJobs:
    """The application of the settings; TEST_BROKER and TEST_POOL are what its own code sets.

    With TEST_OPEN it has a thread or a connection as soon as it is there.
    """
    _open(os.environ.get("TEST_OPEN"))
    broker: dict[str, Any] = {"broker": os.environ["TEST_BROKER"]} if "TEST_BROKER" in os.environ else {}
    app = Celeriac("shards", settings=settings, **broker)
    if pool := os.environ.get("TEST_POOL"):
        app.conf.worker_pool = pool
    return ShardJobs(app)


def _open(what: str | None) -> None:
    if what == "thread":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    elif what == "connection":
        _opened.extend(socket.socketpair())
