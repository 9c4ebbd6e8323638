"""streaQ."""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from streaq import Worker

from benchmarks.peers.workload import LONG, NAP, TEXT, broker_url, record, variant

worker = Worker(
    redis_url=broker_url(),
    concurrency=int(variant("concurrency", "100")),
    idle_timeout=float(variant("idle_timeout", "60")),
    anyio_kwargs={"use_uvloop": True},
)


@worker.task
async def noop(number: int, text: str) -> int:
    record(number)
    return number


@worker.task
async def nap(number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(NAP)
    return number


@worker.task
async def long(number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(LONG)
    return number


TASKS = {"noop": noop, "nap": nap, "long": long}


class Tasks:
    async def enqueue(self, task: str, number: int) -> None:
        await TASKS[task].enqueue(number, TEXT)

    async def enqueue_many(self, task: str, numbers: Sequence[int]) -> None:
        await worker.enqueue_many([TASKS[task].enqueue(number, TEXT) for number in numbers])

    async def call(self, task: str, number: int) -> int:
        task_ = await TASKS[task].enqueue(number, TEXT)
        return (await task_.result(60)).result


@asynccontextmanager
async def client() -> AsyncGenerator[Tasks]:
    async with worker:
        yield Tasks()


if __name__ == "__main__":
    worker.run_sync()  # as in `streaq run`, which otherwise logs each task
