"""Jobs that ask to be run later, in each form. `tests.support.celery_main` serves them."""

from __future__ import annotations

import os
import signal
from typing import Any

import redis

from celeriac import Celeriac, Job, JobContext, Retry, RunLater, Settings
from celeriac.store import keys
from tests.support.contract_jobs import Trace

FORMS = ("async", "def", "isolated")


class LaterJobs:
    """An application whose jobs may be attempted once."""

    def __init__(self, app: Celeriac) -> None:
        self.app = app
        self.trace = trace = Trace(app.broker_address)

        def wait_for_turn(job: JobContext, times: int, seconds: float = 0.05, cancelled: bool = False) -> int:
            trace.add(job.id, f"attempt {job.attempt} of {job.attempts}")
            if cancelled:
                with redis.Redis.from_url(app.broker_address) as broker:  # without a message: it is seen too late
                    broker.hset(keys.record(job.id), "cancel", "1")
            if len(trace.of(job.id)) <= times:
                raise RunLater(seconds, "not its turn")
            return job.attempt

        async def wait_for_turn_async(
            job: JobContext, times: int, seconds: float = 0.05, cancelled: bool = False
        ) -> int:
            return wait_for_turn(job, times, seconds, cancelled)

        async def told(job_id: str) -> None:
            trace.add(job_id, "told")

        once = Retry(attempts=1)
        self.forms: dict[str, Job[..., Any]] = {
            "async": app.job(name="async", retry=once, on_cancelled=told)(wait_for_turn_async),
            "def": app.job(name="def", retry=once, on_cancelled=told)(wait_for_turn),
            "isolated": app.job(name="isolated", retry=once, isolate=True, on_cancelled=told)(wait_for_turn),
        }

        async def parent(job: JobContext, seconds: float) -> None:
            if job.children is None:
                await job.fan_out([self.forms["async"].call(times=1, seconds=seconds)])

        self.parent = app.job(name="parent", retry=once)(parent)

        def die_once(job: JobContext) -> str:
            if not job.redelivered:
                os.kill(os.getpid(), signal.SIGKILL)
            return "again"

        self.die_once = app.job(name="die_once", retry=once)(die_once)


def create(settings: Settings) -> LaterJobs:
    return LaterJobs(Celeriac("later", settings=settings))
