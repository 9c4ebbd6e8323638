"""arq."""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import uvloop
from arq import create_pool, run_worker
from arq.connections import ArqRedis, RedisSettings

from benchmarks.peers.workload import LONG, NAP, TEXT, broker_url, record, variant

uvloop.install()  # arq uses the current event loop


async def noop(_: object, number: int, text: str) -> int:
    record(number)
    return number


async def nap(_: object, number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(NAP)
    return number


async def long(_: object, number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(LONG)
    return number


class WorkerSettings:
    functions = (noop, nap, long)
    redis_settings = RedisSettings.from_dsn(broker_url())
    max_jobs = 100
    poll_delay = float(variant("poll_delay", "0.5"))
    job_timeout = float(
        variant("job_timeout", "300")
    )  # ten seconds after this time, another worker takes a dead worker's job
    log_results = False


class Functions:
    """A client that enqueues many jobs over several connections at a time, because arq has no bulk API."""

    def __init__(self, pool: ArqRedis) -> None:
        self.pool = pool

    async def enqueue(self, task: str, number: int) -> None:
        await self.pool.enqueue_job(task, number, TEXT)

    async def enqueue_many(self, task: str, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), 100):
            await asyncio.gather(*(self.enqueue(task, number) for number in numbers[start : start + 100]))

    async def call(self, task: str, number: int) -> int:
        job = await self.pool.enqueue_job(task, number, TEXT)
        assert job is not None
        return await job.result(timeout=60, poll_delay=float(variant("poll_delay", "0.5")))


@asynccontextmanager
async def client() -> AsyncGenerator[Functions]:
    pool = await create_pool(WorkerSettings.redis_settings)
    yield Functions(pool)
    await pool.aclose()


if __name__ == "__main__":
    run_worker(WorkerSettings)  # as in the command `arq`, which otherwise logs each job
