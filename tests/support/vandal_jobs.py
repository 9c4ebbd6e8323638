"""Jobs that break what their worker needs."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from typing import Any

from celeriac import Celeriac, JobContext, Settings
from celeriac.core.interrupt import interrupt_thread
from tests.support.contract_jobs import Trace


class VandalJobs:
    """An application, and a trace of what ran."""

    def __init__(self, app: Celeriac) -> None:
        self.app = app
        self.trace = trace = Trace(app.broker_address)

        async def hold(job: JobContext, gate: str) -> str:
            trace.add(job.id, "start")
            while not trace.is_open(gate):
                await asyncio.sleep(0.02)
            return gate

        async def where() -> int:
            return os.getpid()

        async def cancel_all() -> str:
            """As those do who clean up after themselves."""
            mine = asyncio.create_task(asyncio.sleep(60))
            await asyncio.sleep(0)
            found = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in found:
                task.cancel()
            assert mine in found
            await asyncio.sleep(0.1)
            return f"cancelled {len(found)}"

        async def stop_loop() -> str:
            asyncio.get_running_loop().stop()
            await asyncio.sleep(0.1)
            return "stopped"

        async def break_factory() -> None:
            def refuse(*_: Any, **options: Any) -> Any:
                raise ZeroDivisionError("no tasks today")

            asyncio.get_running_loop().set_task_factory(refuse)

        async def lower_limit() -> int:
            return _lowered()

        def lower_limit_sync() -> int:
            return _lowered()

        async def break_(job: JobContext) -> None:
            """End what takes messages, which it has to search for: no list of asyncio's has it."""
            trace.add(job.id, "start")
            gc.unfreeze()
            tasks = [found for found in gc.get_objects() if isinstance(found, asyncio.Task)]
            next(task for task in tasks if task.get_name() == "celeriac-fetcher").cancel()
            await asyncio.sleep(60)

        async def end_lease(job: JobContext, gate: str) -> None:
            """Once the gate is open, end the thread that keeps the worker's lease; in the first run."""
            trace.add(job.id, "start")
            if len(trace.of(job.id)) > 1:
                return
            while not trace.is_open(gate):
                await asyncio.sleep(0.02)
            (lease,) = (thread for thread in threading.enumerate() if thread.name == "celeriac-lease")
            interrupt_thread(lease.ident or 0, SystemExit)
            await asyncio.sleep(60)

        self.end_lease = app.job(name="end_lease")(end_lease)
        self.hold, self.where = app.job(name="hold")(hold), app.job(name="where")(where)
        self.cancel_all, self.stop_loop = app.job(name="cancel_all")(cancel_all), app.job(name="stop_loop")(stop_loop)
        self.lower_limit = app.job(name="lower_limit")(lower_limit)
        self.lower_limit_sync = app.job(name="lower_limit_sync")(lower_limit_sync)
        self.break_factory = app.job(name="break_factory")(break_factory)
        self.break_ = app.job(name="break")(break_)


def _lowered() -> int:
    """Try to lower the limit to what would be too little for the worker."""
    sys.setrecursionlimit(100)
    return sys.getrecursionlimit()


def create(settings: Settings) -> VandalJobs:
    """The application of the settings."""
    return VandalJobs(Celeriac("vandals", settings=settings))
