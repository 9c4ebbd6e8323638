"""Celeriac's typed jobs, which keep job records."""

# pyright: basic
from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from celery.canvas import Signature
from celery.signals import task_postrun, task_prerun

from benchmarks.peers.workload import LONG, NAP, TEXT, broker_url, record, variant
from celeriac import Celeriac, Settings

app = Celeriac("bench", settings=Settings(broker_url=broker_url()))  # pyright: ignore[reportArgumentType]
events = bool(variant("events"))
app.conf.update(worker_send_task_events=events, task_send_sent_event=events)
if prefetch := variant("prefetch"):
    app.conf.worker_prefetch_multiplier = int(prefetch)


@app.job(name="noop")
async def noop(number: int, text: str) -> int:
    record(number)
    return number


@app.job(name="noop_def")
def noop_def(number: int, text: str) -> int:
    record(number)
    return number


@app.job(name="nap")
async def nap(number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(NAP)
    return number


@app.job(name="long")
async def long(number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(LONG)
    return number


JOBS = {"noop": noop, "noop_def": noop_def, "nap": nap, "long": long}
TASKS = {name: job.task for name, job in JOBS.items()}

if variant("signals"):
    # The least that tracing does: one call before and one after each job.
    began: dict[str, int] = {}

    @task_prerun.connect(weak=False)
    def start(task_id: str, **_: Any) -> None:
        began[task_id] = time.monotonic_ns()

    @task_postrun.connect(weak=False)
    def finish(task_id: str, **_: Any) -> None:
        began.pop(task_id)


class Jobs:
    async def enqueue(self, task: str, number: int) -> None:
        await JOBS[task].enqueue(number, TEXT)

    async def enqueue_many(self, task: str, numbers: Sequence[int]) -> None:
        await JOBS[task].enqueue_many(JOBS[task].call(number, TEXT) for number in numbers)

    async def enqueue_at(self, task: str, numbers: Sequence[int], due: float) -> None:
        job = JOBS[task].options(at=datetime.fromtimestamp(due, UTC))
        await job.enqueue_many(job.call(number, TEXT) for number in numbers)

    def signature(self, task: str, number: int) -> Signature:
        return TASKS[task].si(number, TEXT)

    async def call(self, task: str, number: int) -> int:
        return await (await JOBS[task].enqueue(number, TEXT)).result(timeout=60)


@asynccontextmanager
async def client() -> AsyncGenerator[Jobs]:
    yield Jobs()
    await app.client.aclose()
    app.close()
