"""taskiq on Redis streams."""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers.workload import LONG, NAP, TEXT, broker_url, record, variant

# From the first message on, because the group is made after jobs were enqueued.
broker = RedisStreamBroker(
    broker_url(), consumer_id="0", idle_timeout=int(variant("idle_timeout", "600000"))
).with_result_backend(RedisAsyncResultBackend(broker_url(), result_ex_time=3600, serializer=ORJSONSerializer()))
broker = broker.with_serializer(ORJSONSerializer())


@broker.task(task_name="noop")
async def noop(number: int, text: str) -> int:
    record(number)
    return number


@broker.task(task_name="nap")
async def nap(number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(NAP)
    return number


@broker.task(task_name="long")
async def long(number: int, text: str) -> int:
    record(number)
    await asyncio.sleep(LONG)
    return number


TASKS = {"noop": noop, "nap": nap, "long": long}


class Tasks:
    """A client that enqueues over as many connections as needed, because taskiq has no bulk API."""

    async def enqueue(self, task: str, number: int) -> None:
        await TASKS[task].kiq(number, TEXT)

    async def enqueue_many(self, task: str, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), 100):
            await asyncio.gather(*(TASKS[task].kiq(n, TEXT) for n in numbers[start : start + 100]))

    async def call(self, task: str, number: int) -> int:
        result = await (await TASKS[task].kiq(number, TEXT)).wait_result(check_interval=0.002, timeout=60)
        return result.return_value


@asynccontextmanager
async def client() -> AsyncGenerator[Tasks]:
    await broker.startup()
    yield Tasks()
    await broker.shutdown()
