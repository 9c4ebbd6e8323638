"""Isolated jobs, and one that is not, to see what those do to it. Each leaves a trace of what really ran."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from contextvars import ContextVar
from typing import Any

from celeriac import Celeriac, JobContext, RetryAfter, Settings
from tests.support import leaving
from tests.support.contract_jobs import QUICK, Invoice, OrderRejected, Trace

#: Set by each run of a job, to be seen by no other.
footprint: ContextVar[str] = ContextVar("footprint", default="none")


def _step() -> str:
    """What an earlier run has left, and where it is looked for."""
    found = footprint.get()
    footprint.set(f"left in {os.getpid()}")
    return f"{found} {os.getpid()}"


class IsolatedJobs:
    """An application and its jobs."""

    def __init__(self, app: Celeriac) -> None:
        self.app = app
        self.trace = trace = Trace(app.broker_address)

        def double(invoice: Invoice) -> Invoice:
            assert isinstance(invoice, Invoice)
            return invoice.model_copy(update={"lines": invoice.lines * 2})

        async def double_async(invoice: Invoice) -> Invoice:
            await asyncio.sleep(0)
            return double(invoice)

        self.double = app.job(name="double", isolate=True)(double)
        self.double_async = app.job(name="double_async", isolate=True)(double_async)

        def pid(job: JobContext) -> tuple[int, int, int]:
            print(f"printed by {job.id}")
            return os.getpid(), os.getppid(), job.attempt

        self.pid = app.job(name="pid", isolate=True)(pid)

        def speak(value: str) -> None:
            logging.getLogger("shop.orders").warning("said %s", value)

        self.speak = app.job(name="speak", isolate=True)(speak)

        def triple(number: int) -> int:
            return 3 * number

        self.triple = app.job(name="triple", isolate=True)(triple)

        def remember(value: Any) -> Any:
            return value

        def scold(value: Any) -> None:
            raise OrderRejected(value)

        self.remember = app.job(name="remember", isolate=True)(remember)
        self.scold = app.job(name="scold", isolate=True)(scold)

        def fail(message: str) -> None:
            raise OrderRejected(message)

        self.fail = app.job(name="fail", isolate=True)(fail)

        def promise(value: str) -> int:
            return value  # type: ignore[return-value]

        self.promise = app.job(name="promise", isolate=True, retry=QUICK)(promise)

        def leave(job: JobContext) -> None:
            sys.exit("by the job itself")

        self.leave = app.job(name="leave", isolate=True)(leave)

        def flaky(job: JobContext, failures: int) -> int:
            if job.attempt <= failures:
                raise RetryAfter(0.05) if job.attempt == 1 else ConnectionError("again")
            return job.attempt

        self.flaky = app.job(name="flaky", isolate=True, retry=QUICK)(flaky)

        def stuck(job: JobContext) -> int:
            trace.add(job.id, str(os.getpid()))
            return sum(range(10**12))  # one call into C, which holds the interpreter's lock all the time

        self.stuck = app.job(name="stuck", isolate=True)(stuck)
        self.stuck_limited = app.job(name="stuck_limited", isolate=True, timeout=0.5)(stuck)

        def compute(job: JobContext, gate: str) -> str:
            trace.add(job.id, str(os.getpid()))
            while not trace.is_open(gate):
                sum(range(10**5))
            trace.add(job.id, "end")
            return gate

        self.compute = app.job(name="compute", isolate=True)(compute)

        def with_helper(job: JobContext) -> None:
            helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            trace.add(job.id, str(helper.pid))
            helper.wait()

        self.with_helper = app.job(name="with_helper", isolate=True)(with_helper)

        def orphan(job: JobContext) -> None:
            if (forked := os.fork()) == 0:
                time.sleep(600)
                os._exit(0)
            trace.add(job.id, str(forked))
            os.kill(os.getpid(), signal.SIGKILL)

        self.orphan = app.job(name="orphan", isolate=True)(orphan)

        def vanish(job: JobContext, attempts: int = 1) -> int:
            if job.attempt <= attempts:
                os._exit(3)
            return job.attempt

        self.vanish = app.job(name="vanish", isolate=True)(vanish)
        self.vanish_retried = app.job(name="vanish_retried", isolate=True, retry=QUICK)(vanish)

        def meet(job: JobContext, place: str, people: int) -> int:
            trace.add(place, job.id)
            while len(trace.of(place)) < people:
                time.sleep(0.01)
            return os.getpid()

        self.meet = app.job(name="meet", isolate=True, timeout=20)(meet)

        def count(job: JobContext, steps: int, gate: str) -> None:
            for step in range(1, steps + 1):
                job.progress(step, steps, f"step {step}")
            while not trace.is_open(gate):
                time.sleep(0.01)

        self.count = app.job(name="count", isolate=True)(count)

        async def child(index: int) -> int:
            if index == 0:
                raise OrderRejected("the first")
            return index

        self.child = app.job(name="child", isolate=True)(child)

        async def parent(job: JobContext, children: int) -> tuple[int, int]:
            ended = await job.fan_out([self.child.call(index) for index in range(children)])
            return ended.succeeded, ended.failed

        self.parent = app.job(name="parent", isolate=True)(parent)

        async def raising(name: str) -> None:
            raise leaving.LEAVING[name]()

        def raising_sync(name: str) -> None:
            raise leaving.LEAVING[name]()

        self.raising = app.job(name="raising", isolate=True)(raising)
        self.raising_sync = app.job(name="raising_sync", isolate=True)(raising_sync)

        async def step() -> str:
            return _step()

        def step_sync() -> str:
            return _step()

        self.step = app.job(name="step", isolate=True)(step)
        self.step_sync = app.job(name="step_sync", isolate=True)(step_sync)

        async def tick() -> float:
            return time.time()

        self.tick = app.job(name="tick")(tick)


def create(settings: Settings) -> IsolatedJobs:
    """The application of the settings."""
    return IsolatedJobs(Celeriac("isolated", settings=settings))
