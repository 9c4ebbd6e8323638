"""The same Celery application with Celeriac's settings, and coroutines beside its tasks. It keeps no job records."""

# pyright: basic
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from benchmarks.peers.celery_tasks import TASKS, Tasks, app
from benchmarks.peers.workload import LONG, NAP, broker_url, record
from celeriac import celery_settings

app.conf.update(celery_settings(broker_url()))


@app.task(name="noop_async")
async def noop(number: int, text: str) -> int:
    record(number)
    return number


@app.task(name="nap_async")
async def nap(number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(NAP)
    return number


@app.task(name="long_async")
async def long(number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(LONG)
    return number


@asynccontextmanager
async def client() -> AsyncGenerator[Tasks]:
    yield Tasks({**TASKS, "noop": noop, "nap": nap, "long": long})
    app.close()
