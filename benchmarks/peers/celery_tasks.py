"""Celery as it comes."""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from celery import Celery, group
from celery.canvas import Signature

from benchmarks.peers.workload import LONG, NAP, TEXT, broker_url, record, variant

app = Celery("bench", broker=broker_url(), backend=broker_url())
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=int(variant("prefetch", "64")),
    result_backend_thread_safe=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": int(variant("visibility", "3600")),
        "unacked_restore_interval": int(variant("restore_interval", "10")),
        "unacked_restore_throttle": int(variant("restore_throttle", "10")),
    },
    worker_redirect_stdouts=False,
)


@app.task(name="noop")
def noop(number: int, text: str) -> int:
    record(number)
    return number


@app.task(name="nap")
def nap(number: int, text: str) -> int:
    record(number)
    time.sleep(NAP)
    return number


@app.task(name="long")
def long(number: int, text: str) -> int:
    record(number)
    time.sleep(LONG)
    return number


TASKS = {"noop": noop, "noop_def": noop, "nap": nap, "long": long}


class Tasks:
    """A client whose calls block, as Celery's API does."""

    def __init__(self, tasks: Mapping[str, Any]) -> None:
        self.tasks = tasks

    async def enqueue(self, task: str, number: int) -> None:
        self.tasks[task].delay(number, TEXT)

    async def enqueue_many(self, task: str, numbers: Sequence[int]) -> None:
        group(self.tasks[task].si(number, TEXT) for number in numbers).apply_async()

    async def enqueue_at(self, task: str, numbers: Sequence[int], due: float) -> None:
        for number in numbers:
            self.tasks[task].apply_async((number, TEXT), eta=datetime.fromtimestamp(due, UTC))

    def signature(self, task: str, number: int) -> Signature:
        return self.tasks[task].si(number, TEXT)

    async def call(self, task: str, number: int) -> int:
        return self.tasks[task].delay(number, TEXT).get(timeout=60)


@asynccontextmanager
async def client() -> AsyncGenerator[Tasks]:
    yield Tasks(TASKS)
    app.close()
